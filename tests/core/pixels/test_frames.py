"""Frames of every kind: decoded, blanked, put back, the others untouched."""

import struct
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragmented_frames, generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian
from tests.core.pixel_fixtures import (
    BLOCK,
    COLUMNS,
    HIDDEN,
    ROWS,
    compressed,
    ground,
    hide,
    palette,
    with_block,
)

from beamstop.errors import PixelError
from beamstop.pixels.encoders import encode_frame
from beamstop.pixels.frames import open_frames
from beamstop.testing import BlockDetector, make_image
from beamstop.text.detector import TextPolicy

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS, JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
J2K, J2K_LOSSY = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
HTJ2K, HTJ2K_RPCL, HTJ2K_LOSSY = (f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203))
LOSSLESS = (RLE, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1, JPEG_LS, J2K, HTJ2K, HTJ2K_RPCL)

GREY = {
    "8 bits": (np.uint8, 8, 0),
    "12 bits": (np.uint16, 12, 0),
    "16 bits": (np.uint16, 16, 0),
    "16 bits signed": (np.int16, 16, -1000),
    "12 bits signed": (np.int16, 12, -1000),
}


def colour() -> np.ndarray[Any, Any]:
    """Return grey RGB with a white block, a red line below and a blue one."""
    frame = np.repeat(with_block(250)[..., None], 3, axis=-1).astype("u1")
    frame[60:62, 5:115] = 250, 0, 0
    frame[64:66, 5:115] = 0, 0, 250
    return frame


def hidden(frame: np.ndarray[Any, Any], black: Any) -> np.ndarray[Any, Any]:
    wanted = frame.copy()
    wanted[HIDDEN] = black
    return wanted


def clean(dataset: Dataset) -> Any:
    return hide(dataset, TextPolicy(), BlockDetector())


# --- native


def test_rgb_is_filled_with_black() -> None:
    dataset = make_image(colour(), "RGB")
    clean(dataset)
    assert dataset.PixelData == hidden(colour(), 0).tobytes()


def test_planar_rgb_is_filled_plane_by_plane() -> None:
    dataset = make_image(colour(), "RGB", PlanarConfiguration=1)
    clean(dataset)
    assert dataset.PixelData == np.moveaxis(hidden(colour(), 0), -1, 0).tobytes()


def test_ybr_full_is_filled_with_no_light_and_no_colour() -> None:
    frame = np.full((ROWS, COLUMNS, 3), 128, "u1")
    frame[..., 0] = with_block(250)
    dataset = make_image(frame, "YBR_FULL")
    clean(dataset)
    assert dataset.PixelData == hidden(frame, (0, 128, 128)).tobytes()


