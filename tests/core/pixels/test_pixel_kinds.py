"""Every kind of pixels in every transfer syntax: text gone, all else equal, by a decoder that is not ours."""

import shutil
import subprocess
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.pixels import pixel_array
from pydicom.uid import UID
from tests.core.pixel_fixtures import BLOCK, HIDDEN, compressed, hide, palette, with_block

from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import PixelError
from beamstop.testing import BlockDetector, make_image
from beamstop.text.detector import TextPolicy

Pixels = np.ndarray[Any, Any]

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
RLE = ("1.2.840.10008.1.2.5",)
JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
J2K = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
DEFLATED_FRAMES = ("1.2.840.10008.1.2.8.1",)
ALL = NATIVE + DEFLATED_FRAMES + RLE + JPEG + JPEG_LS + J2K + HTJ2K
BIG_ENDIAN = "1.2.840.10008.1.2.2"
LITTLE = tuple(syntax for syntax in NATIVE if syntax != BIG_ENDIAN)
DCMTK = {**dict.fromkeys(NATIVE, "dcmconv"), **dict.fromkeys(RLE, "dcmdrle")}
DCMTK |= {**dict.fromkeys(JPEG, "dcmdjpeg"), **dict.fromkeys(JPEG_LS, "dcmdjpls")}

GREY = with_block(200)
COLOUR = np.repeat(with_block(250)[..., None], 3, axis=-1).astype("<u1")
LIGHT = np.full(COLOUR.shape, 128, "<u1")
LIGHT[..., 0] = with_block(250)
PADDED = with_block(3000)
PADDED[:, :10] = 0
CONCATENATED = {
    "ConcatenationUID": "1.2.3",
    "InConcatenationNumber": 2,
    "ConcatenationFrameOffsetNumber": 2,
}

# frame, photometric interpretation, what is black, header, transfer syntaxes
KINDS: dict[str, tuple[Pixels, str, Any, dict[str, Any], tuple[str, ...]]] = {
    "8 bits": (GREY.astype("<u1"), "MONOCHROME2", 10, {}, ALL),
    "10 bits": (with_block(900).astype("<u2"), "MONOCHROME2", 10, {"BitsStored": 10}, ALL),
    "12 bits": (with_block(3000).astype("<u2"), "MONOCHROME2", 10, {"BitsStored": 12}, ALL),
    "12 bits signed": ((GREY - 1000).astype("<i2"), "MONOCHROME2", -990, {"BitsStored": 12}, ALL),
    "16 bits": (with_block(60000).astype("<u2"), "MONOCHROME2", 10, {}, ALL),
    "16 bits signed": ((GREY - 1000).astype("<i2"), "MONOCHROME2", -990, {}, ALL),
    "32 bits": (with_block(1 << 30).astype("<u4"), "MONOCHROME2", 10, {}, LITTLE + DEFLATED_FRAMES + RLE),
    "high bit 15 of 12": (
        (with_block(3000) << 4).astype("<u2"),
        "MONOCHROME2",
        10 << 4,
        {"BitsStored": 12, "HighBit": 15},
        NATIVE + DEFLATED_FRAMES + RLE,
    ),
    "bright is dark": ((255 - GREY).astype("<u1"), "MONOCHROME1", 245, {}, ALL),
    "padding": (
        PADDED.astype("<u2"),
        "MONOCHROME2",
        10,
        {"BitsStored": 12, "PixelPaddingValue": 0},
        ALL,
    ),
    "RGB": (COLOUR, "RGB", 0, {}, ALL),
    "RGB by planes": (COLOUR, "RGB", 0, {"PlanarConfiguration": 1}, NATIVE),
    "YBR_FULL": (LIGHT, "YBR_FULL", (0, 128, 128), {}, NATIVE + DEFLATED_FRAMES + RLE),
    "YBR_RCT": (COLOUR, "YBR_RCT", 0, {}, J2K + HTJ2K),
    "palette": ((255 - GREY).astype("<u1"), "PALETTE COLOR", 255, {}, NATIVE + RLE + JPEG_LS + J2K),
    "concatenation": (
        np.stack([GREY, np.where(GREY == 13, 12, GREY)]).astype("<u1"),
        "MONOCHROME2",
        10,
        CONCATENATED,
        ALL,
    ),
}
CASES = [(kind, syntax) for kind, (*_, syntaxes) in KINDS.items() for syntax in syntaxes]


