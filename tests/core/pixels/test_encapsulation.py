"""Frames from fragments: right, wrong, empty and missing offset tables; nothing goes out unseen."""

import struct
import tracemalloc

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID
from tests.core.pixel_fixtures import compressed, ground, hide, with_block

from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import PixelError
from beamstop.pixels.encapsulation import Offsets, join, split
from beamstop.pixels.encoders import encode_frame
from beamstop.testing import BlockDetector, NoTextDetector, make_image
from beamstop.text.detector import TextDetector, TextPolicy

J2K = "1.2.840.10008.1.2.4.90"
FIRST, SECOND, THIRD = b"\xff\xd8\xffone11\xff\xd9", b"\xff\xd8\xfftwo2\xff\xd9\0", b"\xff\xd8\xff3\xff\xd9"
ENDS = {
    "1.2.840.10008.1.2.4.50": "JPEG",
    "1.2.840.10008.1.2.4.70": "JPEG lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "HTJ2K",
}


def item(value: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value


def table(*offsets: int) -> bytes:
    return item(struct.pack(f"<{len(offsets)}L", *offsets))


def whole(value: bytes, count: int) -> list[bytes]:
    return [b"".join(frame) for frame in split(value, count).frames]


@pytest.mark.parametrize(
    "offsets", [(), (0, 18, 36), (0, 0, 0), (0, 10, 20), (0,), (8, 26, 44)], ids=lambda it: str(it)
)
def test_as_many_fragments_as_frames_are_one_each_whatever_the_table_says(offsets: tuple[int, ...]) -> None:
    value = table(*offsets) + item(FIRST) + item(SECOND) + item(THIRD)
    assert whole(value, 3) == [FIRST, SECOND, THIRD]
    assert split(value, 3).is_exact == (offsets in {(), (0, 18, 36)})


@pytest.mark.parametrize("offsets", [(), (0, 31), (0, 0), (0, 15)], ids=lambda it: str(it))
def test_fragments_are_grouped_by_a_right_table_or_by_where_codestreams_begin(
    offsets: tuple[int, ...],
) -> None:
    value = table(*offsets) + item(FIRST[:5]) + item(FIRST[5:]) + item(SECOND)
    assert whole(value, 2) == [FIRST, SECOND]


def test_frames_without_a_mark_are_grouped_by_the_table() -> None:
    value = table(0, 18) + item(b"a") + item(b"b") + item(b"c")
    assert whole(value, 2) == [b"ab", b"c"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        table(),
        table() + item(FIRST)[:-1],
        table() + item(FIRST) + b"\xfe\xff\x00\xe0",
        table() + item(FIRST) + b"no item!",
        table() + item(b"a") + item(b"b") + item(b"c"),
        table(0, 9) + item(FIRST) + item(SECOND) + item(THIRD),
    ],
)
def test_what_does_not_say_which_fragments_make_a_frame_is_refused(value: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        split(value, 2)


def test_an_extended_table_must_be_right() -> None:
    value = table() + item(FIRST) + item(SECOND)
    assert split(value, 2, Offsets((0, 18), (10, 9))).frames == [(FIRST,), (SECOND,)]
    for wrong in (Offsets((0, 10), (10, 10)), Offsets((18, 0), (10, 10)), Offsets((0, 18), (10, 4))):
        with pytest.raises(ValueError, match=r"^$"):
            split(value, 2, wrong)


def test_frames_are_joined_behind_a_table_that_says_where_they_are() -> None:
    value, offsets = join([(b"ab", b"c"), (b"de",)], table=True)
    assert value == table(0, 20) + item(b"ab") + item(b"c\0") + item(b"de")
    assert offsets == Offsets((0, 20), (3, 2))
    assert join([(b"ab",)], table=False)[0] == item(b"") + item(b"ab")


def made(syntax: str, behind: bytes = b"") -> Dataset:
    frames = np.stack([ground(), ground() + 1]).astype("u1")
    dataset = make_image(frames)
    known = "1.2.840.10008.1.2.4.70" if ENDS.get(syntax) == "JPEG" else syntax
    streams = [encode_frame(UID(known), frame, 8, "MONOCHROME2") or b"" for frame in frames]
    if ENDS.get(syntax) == "JPEG":
        import imagecodecs

        streams = [imagecodecs.jpeg8_encode(frame, level=90) for frame in frames]
    compressed(dataset, syntax, codestreams=[streams[0] + behind, streams[1]])
    return dataset


@pytest.mark.parametrize("syntax", ENDS, ids=ENDS.get)
def test_what_follows_the_end_of_a_codestream_is_cut(syntax: str) -> None:
    dataset = made(syntax, behind=b"\0\0DOE^JANE")
    clean = list(generate_frames(made(syntax).PixelData, number_of_frames=2))
    assert hide(dataset, TextPolicy(), NoTextDetector()).pixels_changed
    assert list(generate_frames(dataset.PixelData, number_of_frames=2)) == clean


@pytest.mark.parametrize("syntax", ENDS, ids=ENDS.get)
def test_padding_behind_a_codestream_stays(syntax: str) -> None:
    dataset = made(syntax, behind=bytes(6))
    before = dataset.PixelData
    assert not hide(dataset, TextPolicy(), NoTextDetector()).pixels_changed
    assert dataset.PixelData is before


def test_what_follows_the_last_item_is_cut() -> None:
    dataset = made(J2K)
    clean = dataset.PixelData
    dataset.PixelData = clean + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) + b"DOE^JANE"
    hide(dataset, TextPolicy(), NoTextDetector())
    assert dataset.PixelData == clean


