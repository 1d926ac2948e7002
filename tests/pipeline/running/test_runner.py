"""Local runs that cannot end well end at once, with one sentence and exit code 3."""

import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from apache_beam.metrics import monitoring_infos
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.portable_runner import PortableMetrics
from pydicom import dcmread
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from beamstop.dicom.files import encode
from beamstop.recipe.load import load_recipe
from beamstop.testing import make_instance
from beamstop_pipeline.job import Job
from beamstop_pipeline.running import runner
from beamstop_pipeline.running.runner import Watchdog

BOUNCERS = """
import os, signal, threading
from beamstop import Bouncer

class Killer(Bouncer):
    def inspect(self, dataset):
        os.kill(os.getpid(), signal.SIGKILL)

class KillerOfRoe(Bouncer):
    def inspect(self, dataset):
        if dataset.PatientName == "Roe^Jane" and dataset.SOPInstanceUID.endswith("2"):
            os.kill(os.getpid(), signal.SIGKILL)

class Waiter(Bouncer):
    def inspect(self, dataset):
        open(os.environ["MARK"], "w").close()
        threading.Event().wait()

class Sleeper(Bouncer):
    def inspect(self, dataset):
        threading.Event().wait()
"""


def run(
    tmp_path: Path, archive: Path, key_file: Path, bouncer: str, *more: str
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "hostile.py").write_text(BOUNCERS)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"bouncers: [{{bouncer: hostile.{bouncer}}}]\n")
    command = [sys.executable, "-m", "beamstop_pipeline", "run", "--input", str(archive)]
    command += ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit")]
    command += ["--key", str(key_file), "--recipe", str(recipe), *more]
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(tmp_path / "audit" / "instances").to_pylist()
    return table


@pytest.mark.workers
def test_a_killed_worker_ends_the_run(tmp_path: Path, archive: Path, key_file: Path) -> None:
    ended = run(tmp_path, archive, key_file, "Killer", "--workers", "2", "--quiet")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == (
        "beamstop: the run broke: a worker process was lost (killed, out of memory, or a crash in a decoder);"
        " run it again; written files are kept\n"
    )
    assert not (tmp_path / "audit" / "runs").exists()


@pytest.mark.workers
def test_what_killed_a_worker_is_left_alone_by_the_next_run(
    tmp_path: Path, archive: Path, key_file: Path
) -> None:
    broken = run(tmp_path, archive, key_file, "KillerOfRoe", "--workers", "2")
    assert broken.returncode == 3
    ended = run(tmp_path, archive, key_file, "KillerOfRoe", "--workers", "2", "--json")
    assert ended.returncode == 1
    (row,) = [row for row in rows(tmp_path) if row["outcome"] != "written"]
    assert (row["outcome"], row["step"], row["reason"]) == ("failed", "ReadDicom", "killed_worker")
    assert len(rows(tmp_path)) == 3
    assert not list((tmp_path / "audit" / ".partial").rglob("*"))
    # It has been said: a third run tries again.
    assert run(tmp_path, archive, key_file, "KillerOfRoe", "--workers", "2").returncode == 3


def test_what_stalled_a_run_is_left_alone_by_the_next(tmp_path: Path, archive: Path, key_file: Path) -> None:
    for name in ("1.dcm", "2.dcm"):
        (archive / name).unlink()
    more = ("--workers", "1", "--stall-timeout")
    assert run(tmp_path, archive, key_file, "Sleeper", *more, "8").returncode == 3
    assert run(tmp_path, archive, key_file, "Sleeper", *more, "60").returncode == 1
    (row,) = rows(tmp_path)
    assert (row["outcome"], row["reason"]) == ("failed", "stalled_worker")


