"""Machine-readable codes in pictures: found, hidden, decoded again; drawn by zxing-cpp itself."""

from typing import Any

import cv2
import numpy as np
import pytest
import zxingcpp
from numpy.typing import NDArray
from tests.core.pixel_fixtures import hide

from beamstop.errors import PixelError
from beamstop.pixels.box import Box
from beamstop.testing import BlockDetector, NoTextDetector, make_image
from beamstop.text.codes import find_codes
from beamstop.text.detector import TextPolicy
from beamstop.text.icons import remove_icons_with_text

Grey = NDArray[np.uint8]
KINDS = {
    "QRCode": "S21-40933 ROE^JANE",
    "MicroQRCode": "R1001",
    "DataMatrix": "R1001",
    "Aztec": "R-1001 ROE",
    "PDF417": "R-1001",
    "Code128": "R-1001",
    "Code39": "R1001",
    "Code93": "R1001",
    "Codabar": "A1001B",
    "ITF": "77120433",
    "EAN13": "4006381333931",
    "EAN8": "96385074",
}


def code(kind: str = "QRCode", content: str | None = None, module: int = 3) -> Grey:
    """Return a code, black on white, without what is around it."""
    drawn = zxingcpp.create_barcode(content or KINDS[kind], getattr(zxingcpp.BarcodeFormat, kind))
    image = zxingcpp.write_barcode_to_image(drawn, scale=module, add_quiet_zones=False, add_hrt=False)
    return np.array(image)


def turned(picture: Grey, degrees: float, ground: int = 255) -> Grey:
    rows, columns = picture.shape
    side = int(np.hypot(rows, columns)) + 1
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 1)
    matrix[:, 2] += side / 2 - columns / 2, side / 2 - rows / 2
    return cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_AREA, borderValue=ground)


