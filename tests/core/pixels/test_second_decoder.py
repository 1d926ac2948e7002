"""A second decoder: instead of the first where that fails, beside it to see whether both see the same."""

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import UID
from tests.core.pixel_fixtures import COLUMNS, HIDDEN, ROWS, compressed, hide, with_block
from tests.core.pixels.test_colour import KINDS

from beamstop.errors import PixelError
from beamstop.identity import Identity
from beamstop.pixels import decoder_child, encapsulated
from beamstop.pixels.decoder_child import Decoded, DisputedError, PixelDescription, decode_codestream
from beamstop.pixels.encoders import encode_frame
from beamstop.pixels.frames import open_frames
from beamstop.testing import BlockDetector, make_image
from beamstop.text.detector import TextPolicy
from beamstop.text.hiding import hide_text_in_frames
from beamstop.text.judge import TextJudge

LOSSLESS, LOSSY = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
JPEG_LS = "1.2.840.10008.1.2.4.80"
STATED = PixelDescription(LOSSLESS, 16, 20, 1, "MONOCHROME2", False, 16, 12, False)
DARK = np.zeros(STATED.shape, np.uint16)


def sees(cells: Any) -> Callable[[bytes, PixelDescription], tuple[Any, str]]:
    return lambda codestream, stated: (cells, "MONOCHROME2")


def refuses(codestream: bytes, stated: PixelDescription) -> tuple[Any, str]:
    raise ValueError("Roe^Jane")


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Decoded]:
    """Return `decode_codestream` with decoders named 1, 2, 3 … that see what is given."""

    def decode(*each: Any, compare: bool = True, **stated: Any) -> Decoded:
        named = [(str(number), it) for number, it in enumerate(each, 1)]
        monkeypatch.setattr(decoder_child, "_DECODERS", {LOSSLESS: named, LOSSY: named})
        return decode_codestream(b"", STATED._replace(**stated), compare)

    return decode


def test_the_first_decoder_is_enough_unless_asked_to_compare(decoders) -> None:
    assert decoders(sees(DARK), sees(DARK + 1), compare=False).decoder == ""


def test_decoders_that_see_the_same_agree_and_the_first_counts(decoders) -> None:
    assert decoders(sees(DARK), sees(DARK.astype(np.uint8))).decoder == ""


def test_decoders_that_see_another_pixel_in_a_lossless_syntax_disagree(decoders) -> None:
    other = DARK.copy()
    other[15, 19] = 1
    with pytest.raises(DisputedError):
        decoders(sees(DARK), sees(other))


def test_unused_bits_and_signs_are_no_disagreement(decoders) -> None:
    below = np.full(STATED.shape, -5, np.int16)
    decoded = decoders(sees(below), sees(below.astype(np.uint16) & 0xFFF), signed=True)
    assert np.array_equal(decoded.cells, below)


@pytest.mark.parametrize(("level", "agree"), [(256, True), (257, False)])
def test_in_a_lossy_syntax_means_of_blocks_may_be_a_sixteenth_of_the_range_apart(
    decoders, level: int, agree: bool
) -> None:
    other = DARK.copy()
    other[8:, 8:] = level  # a block with what is left at the edge
    if agree:
        decoders(sees(DARK), sees(other), syntax=LOSSY)
    else:
        with pytest.raises(DisputedError):
            decoders(sees(DARK), sees(other), syntax=LOSSY)


