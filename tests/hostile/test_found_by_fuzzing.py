"""What the fuzzer found, each in the smallest form."""

import struct
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from tests.hostile.mutations import dissect
from tests.hostile.target import KEY, bright, judge

from beamstop import deidentify_bytes
from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import Quarantined
from beamstop.leaks.search import search
from beamstop.recipe.load import load_recipe
from beamstop.recipe.model import Recipe
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.testing import make_instance
from beamstop.words.clean_text import clean_text
from beamstop.words.identifiers import Identifiers

MakeDataset = Callable[..., FileDataset]
BASIC, RESEARCH, STRICT = (load_recipe(name) for name in ("basic", "research", "strict"))


def element(tag: int, vr: str, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def with_element(dataset: FileDataset, tag: int, vr: str, value: bytes) -> bytes:
    """Return a file in which one more element stands behind all others, under any VR."""
    return encode(dataset).data + element(tag, vr, value)


BROKEN = {
    "nothing, under no VR": (0x00081090, "\0\0", b""),
    "too few bytes for a number": (0x00280103, "UL", b"\0\0"),
    "a method that is a number": (0x00120063, "IS", b"NO"),
    "an item outside a sequence": (0xFFFEE000, "LO", b"item"),
    "a flag that is a tag": (0x00280303, "AT", b"NO"),
    "several character sets, one of them not": (0x00080005, "CS", b"\\ISO 2022 IR 87\\ISO_IR 192 "),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("recipe", [BASIC, RESEARCH, STRICT], ids=lambda recipe: recipe.name)
def test_values_that_are_not_what_they_claim_are_clean_or_refused(
    make_dataset: MakeDataset, how: str, recipe: Recipe
) -> None:
    data = with_element(make_dataset(ImageType=["ORIGINAL", "", "AXIAL"]), *BROKEN[how])
    assert judge(data, recipe) in {"failed unreadable", "written"}


def test_a_uid_under_a_vr_of_bytes_is_taken_out(make_dataset: MakeDataset) -> None:
    data = encode(make_dataset()).data + struct.pack("<HH2s2xL", 0x0020, 0x0052, b"OL", 8) + b"1.2.3.4\0"
    clean = read_dicom(deidentify_bytes(data, STRICT, KEY, bright))
    assert clean[0x00200052].value == b"\0\0"  # a dummy


def test_an_instance_uid_under_a_vr_of_bytes_is_none(make_dataset: MakeDataset) -> None:
    data = encode(make_dataset()).data
    assert (
        judge(data.replace(b"\x08\0\x18\0UI\x0c\0", b"\x08\0\x18\0US\x0c\0"), BASIC)
        == "quarantined no_sop_instance_uid"
    )
    long = struct.pack("<HH2s2xL", 0x0008, 0x0018, b"OB", 12)
    assert judge(data.replace(b"\x08\0\x18\0UI\x0c\0", long), BASIC) == "quarantined no_sop_instance_uid"


@pytest.mark.parametrize("detail", [True, False])
def test_what_nobody_can_write_is_removed_all_the_same(
    make_dataset: MakeDataset, key: bytes, detail: bool
) -> None:
    """Whether the audit is detailed must not decide on the outcome."""
    item = Dataset()
    item.add_new(0x00081155, "UI", "1.2.3")
    dataset = make_dataset(OtherPatientIDsSequence=Sequence([item]))
    item._dict[next(iter(item._dict))].VR = "??"
    apply_recipe(dataset, BASIC, BASIC.identity(key), detail=detail)
    assert "OtherPatientIDsSequence" not in dataset


def test_a_sop_class_with_anything_behind_it_is_none_of_the_standard(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.4\0Roe")
    assert judge(encode(dataset).data, BASIC) == "rejected non_standard_sop_class"


def test_a_date_that_is_none_may_become_a_dummy(make_dataset: MakeDataset) -> None:
    item = Dataset()
    item.add_new(0x0040A120, "DT", "2.22.222")
    dataset = make_dataset(ContentSequence=Sequence([item]))
    assert judge(encode(dataset).data, RESEARCH) == "written"


def test_several_padding_values_are_quarantined(make_dataset: MakeDataset) -> None:
    pixels = np.zeros((8, 8), np.int16)
    pixels[:4, :4] = 1000
    dataset = make_dataset(
        Rows=8,
        Columns=8,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
        BurnedInAnnotation="YES",
        PixelPaddingValue=[1, 2],
        PixelData=pixels.tobytes(),
    )
    dataset["PixelPaddingValue"].VR, dataset["PixelData"].VR = "SS", "OW"
    assert judge(encode(dataset).data, RESEARCH) == "quarantined pixels_undecodable"


def test_pixel_data_without_a_byte_are_verified(make_dataset: MakeDataset) -> None:
    data = encode(make_dataset()).data + struct.pack("<HH2s2xL", 0x7FE0, 0x0010, b"OB", 0)
    assert judge(data, BASIC) == "written"


def test_a_uid_of_a_control_character_is_one(make_dataset: MakeDataset) -> None:
    """The run reads it as it is written; pydicom would take it for a blank."""
    dataset = make_dataset()
    data = encode(dataset).data.replace(b"\x20\0\x0d\0UI\x08\x001.2.3.4\0", b"\x20\0\x0d\0UI\x02\0\x0c\0")
    assert len(data) == len(encode(dataset).data) - 6
    assert judge(data, BASIC) == "written"


@pytest.mark.parametrize("blank", [b"\x0c", b"\x0b", b"\x0c ", b"\x1c", b"\r\n", b"1.2\\\x0c"])
def test_a_uid_of_blanks_is_one_wherever_it_stands(blank: bytes) -> None:
    item, uid = Dataset(), "1.2.123.456.78.9.0123.77"
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.5", uid
    dataset = make_instance(ReferencedRTPlanSequence=Sequence([item]), InstanceCreatorUID=uid)
    data = encode(dataset).data
    assert data.count(uid.encode()) == 2
    data = data.replace(uid.encode(), blank.ljust(len(uid), b"\0"))
    assert judge(data, load_recipe("research")) == "written"


ATOMS = ("A", "1", "a.", "1.", "A-", "A'", "Aa ", "19700201 ", "Roe ", "Roe^", "a@", "Dr. ", "12 A ", "(1)")


@pytest.mark.parametrize("atom", ATOMS)
def test_long_texts_take_time_by_their_length(atom: str) -> None:
    """Not by its square: 70,000 letters without a blank took minutes."""
    identifiers = Identifiers(names=frozenset({(("roe",), ("jane",))}), uids=frozenset({"1.2.3.4.5.6.7"}))

    before = process_time()
    clean_text((atom * 20_000)[:20_000], identifiers)
    assert process_time() - before < 5


def test_a_text_longer_than_any_report_is_not_cleaned_but_taken_out(
    make_dataset: MakeDataset, key: bytes
) -> None:
    item = Dataset()
    item.TextValue = "A" * ((1 << 20) + 2)
    dataset = make_dataset(ContentSequence=Sequence([item]))
    before = process_time()
    apply_recipe(dataset, RESEARCH, RESEARCH.identity(key))
    assert "A" * 99 not in str(dataset.ContentSequence[0])
    assert process_time() - before < 5


def test_digits_without_end_are_searched_quickly(make_dataset: MakeDataset) -> None:
    identifiers = Identifiers(dates=frozenset({date(1970, 2, 1)}), uids=frozenset({"1.2.3.4.5.6.7"}))
    dataset = make_dataset(PatientName="P-ABC", PatientID="Q77", PatientBirthDate="", StudyDate="")
    dataset.add_new(0x0040A160, "UT", "1" * 200_000 + " 1970-02-01")
    before = process_time()
    with pytest.raises(Quarantined, match="TextValue"):
        search(encode(dataset).header, identifiers)
    assert process_time() - before < 5


def test_no_warning_quotes_a_value(make_dataset: MakeDataset, tmp_path: Path) -> None:
    """pydicom warns of values that break a rule, and quotes them."""
    data = with_element(make_dataset(), 0x00080014, "UI", b"1.2.Zyxwander\0")
    (tmp_path / "x.dcm").write_bytes(data)
    program = """from beamstop import *
with open("x.dcm", "rb") as file:
    deidentify_bytes(file.read(), load_recipe("basic"), bytes(32))"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    assert ran.stderr == b""


def test_a_value_that_nobody_can_write_costs_no_more_where_it_lies_deep(make_dataset: MakeDataset) -> None:
    """What pydicom says of it more than doubled with every level: fourteen took 6 GB, and twenty no end."""
    file = dissect(encode(make_dataset()).data)
    tag, open_ended = 0x0040A730, 0xFFFFFFFF
    start = file.head(tag, None, open_ended) + file.head(0xFFFEE000, None, open_ended)
    unknown = file.head(tag, "UN", open_ended) + start[8:]  # hence implicit VR below
    rows = file.head(0x00280010, None, 3) + b"abc"
    end = file.head(0xFFFEE00D, None, 0) + file.head(0xFFFEE0DD, None, 0)
    before = process_time()
    for recipe in (BASIC, RESEARCH, STRICT):
        assert judge(file.data + unknown + start * 12 + rows + end * 13, recipe) == "failed unreadable"
    assert process_time() - before < 2


def test_a_uid_in_an_item_that_ends_in_a_control_character_is_one() -> None:
    """pydicom takes such an end away, the harvest does not; verify called it a wrong one."""
    item, uid = Dataset(), "1.2.123.456.78.9.0123.77"
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.5", uid
    data = encode(make_instance(ReferencedRTPlanSequence=Sequence([item]))).data
    assert data.count(uid.encode()) == 1
    for end in (b"\xff\xfe0\x0c\0", b"\xff\x0c"):
        broken = (uid.encode()[: -len(end)] + end).ljust(len(uid), b"\0")
        assert judge(data.replace(uid.encode(), broken), load_recipe("basic")) == "written"


@pytest.mark.parametrize("recipe", ["research", "mammography-kskit"])
@pytest.mark.parametrize("vr", ["IS", "DS", "CS", "AE", "LO", "UI", "US", "AT", "FD"])
def test_a_date_under_another_vr_is_not_a_wrong_one(make_dataset: MakeDataset, vr: str, recipe: str) -> None:
    """Where the clean file names no VRs, its reader takes the value for a date, which verify did not know."""
    dataset = make_dataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = with_element(dataset, 0x00080012, vr, b"20040624")
    data = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0")
    kept = recipe == "mammography-kskit" or vr not in {"US", "AT", "FD"}
    assert judge(data, load_recipe(recipe)) == ("written" if kept else "quarantined leak")


@pytest.mark.parametrize("recipe", ["basic", "default", "strict"])
@pytest.mark.parametrize("has_meta", [True, False])
def test_fragments_under_a_transfer_syntax_without_any_are_quarantined(
    make_dataset: MakeDataset, has_meta: bool, recipe: str
) -> None:
    """Comments in them would stay, for nobody looks for frames there."""
    dataset = make_dataset(Rows=2, Columns=2, BitsAllocated=8, BitsStored=8, HighBit=7)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelRepresentation = 0
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xfe\0\x0aGrabowski\xff\xd9"])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    read = read_dicom(encode(dataset).data)
    read.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = encode(read).data
    if not has_meta:
        data = data[144 + struct.unpack("<L", data[140:144])[0] :]
    with pytest.raises(Quarantined) as refused:
        deidentify_bytes(data, load_recipe(recipe), KEY, bright)
    assert (refused.value.reason, refused.value.detail) == (
        "pixels_undecodable",
        "PixelData: fragments under 1.2.840.10008.1.2.1",
    )
