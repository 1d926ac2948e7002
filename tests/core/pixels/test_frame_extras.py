"""What compressed frames carry beside their pictures is cut; the picture's own bytes stay."""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from beamstop import deidentify, load_recipe
from beamstop.dicom.files import read_dicom
from beamstop.errors import PixelError
from beamstop.pixels.frame_extras import bare_frame, clean_frames, has_extras
from beamstop.rules.icc_profiles import clean_icc_profile
from beamstop.verify import verify_pair

NAME = b"Zzyzxqua^Ann"
SIDE = 32
KEY = bytes(range(32))
DEFLATED_FRAMES, JPEG_XL = "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.4.110"


def bare(frame: bytes, syntax: str = JPEGBaseline8Bit) -> bytes:
    return bare_frame(frame, syntax, SIDE * SIDE, clean_icc_profile)


@cache
def grey() -> np.ndarray[Any, Any]:
    return np.add.outer(np.arange(SIDE), np.arange(SIDE) * 3).astype(np.uint8)


def saved(**options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(grey()).convert(options.pop("mode", "L")).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def behind_soi(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def before_eoi(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:-2] + b"".join(segments) + jpeg[-2:]


def before_last_scan(jpeg: bytes, *segments: bytes) -> bytes:
    at = jpeg.rindex(b"\xff\xda")
    at = jpeg.rindex(b"\xff\xc4", 0, at)
    return jpeg[:at] + b"".join(segments) + jpeg[at:]


def jfif_with_a_thumbnail(jpeg: bytes) -> bytes:
    at = jpeg.index(b"JFIF\0") - 4
    head = jpeg[at + 4 : at + 16]
    thumbnail = bytes((2, 2)) + NAME
    return jpeg[:at] + segment(0xE0, head + thumbnail) + jpeg[at + 18 :]


UNUSED_HUFFMAN = bytes((0x13, *[0] * 7, len(NAME), *[0] * 8)) + NAME
UNUSED_QUANTISATION = b"\x03" + (NAME * 6)[:64]

JPEGS: dict[str, Callable[[], bytes]] = {
    "a comment": lambda: behind_soi(saved(), segment(0xFE, NAME)),
    "a comment in UTF-16": lambda: behind_soi(saved(), segment(0xFE, NAME.decode().encode("utf-16"))),
    "a comment before the end": lambda: before_eoi(saved(), segment(0xFE, NAME)),
    "a comment between scans": lambda: before_last_scan(saved(progressive=True), segment(0xFE, NAME)),
    "EXIF": lambda: behind_soi(saved(), segment(0xE1, b"Exif\0\0MM" + NAME)),
    "XMP": lambda: behind_soi(saved(), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + NAME)),
    "a picture in a segment": lambda: behind_soi(saved(), segment(0xE5, saved())),
    "a thumbnail": lambda: jfif_with_a_thumbnail(saved()),
    "a thumbnail of JFXX": lambda: behind_soi(saved(), segment(0xE0, b"JFXX\0\x10" + saved())),
    "a second JFIF with text": lambda: before_eoi(saved(), segment(0xE0, b"JFIF\0\1\2" + NAME)),
    "Adobe's segment with more": lambda: behind_soi(saved(), segment(0xEE, b"Adobe\0d\0\0\0\0\0" + NAME)),
    "SPIFF": lambda: behind_soi(saved(), segment(0xE8, b"SPIFF\0" + NAME)),
    "a profile that is none": lambda: behind_soi(saved(), segment(0xE2, b"ICC_PROFILE\0\1\1" + NAME)),
    "an unused Huffman table": lambda: behind_soi(saved(), segment(0xC4, UNUSED_HUFFMAN)),
    "an unused quantisation table": lambda: behind_soi(saved(), segment(0xDB, UNUSED_QUANTISATION)),
    "a table that is replaced": lambda: behind_soi(saved(), segment(0xDB, b"\0" + (NAME * 6)[:64])),
    "a picture behind the picture": lambda: saved() + saved(),
    "text behind the picture": lambda: saved() + NAME,
    "text between segments": lambda: saved()[:2] + NAME + saved()[2:],
    "restarts": lambda: behind_soi(saved(restart_marker_blocks=2), segment(0xFE, NAME)),
}


@pytest.mark.parametrize("what", JPEGS)
def test_of_a_jpeg_the_picture_stays_and_nothing_else(what: str) -> None:
    frame = JPEGS[what]()
    cut = bare(frame)
    assert len(cut) < len(frame)
    assert NAME not in cut
    assert NAME.decode().encode("utf-16")[2:] not in cut
    assert cut.count(b"\xff\xd8\xff") == 1
    assert np.array_equal(imagecodecs.jpeg8_decode(cut), imagecodecs.jpeg8_decode(frame))
    if what != "text between segments":  # which Pillow does not open
        assert np.array_equal(*(np.asarray(Image.open(BytesIO(it))) for it in (cut, frame)))
    if what != "a comment between scans":
        assert cut[cut.index(b"\xff\xda") : -2] in frame  # the coded data, to the byte
    assert bare(cut) == cut


def test_a_plain_jpeg_stays_to_the_byte() -> None:
    for options in ({}, {"progressive": True}, {"mode": "RGB"}, {"optimize": True}):
        assert bare(saved(**options)) == saved(**options)


def test_how_colours_are_meant_stays() -> None:
    """With Adobe's segment an RGB picture is not taken for YCbCr."""
    rgb = np.stack([grey(), grey()[::-1], 255 - grey()], axis=-1)
    frame = imagecodecs.jpeg8_encode(rgb, level=90, colorspace="RGB", outcolorspace="RGB")
    assert b"Adobe" in frame
    assert bare(frame) == frame


def test_a_profile_stays_without_its_texts() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = profile.replace(b"s\0R\0G\0B", b"A\0n\0n\0!")
    cut = bare(saved(mode="RGB", icc_profile=named))
    kept = Image.open(BytesIO(cut)).info["icc_profile"]
    assert kept == clean_icc_profile(named)
    assert b"A\0n\0n" not in cut


def jpeg_ls(*segments: bytes) -> bytes:
    return behind_soi(imagecodecs.jpegls_encode(grey()), *segments)


def test_of_jpeg_ls_the_colour_transform_stays() -> None:
    frame = jpeg_ls(segment(0xE8, b"mrfx\1" + NAME), segment(0xE8, NAME), segment(0xFE, NAME))
    assert bare(frame, JPEGLSLossless) == behind_soi(bare(jpeg_ls()), segment(0xE8, b"mrfx\1"))


def j2k(**options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(grey()).save(out, "JPEG2000", no_jp2=True, irreversible=False, **options)
    return out.getvalue()


def with_comments_in_tile_parts(frame: bytes, text: bytes = NAME) -> bytes:
    """Put a comment behind each SOT, and a TLM with the lengths as they are then into the main header."""
    comment = struct.pack(">HHH", 0xFF64, len(text) + 4, 1) + text
    first = frame.index(b"\xff\x90\0\x0a")
    out, at, lengths = b"", first, []
    while frame[at : at + 2] == b"\xff\x90":
        (length,) = struct.unpack_from(">L", frame, at + 6)
        length = length or len(frame) - 2 - at
        lengths.append(length + len(comment))
        out += frame[at : at + 6] + struct.pack(">L", lengths[-1]) + frame[at + 10 : at + 12] + comment
        out += frame[at + 12 : at + length]
        at += length
    body = bytes((0, 0x40)) + b"".join(struct.pack(">L", it) for it in lengths)
    return frame[:first] + struct.pack(">HH", 0xFF55, len(body) + 2) + body + out + frame[at:]


def jp2(*boxes: bytes, codestream: bytes | None = None) -> bytes:
    whole = bytes(imagecodecs.jpeg2k_encode(grey(), codecformat="jp2"))
    at = whole.index(b"jp2c") - 4
    codestream = codestream or whole[at + 8 :]
    return whole[:at] + b"".join(boxes) + struct.pack(">L", 8 + len(codestream)) + b"jp2c" + codestream


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", 8 + len(body)) + kind + body


COMMENT = struct.pack(">HHH", 0xFF64, len(NAME) + 4, 1) + NAME
J2KS: dict[str, Callable[[], bytes]] = {
    "a comment": lambda: j2k()[:-2].replace(b"\xff\x90\0\x0a", COMMENT + b"\xff\x90\0\x0a", 1) + b"\xff\xd9",
    "comments in tile parts": lambda: with_comments_in_tile_parts(j2k(tile_size=(16, 16))),
    "a picture in a comment": lambda: with_comments_in_tile_parts(j2k(), j2k()),
    "text behind the picture": lambda: j2k() + NAME,
    "a box": lambda: jp2(box(b"xml ", NAME), box(b"uuid", bytes(16) + NAME)),
    "a box behind": lambda: jp2() + box(b"xml ", NAME),
    "text behind a box": lambda: jp2() + NAME,
    "a picture behind a box": lambda: jp2() + saved(),
    "two pictures": lambda: jp2() + box(b"jp2c", j2k()),
    "a comment in a box": lambda: jp2(codestream=with_comments_in_tile_parts(j2k())),
}


@pytest.mark.parametrize("what", J2KS)
def test_of_a_jpeg_2000_the_picture_stays_and_nothing_else(what: str) -> None:
    frame = J2KS[what]()
    cut = bare(frame, JPEG2000Lossless)
    assert len(cut) < len(frame)
    assert NAME not in cut
    assert cut.count(b"\xff\x4f\xff\x51") == 1
    assert np.array_equal(imagecodecs.jpeg2k_decode(cut), grey())
    assert np.array_equal(np.asarray(Image.open(BytesIO(cut))), grey())
    assert bare(cut, JPEG2000Lossless) == cut


def test_tables_of_tile_parts_say_the_new_lengths() -> None:
    cut = bare(with_comments_in_tile_parts(j2k(tile_size=(16, 16))), JPEG2000Lossless)
    (length,) = struct.unpack_from(">H", cut, at := cut.index(b"\xff\x55") + 2)
    said = struct.unpack_from(f">{(length - 4) // 4}L", cut, at + 4)
    starts = [it for it in range(len(cut)) if cut.startswith(b"\xff\x90\0\x0a", it)]
    assert said == tuple(struct.unpack_from(">L", cut, it + 6)[0] for it in starts)
    assert sum(said) == len(cut) - 2 - starts[0]


def test_a_table_with_more_tile_parts_than_there_are_is_refused() -> None:
    frame = with_comments_in_tile_parts(j2k(tile_size=(16, 16)))
    one_less = frame[: frame.rindex(b"\xff\x90\0\x0a")] + b"\xff\xd9"
    with pytest.raises(ValueError, match="too many"):
        bare(one_less, JPEG2000Lossless)


def rle() -> bytes:
    dataset = image(grey())
    return bytes(RLELosslessEncoder.encode(dataset, index=0))


def test_of_rle_what_segments_decode_to_stays() -> None:
    plain = rle()
    assert bare(plain, RLELossless) == plain
    behind = plain + NAME
    gap = plain[:64] + NAME + plain[64:]
    gap = struct.pack("<2L", 1, 64 + len(NAME)) + gap[8:]
    assert bare(behind, RLELossless) == plain
    with pytest.raises(ValueError, match="no RLE header"):
        bare(gap[:4] + struct.pack("<L", 3) + gap[8:], RLELossless)
    assert NAME not in bare(gap, RLELossless)


def test_of_a_deflated_frame_the_stream_stays() -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    frame = deflater.compress(grey().tobytes()) + deflater.flush()
    assert bare(frame + NAME, DEFLATED_FRAMES) == frame
    with pytest.raises(ValueError, match="cut"):
        bare(frame[:-4], DEFLATED_FRAMES)


def test_of_a_jpeg_xl_file_the_boxes_of_the_picture_stay() -> None:
    code = imagecodecs.jpegxl_encode(grey(), lossless=True)
    boxes = (
        box(b"ftyp", b"jxl \0\0\0\0jxl "),
        box(b"Exif", NAME),
        box(b"jxlc", bytes(code)),
        box(b"xml ", NAME),
    )
    file = b"\0\0\0\x0cJXL \r\n\x87\n" + b"".join(boxes)
    cut = bare(file, JPEG_XL)
    assert NAME not in cut
    assert np.array_equal(imagecodecs.jpegxl_decode(cut), grey())


def image(pixels: np.ndarray[Any, Any], frames: int = 1) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3.4"
    dataset.PatientID, dataset.PatientName = "R-1001", "Roe^Jane"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 7, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PixelData = pixels.tobytes()
    return dataset


def encapsulated(frames: list[bytes], extended: bool = False, fragments: int = 1) -> Dataset:
    dataset = image(grey(), len(frames))
    even = [it + bytes(len(it) % 2) for it in frames]
    if extended:
        value, starts, lengths = encapsulate_extended(even)
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = starts, lengths
    else:
        value = encapsulate(even, fragments_per_frame=fragments)
    dataset.PixelData = value
    dataset["PixelData"].is_undefined_length = True
    return dataset


DIRTY = behind_soi(saved(), segment(0xFE, NAME))


@pytest.mark.parametrize(("extended", "fragments"), [(False, 1), (False, 3), (True, 1)])
def test_only_frames_that_carry_something_are_written_anew(extended: bool, fragments: int) -> None:
    dataset = encapsulated([saved(), DIRTY, saved(), DIRTY], extended, fragments)
    assert has_extras(dataset, clean_icc_profile)
    assert clean_frames(dataset, clean_icc_profile) == 2
    table = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths) if extended else None
    found = list(generate_frames(dataset.PixelData, number_of_frames=4, extended_offsets=table))
    assert [it.rstrip(b"\0") for it in found] == [saved().rstrip(b"\0")] * 4
    assert NAME not in dataset.PixelData
    assert clean_frames(dataset, clean_icc_profile) == 0
    assert not has_extras(dataset, clean_icc_profile)


def test_a_comment_that_a_fragment_cuts_goes() -> None:
    at = DIRTY.index(NAME) + 5
    at += at % 2
    dataset = encapsulated([DIRTY])
    items = [DIRTY[:at], DIRTY[at:] + bytes(len(DIRTY[at:]) % 2)]
    dataset.PixelData = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(it)) + it for it in (b"", *items))
    assert clean_frames(dataset, clean_icc_profile) == 1
    assert NAME[:5] not in dataset.PixelData


