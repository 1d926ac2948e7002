"""Frames as they are displayed."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset

from beamstop.pixels.frames import open_frames
from beamstop.pixels.png import encode_png, render

STEPS = np.array([[0, 50], [100, 255]])


def rendered(make_dataset: Any, values: NDArray[Any], **attributes: Any) -> list[list[Any]]:
    return render_frame(with_pixels(make_dataset, values, **attributes), 0)


def render_frame(dataset: FileDataset, index: int) -> list[Any]:
    frames = open_frames(dataset)
    assert frames is not None
    picture = render(frames.decode(index), index)
    shown = {"WindowCenter", "VOILUTSequence", "PerFrameFunctionalGroupsSequence"} & set(dataset.dir())
    bits = dataset.get("BitsStored", 32)
    assert picture.dtype == (np.uint8 if shown or bits <= 8 else np.uint16)
    return picture.tolist()


def with_pixels(make_dataset: Any, values: NDArray[Any], frames: int = 1, **attributes: Any) -> FileDataset:
    bits = values.dtype.itemsize * 8
    colour = values.ndim == 3 and frames == 1
    dataset: FileDataset = make_dataset(
        Rows=2,
        Columns=2,
        SamplesPerPixel=3 if colour else 1,
        PhotometricInterpretation="RGB" if colour else "MONOCHROME2",
        BitsAllocated=bits,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=int(values.dtype.kind == "i"),
        NumberOfFrames=frames if frames > 1 else None,
    )
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_eight_bits_keep_their_range(make_dataset: Any) -> None:
    assert rendered(make_dataset, STEPS.astype(np.uint8)) == STEPS.tolist()


def test_black_is_black_in_monochrome1(make_dataset: Any) -> None:
    picture = rendered(make_dataset, STEPS.astype(np.uint8), PhotometricInterpretation="MONOCHROME1")
    assert picture == [[255, 205], [155, 0]]


def test_without_a_window_signed_bytes_are_stretched_padding_aside(make_dataset: Any) -> None:
    values = np.array([[-128, 0], [50, 100]], np.int8)
    assert rendered(make_dataset, values, PixelPaddingValue=-128) == [[0, 0], [128, 255]]


@pytest.mark.parametrize(
    ("values", "header", "expected"),
    [
        (np.uint16, {"BitsStored": 12, "HighBit": 11}, [[0, 1], [500, 4095]]),
        (np.uint16, {"BitsStored": 12, "HighBit": 11, "RescaleSlope": "2"}, [[0, 1], [500, 4095]]),
        (
            np.uint16,
            {"BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": "MONOCHROME1"},
            [[4095, 4094], [3595, 0]],
        ),
        (np.int16, {}, [[32768, 32769], [33268, 36863]]),
        (np.uint32, {}, [[0, 16], [8002, 65535]]),
    ],
)
def test_without_a_window_more_than_8_bits_become_16(
    make_dataset: Any, values: Any, header: dict[str, Any], expected: list[list[int]]
) -> None:
    assert rendered(make_dataset, np.array([[0, 1], [500, 4095]], values), **header) == expected


def test_floating_point_is_stretched_to_16_bits(make_dataset: Any) -> None:
    dataset = with_pixels(make_dataset, np.zeros((2, 2), np.uint8))
    del dataset.PixelData, dataset.BitsStored
    dataset.FloatPixelData = np.array([[-1, 0], [np.nan, 3]], "<f4").tobytes()
    assert render_frame(dataset, 0) == [[0, 16384], [16384, 65535]]


def test_a_png_of_16_bits_reads_back_as_it_was() -> None:
    values = np.array([[0, 4095], [65535, 7]], np.uint16)
    with Image.open(io.BytesIO(encode_png(values, "ab"))) as picture:
        assert np.array_equal(np.asarray(picture), values)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, [[0, 26], [128, 255]]),
        ("LINEAR_EXACT", [[0, 26], [128, 255]]),
        ("SIGMOID", [[30, 43], [128, 225]]),
    ],
)
def test_the_first_window_is_applied_to_rescaled_values(
    make_dataset: Any, function: str | None, expected: list[list[int]]
) -> None:
    values = np.array([[0, 100], [500, 1000]], np.uint16)
    window = {"WindowCenter": ["0", "9"], "WindowWidth": ["2000", "9"]}
    more = {"RescaleSlope": "2", "RescaleIntercept": "-1000", "VOILUTFunction": function}
    assert rendered(make_dataset, values, **window, **more) == expected


def test_a_voi_lut_comes_before_a_window(make_dataset: Any) -> None:
    table = item(LUTDescriptor=[4, 0, 8], LUTData=[0, 10, 20, 255])
    values = np.array([[0, 1], [2, 9]], np.uint16)
    more = {"VOILUTSequence": [table], "WindowCenter": "1", "WindowWidth": "1"}
    assert rendered(make_dataset, values, **more) == [[0, 10], [20, 255]]


def test_enhanced_frames_have_windows_of_their_own(make_dataset: Any) -> None:
    values = np.array([[0, 50], [100, 200]] * 2, np.uint16)
    dataset = with_pixels(make_dataset, values, frames=2)
    dataset.SharedFunctionalGroupsSequence = [
        item(PixelValueTransformationSequence=[item(RescaleSlope="1", RescaleIntercept="0")])
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            FrameVOILUTSequence=[item(WindowCenter=str(c), WindowWidth=str(w), VOILUTFunction="LINEAR_EXACT")]
        )
        for c, w in ((50, 100), (100, 200))
    ]
    assert render_frame(dataset, 0) == [[0, 128], [255, 255]]
    assert render_frame(dataset, 1) == [[0, 64], [128, 255]]


def test_colour_is_rgb(make_dataset: Any) -> None:
    red = [[[255, 0, 0]] * 2] * 2
    assert rendered(make_dataset, np.array(red, np.uint8)) == red
    ybr = np.array([[[76, 85, 255]] * 2] * 2, np.uint8)
    (pixel, _), _ = rendered(make_dataset, ybr, PhotometricInterpretation="YBR_FULL")
    assert np.allclose(pixel, [255, 0, 0], atol=2)


def test_a_palette_becomes_rgb(make_dataset: Any) -> None:
    palette = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour, entries in (("Red", [0, 255]), ("Green", [0, 128]), ("Blue", [9, 0]))
        for part, value in (("Descriptor", [2, 0, 8]), ("Data", bytes(entries)))
    }
    values = np.array([[0, 1], [1, 0]], np.uint8)
    picture = rendered(make_dataset, values, PhotometricInterpretation="PALETTE COLOR", **palette)
    assert picture == [[[0, 0, 9], [255, 128, 0]], [[255, 128, 0], [0, 0, 9]]]


def test_a_png_tells_nothing_but_its_maker_and_the_digest() -> None:
    with Image.open(io.BytesIO(encode_png(np.full((2, 3), 7, np.uint8), "ab"))) as picture:
        assert (picture.size, picture.mode, picture.text) == (
            (3, 2),
            "L",
            {"Software": "beamstop", "Source": "ab"},
        )
