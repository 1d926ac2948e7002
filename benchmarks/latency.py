"""The job on object stores that answer 50 ms late: seconds by the clock and CPU a further file and process.

A stand-in for the store runs on this machine (moto for s3://, fake-gcs-server for gs://, Azurite for az://),
and something between it and the job holds each request back, and with --line every body, too. The clean
files are compared, byte for byte, with those of a run from and to local folders.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from tests import buckets
from tests.between import between
from tests.buckets import Bucket

from beamstop.testing import make_image, make_instance


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="+", choices=buckets.KINDS)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that each request takes longer")
    parser.add_argument("--size", type=float, default=0.0, help="MB of pixels in a file; none by default")
    parser.add_argument("--line", type=float, help="MB a second that the line carries in each direction")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    print("| store | files | seconds | wall ms a further file, process | MB/s | CPU ms | requests | same |")
    print("|---|--:|--:|--:|--:|--:|--:|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        base = Path(folder)
        key = base / "key"
        key.write_bytes(hashlib.sha256(b"a key that opens nothing").digest())
        key.chmod(0o600)
        few, many = max(arguments.files // 4, 1), arguments.files
        local = {number: plant(base / f"in-{number}", number, arguments.size) for number in (few, many)}
        run([str(local[many])], str(base / "clean"), str(base / "audit-0"), key, arguments.workers)
        wanted = digests_of(base / "clean")
        for kind in arguments.kinds:
            line = arguments.line and 1e6 * arguments.line
            with buckets.running(kind, base) as server, between(server.url, arguments.delay, line) as way:
                os.environ.update(server.environment)
                bucket = buckets.make_bucket(server, "bench")
                for number, archive in local.items():
                    for path in archive.iterdir():
                        bucket.put(f"in-{number}/{path.name}", path.read_bytes())
                late = {name: it.replace(server.url, way.url) for name, it in server.environment.items()}
                os.environ.update(late)
                spent = {}
                for number in local:
                    way.requests.clear()
                    places = f"{bucket.root}/out-{number}", f"{bucket.root}/audit-{number}"
                    took = run([f"{bucket.root}/in-{number}/**"], *places, key, arguments.workers)
                    spent[number] = (*took, len(way.requests))
                os.environ.update(server.environment)
                same = clean_digests(bucket, f"out-{many}/") == wanted
            further = many - few
            wall, cpu, asked = (
                (after - before) / further for after, before in zip(spent[many], spent[few], strict=True)
            )
            each = f"{1000 * wall * arguments.workers:.0f} | {arguments.size / wall:.1f}"
            each += f" | {1000 * cpu:.0f} | {asked:.1f} | {same}"
            print(f"| {kind}:// | {many} | {spent[many][0]:.1f} | {each} |", flush=True)


def plant(folder: Path, number: int, size: float) -> Path:
    """Make so many instances of 20 patients, each with so many MB of pixels."""
    folder.mkdir()
    frames = round(size)
    pixels = np.random.default_rng(1).integers(0, 256, (frames, 1000, 1000), np.uint8)
    for at in range(number):
        patient = at % 20
        dataset = make_instance(
            PatientID=f"P{patient}",
            StudyInstanceUID=f"1.2.3.{patient}",
            SeriesInstanceUID=f"1.2.3.{patient}.1",
            SOPInstanceUID=f"1.2.3.{patient}.1.{at}",
        )
        if frames:
            dataset.update(make_image(pixels, SOPInstanceUID=dataset.SOPInstanceUID))
        dataset.save_as(folder / f"{at}.dcm", enforce_file_format=True)
    return folder


def run(inputs: list[str], output: str, audit: str, key: Path, workers: int) -> tuple[float, float]:
    """Run the job; return seconds by the clock and CPU seconds of it and its workers."""
    places = ["--input", *inputs, "--output", output, "--audit", audit, "--key", str(key)]
    command = [sys.executable, "-m", "beamstop_pipeline", "run", *places, "--recipe", "basic", "--quiet"]
    before, began = _spent_by_children(), time.perf_counter()
    subprocess.run([*command, "--workers", str(workers), "--audit-detail", "instances"], check=True)
    return time.perf_counter() - began, _spent_by_children() - before


def _spent_by_children() -> float:
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)


def digests_of(folder: Path) -> dict[str, str]:
    """Return name → SHA-256 of the clean files in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.dcm")
    }


def clean_digests(bucket: Bucket, prefix: str) -> dict[str, str]:
    """Return name → SHA-256 of the clean files in a bucket."""
    return {
        name.removeprefix(prefix): hashlib.sha256(bucket.get(name)).hexdigest()
        for name in bucket.versions(prefix)
    }


if __name__ == "__main__":
    main()