@pytest.mark.parametrize("recipe", ["basic", "research", "strict"])
def test_it_is_done_under_every_recipe_and_counted_and_no_pixel_changes(recipe: str) -> None:
    dataset = encapsulated([saved(), behind_soi(saved(), segment(0xE1, b"Exif\0\0GPS 51.5N"))])
    dataset.preamble = bytes(128)
    before = BytesIO()
    dataset.save_as(before, enforce_file_format=True)
    result = deidentify(dcmread(BytesIO(before.getvalue())), load_recipe(recipe), KEY)
    assert b"51.5N" not in result.dataset.PixelData
    after = BytesIO()
    result.dataset.save_as(after)
    identity = load_recipe(recipe).identity(KEY)
    assert verify_pair(before.getvalue(), after.getvalue(), load_recipe(recipe), identity).findings == ()


def test_verify_sees_a_clean_file_whose_frames_carry_something() -> None:
    dataset = encapsulated([saved()])
    dataset.preamble = bytes(128)
    before = BytesIO()
    dataset.save_as(before, enforce_file_format=True)
    recipe = load_recipe("basic")
    clean = deidentify(dataset, recipe, KEY).dataset
    clean.PixelData = encapsulate([DIRTY + bytes(len(DIRTY) % 2)])
    after = BytesIO()
    clean.save_as(after)
    findings = verify_pair(before.getvalue(), after.getvalue(), recipe, recipe.identity(KEY)).findings
    assert [it.check for it in findings] == ["frame_extras"]