def made(kind: str, syntax: str) -> Dataset:
    frame, photometric, _, header, _ = KINDS[kind]
    dataset = make_image(frame, photometric, **header)
    if photometric == "PALETTE COLOR":
        palette(dataset)
    if syntax not in NATIVE:
        compressed(dataset, syntax)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if syntax == BIG_ENDIAN and frame.itemsize > 1:
        data = np.frombuffer(dataset.PixelData, f"<u{frame.itemsize}").byteswap().tobytes()
        dataset["PixelData"].value = data
    return correct_ambiguous_vr(dataset, syntax != BIG_ENDIAN)


def by_another(dataset: Dataset, folder: Path, like: Pixels) -> Pixels:
    """Decode with DCMTK, with GDCM (JPEG 2000), with OpenJPH (HTJ2K), or with zlib alone."""
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    data = encode(dataset).data
    count = int(dataset.get("NumberOfFrames", 1))
    if syntax in DEFLATED_FRAMES:
        streams = generate_frames(dataset.PixelData, number_of_frames=count)
        inflated = b"".join(zlib.decompress(each, wbits=-15) for each in streams)
        return np.frombuffer(inflated, like.dtype).reshape(like.shape)
    if syntax in HTJ2K:
        streams = generate_frames(dataset.PixelData, number_of_frames=count)
        return np.stack([imagecodecs.htj2k_decode(each, planar=False) for each in streams]).reshape(
            like.shape
        )
    if syntax in J2K:
        return pixel_array(BytesIO(data), raw=True, decoding_plugin="gdcm")
    source, target = folder / "source", folder / "target"
    source.write_bytes(data)
    command = [DCMTK[syntax], *(["+cn"] if syntax in JPEG else []), str(source), str(target)]
    if syntax in NATIVE:
        command.insert(1, "+te")
    subprocess.run(command, check=True, capture_output=True)
    decoded = dcmread(target)
    shape = like.shape
    flat = np.frombuffer(decoded.PixelData, like.dtype)[: like.size]
    if like.dtype.kind == "i":  # dcmdjpls does not extend the sign beyond Bits Stored
        above = dataset.BitsAllocated - dataset.BitsStored
        flat = flat << above >> above
    if decoded.get("PlanarConfiguration") == 1:
        return np.moveaxis(flat.reshape(shape[2], shape[0], shape[1]), 0, -1)
    return flat.reshape(shape)


@pytest.mark.skipif(not shutil.which("dcmdjpeg"), reason="needs DCMTK")
@pytest.mark.parametrize(("kind", "syntax"), CASES)
def test_text_is_gone_and_all_else_is_equal(kind: str, syntax: str, tmp_path: Path) -> None:
    frame, _, black, _, _ = KINDS[kind]
    dataset = made(kind, syntax)
    assert np.array_equal(by_another(dataset, tmp_path, frame), frame)
    report = hide(dataset, TextPolicy(), BlockDetector())
    expected = frame.copy()
    area = expected if expected.ndim == 2 or expected.shape[-1] == 3 else np.moveaxis(expected, 0, -1)
    area[HIDDEN] = black
    assert report.text_boxes_hidden == int(dataset.get("NumberOfFrames", 1))
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(by_another(dataset, tmp_path, frame), expected)


