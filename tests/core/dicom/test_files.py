import io

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from beamstop.dicom.fast_reader import is_cut
from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import Failed, Quarantined, Rejected


def file_bytes(name):
    with open(get_testdata_file(name), "rb") as file:
        return file.read()


def reason(data, **limits):
    with pytest.raises((Rejected, Failed)) as refusal:
        read_dicom(data, **limits)
    return type(refusal.value).__name__, refusal.value.reason


def saved(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"GIF89a" + bytes(300),
        b"Patient: nobody\n" * 40,
        bytes(4096),
        b"\x08\0\0\0" + b"\xff" * 200,
    ],
)
def test_what_is_not_dicom_is_rejected(data):
    assert reason(data) == ("Rejected", "not_dicom")


def test_a_dicomdir_is_rejected():
    assert reason(file_bytes("DICOMDIR")) == ("Rejected", "dicomdir")


def test_a_file_without_preamble_is_read():
    part_10 = file_bytes("CT_small.dcm")
    with_meta, bare = read_dicom(part_10[132:]), read_dicom(file_bytes("rtplan.dcm"))
    assert with_meta.PatientID == read_dicom(part_10).PatientID
    assert bare.SOPClassUID.name == "RT Plan Storage"


def test_a_bare_dataset_without_meta_gets_the_syntax_it_is_in(make_dataset):
    dataset = make_dataset()
    data = saved(dataset)
    offset = data.index(b"\x08\0\x16\0UI")
    again = read_dicom(data[offset:])
    assert again.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
    assert encode(again).data[128:132] == b"DICM"


@pytest.mark.parametrize("name", ["CT_small.dcm", "693_J2KR.dcm", "rtplan.dcm", "image_dfl.dcm"])
def test_a_file_cut_anywhere_after_its_first_elements_has_failed(name):
    data = file_bytes(name)
    for cut in range(len(data) // 3, len(data) - 8, len(data) // 23):
        try:
            read_dicom(data[:cut])
        except (Failed, Rejected) as refusal:
            assert refusal.reason in {"truncated", "unreadable", "not_dicom"}  # noqa: PT017
        else:
            assert _ends_between_elements(data, cut), f"{name} cut at {cut} passed"


def _ends_between_elements(data, cut):
    """Return whether a cut falls exactly where one element ends: nothing then tells it from a whole file."""
    ends = set()

    def note(tag, vr, length):
        ends.add(stream.tell() - (12 if vr in {"OB", "OW", "SQ", "UN", "UT"} else 8))
        return False

    stream = io.BytesIO(data)
    pydicom.filereader.read_partial(stream, stop_when=note, force=True)
    return cut in ends


def test_a_deflate_bomb_is_stopped(make_dataset):
    dataset = make_dataset(ImageComments=None)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.add_new(0x7FE00010, "OB", bytes(1 << 20))
    data = saved(dataset)
    assert len(data) < 4096
    assert reason(data, max_inflated_bytes=1 << 16) == ("Failed", "too_large")
    assert len(read_dicom(data).PixelData) == 1 << 20


def test_a_deflated_file_round_trips_and_its_header_can_be_searched(make_dataset):
    data = file_bytes("image_dfl.dcm")
    encoded = encode(read_dicom(data))
    assert read_dicom(encoded.data).PixelData == read_dicom(data).PixelData
    assert b"1.2.840.10008.5.1.4.1.1" in encoded.header


def test_the_header_holds_everything_but_the_pixels(make_dataset):
    dataset = make_dataset(PixelData=b"\1\2\3\4" * 64)
    dataset["PixelData"].VR = "OW"
    encoded = encode(dataset)
    assert b"Roe^Jane" in encoded.header
    assert b"\1\2\3\4" * 64 not in encoded.header
    assert b"\1\2\3\4" * 64 in encoded.data


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_bigendian.dcm", "SC_rgb_rle_2frame.dcm", "693_J2KR.dcm"]
)
def test_encoding_keeps_every_element_and_pixel_byte(name):
    original = read_dicom(file_bytes(name))
    again = read_dicom(encode(read_dicom(file_bytes(name))).data)
    for tag in [element.tag for element in original if element.tag.element == 0]:
        del original[tag]  # retired group lengths are not written (PS3.5 7.2)
    assert again == original
    assert again.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID


def test_implicit_elements_under_an_explicit_syntax_are_written_as_the_syntax_says():
    again = read_dicom(encode(read_dicom(file_bytes("SC_rgb_jpeg.dcm"))).data)
    assert again.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert again.original_encoding == (False, True)


@pytest.mark.parametrize(
    ("keyword", "expected"), [("SOPInstanceUID", "no_sop_instance_uid"), ("SOPClassUID", "no_sop_class_uid")]
)
def test_an_instance_without_its_uids_cannot_be_written(make_dataset, keyword, expected):
    with pytest.raises(Quarantined, match=expected):
        encode(make_dataset(**{keyword: None}))


ITEM_ENDS, SEQUENCE_ENDS = b"\xfe\xff\x0d\xe0" + bytes(4), b"\xfe\xff\xdd\xe0" + bytes(4)
BEHIND = [b"\r\n", b"\n", b"\x1a", b" ", b"\r\n\x1a", b"\0\0\0", b"  \r\n", b"\t", ITEM_ENDS, SEQUENCE_ENDS]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("rest", BEHIND)
def test_what_transfers_add_behind_the_last_element_is_not_a_cut_one(make_dataset, syntax, rest):
    dataset = make_dataset(PixelData=bytes(8))
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = syntax
    assert read_dicom(saved(dataset) + rest).PixelData == bytes(8)