def test_subsampled_colour_changes_by_pairs_only() -> None:
    frame = np.zeros((ROWS, COLUMNS // 2, 4), "u1")  # Y1 Y2 B R
    frame[..., :2] = with_block(250).reshape(ROWS, COLUMNS // 2, 2)
    frame[..., 2:] = 120
    header = make_image(np.zeros((ROWS, COLUMNS, 3), "u1"), "YBR_FULL_422")
    header["PixelData"].value = frame.tobytes()
    clean(header)
    wanted = frame.copy()
    wanted[HIDDEN[0], HIDDEN[1].start // 2 : HIDDEN[1].stop // 2] = 0, 0, 128, 128
    assert header.PixelData == wanted.tobytes()


def test_palette_is_filled_with_its_darkest_index() -> None:
    frame = (255 - with_block(250)).astype("u1")  # the palette falls from white to black
    dataset = make_image(frame, "PALETTE COLOR")
    palette(dataset)
    clean(dataset)
    assert dataset.PixelData == hidden(frame, 255).tobytes()


@pytest.mark.parametrize(
    ("keyword", "dtype", "vr"), [("FloatPixelData", "<f4", "OF"), ("DoubleFloatPixelData", "<f8", "OD")]
)
def test_floating_point_pixels_are_filled_with_their_lowest_value(keyword: str, dtype: str, vr: str) -> None:
    frame = np.where(with_block(200) == 200, 0.2, 0.01).astype(dtype)
    frame[70, 3] = np.nan
    dataset = make_image(frame)
    del dataset.PixelData
    dataset.add_new(keyword, vr, frame.tobytes())
    report = clean(dataset)
    assert dataset[keyword].value == hidden(frame, frame.dtype.type(0.01)).tobytes()
    assert report.changes[0].tag == {"OF": "(7FE0,0008)", "OD": "(7FE0,0009)"}[vr]


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS - 3])  # the second leaves frames not byte-aligned
def test_single_bits_are_cleared(columns: int) -> None:
    frames = np.zeros((3, ROWS, columns), "u1")
    frames[:, 70, :100] = 1
    frames[1][BLOCK] = 1
    dataset = make_image(frames, NumberOfFrames=3, BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset["PixelData"].value = np.packbits(frames.ravel(), bitorder="little").tobytes()
    clean(dataset)
    frames[1][HIDDEN] = 0
    assert dataset.PixelData == np.packbits(frames.ravel(), bitorder="little").tobytes()


def test_big_endian_words_stay_big_endian() -> None:
    frame = with_block(3000)
    dataset = make_image(frame.astype(">u2"))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    clean(dataset)
    assert dataset.PixelData == hidden(frame, 10).astype(">u2").tobytes()


def test_big_endian_bytes_in_words_stay_swapped() -> None:
    frame = with_block(200).astype("u1")
    dataset = make_image(frame)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].value = np.frombuffer(frame.tobytes(), "u2").byteswap().tobytes()
    clean(dataset)
    assert np.frombuffer(dataset.PixelData, "u2").byteswap().tobytes() == hidden(frame, 10).tobytes()


def test_values_that_do_not_begin_at_bit_0_are_filled_in_place() -> None:
    frame = with_block(3000)
    dataset = make_image((frame << 4).astype("<u2"), BitsStored=12, HighBit=15)
    clean(dataset)
    assert dataset.PixelData == (hidden(frame, 10) << 4).astype("<u2").tobytes()


def test_old_overlay_in_unused_bits_is_cleared() -> None:
    frame = ground().astype("<u2")
    drawn = frame.copy()
    drawn[BLOCK] |= 0x8000
    dataset = make_image(drawn, BitsStored=12)
    report = clean(dataset)
    assert dataset.PixelData == frame.tobytes()
    assert (report.pixels_changed, report.changes) == (True, [])


def test_old_overlay_over_signed_values_is_cleared() -> None:
    frame = (ground() - 12).astype("<i2")  # below and above zero
    drawn = frame.copy()
    drawn[BLOCK] ^= 0x1000
    dataset = make_image(drawn, BitsStored=12)
    clean(dataset)
    assert dataset.PixelData == frame.tobytes()


@pytest.mark.parametrize("extended", [True, False])
def test_signed_values_keep_their_bytes_extended_or_not(extended: bool) -> None:
    frame = (ground() - 12).astype("<i2")
    frame = frame if extended else frame & 0xFFF
    dataset = make_image(frame, BitsStored=12)
    assert clean(dataset).pixels_changed is False
    assert dataset.PixelData == frame.tobytes()


def test_what_lies_beyond_the_last_frame_is_cut() -> None:
    dataset = make_image(ground().astype("u1"))
    dataset["PixelData"].value += b"Roe^Jane"
    assert clean(dataset).pixels_changed is True
    assert dataset.PixelData == ground().astype("u1").tobytes()


# --- compressed


@pytest.mark.parametrize("kind", GREY)
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_grey_stays_in_its_syntax(syntax: str, kind: str) -> None:
    dtype, bits, low = GREY[kind]
    frames = np.stack([ground() + low, with_block(200, low)]).astype(dtype)
    dataset = make_image(frames, BitsStored=bits)
    untouched, _ = compressed(dataset, syntax)
    clean(dataset)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    first, _ = generate_frames(dataset.PixelData, number_of_frames=2)
    assert first == untouched
    after = pixel_array(dataset)
    assert np.array_equal(after, np.stack([frames[0], hidden(frames[1], 10 + low)]))


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_rgb_stays_in_its_syntax(syntax: str) -> None:
    dataset = make_image(colour(), "RGB")
    compressed(dataset, syntax)
    clean(dataset)
    assert (dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation) == (syntax, "RGB")
    assert np.array_equal(pixel_array(dataset, raw=True), hidden(colour(), 0))


@pytest.mark.parametrize(("rows", "halvings"), [(100, 5), (2048, 5), (2049, 6)])
def test_htj2k_by_resolution_has_what_its_syntax_demands(rows: int, halvings: int) -> None:
    """PS3.5 10.18: RPCL, tile length markers, a smallest picture of at most 64 rows or columns."""
    codestream = encode_frame(UID(HTJ2K_RPCL), np.zeros((rows, 3000), np.uint8), 8, "MONOCHROME2")
    assert codestream is not None
    coding = codestream.index(b"\xff\x52")
    assert (codestream[coding + 5], codestream[coding + 9]) == (2, halvings)
    assert b"\xff\x55" in codestream[: codestream.index(b"\xff\x90")]


@pytest.mark.parametrize("syntax", [JPEG_LS, J2K])
def test_another_decoder_agrees(syntax: str) -> None:
    frame = with_block(3000).astype("<u2")
    dataset = make_image(frame, BitsStored=12)
    compressed(dataset, syntax)
    clean(dataset)
    assert np.array_equal(pixel_array(dataset, decoding_plugin="gdcm"), hidden(frame, 10))


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LOSSLESS_SV1])
def test_libjpeg_agrees_with_gdcm_on_lossless_jpeg(syntax: str) -> None:
    frame = with_block(3000).astype("<u2")
    dataset = make_image(frame, BitsStored=12)
    compressed(dataset, syntax)
    clean(dataset)
    (codestream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert np.array_equal(imagecodecs.jpeg8_decode(codestream), hidden(frame, 10))


def test_reversible_colour_transform_stays() -> None:
    dataset = make_image(colour(), "RGB")
    dataset.PhotometricInterpretation = "YBR_RCT"
    compressed(dataset, J2K)
    clean(dataset)
    assert (dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation) == (J2K, "YBR_RCT")
    assert np.array_equal(pixel_array(dataset), hidden(colour(), 0))


def test_ybr_full_in_rle_stays_ybr() -> None:
    frame = np.full((ROWS, COLUMNS, 3), 128, "u1")
    frame[..., 0] = with_block(250)
    dataset = make_image(frame, "YBR_FULL")
    compressed(dataset, RLE)
    clean(dataset)
    assert np.array_equal(pixel_array(dataset, raw=True), hidden(frame, (0, 128, 128)))


@pytest.mark.parametrize("syntax", [JPEG_LS_NEAR, J2K_LOSSY, HTJ2K_LOSSY])
def test_lossy_syntax_with_a_lossless_mode_stays(syntax: str) -> None:
    frame = with_block(200).astype("u1")
    dataset = make_image(frame)
    compressed(dataset, syntax)
    clean(dataset)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(pixel_array(dataset), hidden(frame, 10))


LOSSY_STREAMS: dict[str, tuple[str, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    JPEG_LS_NEAR: ("ISO_14495_1", partial(imagecodecs.jpegls_encode, level=3), imagecodecs.jpegls_decode),
    J2K_LOSSY: (
        "ISO_15444_1",
        partial(imagecodecs.jpeg2k_encode, level=30, reversible=False, codecformat="j2k"),
        imagecodecs.jpeg2k_decode,
    ),
    HTJ2K_LOSSY: (
        "ISO_15444_15",
        partial(imagecodecs.htj2k_encode, reversible=False, level=0.01),
        partial(imagecodecs.htj2k_decode, planar=False),
    ),
}


@pytest.mark.parametrize("syntax", LOSSY_STREAMS)
def test_what_was_lossy_loses_nothing_more_and_says_so(syntax: str) -> None:
    """Written in the lossless mode of its family, beside a frame whose bytes stay."""
    method, encode, decode = LOSSY_STREAMS[syntax]
    frames = np.stack([with_block(200), ground()]).astype("u1")
    frames[:, ::7, ::5] += 9
    dataset = make_image(frames)
    streams = compressed(dataset, syntax, codestreams=[encode(frame) for frame in frames])
    before = pixel_array(dataset)
    assert not np.array_equal(before[0], frames[0])
    clean(dataset)
    first, second = generate_frames(dataset.PixelData, number_of_frames=2)
    after = decode(first).reshape(ROWS, COLUMNS)
    outside = np.ones((ROWS, COLUMNS), bool)
    outside[HIDDEN] = False
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert second == streams[1]
    assert np.array_equal(after[outside], before[0][outside])
    assert (after[HIDDEN] == before[0].min()).all()
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == ("01", method)


def test_what_was_lossless_in_a_lossy_syntax_is_not_called_lossy() -> None:
    dataset = make_image(with_block(200).astype("u1"))
    compressed(dataset, J2K_LOSSY)
    clean(dataset)
    assert "LossyImageCompression" not in dataset


def test_samples_of_32_bits_in_big_endian_words_are_refused() -> None:
    """Some writers swap words as PS3.5 6.2 says, some samples: nobody can tell one from the other."""
    dataset = make_image(with_block(1 << 30).astype(">u4"))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    with pytest.raises(PixelError, match="pixels_undecodable: PixelData: 32 bits in words"):
        clean(dataset)


@pytest.mark.parametrize("syntax", [*LOSSLESS[1:], JPEG_LS_NEAR, J2K_LOSSY, HTJ2K_LOSSY, JPEG_EXTENDED])
@pytest.mark.parametrize("allocated", [8, 16])
def test_high_bit_is_not_heeded_where_the_codestream_says_how_many_bits_it_has(
    syntax: str, allocated: int
) -> None:
    """Decoders give values from bit 0 on: read from bit 8 on, all of them would be black."""
    bits = allocated * 3 // 4 if allocated == 16 else 8
    frame = with_block(200 << (bits - 8)).astype(f"u{allocated // 8}")
    dataset = make_image(frame, BitsStored=bits)
    streams = None
    if syntax == JPEG_EXTENDED:
        streams = [bytes(imagecodecs.jpeg8_encode(frame, level=95, bitspersample=bits))]
    compressed(dataset, syntax, codestreams=streams)
    dataset.BitsAllocated, dataset.HighBit = 16, 15
    report = clean(dataset)
    assert report.text_boxes_hidden == 1
    assert (dataset.file_meta.TransferSyntaxUID, dataset.HighBit) == (syntax, bits - 1)
    frames = open_frames(dataset)
    assert frames is not None
    assert frames.decode(0).values()[HIDDEN].max() < 400


@pytest.mark.parametrize("syntax", [JPEG_LS, J2K, HTJ2K])
def test_high_bit_is_not_heeded_for_signed_values(syntax: str) -> None:
    frame = (with_block(200) - 100).astype("<i2")
    dataset = make_image(frame, BitsStored=12)
    compressed(dataset, syntax)
    dataset.HighBit = 15
    clean(dataset)
    assert (dataset.file_meta.TransferSyntaxUID, dataset.HighBit) == (syntax, 11)
    assert np.array_equal(pixel_array(dataset), hidden(frame, -90))


def test_a_black_frame_fits_every_high_bit() -> None:
    frames = np.stack([with_block(3000), np.zeros_like(ground())]).astype("<u2")
    dataset = make_image(frames, BitsStored=12)
    compressed(dataset, HTJ2K)
    dataset.HighBit = 15
    clean(dataset)
    assert (dataset.file_meta.TransferSyntaxUID, dataset.HighBit) == (HTJ2K, 11)


@pytest.mark.parametrize("syntax", [JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1])
@pytest.mark.parametrize(("allocated", "stored"), [(16, 8), (8, 7)])
def test_codestreams_of_8_bits_in_other_cells_stay_in_their_syntax(
    syntax: str, allocated: int, stored: int
) -> None:
    frame = with_block(100).astype("u1")
    lossless = {"lossless": True, "predictor": 1} if syntax in (JPEG_LOSSLESS, JPEG_LOSSLESS_SV1) else {}
    dataset = make_image(frame)
    compressed(dataset, syntax, codestreams=[bytes(imagecodecs.jpeg8_encode(frame, level=95, **lossless))])
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    assert clean(dataset).text_boxes_hidden == 1
    assert dataset.file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LS, J2K, HTJ2K])
