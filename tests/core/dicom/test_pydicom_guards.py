"""What has no end is truncated, at any depth, and found at the first of it."""

import struct
from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from beamstop import deidentify_bytes, load_recipe
from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import Failed

MakeDataset = Callable[..., FileDataset]
OPEN = 0xFFFFFFFF


def head(group: int, element: int, vr: str, length: int) -> bytes:
    """Return the head of an element, explicit or implicit where it has no VR."""
    if not vr:
        return struct.pack("<HHL", group, element, length)
    return struct.pack("<HH2s2xL", group, element, vr.encode(), length)


def items(count: int, endless: bytes) -> bytes:
    """Return items of an endless element each."""
    return (head(0xFFFE, 0xE000, "", len(endless)) + endless) * count


def with_items(make_dataset: MakeDataset, count: int, vr: str, syntax: str, open_ended: bool) -> bytes:
    """Return an instance with a sequence of items in which an element has no end."""
    dataset = make_dataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    explicit = syntax == ExplicitVRLittleEndian
    value = items(count, head(0x0040, 0xA731, vr if explicit else "", OPEN))
    length = OPEN if open_ended else len(value)
    return encode(dataset).data + head(0x0040, 0xA730, "SQ" if explicit else "", length) + value


@pytest.mark.parametrize("count", [1, 100_000])
@pytest.mark.parametrize("open_ended", [True, False])
def test_an_endless_element_in_an_item_is_truncated_and_not_dropped(
    make_dataset: MakeDataset, key: bytes, count: int, open_ended: bool
) -> None:
    data = with_items(make_dataset, count, "OB", ExplicitVRLittleEndian, open_ended)
    with pytest.raises(Failed) as failed:
        deidentify_bytes(data, load_recipe("basic"), key)
    assert (failed.value.reason, failed.value.detail) == ("truncated", "")


@pytest.mark.parametrize("vr", ["OB", "OW", "UT", "UC"])
def test_whatever_its_vr(make_dataset: MakeDataset, vr: str) -> None:
    with pytest.raises(Failed, match=r"^truncated$"):
        read_dicom(with_items(make_dataset, 2, vr, ExplicitVRLittleEndian, open_ended=True))


def test_in_implicit_vr(make_dataset: MakeDataset) -> None:
    data = with_items(make_dataset, 2, "", ImplicitVRLittleEndian, open_ended=True)
    with pytest.raises(Failed, match=r"^truncated$"):
        read_dicom(data.replace(struct.pack("<HH", 0x0040, 0xA731), struct.pack("<HH", 0x0040, 0xA160)))


def test_items_that_never_end_are_unfinished_at_the_first(make_dataset: MakeDataset) -> None:
    endless = head(0xFFFE, 0xE000, "", OPEN) * 100_000
    with pytest.raises(Failed, match=r"^truncated$"):
        read_dicom(encode(make_dataset()).data + head(0x0040, 0xA730, "SQ", OPEN) + endless)


@pytest.mark.filterwarnings("ignore:End of file reached")
def test_pydicom_reads_for_others_as_it_always_does(make_dataset: MakeDataset) -> None:
    data = with_items(make_dataset, 1, "OB", ExplicitVRLittleEndian, open_ended=False)
    assert list(dcmread(BytesIO(data)).ContentSequence[0]) == []
