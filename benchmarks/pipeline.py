"""The whole job beside a plain loop over `beamstop.deidentify_bytes`: CPU, time, memory, and how they grow.

Every row is a process of its own, looked at from outside: CPU seconds of it and of all its children, and
the largest sum of their PSS. What a further file takes is the difference of two sizes, so that the start of
the processes is not in it; of several rounds, the least of each figure. Two loops at once, on halves of the
archive, are what this machine gives to two processes that share nothing. What Beam costs is less than what a
machine's speed varies by from one minute to the next: `overhead` runs steps and job in turns.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from beamstop_transforms import match
from beamstop_transforms.stores import gcs

LOOP = """
import os, sys
from pathlib import Path
from beamstop import deidentify_bytes, load_recipe
recipe, key, loops = load_recipe(sys.argv[1]), Path(sys.argv[2]).read_bytes(), int(sys.argv[3])
out = Path(sys.argv[5])
mine = next((loop for loop in range(1, loops) if os.fork() == 0), 0)
for path in sorted(Path(sys.argv[4]).iterdir())[mine::loops]:
    (out / path.name).write_bytes(deidentify_bytes(path.read_bytes(), recipe, key))
if mine == 0:
    sys.exit(sum(os.wait()[1] for _ in range(1, loops)))
"""
STEPS = str(Path(__file__).with_name("steps.py"))


@dataclass(frozen=True)
class Cost:
    """What one process and its children took: seconds by the clock, CPU seconds, MiB of PSS at most."""

    seconds: float
    cpu: float
    memory: float


def main() -> None:
    """Measure and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "overhead", "text", "rows", "listing", "bucket"])
    parser.add_argument("--files", type=int, default=2000, help="small ones; of rows: sources")
    parser.add_argument("--large", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        base = Path(folder)
        if arguments.what in ("speed", "text"):
            recipe = "basic" if arguments.what == "speed" else "default"
            speed(base, recipe, arguments.files, "small", arguments.rounds)
            speed(base, recipe, arguments.large, "large", arguments.rounds)
        elif arguments.what == "overhead":
            overhead(base, arguments.files, arguments.rounds)
        elif arguments.what == "rows":
            rows(base, arguments.files)
        elif arguments.what == "listing":
            listing(str(plant_empty(base / "many", arguments.files)))
        else:
            gcs._client = lambda: Bucket(arguments.files)  # type: ignore[assignment]
            listing("gs://bucket/in/**")


def speed(base: Path, recipe: str, count: int, kind: str, rounds: int) -> None:
    """Print what loops and jobs on one and two processes take for instances of one kind."""
    few = max(count // 10, 2)
    archives = {number: base / f"{kind}-{number}" for number in (few, count)}
    for number, archive in archives.items():
        plant(archive, number, kind)
    size = next(archives[few].iterdir()).stat().st_size
    print(f"\n{count} {kind} instances of {size / 1000:.0f} kB, recipe {recipe}\n")
    print("| | seconds | CPU s | further files/s | CPU ms per further file | peak PSS, MiB |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, command in contenders(base, recipe):
        first, cost = (least(command, archives[number], rounds) for number in (few, count))
        further = (count - few) / (cost.seconds - first.seconds)
        cpu = 1000 * (cost.cpu - first.cpu) / (count - few)
        rates = f"{further:.1f} | {cpu:.2f} | {cost.memory:.0f}"
        print(f"| {name} | {cost.seconds:.1f} | {cost.cpu:.1f} | {rates} |", flush=True)


def overhead(base: Path, count: int, rounds: int) -> None:
    """Print what Beam costs: CPU of the job with one worker less that of its steps, in turns."""
    archives = {number: base / f"small-{number}" for number in (count // 10, count)}
    for number, archive in archives.items():
        plant(archive, number, "small")
    every = dict(contenders(base, "basic"))
    print("| | steps, ms a further file | job | Beam, median of rounds | each |\n|---|--:|--:|--:|---|")
    for detail in ("instances", "changes"):
        pair = [every[f"steps without Beam, {detail}"], every[f"1 worker(s), {detail}"]]
        spent = np.empty((rounds, 2))
        for at in range(rounds):
            for which in (0, 1) if at % 2 else (1, 0):
                few, many = (measure([*pair[which](archive)]).cpu for archive in archives.values())
                spent[at, which] = 1000 * (many - few) / (count - count // 10)
        beam = spent[:, 1] - spent[:, 0]
        steps, job = np.median(spent, axis=0)
        each = ", ".join(f"{it:.2f}" for it in beam)
        print(f"| {detail} | {steps:.2f} | {job:.2f} | {np.median(beam):.2f} | {each} |", flush=True)


def contenders(base: Path, recipe: str) -> Iterator[tuple[str, "Command"]]:
    """Yield name and command of the loops and of the jobs."""
    key = base / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    for loops, name in ((1, "plain loop"), (2, "two loops at once")):
        yield name, Command(base, ["-c", LOOP, recipe, str(key), str(loops)], [], False)
    common = ["--recipe", recipe, "--key", str(key), "--quiet", "--workers"]
    for detail in ("instances", "changes"):
        if recipe == "basic":
            yield f"steps without Beam, {detail}", Command(base, [STEPS, recipe, str(key), detail], [], False)
        for workers in (1, 2):
            after = [*common, str(workers), "--audit-detail", detail]
            yield f"{workers} worker(s), {detail}", Command(base, [], after, True)


@dataclass
class Command:
    """A command line that is completed by the archive, with empty targets each time."""

    base: Path
    before: list[str]
    after: list[str]
    job: bool

    def __call__(self, archive: Path) -> Iterator[str]:
        """Yield its parts."""
        shutil.rmtree(self.base / "out", ignore_errors=True)
        out = self.base / "out"
        out.mkdir()
        yield sys.executable
        if self.job:
            yield from ("-m", "beamstop_pipeline", "run", "--input", str(archive))
            yield from ("--output", str(out / "o"), "--audit", str(out / "a"))
        else:
            yield from (*self.before, str(archive), str(out))
        yield from self.after


def least(command: "Command", archive: Path, rounds: int) -> Cost:
    """Run a command so many times on an archive; return the least of each figure."""
    costs = [measure([*command(archive)]) for _ in range(rounds)]
    return Cost(*(min(getattr(it, name) for it in costs) for name in ("seconds", "cpu", "memory")))


def measure(command: list[str]) -> Cost:
    """Run a command; return what it took.

    Raises:
        SystemExit: it failed.
    """
    before, started = os.times(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = [0.0]
    watch = threading.Thread(target=_watch, args=(process, peak))
    watch.start()
    if process.wait() > 1:
        raise SystemExit(f"{command} ended with {process.returncode}")
    seconds, after = time.perf_counter() - started, os.times()
    watch.join()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(seconds, cpu, peak[0])


def _watch(process: "subprocess.Popen[bytes]", peak: list[float]) -> None:
    """Note the largest sum of PSS of a process and its children until it ends."""
    while process.poll() is None:
        try:
            root = psutil.Process(process.pid)
            together = sum(_pss(it) for it in [root, *root.children(recursive=True)])
        except psutil.NoSuchProcess:
            return
        peak[0] = max(peak[0], together / 2**20)
        time.sleep(0.25)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def plant(archive: Path, count: int, kind: str) -> None:
    """Write CT instances of 128×128 (small) or of 40 frames of 512×512 (large)."""
    archive.mkdir()
    dataset = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    if kind == "large":
        dataset.Rows = dataset.Columns = 512
        dataset.NumberOfFrames = 40
        frame = np.random.default_rng(0).integers(0, 1000, 512 * 512, dtype=np.uint16)
        dataset.PixelData = frame.tobytes() * 40
    for number in range(count):
        uid = UID(f"1.2.826.0.1.3680043.10.99.{number + 1}")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        buffer = BytesIO()
        dataset.save_as(buffer)
        (archive / f"{number:06}.dcm").write_bytes(buffer.getvalue())


def plant_empty(archive: Path, count: int) -> Path:
    """Make so many empty files, 500 in a folder and 100 folders in a folder; return where they are."""
    for at in range(count):
        folder = archive / f"{at // 50_000:03}" / f"{at // 500:05}"
        if at % 500 == 0:
            folder.mkdir(parents=True)
        (folder / f"{at:08}.dcm").touch()
    return archive


def rows(base: Path, count: int) -> None:
    """Print what the memory of a job does with the number of its sources; none of them is DICOM."""
    print("| sources | workers | CPU s | CPU ms per source | peak PSS, MiB |\n|--:|--:|--:|--:|--:|")
    key = base / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    for number in (count // 10, count):
        archive = plant_empty(base / f"rows-{number}", number)
        for workers in (1, 2):
            after = ["--recipe", "basic", "--key", str(key), "--quiet", "--workers", str(workers)]
            cost = measure([*Command(base, [], after, True)(archive)])
            each = 1000 * cost.cpu / number
            print(f"| {number} | {workers} | {cost.cpu:.1f} | {each:.2f} | {cost.memory:.0f} |", flush=True)


def listing(pattern: str) -> None:
    """Print what it takes to list what a pattern names, and how much of it is held."""
    begun = time.process_time()
    found = sum(1 for _ in listed(pattern))
    cpu = time.process_time() - begun
    parts = sum(isinstance(it, match.Branch) for it in match.branch(pattern))
    tracemalloc.start()
    for _ in listed(pattern):
        continue
    held = tracemalloc.get_traced_memory()[1] / 2**20
    each = cpu / found * 1e6
    print(f"{found} in {parts} parts: {cpu:.1f} s, {each:.1f} µs each, {held:.2f} MiB held at a time")


def listed(pattern: str) -> Iterator[match.Source]:
    """Yield all sources, part by part, as workers would."""
    for it in match.branch(pattern):
        if isinstance(it, match.Branch):
            yield from match.list_branch(it)
        else:
            yield it


class Bucket:
    """A bucket of so many objects under in/, whose pages are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def list_blobs(self, bucket: str, prefix: str, delimiter: str | None = None, **_: object) -> "Listing":
        """Answer as Google's client does."""
        depth = prefix.count("/")
        size = (self._count, 50_000, 500)[depth - 1]
        first = int(prefix.split("/")[-2]) * size if depth > 1 else 0
        numbers = range(first, min(first + size, self._count))
        if delimiter is None or depth == 3:
            return Listing(numbers, [])
        step, digits = ((50_000, 3), (500, 5))[depth - 1]
        return Listing(range(0), [f"{prefix}{at // step:0{digits}}/" for at in numbers[::step]])


@dataclass
class Listing:
    """Objects by their numbers, and longer prefixes."""

    numbers: range
    prefixes: list[str]

    def __iter__(self) -> Iterator[SimpleNamespace]:
        """Yield the objects."""
        for at in self.numbers:
            name = f"in/{at // 50_000:03}/{at // 500:05}/{at:08}.dcm"
            yield SimpleNamespace(name=name, size=1, generation=1)

    @property
    def pages(self) -> "Iterator[Listing]":
        """Yield pages of a thousand objects; all prefixes are on the first."""
        for at in range(0, max(len(self.numbers), 1), 1000):
            yield Listing(self.numbers[at : at + 1000], self.prefixes if at == 0 else [])


if __name__ == "__main__":
    main()