ENDS_OF_PARTS = [
    b"\r\n--3f8a9c--\r\n",
    b"\r\n--3f8a9c--",
    b"\n--DICOMwebBoundary\n",
    b"\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n",
    b"\r\n--" + 17 * b"a1B2" + b"--\r\n",
    128 * b"\x1a",
    16 * b" ",
]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("rest", ENDS_OF_PARTS)
def test_the_boundary_behind_a_part_and_a_filled_record_are_none_of_it(make_dataset, syntax, rest):
    dataset = make_dataset(PixelData=bytes(8))
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = syntax
    read = read_dicom(saved(dataset) + rest)
    assert (read.PixelData, max(read._dict)) == (bytes(8), 0x7FE00010)


@pytest.mark.parametrize("rest", ENDS_OF_PARTS)
def test_what_is_cut_short_is_cut_short_before_a_boundary_too(make_dataset, rest):
    dataset = make_dataset(PixelData=bytes(800))
    dataset["PixelData"].VR = "OW"
    with pytest.raises(Failed, match="truncated"):
        encode(read_dicom(saved(dataset)[:-200] + rest))


@pytest.mark.parametrize("rest", [b"\xfc\xff\xfc\xff", b"\xfa\xff", b"AB", b"\xe0\x7f\x10"])
def test_the_beginning_of_another_element_is(make_dataset, rest):
    with pytest.raises(Failed, match="truncated"):
        read_dicom(saved(make_dataset()) + rest)


def test_a_group_that_may_follow_is_a_cut_element(make_dataset):
    """A blank and a zero are the group of Study Instance UID, which may follow (0018,xxxx) but not pixels."""
    assert is_cut(b" \0", 0x00180050)
    assert not is_cut(b" \0", 0x7FE00010)


@pytest.mark.parametrize("name", ["MR_small_bigendian.dcm", "image_dfl.dcm", "MR_small_RLE.dcm"])
def test_so_it_is_in_every_encoding(name):
    data = file_bytes(name)
    assert read_dicom(data + b"\r\n") == read_dicom(data)


def encapsulated(fragment, end):
    """Return a file whose pixel data are one fragment behind an empty table, and what ends them."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    del dataset[0xFFFCFFFC]
    dataset.PixelData = b"\xfe\xff\x00\xe0" + bytes(4) + b"\xfe\xff\x00\xe0\x10\0\0\0" + fragment
    dataset["PixelData"].is_undefined_length = True
    return saved(dataset).removesuffix(DELIMITER + bytes(4)) + end


DELIMITER = b"\xfe\xff\xdd\xe0"


@pytest.mark.parametrize("after", [b"3333", bytes(4), b"\xff" * 4])
def test_the_bytes_of_a_delimiter_inside_a_fragment_end_nothing(after):
    fragment = b"1111" + DELIMITER + after + b"4444"
    read = read_dicom(encapsulated(fragment, DELIMITER + bytes(4)))
    assert read.PixelData.endswith(fragment)


@pytest.mark.parametrize("length", [bytes(4), b"\xff" * 4, b"\x10\0\0\0"])
def test_the_delimiter_behind_the_last_fragment_ends_the_pixels_whatever_length_it_claims(length):
    assert read_dicom(encapsulated(bytes(range(16)), DELIMITER + length)).PixelData.endswith(bytes(range(16)))


@pytest.mark.parametrize("end", [b"", bytes(8)])
def test_fragments_need_no_delimiter_behind_them_if_there_is_one_for_each_frame(end):
    whole = read_dicom(encapsulated(bytes(range(16)), DELIMITER + bytes(4)))
    read = read_dicom(encapsulated(bytes(range(16)), end))
    assert read == whole
    assert encode(read).data == encode(whole).data


@pytest.mark.parametrize("cut", [1, 8, 16, 23, 24])
def test_fragments_that_are_cut_or_too_few_are_truncated(cut):
    assert reason(encapsulated(bytes(range(16)), b"")[:-cut]) == ("Failed", "truncated")
    dataset = read_dicom(encapsulated(bytes(range(16)), DELIMITER + bytes(4)))
    dataset.NumberOfFrames = "2"
    several = saved(dataset).removesuffix(DELIMITER + bytes(4))
    assert reason(several) == ("Failed", "truncated")


@pytest.mark.parametrize("missing", range(1, 12))
def test_pixels_that_are_not_compressed_are_truncated_however_little_is_missing(missing):
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    del dataset[0xFFFCFFFC]
    assert reason(saved(dataset)[:-missing]) == ("Failed", "truncated")


def test_a_sequence_without_its_end_is_not_read(make_dataset):
    dataset = make_dataset(RequestAttributesSequence=[pydicom.Dataset()])
    dataset.RequestAttributesSequence[0].ScheduledProcedureStepID = "1"
    dataset["RequestAttributesSequence"].is_undefined_length = True
    assert reason(saved(dataset).removesuffix(DELIMITER + bytes(4)))[0] == "Failed"


@pytest.mark.parametrize("vr", ["CS", "LO", "UI", "US", "UT"])
def test_an_element_whose_vr_has_no_undefined_length_is_not_written_with_one(make_dataset, vr):
    dataset = read_dicom(saved(make_dataset()))
    tag = BaseTag(0x00282114)
    dataset._dict[tag] = RawDataElement(tag, vr, 0xFFFFFFFF, b"ISO_10918_1 ", 0, False, True)
    with pytest.raises(Failed, match="unreadable"):
        encode(dataset)
    dataset[tag].is_undefined_length = True  # converted by now
    with pytest.raises(Failed, match="unreadable"):
        encode(dataset)