def test_video_and_uncompressed_pixels_are_left_alone() -> None:
    dataset = image(grey())
    for syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.102", "1.2.3.4"):
        dataset.file_meta.TransferSyntaxUID = syntax
        assert clean_frames(dataset, clean_icc_profile) == 0


EVERY: dict[str, Callable[[], bytes]] = {
    JPEGBaseline8Bit: lambda: DIRTY,
    JPEGLSLossless: lambda: jpeg_ls(segment(0xFE, NAME)),
    JPEG2000: lambda: with_comments_in_tile_parts(j2k(tile_size=(16, 16))),
    JPEG2000Lossless: lambda: jp2(box(b"xml ", NAME)),
    RLELossless: lambda: rle() + NAME,
    JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(grey()),
    DEFLATED_FRAMES: lambda: zlib.compress(grey().tobytes(), wbits=-15) + NAME,
}


def jpeg_2000_without_length(frame: bytes) -> bytes:
    """Let the tile part go up to the end, as its length 0 says."""
    at = frame.index(b"\xff\x90") + 6
    return frame[:at] + bytes(4) + frame[at + 4 :]


TWO_PICTURES = {
    "JPEG": lambda: saved()[:-2] + saved(),
    "JPEG, two frame headers": lambda: saved()[:-2] + saved()[saved().index(b"\xff\xc0") :],
    "JPEG-LS": lambda: jpeg_ls()[:-2] + jpeg_ls(),
    "JPEG-LS, two frame headers": lambda: jpeg_ls()[:-2] + jpeg_ls()[2:],
    "JPEG 2000": lambda: j2k()[:-2] + j2k(),
    "JPEG 2000, two tile parts for one tile": lambda: jpeg_2000_without_length(j2k())[:-2] + j2k(),
    "JPEG 2000, in the packets": lambda: jpeg_2000_without_length(j2k()[:-12] + j2k() + j2k()[-12:]),
}