def test_text_in_place_of_an_offset_table_goes() -> None:
    dataset = made(J2K)
    right = dataset.PixelData
    dataset.PixelData = item(b"DOE^JANE") + right[16:]
    hide(dataset, TextPolicy(), NoTextDetector())
    assert dataset.PixelData == right


def test_a_frame_of_several_fragments_behind_a_wrong_table_is_cleaned() -> None:
    frames = np.stack([with_block(200), with_block(201)]).astype("u1")
    dataset = make_image(frames)
    first, second = compressed(dataset, J2K)
    dataset.PixelData = table(0, 0) + item(first[:40]) + item(first[40:]) + item(second)
    assert hide(dataset, TextPolicy(), BlockDetector()).text_boxes_hidden == 2
    assert dataset.pixel_array.max() == 13


def test_a_frame_that_is_empty_is_refused() -> None:
    dataset = made(J2K)
    dataset.PixelData = table() + item(b"") + item(b"")
    with pytest.raises(PixelError, match="pixels_undecodable"):
        hide(dataset, TextPolicy(), NoTextDetector())


class FirstOnly(BlockDetector):
    """Finds text in the first picture only."""

    def find(self, picture):  # type: ignore[no-untyped-def]
        return super().find(picture) if not self.looks else []


@pytest.mark.parametrize(
    ("detector", "share"), [(NoTextDetector(), 1.5), (FirstOnly(), 2.5)], ids=["untouched", "touched"]
)
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"], ids=["native", "J2K"])
def test_pixels_are_held_once_and_twice_while_they_are_written(
    syntax: str, detector: TextDetector, share: float
) -> None:
    """Twice the value: what was read and what replaces it; a frame and its renditions come on top."""
    rng = np.random.default_rng(1)
    many = np.stack([with_block(255), *[rng.integers(0, 90, (80, 120))] * 600]).astype("u1")
    dataset = make_image(many)
    if syntax == J2K:
        first, other = (encode_frame(UID(syntax), frame, 8, "MONOCHROME2") for frame in many[:2])
        compressed(dataset, syntax, codestreams=[first, *[other] * 600])
    data = encode(dataset).data
    del dataset, many
    tracemalloc.start()
    try:
        dataset = read_dicom(data)
        hide(dataset, TextPolicy(), detector)
        assert tracemalloc.get_traced_memory()[1] < share * len(data)
        tracemalloc.reset_peak()
        encode(dataset)
        assert tracemalloc.get_traced_memory()[1] < 2.2 * len(data)
    finally:
        tracemalloc.stop()
