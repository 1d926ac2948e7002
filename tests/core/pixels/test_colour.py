"""Colours of compressed frames where text was hidden: pydicom, DCMTK and GDCM see the same.

Every transfer syntax with every way its codestreams may hold colour, under either Planar Configuration.
"""

import shutil
import struct
import subprocess
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import convert_color_space, pixel_array
from pydicom.uid import UID
from tests.core.pixel_fixtures import BLOCK, COLUMNS, HIDDEN, ROWS, compressed, hide

from beamstop.dicom.files import encode
from beamstop.pixels.encoders import encode_frame
from beamstop.testing import BlockDetector, make_image
from beamstop.text.detector import TextPolicy

Picture = np.ndarray[Any, Any]

RLE, DEFLATED = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
JPEG, EXTENDED, LOSSLESS, SV1, LS, NEAR, J2K, J2K_LOSSY, HT, HT_RPCL, HT_LOSSY = (
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)
)
DCMTK = frozenset({RLE, JPEG, EXTENDED, LOSSLESS, SV1, LS, NEAR})
GDCM = DCMTK | {J2K, J2K_LOSSY}
JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
NEAR_BY = 24  # pixels: what a block of a JPEG and the enlargement of its chrominance reach


def picture() -> Picture:
    """Return RGB: a white block, the "text", on a blue ground, with a red and a green area below."""
    frame = np.empty((ROWS, COLUMNS, 3), np.uint8)
    frame[:] = 20, 40, 90
    frame[60:, :60] = 120, 30, 20
    frame[60:, 60:] = 20, 110, 40
    frame[BLOCK] = 255
    return frame


def ybr() -> Picture:
    converted: Picture = convert_color_space(picture(), "RGB", "YBR_FULL")
    return converted


def jpeg(space: str, marker: bytes | None = None, names: bytes | None = None, **options: Any) -> bytes:
    """Return a JPEG in a colour space, with another marker or other names of components where asked for."""
    stream = bytes(
        imagecodecs.jpeg8_encode(picture(), level=95, colorspace="RGB", outcolorspace=space, **options)
    )
    return stream if marker is None else renamed(stream, marker, names or b"\1\2\3")


def lossless(frame: Picture, marker: bytes = b"", names: bytes = b"\1\2\3") -> bytes:
    stream = imagecodecs.jpeg8_encode(
        frame, lossless=True, predictor=1, colorspace="UNKNOWN", outcolorspace="UNKNOWN"
    )
    return renamed(bytes(stream), marker, names)