def test_values_that_lie_high_in_codestreams_of_all_bits_stay_there(syntax: str) -> None:
    frame = (with_block(3000) << 4).astype("<u2")
    dataset = make_image(frame)
    compressed(dataset, syntax)
    dataset.BitsStored, dataset.HighBit = 12, 15
    clean(dataset)
    assert (dataset.file_meta.TransferSyntaxUID, dataset.HighBit) == (syntax, 15)
    assert np.array_equal(pixel_array(dataset, raw=True), hidden(frame, 10 << 4))


def test_an_overlay_below_black_values_is_cleared_in_a_codestream_of_all_bits() -> None:
    frame = np.zeros((ROWS, COLUMNS), "<u2")
    frame[BLOCK] = 1
    dataset = make_image(frame)
    compressed(dataset, JPEG_LS)
    dataset.BitsStored, dataset.HighBit = 12, 15
    clean(dataset)
    assert not pixel_array(dataset, raw=True).any()


def test_codestreams_of_bits_that_fit_no_reading_are_refused() -> None:
    dataset = make_image((with_block(3000) << 2).astype("<u2"), BitsStored=14)
    compressed(dataset, JPEG_LS)
    dataset.BitsStored, dataset.HighBit = 12, 15
    with pytest.raises(PixelError, match="pixels_undecodable: HighBit"):
        clean(dataset)