def on_paper(drawn: Grey, rows: int = 400, columns: int = 500, top: int = 60, left: int = 70) -> Grey:
    picture = np.full((rows, columns), 255, np.uint8)
    picture[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return picture


def decoded(picture: NDArray[Any]) -> list[str]:
    """Return what the reader finds in a picture as it is and doubled."""
    shown = cv2.normalize(picture.astype(np.float32), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    doubled = cv2.resize(shown, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return [found.text for view in (shown, doubled) for found in zxingcpp.read_barcodes(view)]


def hidden(picture: NDArray[Any], photometric: str = "MONOCHROME2", **header: Any) -> NDArray[Any]:
    """Return a picture as HideText leaves it, without a text detector."""
    dataset = make_image(picture, photometric, **header)
    hide(dataset, TextPolicy(), NoTextDetector())
    size = picture.size
    return np.frombuffer(dataset.PixelData, picture.dtype)[:size].reshape(picture.shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("degrees", [0, 17, 45, 90])
def test_no_code_can_be_read_afterwards(kind: str, degrees: float) -> None:
    picture = on_paper(turned(code(kind), degrees))
    assert decoded(hidden(picture)) == []
    assert len(find_codes([picture.astype(np.float32)])) == 1


def test_all_of_a_code_is_blank_its_margin_as_well() -> None:
    drawn = code()
    after = hidden(on_paper(drawn))
    side = drawn.shape[0]
    assert not after[57 : 63 + side, 67 : 73 + side].any()
    assert (after[:40] == 255).all()


def test_bars_are_blank_from_top_to_bottom() -> None:
    bars = np.repeat(code("Code128", module=2)[:1], 150, axis=0)
    after = hidden(on_paper(bars, rows=300))
    assert not after[60:210, 70 : 70 + bars.shape[1]].any()


def test_a_code_is_found_on_dark_ground_and_inverted() -> None:
    picture = np.full((300, 300), 20, np.uint8)
    drawn = 255 - code()
    picture[100 : 100 + drawn.shape[0], 100 : 100 + drawn.shape[1]] = drawn
    assert decoded(picture) != [] == decoded(hidden(picture))


@pytest.mark.parametrize("module", [2, 4])
def test_a_code_small_in_a_large_picture_is_found(module: int) -> None:
    rng = np.random.default_rng(7)
    ground = cv2.GaussianBlur(rng.normal(size=(1500, 1800)).astype(np.float32), (0, 0), 40)
    ground = 2000 + 20000 * ground + rng.normal(size=ground.shape) * 30
    drawn = code(module=module)
    part = np.s_[900 : 900 + drawn.shape[0] + 16, 1300 : 1300 + drawn.shape[1] + 16]
    ground[part] = 3000
    ground[908 : 908 + drawn.shape[0], 1308 : 1308 + drawn.shape[1]][drawn == 0] = 1500
    assert len(find_codes([ground.clip(0, 4095)])) == 1


def test_a_code_of_large_modules_is_found() -> None:
    assert len(find_codes([on_paper(code(module=28), 900, 900).astype(np.float32)])) == 1


def test_a_code_of_few_values_in_a_deep_picture_is_hidden() -> None:
    picture = (on_paper(code()).astype("<u2") // 255) * 200 + 100
    picture[:40, :40] = 4095
    after = hidden(picture, BitsStored=12)
    assert decoded(after) == []
    assert not (after[60:120, 70:130] > 100).any()


def test_a_code_in_colour_is_hidden() -> None:
    picture = np.repeat(on_paper(code())[..., None], 3, axis=2)
    picture[..., 2] = 40  # black on yellow
    picture[..., 1][picture[..., 1] == 255] = 210
    assert decoded(hidden(picture, "RGB").max(axis=2)) == []


def test_codes_of_every_frame_are_hidden() -> None:
    frames = np.stack([on_paper(code()), np.full((400, 500), 90, np.uint8), on_paper(code("DataMatrix"))])
    after = hidden(frames)
    assert [decoded(frame) for frame in after] == [[], [], []]
    assert np.array_equal(after[1], frames[1])


def test_a_change_says_code_and_never_what_it_says() -> None:
    dataset = make_image(on_paper(code()))
    report = hide(dataset, TextPolicy(), NoTextDetector())
    assert [(change.action, change.why, change.frame) for change in report.changes] == [("X", "code", 0)]
    assert "40933" not in repr(report)
    assert report.text_boxes_hidden == 1


@pytest.mark.parametrize("which", ["all", "identifying"])
def test_a_code_that_says_nothing_of_the_header_is_hidden_as_well(which: Any) -> None:
    dataset = make_image(on_paper(code(content="120 kV")))
    report = hide(dataset, TextPolicy(hide=which), NoTextDetector())
    assert [change.why for change in report.changes] == ["code"]


def test_a_code_that_a_recipe_authorises_stays() -> None:
    picture = on_paper(code(content="LOT 4711"))
    dataset = make_image(picture, PatientID="R-1001")
    report = hide(dataset, TextPolicy(authorized_words=("/LOT \\d+/",)), NoTextDetector())
    assert [(change.action, change.why) for change in report.changes] == [("K", "authorized_word")]
    assert decoded(picture) == ["LOT 4711"] * 2


@pytest.mark.parametrize("content", ["LOT 1001", "LOT0001001", "lot Jane"])
def test_a_code_with_an_identifier_of_the_header_never_stays(content: str) -> None:
    dataset = make_image(on_paper(code(content=content)), PatientID="1001", PatientName="Roe^Jane")
    policy = TextPolicy(hide="identifying", authorized_words=("/LOT.*/",))
    report = hide(dataset, policy, NoTextDetector())
    assert [(change.action, change.why) for change in report.changes] == [("X", "code")]


def test_a_code_that_cannot_be_hidden_is_text_that_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beamstop.pixels.frame.Frame.blank", lambda frame, box: box)
    with pytest.raises(PixelError, match="text_remains"):
        hide(make_image(on_paper(code())), TextPolicy(), NoTextDetector())


def test_a_damaged_qr_code_is_hidden_though_it_cannot_be_decoded() -> None:
    drawn = code(module=4)
    drawn[30:70, 40:100] = 255
    picture = on_paper(drawn)
    assert decoded(picture) == []
    assert [found.content for found in find_codes([picture.astype(np.float32)])] == [""]


def test_two_codes_beside_each_other_are_both_hidden() -> None:
    picture = on_paper(code())
    second = code("Aztec")
    picture[200 : 200 + second.shape[0], 300 : 300 + second.shape[1]] = second
    assert decoded(hidden(picture)) == []


def test_text_beside_a_code_is_still_found() -> None:
    picture = on_paper(code())
    picture[picture == 255] = 60
    picture[300:314, 300:340] = 255
    dataset = make_image(picture)
    report = hide(dataset, TextPolicy(), BlockDetector())
    assert "text" in [change.why for change in report.changes]


def test_an_icon_with_a_code_is_removed() -> None:
    icon = make_image(on_paper(code(module=2), 90, 90, 15, 15))
    dataset = make_image(np.zeros((40, 40), np.uint8))
    dataset.IconImageSequence = [icon]
    remove_icons_with_text(dataset, NoTextDetector(), lambda path: False)
    assert "IconImageSequence" not in dataset


def noise(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(480, 640)).astype(np.float32)


@pytest.mark.parametrize("grain", [0, 1, 2, 6])
def test_noise_and_speckle_hold_no_code(grain: int) -> None:
    for seed in range(3):
        plane = noise(seed)
        assert find_codes([100 + 40 * (cv2.GaussianBlur(plane, (0, 0), grain) if grain else plane)]) == []


def test_line_pairs_and_checks_are_no_codes() -> None:
    across = np.tile(np.repeat([0, 255], 4), 40)[None].repeat(200, axis=0).astype(np.float32)
    checks = np.kron(np.indices((30, 40)).sum(axis=0) % 2 * 255, np.ones((8, 8))).astype(np.float32)
    assert find_codes([across]) == find_codes([checks]) == []


def test_an_even_picture_holds_no_code() -> None:
    assert find_codes([np.full((64, 64), 7, np.float32)]) == []
    assert find_codes([np.zeros((1, 1), np.float32)]) == []


def test_boxes_lie_in_the_picture() -> None:
    drawn = code()
    (found,) = find_codes([np.pad(drawn, 4, constant_values=255).astype(np.float32)])
    assert found.box == Box(0, 0, drawn.shape[1] + 8, drawn.shape[0] + 8)
