"""What would need too much memory to be read is not read."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from beamstop.dicom.element_count import check_count
from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import Failed

MakeDataset = Callable[..., FileDataset]
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def elements(dataset: Dataset) -> int:
    """Return how many elements and items a dataset holds."""
    count = 0
    for element in dataset:
        count += 1
        for item in element.value if element.VR == "SQ" else ():
            count += 1 + elements(item)
    return count


def counted(data: bytes) -> int:
    """Return the count, found out by limits; padded, so that it is counted at all."""
    data += b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<L", 8 * 10_000) + bytes(8 * 10_000)
    count = 0
    while True:
        try:
            check_count(data, 132, count)
        except Failed:
            count += 1
        else:
            return count - 1  # the padding


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("open_ended", [False, True])
def test_elements_and_items_are_counted_at_every_depth(
    make_dataset: MakeDataset, syntax: str, open_ended: bool
) -> None:
    inner, outer = Dataset(), Dataset()
    inner.TextValue, inner.CodeValue = "one", "two"
    outer.ContentSequence = Sequence([inner, Dataset(), Dataset()])
    dataset = make_dataset(ContentSequence=Sequence([outer, outer]), ImageComments="x" * 999)
    for sequence in (dataset["ContentSequence"], outer["ContentSequence"]):
        sequence.is_undefined_length = open_ended
        for item in sequence.value:
            item.is_undefined_length_sequence_item = open_ended
    dataset.file_meta.TransferSyntaxUID = syntax
    data = encode(dataset).data
    ends = 3 + 2 * 4 if open_ended else 0  # of one sequence of two items and of two sequences of three
    assert counted(data) == elements(read_dicom(data)) + 7 + ends  # 7 elements of file meta


def flood(count: int) -> bytes:
    """Return a sequence of empty items."""
    return struct.pack("<HH2s2xL", 0x0008, 0x1140, b"SQ", 8 * count) + b"\xfe\xff\0\xe0\0\0\0\0" * count


def test_a_small_file_of_many_items_is_failed_before_it_fills_the_memory(make_dataset: MakeDataset) -> None:
    data = encode(make_dataset(StudyDate=None)).data + flood(100_000)
    tracemalloc.start()
    with pytest.raises(Failed, match="too_large: number of elements"):
        read_dicom(data, max_elements=50_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert len(read_dicom(data, max_elements=200_000)["ReferencedImageSequence"].value) == 100_000


def test_a_deflated_flood_is_failed(make_dataset: MakeDataset) -> None:
    dataset = make_dataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    encoded = encode(dataset)
    start = 144 + struct.unpack_from("<L", encoded.data, 140)[0]
    pressed = zlib.compressobj(wbits=-15)
    bomb = encoded.data[:start] + pressed.compress(encoded.header[start:] + flood(100_000)) + pressed.flush()
    assert len(bomb) < 4000
    with pytest.raises(Failed, match="too_large: number of elements"):
        read_dicom(bomb, max_elements=50_000)


@pytest.mark.parametrize(
    "name", ["JPEG2000.dcm", "SC_rgb_rle_2frame.dcm", "ExplVR_BigEnd.dcm", "MR_small_implicit.dcm"]
)
def test_pixels_are_no_elements(name: str) -> None:
    with open(get_testdata_file(name), "rb") as file:
        data = file.read()
    check_count(data, 132, elements(read_dicom(data)) + 40)


def test_what_follows_fragments_is_counted(make_dataset: MakeDataset) -> None:
    dataset = make_dataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.add_new("PixelData", "OB", b"\xfe\xff\0\xe0\0\0\0\0" + b"\xfe\xff\0\xe0\x40\0\0\0" + b"ab" * 32)
    data = encode(dataset).data
    few = counted(data)
    assert counted(data + b"\xfc\xff\xfc\xffOB\0\0\0\0\0\0" * 7) == few + 7