def lossy(
    frames: np.ndarray[Any, Any], photometric: str, syntax: str = JPEG_BASELINE, **header: Any
) -> Dataset:
    dataset = make_image(frames, photometric, **header)
    many = frames if dataset.get("NumberOfFrames") else frames[None]
    bits = {"bitspersample": dataset.BitsStored} if dataset.BitsStored > 8 else {}
    options = (
        {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "422"}
        if dataset.SamplesPerPixel == 3
        else {}
    )
    compressed(
        dataset, syntax, codestreams=[imagecodecs.jpeg8_encode(f, level=95, **bits, **options) for f in many]
    )
    return dataset


def test_blocks_of_a_lossy_jpeg_are_blanked_and_nothing_else() -> None:
    frames = np.stack([with_block(200), ground()]).astype("u1")
    dataset = lossy(frames, "MONOCHROME2")
    before, (_, untouched) = pixel_array(dataset), generate_frames(dataset.PixelData, number_of_frames=2)
    clean(dataset)
    after, (_, second) = pixel_array(dataset), generate_frames(dataset.PixelData, number_of_frames=2)
    blocks = (slice(16, 40), slice(24, 80))  # the hidden area in whole blocks of 8
    outside = np.ones(frames.shape, bool)
    outside[0][blocks] = False
    assert (dataset.file_meta.TransferSyntaxUID, second) == (JPEG_BASELINE, untouched)
    assert np.array_equal(after[outside], before[outside])
    assert (after[0][blocks] == before[0].min()).all()
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert "ImageType" not in dataset


