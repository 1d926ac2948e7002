"""Blanking in the DCT domain: what is outside decodes as before, to the bit."""

from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from beamstop.pixels.box import Box
from beamstop.pixels.jpeg_blocks import UnsupportedError, blank, model

BOX = Box(28, 30, 70, 21)
YCC_BLACK = (0, 128, 128)


def picture(channels: int = 3) -> np.ndarray[Any, Any]:
    """Return noise with writing, 150 by 201: not whole units in either direction."""
    noise = np.random.default_rng(7).integers(0, 200, (150, 201, channels), dtype=np.uint8)
    smooth = np.ascontiguousarray(cv2.blur(noise, (9, 9))).reshape(noise.shape)
    cv2.putText(smooth, "SYNTHETIC", (30, 48), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255,) * channels, 1)
    return smooth[..., 0] if channels == 1 else smooth


def jpeg(pixels: np.ndarray[Any, Any], **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def decoded(codestream: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(BytesIO(codestream))).astype(int)


@pytest.mark.parametrize("optimize", [False, True])  # the second leaves out Huffman codes that are not used
@pytest.mark.parametrize("restart", [0, 1, 5])
@pytest.mark.parametrize(
    ("subsampling", "high", "wide"), [("4:4:4", 8, 8), ("4:2:2", 8, 16), ("4:2:0", 16, 16)]
)
def test_units_outside_the_box_decode_as_before(
    subsampling: str, high: int, wide: int, restart: int, optimize: bool
) -> None:
    options = {"quality": 90, "subsampling": subsampling, "optimize": optimize}
    before = jpeg(picture(), restart_marker_blocks=restart, **options)
    after, filled = blank(before, [BOX], YCC_BLACK)
    expected = np.zeros((150, 201), bool)
    x, y, width, height = BOX.x, BOX.y, BOX.width, BOX.height
    expected[
        y // high * high : -(-(y + height) // high) * high, x // wide * wide : -(-(x + width) // wide) * wide
    ] = True
    reach = 0 if subsampling == "4:4:4" else 2
    near = cv2.dilate(filled.astype("u1"), np.ones((2 * reach + 1, 2 * reach + 1))).astype(bool)
    inner = cv2.erode(filled.astype("u1"), np.ones((2 * reach + 1, 2 * reach + 1))).astype(bool)
    assert np.array_equal(filled, expected)
    assert np.array_equal(decoded(after)[~near], decoded(before)[~near])
    assert decoded(after)[inner].max() == 0


@pytest.mark.parametrize("quality", [5, 50, 100])
@pytest.mark.parametrize("level", [0, 255])
def test_ends_of_the_range_are_reached_at_any_quantisation(level: int, quality: int) -> None:
    before = jpeg(picture(1), quality=quality, optimize=True)
    after, filled = blank(before, [BOX], [level])
    assert (decoded(after)[filled] == level).all()
    assert np.array_equal(decoded(after)[~filled], decoded(before)[~filled])


def test_red_green_blue_is_black_without_light_in_each() -> None:
    before = jpeg(picture(), quality=90, keep_rgb=True)
    after, filled = blank(before, [BOX], (0, 0, 0))
    assert model(before).identifiers == b"RGB" or model(before).transform == 0
    assert decoded(after)[filled].max() == 0
    assert np.array_equal(decoded(after)[~filled], decoded(before)[~filled])


def test_boxes_at_all_edges_fill_the_picture() -> None:
    before = jpeg(picture(1), quality=90)
    after, filled = blank(before, [Box(0, 0, 201, 150)], [0])
    assert filled.all()
    assert decoded(after).max() == 0


def test_nothing_to_blank_gives_the_same_bytes() -> None:
    before = jpeg(picture(), quality=90, subsampling="4:2:0", optimize=True, restart_marker_blocks=4)
    after, filled = blank(before, [], YCC_BLACK)
    assert (after, filled.any()) == (before, False)


def test_progressive_is_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        blank(jpeg(picture(), progressive=True), [BOX], YCC_BLACK)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.6, 0.95])
def test_cut_codestream_is_not_supported(share: float) -> None:
    whole = jpeg(picture(), quality=90)
    with pytest.raises(UnsupportedError):
        blank(whole[: int(len(whole) * share)], [BOX], YCC_BLACK)


def test_number_of_components_has_to_fit() -> None:
    with pytest.raises(UnsupportedError):
        blank(jpeg(picture(1)), [BOX], YCC_BLACK)


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xfe\x00\x0bSYNTHETIC",
        b"\xff\xe1\x00\x0bExif\0\0SYN",
        b"\xff\xe0\x00\x13JFIF\0\1\1\0\0\1\0\1\1\1SYN",  # a thumbnail of one pixel
    ],
)
def test_what_may_show_the_text_beside_the_picture_goes(segment: bytes) -> None:
    plain = jpeg(picture(1), quality=90)
    after, _ = blank(plain[:2] + segment + plain[2:], [BOX], [0])
    assert after == blank(plain, [BOX], [0])[0]


def test_broken_codestreams_are_not_supported_or_give_a_picture() -> None:
    random = np.random.default_rng(3)
    whole = jpeg(picture(), quality=80, restart_marker_blocks=3)
    refused = 0
    for _ in range(150):
        broken = bytearray(whole)
        for at in random.integers(170, 620, 3):  # behind the size of the picture: tables, scan header
            broken[at] = random.integers(256)
        try:
            blank(bytes(broken), [BOX], YCC_BLACK)
        except UnsupportedError:
            refused += 1
    assert refused > 75