def test_a_worker_that_is_at_one_source_for_too_long_is_stalled_whatever_the_others_finish(
    tmp_path: Path,
) -> None:
    job = Job(
        inputs=("in",), output="out", audit="audit", recipe=load_recipe("basic"), key="key", stall_timeout=0
    )
    watchdog = Watchdog(job, str(tmp_path), lambda counts: None)
    stuck, busy, idle = (tmp_path / f"working-{number}-a" for number in (77, 78, 79))
    stuck.write_text("f" * 32)
    idle.write_text("")
    for number in range(3):
        busy.write_text(f"{number}" * 32)
        os.utime(busy, ns=(number, number))
        stalled = watchdog.stalled()
    assert stalled == {77}


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.workers)])
def test_a_run_that_stands_still_is_ended(
    tmp_path: Path, archive: Path, key_file: Path, workers: str
) -> None:
    ended = run(tmp_path, archive, key_file, "Sleeper", "--workers", workers, "--stall-timeout", "8")
    assert ended.returncode == 3
    assert ended.stderr == (
        "beamstop: the run broke: no source was finished for 8 seconds; run it again; "
        "written files are kept\n"
    )


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.workers)])
def test_a_run_that_is_told_to_end_says_so_and_ends_at_once(
    tmp_path: Path, archive: Path, key_file: Path, workers: str
) -> None:
    """SIGTERM to all of its processes, as systemd and Kubernetes send it; no source is to blame."""
    (tmp_path / "hostile.py").write_text(BOUNCERS)
    (tmp_path / "recipe.yaml").write_text("bouncers: [{bouncer: hostile.Waiter}]\n")
    (tmp_path / "tmp").mkdir()
    mark, path = tmp_path / "mark", os.pathsep.join([str(tmp_path), *sys.path])
    places = ["--input", str(archive), "--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit")]
    settings = ["--key", str(key_file), "--recipe", str(tmp_path / "recipe.yaml"), "--workers", workers]
    command = subprocess.Popen(
        [sys.executable, "-m", "beamstop_pipeline", "run", *places, *settings, "--quiet"],
        env={**os.environ, "PYTHONPATH": path, "MARK": str(mark), "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not mark.exists():
        assert command.poll() is None
        time.sleep(0.05)
    os.killpg(command.pid, signal.SIGTERM)
    _, said = command.communicate(timeout=30)
    assert command.returncode == 3
    assert said == ("beamstop: the run broke: it received SIGTERM; run it again; written files are kept\n")
    assert not list((tmp_path / "tmp").iterdir())
    assert not (tmp_path / "audit" / ".partial" / "suspects").exists()
    deadline = time.monotonic() + 10
    while lives(command.pid):
        assert time.monotonic() < deadline


def lives(group: int) -> bool:
    """Return whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    time.sleep(0.05)
    return True


def inflates_to(megabytes: int, path: Path) -> None:
    """Write a small instance whose dataset is deflated: a text of so many megabytes behind the usual."""
    dataset = make_instance(SOPInstanceUID="1.2.3.9")
    whole = encode(dataset).data
    head = dcmread(BytesIO(whole))
    head.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    start = 132 + 12 + head.file_meta.FileMetaInformationGroupLength
    meta = BytesIO()
    write_file_meta_info(meta, head.file_meta)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    text = struct.pack("<HH2s2xL", 0x0040, 0xA160, b"UT", megabytes << 20)
    begun = deflater.compress(whole[start:] + text) + deflater.flush(zlib.Z_FULL_FLUSH)
    # Between two full flushes the same bytes mean the same, however often.
    megabyte = deflater.compress(b"text" * (1 << 18)) + deflater.flush(zlib.Z_FULL_FLUSH)
    data = begun + megabyte * megabytes + deflater.flush()
    path.write_bytes(bytes(128) + b"DICM" + meta.getvalue() + data)


def peak_of_workers(command: subprocess.Popen[str]) -> int:
    """Return the most megabytes that a worker process of a command held while it ran."""
    peak = 0
    while command.poll() is None:
        with suppress(psutil.Error):
            for process in psutil.Process(command.pid).children(recursive=True):
                if "beamstop_pipeline.worker" in process.cmdline() and process.name() != "sh":
                    peak = max(peak, process.memory_info().rss >> 20)
        time.sleep(0.005)
    return peak


@pytest.mark.workers
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_worker_that_takes_more_memory_than_it_may_is_ended_and_its_source_left_alone_by_the_next_run(
    tmp_path: Path, archive: Path, key_file: Path, workers: str
) -> None:
    inflates_to(400, archive / "eater.dcm")
    places = ["--input", str(archive), "--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit")]
    settings = ["--key", str(key_file), "--recipe", "basic", "--workers", workers, "--max-memory", "512"]
    settings += ["--max-bytes", str(1 << 30)]  # more than the memory suffices for
    command = [sys.executable, "-m", "beamstop_pipeline", "run", *places, *settings, "--quiet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as broken:
        peak = peak_of_workers(broken)
        assert broken.stderr is not None
        assert broken.stderr.read() == (
            "beamstop: the run broke: a worker process took more than the 512 MB of --max-memory;"
            " run it again; written files are kept\n"
        )
    assert broken.returncode == 3
    assert 300 < peak < 512 + 150  # what it can take between two looks
    assert subprocess.run(command, check=False).returncode == 1
    outcomes = sorted((row["outcome"], row["step"], row["reason"]) for row in rows(tmp_path))
    assert outcomes == [
        ("failed", "ReadDicom", "out_of_memory"),
        *[("written", "WriteDicom", None)] * 3,
    ]
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3


class Elsewhere:
    """A job on another runner, which ends when its progress was asked for three times."""

    def __init__(self) -> None:
        self.asked, self.over = list[int](), threading.Event()
        self.kept: PortableMetrics | None = None

    def metrics(self) -> PortableMetrics:
        """Return what is counted; a result of Beam's portable runners keeps that."""
        if self.kept is None:
            self.asked.append(len(self.asked) + 1)
            if len(self.asked) == 3:
                self.over.set()
            if len(self.asked) == 1:
                raise NotImplementedError  # it has none yet
            written = monitoring_infos.int64_user_counter(
                "WriteDicom", "written", self.asked[-1], ptransform="s"
            )
            self.kept = PortableMetrics(
                beam_job_api_pb2.GetJobMetricsResponse(
                    metrics=beam_job_api_pb2.MetricResults(attempted=[written])
                )
            )
        return self.kept


def test_the_progress_of_a_job_elsewhere_is_told_anew_from_its_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "_ASK_EVERY", 0.01)
    job, told = Elsewhere(), list[Counter[str]]()
    with runner._reporting(job, told.append):
        assert job.over.wait(10)
        until = time.monotonic() + 10
        while len(told) < 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert [it["written"] for it in told[:2]] == [2, 3]
    assert job.kept is None  # what is asked at the end is what there is at the end