def test_subsampled_jpeg_stays_as_it_is_beyond_the_reach_of_its_chrominance() -> None:
    dataset = lossy(colour(), "YBR_FULL_422")
    before = pixel_array(dataset).astype(int)
    clean(dataset)
    difference = np.abs(pixel_array(dataset).astype(int) - before).max(axis=-1)
    difference[12:44, 12:84] = 0  # units of 16 by 8, and 4 pixels around
    assert (dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation) == (
        JPEG_BASELINE,
        "YBR_FULL_422",
    )
    assert difference.max() == 0
    assert pixel_array(dataset)[HIDDEN].max() < 20


def test_an_odd_number_of_columns_is_cleaned_in_subsampled_jpeg() -> None:
    dataset = lossy(colour()[:-1, :-1], "YBR_FULL_422")
    before = pixel_array(dataset).astype(int)
    clean(dataset)
    difference = np.abs(pixel_array(dataset).astype(int) - before).max(axis=-1)
    difference[12:44, 12:84] = 0
    assert dataset.file_meta.TransferSyntaxUID == JPEG_BASELINE
    assert difference.max() == 0
    assert pixel_array(dataset)[HIDDEN].max() < 20


def test_an_odd_number_of_columns_without_text_keeps_its_bytes() -> None:
    dataset = lossy(np.repeat(ground()[:-1, :-1, None], 3, axis=-1).astype("u1"), "YBR_FULL_422")
    before = dataset.PixelData
    assert clean(dataset).pixels_changed is False
    assert dataset.PixelData == before