@pytest.mark.parametrize("what", TWO_PICTURES)
def test_two_pictures_in_one_are_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"picture|marker|tile part"):
        bare(TWO_PICTURES[what]())


@pytest.mark.parametrize("make", [saved, lambda: jpeg_ls(), lambda: j2k()])
def test_a_second_picture_behind_the_first_is_cut(make: Callable[[], bytes]) -> None:
    assert bare(make() + make()) == bare(make())


def malformed() -> Iterator[tuple[str, bytes]]:
    for syntax, make in EVERY.items():
        frame = make()
        for length in range(0, len(frame), max(len(frame) // 60, 1)):
            yield syntax, frame[:length]


def test_what_is_cut_short_is_refused_or_as_short() -> None:
    for syntax, frame in malformed():
        dataset = encapsulated([frame or b"\0\0"])
        dataset.file_meta.TransferSyntaxUID = syntax
        with suppress(PixelError):
            clean_frames(dataset, clean_icc_profile)
            assert not has_extras(dataset, clean_icc_profile)


@given(data=st.data())
def test_whatever_the_bytes_are_the_answer_is_a_frame_or_a_refusal(data: st.DataObject) -> None:
    syntax = data.draw(st.sampled_from(sorted(EVERY)))
    frame = bytearray(EVERY[syntax]())
    for _ in range(data.draw(st.integers(1, 6))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    dataset = encapsulated([bytes(frame)])
    dataset.file_meta.TransferSyntaxUID = syntax
    try:
        clean_frames(dataset, clean_icc_profile)
    except PixelError:
        return
    assert clean_frames(dataset, clean_icc_profile) == 0


@pytest.mark.parametrize(
    "name", ["JPEG2000.dcm", "SC_rgb_jpeg.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_dcmtk_+eb+cy+n1.dcm"]
)
def test_real_files_decode_to_the_same_pixels(name: str) -> None:
    before, after = (dcmread(str(get_testdata_file(name))) for _ in range(2))
    clean_frames(after, clean_icc_profile)
    assert np.array_equal(before.pixel_array, after.pixel_array)


def test_a_number_of_frames_that_is_no_number_is_one_and_what_is_behind_goes() -> None:
    """A run empties such a number: then one frame is all that anybody sees."""
    dataset = read_dicom(Path(str(get_testdata_file("badVR.dcm"))).read_bytes())
    clean = deidentify(dataset, load_recipe("basic"), bytes(range(32))).dataset
    assert (clean.get("NumberOfFrames"), len(clean.PixelData)) == (None, 10 * 10 * 4)
    assert not has_extras(clean, clean_icc_profile)