def lossless_422(frame: Picture) -> bytes:
    """Return a lossless JPEG with every second sample of chrominance (ISO/IEC 10918-1 H.1, A.2.3).

    Selection value 1, and one Huffman table in which the nine categories have codes of four bits.
    """
    table = bytes([0, 0, 0, 0, 9, *[0] * 12, *range(9)])
    header = struct.pack(">BHHB", 8, *frame.shape[:2], 3) + b"\1\x21\0\2\x11\0\3\x11\0"
    scan = b"\3\1\0\2\0\3\0\1\0\0"
    bits = []
    light, blue, red = (frame[..., each].astype(int) for each in range(3))
    planes = [light, (blue[:, ::2] + blue[:, 1::2]) // 2, (red[:, ::2] + red[:, 1::2]) // 2]
    for plane in planes:
        before = np.roll(plane, 1, axis=1)
        before[1:, 0], before[0, 0] = plane[:-1, 0], 128
        plane -= before
    for row in range(frame.shape[0]):
        for pair in range(frame.shape[1] // 2):
            for difference in (
                *planes[0][row, 2 * pair : 2 * pair + 2],
                planes[1][row, pair],
                planes[2][row, pair],
            ):
                size = int(abs(difference)).bit_length()
                value = difference if difference > 0 else difference + (1 << size) - 1
                bits.append(f"{size:04b}" + (f"{value:0{size}b}" if size else ""))
    joined = "".join(bits)
    joined += "1" * (-len(joined) % 8)
    coded = int(joined, 2).to_bytes(len(joined) // 8, "big").replace(b"\xff", b"\xff\0")
    segments = ((0xC4, table), (0xC3, header), (0xDA, scan))
    return (
        b"\xff\xd8"
        + b"".join(struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body for kind, body in segments)
        + coded
        + b"\xff\xd9"
    )


def renamed(stream: bytes, marker: bytes, names: bytes) -> bytes:
    """Put a marker in place of those that a JPEG has, and other names of components."""
    out, at, kind = b"\xff\xd8" + marker, 2, 0
    while kind != 0xDA:
        kind, (length,) = stream[at + 1], struct.unpack_from(">H", stream, at + 2)
        segment, at = bytearray(stream[at : at + 2 + length]), at + 2 + length
        if kind in (0xC0, 0xC1, 0xC3):
            segment[10::3] = names
        if kind == 0xDA:
            segment[5:11:2] = names
        if not 0xE0 <= kind <= 0xEF:
            out += segment
    return out + stream[at:]


def interleaved(mode: int) -> bytes:
    frame = np.ascontiguousarray(np.moveaxis(picture(), -1, 0)) if mode == 0 else picture()
    return bytes(jpeg_ls.encode_array(frame, interleave_mode=mode))


def ht_lossy() -> bytes:
    return bytes(imagecodecs.htj2k_encode(picture(), reversible=False, level=0.002, rgb=True))


ADOBE_RGB, ADOBE_YBR = (b"\xff\xee\0\x0eAdobe\0d\0\0\0\0" + bytes([transform]) for transform in (0, 1))


# name → transfer syntax, what the header says, what it says afterwards, makes the codestream
KINDS: dict[str, tuple[str, str, str, Any]] = {
    "JPEG, YCbCr 4:2:2": (JPEG, "YBR_FULL_422", "YBR_FULL_422", partial(jpeg, "YCBCR", subsampling="422")),
    "JPEG, YCbCr 4:2:0": (JPEG, "YBR_FULL_422", "YBR_FULL_422", partial(jpeg, "YCBCR", subsampling="420")),
    "JPEG, YCbCr 4:4:4": (JPEG, "YBR_FULL", "YBR_FULL", partial(jpeg, "YCBCR", subsampling="444")),
    "JPEG, YCbCr, no marker": (JPEG, "YBR_FULL_422", "YBR_FULL_422", partial(jpeg, "YCBCR", b"")),
    "JPEG, YCbCr, Adobe": (JPEG, "YBR_FULL_422", "YBR_FULL_422", partial(jpeg, "YCBCR", ADOBE_YBR)),
    "JPEG, YCbCr, Adobe says RGB": (JPEG, "YBR_FULL_422", "YBR_FULL_422", partial(jpeg, "YCBCR", ADOBE_RGB)),
    "JPEG, RGB": (JPEG, "RGB", "RGB", partial(jpeg, "RGB")),
    "JPEG, RGB, no marker": (JPEG, "RGB", "RGB", partial(jpeg, "RGB", b"")),
    "JPEG, RGB, Adobe says YCbCr": (JPEG, "RGB", "RGB", partial(jpeg, "RGB", ADOBE_YBR)),
    "JPEG, RGB by its names": (JPEG, "YBR_FULL_422", "RGB", partial(jpeg, "RGB", b"", b"RGB")),
    "JPEG, YCbCr called RGB": (JPEG, "RGB", "YBR_FULL_422", partial(jpeg, "YCBCR", subsampling="422")),
    "JPEG Extended, YCbCr": (EXTENDED, "YBR_FULL", "YBR_FULL", partial(jpeg, "YCBCR", subsampling="444")),
    "JPEG Extended, YCbCr called RGB": (EXTENDED, "RGB", "YBR_FULL", partial(jpeg, "YCBCR")),
    **{
        f"{name}, {what}": (syntax, stated, after, make)
        for name, syntax in (("JPEG Lossless", LOSSLESS), ("JPEG Lossless SV1", SV1))
        for what, stated, after, make in (
            ("RGB", "RGB", "RGB", lambda: lossless(picture())),
            ("RGB by its names", "YBR_FULL", "RGB", lambda: lossless(picture(), b"", b"RGB")),
            ("RGB, Adobe", "RGB", "RGB", lambda: lossless(picture(), ADOBE_RGB)),
            ("YBR", "YBR_FULL", "YBR_FULL", lambda: lossless(ybr())),
            ("YBR, JFIF", "YBR_FULL", "YBR_FULL", lambda: lossless(ybr(), JFIF)),
            ("YBR called RGB", "RGB", "YBR_FULL", lambda: lossless(ybr(), JFIF)),
            ("YBR 4:2:2", "YBR_FULL_422", "YBR_FULL", lambda: lossless_422(ybr())),
        )
    },
    **{
        f"JPEG-LS, RGB, interleave mode {mode}": (LS, "RGB", "RGB", partial(interleaved, mode))
        for mode in range(3)
    },
    "JPEG-LS, YBR": (
        LS,
        "YBR_FULL",
        "YBR_FULL",
        lambda: bytes(jpeg_ls.encode_array(ybr(), interleave_mode=2)),
    ),
    "JPEG-LS near-lossless": (
        NEAR,
        "RGB",
        "RGB",
        lambda: bytes(imagecodecs.jpegls_encode(picture(), level=2)),
    ),
    "JPEG 2000, RGB": (J2K, "RGB", "RGB", lambda: encode_frame(UID(J2K), picture(), 8, "RGB")),
    "JPEG 2000, RCT": (J2K, "YBR_RCT", "YBR_RCT", lambda: encode_frame(UID(J2K), picture(), 8, "YBR_RCT")),
    "JPEG 2000, RCT called RGB": (J2K, "RGB", "RGB", lambda: encode_frame(UID(J2K), picture(), 8, "YBR_RCT")),
    "JPEG 2000, YBR": (J2K, "YBR_FULL", "YBR_FULL", lambda: encode_frame(UID(J2K), ybr(), 8, "RGB")),
    "JPEG 2000 lossy, ICT": (
        J2K_LOSSY,
        "YBR_ICT",
        "YBR_RCT",
        lambda: imagecodecs.jpeg2k_encode(picture(), level=45, reversible=False, mct=True, codecformat="J2K"),
    ),
    "HTJ2K, RGB": (HT, "RGB", "RGB", lambda: encode_frame(UID(HT), picture(), 8, "RGB")),
    "HTJ2K, RCT": (HT, "YBR_RCT", "YBR_RCT", lambda: encode_frame(UID(HT), picture(), 8, "YBR_RCT")),
    "HTJ2K, YBR": (HT, "YBR_FULL", "YBR_FULL", lambda: encode_frame(UID(HT), ybr(), 8, "RGB")),
    "HTJ2K RPCL, RCT": (
        HT_RPCL,
        "YBR_RCT",
        "YBR_RCT",
        lambda: encode_frame(UID(HT_RPCL), picture(), 8, "YBR_RCT"),
    ),
    "HTJ2K lossy, ICT": (HT_LOSSY, "YBR_ICT", "YBR_RCT", ht_lossy),
    "RLE, RGB": (RLE, "RGB", "RGB", lambda: encode_frame(UID(RLE), picture(), 8, "RGB")),
    "RLE, YBR": (RLE, "YBR_FULL", "YBR_FULL", lambda: encode_frame(UID(RLE), ybr(), 8, "RGB")),
}


def made(syntax: str, stated: str, stream: bytes, planar: int) -> Dataset:
    dataset = make_image(picture(), "RGB")
    compressed(dataset, syntax, codestreams=[stream])
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = stated, planar
    return dataset


@pytest.mark.skipif(not shutil.which("dcmj2pnm"), reason="needs DCMTK")
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_three_decoders_see_the_colours_that_the_codestream_has(
    kind: str, planar: int, tmp_path: Path
) -> None:
    syntax, stated, after, make = KINDS[kind]
    dataset = made(syntax, stated, make(), planar)
    report = hide(dataset, TextPolicy(), BlockDetector())
    assert report.text_boxes_hidden  # colour shows it in more than one rendition
    assert (dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation) == (syntax, after)
    assert dataset.PlanarConfiguration == (planar if syntax == RLE else 0)
    data = encode(dataset).data
    seen = {"pydicom": by_pydicom(data)}
    if syntax in DCMTK:
        seen["DCMTK"] = by_dcmtk(data, tmp_path)
    if syntax in GDCM:
        seen["GDCM"] = by_gdcm(data, tmp_path)
    if syntax in (HT, HT_RPCL, HT_LOSSY):
        seen["OpenJPH"] = by_openjph(dataset)
    near = np.zeros((ROWS, COLUMNS), bool)
    near[: HIDDEN[0].stop + NEAR_BY, HIDDEN[1].start - NEAR_BY : HIDDEN[1].stop + NEAR_BY] = True
    for who, colours in seen.items():
        apart = np.abs(colours.astype(int) - picture())
        assert apart[~near].mean() < 4, who
        assert colours[HIDDEN].max() < 20, who


def by_pydicom(data: bytes) -> Picture:
    seen: Picture = pixel_array(BytesIO(data), raw=False)
    return seen


def by_dcmtk(data: bytes, folder: Path) -> Picture:
    (folder / "a.dcm").write_bytes(data)
    if dcmread(folder / "a.dcm").file_meta.TransferSyntaxUID in (LS, NEAR):
        run_dcmtk("dcmdjpls", str(folder / "a.dcm"), str(folder / "a.dcm"))
    run_dcmtk("dcmj2pnm", "--write-raw-pnm", str(folder / "a.dcm"), str(folder / "a.ppm"))
    pixels = (folder / "a.ppm").read_bytes()[-3 * ROWS * COLUMNS :]
    return np.frombuffer(pixels, np.uint8).reshape(ROWS, COLUMNS, 3)


def run_dcmtk(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def by_gdcm(data: bytes, folder: Path) -> Picture:
    import gdcm

    (folder / "a.dcm").write_bytes(data)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(folder / "a.dcm"))
    assert reader.Read()
    image = reader.GetImage()
    flat = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), np.uint8)
    if image.GetPlanarConfiguration():
        cells = np.ascontiguousarray(np.moveaxis(flat.reshape(3, ROWS, COLUMNS), 0, -1))
    else:
        cells = flat.reshape(ROWS, COLUMNS, 3)
    named = gdcm.PhotometricInterpretation.GetPIString(image.GetPhotometricInterpretation().GetType())
    seen: Picture = convert_color_space(cells, "YBR_FULL", "RGB") if named.startswith("YBR_FULL") else cells
    return seen


def by_openjph(dataset: Dataset) -> Picture:
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    cells: Picture = imagecodecs.htj2k_decode(stream, planar=False)
    if dataset.PhotometricInterpretation == "YBR_FULL":
        cells = convert_color_space(cells, "YBR_FULL", "RGB")
    return cells