def test_an_odd_number_of_columns_that_is_not_compressed_is_refused() -> None:
    dataset = make_image(colour()[:, :-1], "YBR_FULL_422")
    with pytest.raises(PixelError, match="pixels_undecodable: Columns of YBR_FULL_422"):
        clean(dataset)


@pytest.mark.parametrize("said", [b"\0\0\0", b"\1\x3f\0", b"\0\x3f\1"])
def test_a_sequential_scan_that_says_which_coefficients_it_has_keeps_its_syntax(said: bytes) -> None:
    """Ss, Se, Ah and Al have one value there, and decoders heed no other."""
    dataset = lossy(with_block(200).astype("u1"), "MONOCHROME2")
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    at = stream.index(b"\xff\xda") + 7
    assert stream[at : at + 3] == b"\0\x3f\0"
    dataset.PixelData = encapsulate([stream[:at] + said + stream[at + 3 :]])
    clean(dataset)
    (after,) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert dataset.file_meta.TransferSyntaxUID == JPEG_BASELINE
    assert after[after.index(b"\xff\xda") + 7 :][:3] == b"\0\x3f\0"
    assert pixel_array(dataset)[HIDDEN].max() < 20
    assert len(after) < 1.1 * len(stream)


@pytest.mark.parametrize("planar", [0, 1])
def test_deflated_colour_stays_by_pixels_or_by_planes(planar: int) -> None:
    """What is deflated is native beneath: there Planar Configuration counts."""
    dataset = make_image(colour(), "RGB", PlanarConfiguration=planar)
    frame = np.moveaxis(colour(), -1, 0) if planar else colour()
    stream = encode_frame(UID("1.2.840.10008.1.2.8.1"), frame, 8, "RGB")
    compressed(dataset, "1.2.840.10008.1.2.8.1", codestreams=[stream])
    clean(dataset)
    (after,) = generate_frames(dataset.PixelData, number_of_frames=1)
    wanted = hidden(colour(), 0)
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.8.1"
    assert dataset.PlanarConfiguration == planar
    assert zlib.decompress(after, wbits=-15) == (np.moveaxis(wanted, -1, 0) if planar else wanted).tobytes()


def test_frames_that_name_their_colours_differently_leave_the_header_as_it_was() -> None:
    named = imagecodecs.jpeg8_encode(colour(), level=95, colorspace="RGB", outcolorspace="YCBCR")
    other = np.ascontiguousarray(np.flip(colour(), axis=1))
    unnamed = imagecodecs.jpeg8_encode(other, level=95, colorspace="RGB", outcolorspace="RGB")
    dataset = make_image(np.stack([colour(), other]), "RGB")
    compressed(dataset, JPEG_BASELINE, codestreams=[bytes(named), bytes(unnamed)])
    clean(dataset)
    assert dataset.PhotometricInterpretation == "RGB"


def progressive(frame: np.ndarray[Any, Any], photometric: str) -> Dataset:
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=95, progressive=True)
    dataset = make_image(frame, photometric)
    compressed(dataset, JPEG_BASELINE, codestreams=[file.getvalue()])
    return dataset


