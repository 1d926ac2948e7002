"""Icons of instances whose recipe keeps them."""

from functools import partial

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from tests.core.pixel_fixtures import compressed, ground, with_block

from beamstop.changes import Change
from beamstop.pixels.frame_extras import has_extras
from beamstop.testing import BlockDetector, make_image
from beamstop.text.icons import remove_icons_with_text

JPEG_LS = "1.2.840.10008.1.2.4.80"
STAYS = ground().astype("u1")
TELLS = with_block(200).astype("u1")


def never(path: tuple[int, ...]) -> bool:
    return False


def test_icon_without_text_stays() -> None:
    dataset = make_image(STAYS, IconImageSequence=[make_image(STAYS)])
    assert remove_icons_with_text(dataset, BlockDetector(), never) == []
    assert "IconImageSequence" in dataset


def test_icon_with_text_goes_at_any_depth() -> None:
    reference = Dataset()
    reference.IconImageSequence = [make_image(STAYS), make_image(TELLS)]
    dataset = make_image(STAYS, ReferencedImageSequence=[Dataset(), reference])
    changes = remove_icons_with_text(dataset, BlockDetector(), never)
    path = "ReferencedImageSequence[1].IconImageSequence"
    assert changes == [Change(path, "(0088,0200)", "SQ", "X", "text", why="icon")]
    assert "IconImageSequence" not in reference


@pytest.mark.parametrize("packed", [True, False], ids=["compressed", "native"])
@pytest.mark.parametrize(("pixels", "gone"), [(STAYS, 0), (TELLS, 1)], ids=["without text", "with text"])
def test_an_icon_beside_compressed_pixels_is_looked_at(packed: bool, pixels: np.ndarray, gone: int) -> None:
    """Beside compressed pixels an icon may be compressed, too, or not (PS3.5 A.4)."""
    icon = make_image(pixels)
    if packed:
        compressed(icon, JPEG_LS)
    dataset = make_image(STAYS, IconImageSequence=[icon])
    compressed(dataset, JPEG_LS)
    assert len(remove_icons_with_text(dataset, BlockDetector(), never)) == gone


@pytest.mark.parametrize("broken", ["PixelData", "Rows"])
def test_icon_that_cannot_be_looked_at_goes(broken: str) -> None:
    icon = make_image(STAYS)
    icon[broken].value = b"" if broken == "PixelData" else None
    dataset = make_image(STAYS, IconImageSequence=[icon])
    assert len(remove_icons_with_text(dataset, BlockDetector(), never)) == 1


def test_icon_with_bytes_behind_its_picture_goes() -> None:
    icon = make_image(STAYS)
    icon["PixelData"].value += b"Roe^Jane"
    assert (
        len(remove_icons_with_text(make_image(STAYS, IconImageSequence=[icon]), BlockDetector(), never)) == 1
    )


def test_icon_with_a_comment_in_its_codestream_goes() -> None:
    icon = make_image(STAYS)
    (stream,) = compressed(icon, JPEG_LS)
    dataset = make_image(STAYS, IconImageSequence=[icon])
    compressed(dataset, JPEG_LS)
    extras = partial(has_extras, clean_profile=bytes)
    assert remove_icons_with_text(dataset, BlockDetector(), never, extras) == []
    icon.PixelData = encapsulate([stream[:2] + b"\xff\xfe\0\x0aRoe^Jane" + stream[2:]])
    assert len(remove_icons_with_text(dataset, BlockDetector(), never, extras)) == 1


def test_icon_with_an_overlay_in_its_unused_bits_goes() -> None:
    frame = ground().astype("<u2")
    frame[5, 5] |= np.uint16(0x8000)
    icon = make_image(frame, BitsStored=12)
    assert (
        len(remove_icons_with_text(make_image(STAYS, IconImageSequence=[icon]), BlockDetector(), never)) == 1
    )


def test_icon_that_the_recipe_removes_is_not_looked_at() -> None:
    detector = BlockDetector()
    dataset = make_image(STAYS, IconImageSequence=[make_image(TELLS)])
    assert remove_icons_with_text(dataset, detector, lambda path: path == (0x00880200,)) == []
    assert detector.looks == []
