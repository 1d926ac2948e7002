"""Layout: numbers of the Image Pixel Module are read without converting their elements."""

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from beamstop.errors import PixelError
from beamstop.pixels.layout import number_of, number_of_frames

ROWS, FRAMES = BaseTag(0x00280010), BaseTag(0x00280008)


def raw(tag: BaseTag, vr: str | None, value: bytes | None, little: bool = True) -> Dataset:
    length = len(value or b"")
    return Dataset({tag: RawDataElement(tag, vr, length, value, 0, vr is None, little)})


@pytest.mark.parametrize(
    ("vr", "value", "little", "number"),
    [
        ("US", b"\x02\x01", True, 0x0102),
        ("US", b"\x01\x02", False, 0x0102),
        (None, b"\x02\x01", True, 0x0102),
        ("UN", b"\x02\x01", True, 0x0102),
        ("UL", b"\x02\x01\0\0", True, 0x0102),
        ("IS", b"258 ", True, 0x0102),
    ],
)
def test_a_number_is_read_in_its_byte_order_and_its_element_stays_raw(
    vr: str | None, value: bytes, little: bool, number: int
) -> None:
    dataset = raw(ROWS, vr, value, little)
    assert number_of(dataset, "Rows") == number
    assert dataset._dict[ROWS].is_raw


@pytest.mark.parametrize("value", [b"\1\0\2\0", b"\1", b"", None])
def test_what_is_not_one_number_is_refused_by_its_keyword(value: bytes | None) -> None:
    with pytest.raises(PixelError, match="Rows"):
        number_of(raw(ROWS, "US", value), "Rows")


def test_a_missing_number_is_its_default_or_refused() -> None:
    assert number_of(Dataset(), "Rows", 7) == 7
    with pytest.raises(PixelError, match="Rows"):
        number_of(Dataset(), "Rows")


@pytest.mark.parametrize(("value", "frames"), [(b"12", 12), (b"1.0 ", 1), (b"many", 1), (b"", 1), (b"0 ", 1)])
def test_without_a_number_of_frames_there_is_one(value: bytes, frames: int) -> None:
    assert number_of_frames(raw(FRAMES, "IS", value)) == frames
    assert number_of_frames(Dataset()) == 1