def test_progressive_jpeg_becomes_native() -> None:
    dataset = progressive(with_block(200).astype("u1"), "MONOCHROME2")
    before = pixel_array(dataset)
    clean(dataset)
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert dataset.PixelData == hidden(before, before.min()).tobytes()
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == ("01", "ISO_10918_1")


def test_progressive_colour_becomes_rgb() -> None:
    dataset = progressive(colour(), "YBR_FULL_422")
    before = pixel_array(dataset)
    clean(dataset)
    assert (dataset.PhotometricInterpretation, dataset.PlanarConfiguration) == ("RGB", 0)
    assert dataset.PixelData == hidden(before, 0).tobytes()


@pytest.mark.parametrize(("touched", "stated"), [(1, "YBR_ICT"), (2, "YBR_RCT")])
def test_irreversible_colour_is_written_reversibly_in_its_syntax(touched: int, stated: str) -> None:
    plain = colour()
    plain[BLOCK] = 10
    frames = np.stack([colour(), colour() if touched == 2 else plain])
    frames[1, 70, 3] = 99
    dataset = make_image(frames, "RGB")
    streams = [
        imagecodecs.jpeg2k_encode(f, level=40, reversible=False, mct=True, codecformat="J2K") for f in frames
    ]
    compressed(dataset, J2K_LOSSY, codestreams=streams)
    dataset.PhotometricInterpretation = "YBR_ICT"
    before = pixel_array(dataset)
    clean(dataset)
    after = pixel_array(dataset, decoding_plugin="gdcm")
    assert (dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation) == (J2K_LOSSY, stated)
    assert np.array_equal(after[0], hidden(before[0], 0))
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == ("01", "ISO_15444_1")


def test_lossy_jpeg_without_text_keeps_its_bytes() -> None:
    dataset = lossy(ground().astype("u1"), "MONOCHROME2")
    before = dataset.PixelData
    assert clean(dataset).pixels_changed is False
    assert (dataset.PixelData, dataset.file_meta.TransferSyntaxUID) == (before, JPEG_BASELINE)


def test_twelve_bit_jpeg_is_blanked_and_stays() -> None:
    dataset = lossy(with_block(3000).astype("<u2"), "MONOCHROME2", JPEG_EXTENDED, BitsStored=12)
    clean(dataset)
    (codestream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert dataset.file_meta.TransferSyntaxUID == JPEG_EXTENDED
    assert imagecodecs.jpeg8_decode(codestream).max() < 400


def test_basic_offset_table_points_at_the_frames() -> None:
    frames = np.stack([with_block(200), ground(), with_block(201)]).astype("u1")
    dataset = make_image(frames)
    compressed(dataset, RLE)
    clean(dataset)
    data = dataset.PixelData
    (length,) = struct.unpack_from("<L", data, 4)
    offsets = struct.unpack_from(f"<{length // 4}L", data, 8)
    assert len(offsets) == 3
    assert all(data[8 + length + offset :][:4] == b"\xfe\xff\x00\xe0" for offset in offsets)
    assert np.array_equal(pixel_array(dataset, index=2), hidden(frames[2], 10))


def test_extended_offset_table_points_at_the_frames() -> None:
    frames = np.stack([with_block(200), ground(), with_block(201)]).astype("u1")
    dataset = make_image(frames)
    streams = compressed(dataset, RLE, extended=True)
    clean(dataset)
    tables = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    after = list(generate_frames(dataset.PixelData, number_of_frames=3, extended_offsets=tables))
    assert after[1] == streams[1]
    assert np.array_equal(pixel_array(dataset, index=2), hidden(frames[2], 10))


def test_fragments_of_untouched_frames_stay_apart() -> None:
    frames = np.stack([with_block(200), ground()]).astype("u1")
    dataset = make_image(frames)
    first, second = compressed(dataset, JPEG_LS)
    half = len(second) // 4 * 2
    items = [first, second[:half], second[half:]]
    offsets = struct.pack("<LL", 0, len(first) + 8)
    data = struct.pack("<HHL", 0xFFFE, 0xE000, 8) + offsets
    data += b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    dataset["PixelData"].value = data
    clean(dataset)
    _, after = generate_fragmented_frames(dataset.PixelData, number_of_frames=2)
    assert after == (second[:half], second[half:])


def test_real_file_of_another_make_is_cleaned() -> None:
    dataset = dcmread(get_testdata_file("emri_small_jpeg_2k_lossless.dcm"))
    before = pixel_array(dataset)

    class Corner(BlockDetector):
        def find(self, picture: Any) -> Any:
            return super().find(picture)[:0] if len(self.looks) else _corner(self)

    hide(dataset, TextPolicy(), Corner())
    after = pixel_array(dataset)
    assert dataset.file_meta.TransferSyntaxUID == J2K
    assert np.array_equal(after[1:], before[1:])
    assert np.array_equal(after[0, 20:], before[0, 20:])
    assert (after[0, :14, :24] == before[0].min()).all()


def _corner(detector: BlockDetector) -> Any:
    from beamstop.text.boxes import TextBox

    detector.looks.append((0, 0))
    return [TextBox(0, 0, 20, 10)]


# --- refused


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.103.1", "1.2.840.10008.1.2.4.108"]
)
def test_video_is_refused(syntax: str) -> None:
    dataset = make_image(ground().astype("u1"))
    dataset.file_meta.TransferSyntaxUID = syntax
    with pytest.raises(PixelError, match=f"pixels_unsupported: PixelData: {syntax}"):
        clean(dataset)