@pytest.mark.skipif(not shutil.which("dcmdjpeg"), reason="needs DCMTK")
@pytest.mark.parametrize(
    ("syntax", "bits", "dtype", "bright"),
    [("1.2.840.10008.1.2.4.50", 8, "<u1", 200), ("1.2.840.10008.1.2.4.51", 12, "<u2", 3000)],
)
def test_dcmtk_sees_lossy_jpeg_as_it_was_outside_the_blocks(
    syntax: str, bits: int, dtype: str, bright: int, tmp_path: Path
) -> None:
    frame = with_block(bright).astype(dtype)
    dataset = make_image(frame, BitsStored=bits)
    options = {"bitspersample": bits} if bits > 8 else {}
    compressed(dataset, syntax, codestreams=[imagecodecs.jpeg8_encode(frame, level=90, **options)])
    before = dcmdjpeg(dataset, tmp_path, frame)
    hide(dataset, TextPolicy(), BlockDetector())
    after = dcmdjpeg(dataset, tmp_path, frame)
    outside = np.ones(frame.shape, bool)
    outside[16:40, 24:80] = False  # the hidden area in whole blocks
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(after[outside], before[outside])
    assert len(np.unique(after[~outside])) == 1
    assert after[BLOCK].max() < 20 < before[BLOCK].max()


@pytest.mark.skipif(not shutil.which("dcmdjpeg"), reason="needs DCMTK")
@pytest.mark.parametrize("predictor", range(2, 8))
def test_lossless_jpeg_of_any_predictor_is_cleaned(predictor: int, tmp_path: Path) -> None:
    frame = with_block(3000).astype("<u2")
    dataset = make_image(frame, BitsStored=12)
    stream = imagecodecs.jpeg8_encode(frame, lossless=True, predictor=predictor, bitspersample=12)
    compressed(dataset, JPEG[0], codestreams=[stream])
    hide(dataset, TextPolicy(), BlockDetector())
    expected = frame.copy()
    expected[HIDDEN] = 10
    assert dataset.file_meta.TransferSyntaxUID == JPEG[0]
    assert np.array_equal(dcmdjpeg(dataset, tmp_path, frame), expected)


@pytest.mark.parametrize("bad", ["cut", "bomb", "tail"])
def test_a_deflated_frame_that_is_not_what_the_header_says_is_refused(bad: str) -> None:
    dataset = make_image(GREY.astype("<u1"))
    (stream,) = compressed(dataset, DEFLATED_FRAMES[0])
    long = zlib.compressobj(wbits=-15)
    wrong = {
        "cut": stream[: len(stream) // 4 * 2],
        "bomb": long.compress(bytes(GREY.size) + b"more") + long.flush(),
        "tail": stream + b"DOE^JANE",
    }
    dataset.PixelData = encapsulate([wrong[bad]])
    with pytest.raises(PixelError, match="pixels_undecodable"):
        hide(dataset, TextPolicy(), BlockDetector())


def dcmdjpeg(dataset: Dataset, folder: Path, like: Pixels) -> Pixels:
    (folder / "source").write_bytes(encode(dataset).data)
    command = ["dcmdjpeg", str(folder / "source"), str(folder / "target")]
    subprocess.run(command, check=True, capture_output=True)
    return np.frombuffer(dcmread(folder / "target").PixelData, like.dtype)[: like.size].reshape(like.shape)


def test_segmented_palette_is_filled_with_its_darkest_index() -> None:
    frame = (255 - GREY).astype("<u1")
    dataset = make_image(frame, "PALETTE COLOR")
    # a discrete segment of one entry, white, and a linear one of 255 down to black (PS3.3 C.7.9.2)
    segments = np.array([0, 1, 65535, 1, 255, 0], "<u2").tobytes()
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", segments)
    expected = frame.copy()
    expected[HIDDEN] = 255
    hide(dataset, TextPolicy(), BlockDetector())
    assert dataset.PixelData == expected.tobytes()


def test_extremes_follow_the_pixels_in_a_compressed_syntax() -> None:
    dataset = made("12 bits", "1.2.840.10008.1.2.4.90")
    dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue = 10, 3000
    hide(dataset, TextPolicy(), BlockDetector())
    assert (dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue) == (10, 13)


def test_a_clean_file_reads_back_as_it_was_written() -> None:
    dataset = made("RGB", "1.2.840.10008.1.2.1.99")
    hide(dataset, TextPolicy(), BlockDetector())
    assert read_dicom(encode(dataset).data).PixelData == dataset.PixelData
