"""A codec that crashes, hangs or eats memory costs its frame, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from beamstop.errors import PixelError
from beamstop.pixels.decoder import Decoder, DecoderLimits, decode_frame, limit_decoder
from beamstop.pixels.decoder_child import PixelDescription
from beamstop.pixels.encoders import encode_frame
from beamstop.pixels.frames import open_frames

HOSTILE = Path(__file__).with_name("hostile_decoder.py")
STATED = PixelDescription("1.2.840.10008.1.2.4.90", 4, 4, 1, "MONOCHROME2", False, 32, 32, False)


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(DecoderLimits(memory=1024, seconds=1), HOSTILE)
    yield decoder
    decoder.close()


def pid(decoder: Decoder) -> int:
    return int(decoder.decode(b"pid", STATED)[0][0, 0])


def refusal(decoder: Decoder, order: bytes) -> str:
    with pytest.raises(PixelError) as refused:
        decoder.decode(order, STATED)
    return str(refused.value)


@pytest.mark.parametrize("order", [b"segfault", b"abort", b"exit", b"lie", b"boast"])
def test_a_decoder_that_dies_costs_its_frame_and_is_replaced(decoder, order):
    before = pid(decoder)
    assert refusal(decoder, order) == "decoder_crashed: PixelData: 1.2.840.10008.1.2.4.90"
    assert pid(decoder) != before
    assert not psutil.pid_exists(before)


@pytest.mark.parametrize("order", [b"hang", b"loop"])
def test_a_decoder_that_hangs_costs_its_frame_and_is_replaced(decoder, order):
    before = pid(decoder)
    assert refusal(decoder, order) == "decoder_timeout: PixelData: 1.2.840.10008.1.2.4.90"
    assert pid(decoder) != before
    assert not psutil.pid_exists(before)


@pytest.mark.parametrize("order", [b"eat", b"map", b"fault", b"other shape"])
def test_a_frame_that_does_not_decode_leaves_the_process_alone(decoder, order):
    before = pid(decoder)
    assert refusal(decoder, order) == "pixels_undecodable: PixelData: 1.2.840.10008.1.2.4.90"
    assert pid(decoder) == before


def test_two_decoders_that_disagree_leave_the_process_alone(decoder):
    before = pid(decoder)
    with pytest.raises(PixelError, match=r"^decoders_disagree: PixelData: 1\.2\.840\.10008\.1\.2\.4\.90$"):
        decoder.decode(b"disagree", STATED, compare=True)
    assert decoder.decode(b"disagree", STATED).photometric == "MONOCHROME2"
    assert pid(decoder) == before


@pytest.mark.parametrize("order", [b"second crashes", b"second hangs"])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_second_decoder_that_dies_costs_the_comparison_alone(decoder, order, is_new):
    if not is_new:
        pid(decoder)
    assert decoder.decode(order, STATED, compare=True).photometric == "MONOCHROME2"


def test_memory_is_had_below_the_limit():
    decoder = Decoder(DecoderLimits(memory=1 << 14), HOSTILE)
    try:
        assert decoder.decode(b"map", STATED)[1] == "MONOCHROME2"
    finally:
        decoder.close()


def test_a_frame_does_not_suffer_from_an_earlier_one(decoder):
    decoder.decode(b"poison", STATED)
    cells, photometric, _ = decoder.decode(b"suffer", STATED)
    assert (cells.tolist(), photometric) == (np.zeros((4, 4)).tolist(), "MONOCHROME2")


def test_one_process_serves_frame_after_frame_and_thread_after_thread(decoder):
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: pid(decoder), range(40)))) == 1


def test_what_a_decoder_prints_is_not_heard(decoder, capfd):
    decoder.decode(b"print", STATED)
    assert capfd.readouterr() == ("", "")


def test_a_decoder_sees_no_key(decoder, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "abc")
    assert decoder.decode(b"environment", STATED)[1] == "none"


def test_cells_can_be_written_to(decoder):
    decoder.decode(b"", STATED)[0][:] = 1


def test_no_process_outlives_its_parent():
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); from test_decoder import *;"
        "print(pid(Decoder(DecoderLimits(), HOSTILE)), flush=True); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)], capture_output=True, check=False
    )
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(ended.stdout)).wait(10)


def test_a_forked_process_starts_a_decoder_of_its_own():
    stated = STATED._replace(syntax="1.2.840.10008.1.2.5", bits_allocated=8, bits_stored=8)
    cells = np.arange(16, dtype=np.uint8).reshape(4, 4)
    frame = encode_frame(stated.syntax, cells, 8, "MONOCHROME2")
    assert frame is not None
    decode_frame(frame, stated)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(decode_frame(frame, stated)[0], cells) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(decode_frame(frame, stated)[0], cells)


def test_the_limits_of_this_process_hold_for_its_frames():
    dataset = dcmread(get_testdata_file("JPEG2000.dcm"))
    frames = open_frames(dataset)
    assert frames is not None
    try:
        limit_decoder(DecoderLimits(memory=150))
        with pytest.raises(PixelError):
            frames.decode(0)
    finally:
        limit_decoder(DecoderLimits())
    assert frames.decode(0).shape == (dataset.Rows, dataset.Columns)