@pytest.mark.parametrize(
    "syntax", [RLE, JPEG_BASELINE, JPEG_LOSSLESS_SV1, JPEG_LS, J2K, HTJ2K, "1.2.840.10008.1.2.4.110"]
)
def test_what_does_not_decode_is_refused(syntax: str) -> None:
    dataset = make_image(ground().astype("u1"))
    compressed(dataset, syntax, codestreams=[b"\xff\xd8 not a codestream"])
    with pytest.raises(PixelError, match=f"pixels_undecodable: PixelData: {syntax}"):
        clean(dataset)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Rows", 65535),
        ("NumberOfFrames", 2_000_000_000),
        ("Rows", 0),
        ("Rows", None),
        ("SamplesPerPixel", 4),
        ("BitsAllocated", 12),
        ("BitsStored", 9),
        ("HighBit", 9),
        ("PhotometricInterpretation", "HSV"),
    ],
)
def test_header_that_does_not_fit_is_refused(keyword: str, value: Any) -> None:
    dataset = make_image(ground().astype("u1"))
    setattr(dataset, keyword, value)
    with pytest.raises(PixelError, match="pixels_undecodable"):
        clean(dataset)


def test_gigapixel_header_on_a_small_codestream_is_refused() -> None:
    dataset = make_image(ground().astype("u1"))
    compressed(dataset, J2K)
    dataset.Rows = dataset.Columns = 30000
    with pytest.raises(PixelError, match=f"pixels_undecodable: PixelData: {J2K}"):
        clean(dataset)


def test_frame_too_many_is_refused() -> None:
    dataset = make_image(np.stack([ground(), with_block(200)]).astype("u1"))
    compressed(dataset, RLE)
    dataset.NumberOfFrames = 1
    with pytest.raises(PixelError, match="pixels_undecodable"):
        clean(dataset)


def test_second_picture_behind_a_first_is_refused() -> None:
    dataset = make_image(np.stack([ground(), with_block(200)]).astype("u1"))
    compressed(dataset, J2K)
    dataset.NumberOfFrames = 1
    with pytest.raises(PixelError, match="pixels_undecodable"):
        clean(dataset)


def test_two_kinds_of_pixel_data_are_refused() -> None:
    dataset = make_image(ground().astype("u1"))
    dataset.FloatPixelData = b"\0" * 4
    with pytest.raises(PixelError, match="pixels_undecodable"):
        clean(dataset)