@pytest.mark.parametrize(
    ("colour", "side", "agree"),
    [((19, 19, 19), 8, False), ((255, 0, 0), 3, True), ((0, 0, 60), 8, True), ((0, 0, 60), 16, False)],
)
def test_luminance_is_compared_in_blocks_of_8_and_colour_in_blocks_of_16(
    decoders, colour: tuple[int, ...], side: int, agree: bool
) -> None:
    dark = np.zeros((32, 40, 3), np.uint8)
    other = dark.copy()
    other[:side, :side] = colour
    about: Any = {"rows": 32, "columns": 40, "samples": 3, "bits_allocated": 8, "bits_stored": 8}
    if agree:
        decoders(sees(dark), sees(other), syntax=LOSSY, **about)
    else:
        with pytest.raises(DisputedError):
            decoders(sees(dark), sees(other), syntax=LOSSY, **about)


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "411", "440"])
@pytest.mark.parametrize("rows", [64, 65])
def test_ways_to_enlarge_subsampled_colour_are_no_disagreement(subsampling: str, rows: int) -> None:
    checks = (np.indices((rows, 70)) // 8).sum(axis=0) % 2 * 255
    frame = np.stack([checks, 255 - checks, np.roll(checks, 5, axis=1)], axis=-1).astype(np.uint8)
    stream = imagecodecs.jpeg8_encode(
        frame, level=90, colorspace="RGB", outcolorspace="YCBCR", subsampling=subsampling
    )
    stated = PixelDescription("1.2.840.10008.1.2.4.50", rows, 70, 3, "YBR_FULL_422", False, 8, 8, False)
    assert decode_codestream(bytes(stream), stated, compare=True).decoder == ""


@pytest.mark.parametrize(("third", "agree"), [(0, True), (1, False)])
def test_a_decoder_that_refuses_says_nothing_and_the_next_is_asked(decoders, third: int, agree: bool) -> None:
    if agree:
        assert decoders(sees(DARK), refuses, sees(DARK + third)).decoder == ""
    else:
        with pytest.raises(DisputedError):
            decoders(sees(DARK), refuses, sees(DARK + third))


def test_one_decoder_is_enough_if_no_other_reads_it(decoders) -> None:
    assert decoders(sees(DARK), refuses).decoder == ""


@pytest.mark.parametrize("compare", [True, False])
def test_where_the_first_decoder_refuses_two_others_must_agree(decoders, compare: bool) -> None:
    """Some decoders paint over what they cannot read: one alone is not believed."""
    assert decoders(refuses, sees(DARK), sees(DARK), compare=compare).decoder == "2"
    with pytest.raises(DisputedError):
        decoders(refuses, sees(DARK), sees(DARK + 1), compare=compare)
    with pytest.raises(ValueError, match="Roe"):
        decoders(refuses, sees(DARK), compare=compare)
    with pytest.raises(ValueError, match="Roe"):
        decoders(refuses, sees(DARK), refuses, compare=compare)


def test_cells_of_another_shape_or_beyond_their_type_are_refused(decoders) -> None:
    for wrong in (DARK[1:], DARK.astype(np.uint32) + (1 << 16)):
        with pytest.raises(ValueError, match=r"^$"):
            decoders(sees(wrong))


GREY = {
    "8 bits": (with_block(200).astype("u1"), 8),
    "12 bits": (with_block(3000).astype("u2"), 12),
    "16 bits signed": ((with_block(200) - 1000).astype("i2"), 16),
}
SYNTAXES = ("5", "4.57", "4.70", "4.80", "4.81", "4.90", "4.91", "4.201", "4.202", "4.203")


@pytest.mark.parametrize("kind", GREY)
@pytest.mark.parametrize("syntax", [f"1.2.840.10008.1.2.{tail}" for tail in SYNTAXES])
def test_every_syntax_has_two_decoders_that_agree_on_grey(syntax: str, kind: str) -> None:
    frame, bits = GREY[kind]
    stream = encode_frame(UID(syntax), frame, bits, "MONOCHROME2")
    assert stream is not None
    stated = PixelDescription(
        syntax, ROWS, COLUMNS, 1, "MONOCHROME2", False, 8 * frame.itemsize, bits, frame.dtype.kind == "i"
    )
    two_agree(stream, stated)


@pytest.mark.parametrize("kind", [kind for kind, (*_, stated, _) in KINDS.items() if "called" not in kind])
def test_every_syntax_has_two_decoders_that_agree_on_colour(kind: str) -> None:
    syntax, _, after, make = KINDS[kind]
    photometric = after.replace("YBR_FULL", "YBR_FULL_422") if "4:2:2" in kind and "JPEG L" in kind else after
    two_agree(bytes(make()), PixelDescription(syntax, ROWS, COLUMNS, 3, photometric, False, 8, 8, False))


@pytest.mark.parametrize("bits", [8, 12])
def test_two_decoders_agree_on_grey_jpeg(bits: int) -> None:
    frame = with_block(200 << (bits - 8)).astype("u1" if bits == 8 else "u2")
    stream = imagecodecs.jpeg8_encode(frame, level=90, bitspersample=bits)
    syntax = "1.2.840.10008.1.2.4.51"
    stated = PixelDescription(syntax, ROWS, COLUMNS, 1, "MONOCHROME2", False, 8 * frame.itemsize, bits, False)
    two_agree(bytes(stream), stated)


def two_agree(stream: bytes, stated: PixelDescription) -> None:
    """Check that a second decoder does read a codestream, and sees the same."""
    first, second = decoder_child._decoders(stated)[:2]
    assert second[1](stream, stated)[0].shape == first[1](stream, stated)[0].shape == stated.shape
    assert decode_codestream(stream, stated, compare=True).decoder == ""


def zero_before_end(frame: Any) -> bytes:
    """Return JPEG-LS with a 00 before its end marker: one version of CharLS refuses it, another reads it."""
    stream = encode_frame(UID(JPEG_LS), frame, 8, "MONOCHROME2")
    assert stream is not None
    return stream.rstrip(b"\0")[:-2] + b"\0\xff\xd9"


def test_what_the_first_decoder_refuses_is_cleaned_and_the_report_says_who_read_it() -> None:
    frame = with_block(200).astype("u1")
    dataset = make_image(frame)
    compressed(dataset, JPEG_LS, codestreams=[zero_before_end(frame)])
    report = hide(dataset, TextPolicy(), BlockDetector())
    wanted = frame.copy()
    wanted[HIDDEN] = 10
    frames = open_frames(dataset)
    assert frames is not None
    assert report.decoders == ("charls",)
    assert dataset.file_meta.TransferSyntaxUID == JPEG_LS
    assert np.array_equal(frames.decode(0).cells, wanted)
    assert not frames.decoders


def compared(
    monkeypatch: pytest.MonkeyPatch, uids: list[str], samples: int, identity: Identity | None = None
) -> list[list[bool]]:
    """Return, by instance of three frames, which of them a second decoder is asked for."""
    asked: list[list[bool]] = []

    def decode(codestream: bytes, stated: PixelDescription, compare: bool) -> Decoded:
        asked[-1].append(compare)
        return decode_codestream(codestream, stated)

    monkeypatch.setattr(encapsulated, "decode_frame", decode)
    monkeypatch.setattr(encapsulated, "_MANY_SAMPLES", samples)
    frames = np.stack([with_block(each) for each in (20, 21, 22)]).astype("u1")
    for uid in uids:
        dataset = make_image(frames, SOPInstanceUID=uid)
        compressed(dataset, "1.2.840.10008.1.2.5")
        asked.append([])
        hide_text_in_frames(dataset, TextJudge(TextPolicy(), dataset), BlockDetector(), identity)
    return asked


def test_a_second_decoder_reads_the_first_frame_of_every_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    for first, *rest in compared(monkeypatch, ["1.2.3", "1.2.4"], ROWS * COLUMNS + 1):
        assert first
        assert not any(rest)


def test_of_large_frames_uid_and_key_choose_one_instance_in_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes a file cannot tell whether it is one of these."""
    uids = [f"1.2.{number}" for number in range(80)]
    asked = compared(monkeypatch, uids, ROWS * COLUMNS, Identity(b"k" * 32))
    chosen = {uid for uid, (first, *_) in zip(uids, asked, strict=True) if first}
    assert len(chosen) == 6
    assert not any(any(rest) for _, *rest in asked)
    assert compared(monkeypatch, uids, ROWS * COLUMNS, Identity(b"k" * 32)) == asked
    assert compared(monkeypatch, uids, ROWS * COLUMNS, Identity(b"j" * 32)) != asked


def test_without_a_key_large_frames_of_every_instance_are_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = compared(monkeypatch, ["1.2.3", "1.2.4", "1.2.5"], ROWS * COLUMNS)
    assert [first for first, *_ in asked] == [True, True, True]


def test_an_instance_that_two_decoders_see_differently_is_refused() -> None:
    """libjpeg-turbo writes subsampled lossless JPEG that no two decoders read alike."""
    frame = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    frame[20:40, 30:70] = 200, 90, 30
    stream = imagecodecs.jpeg8_encode(
        frame, lossless=True, predictor=1, colorspace="YCBCR", outcolorspace="YCBCR", subsampling="422"
    )
    dataset = make_image(frame, "RGB")
    compressed(dataset, "1.2.840.10008.1.2.4.70", codestreams=[bytes(stream)])
    with pytest.raises(PixelError, match="decoders_disagree"):
        hide(dataset, TextPolicy(), BlockDetector())
