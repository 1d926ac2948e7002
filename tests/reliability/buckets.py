"""Trials on object stores: runs that are killed, and runs side by side, and one that has to mend it all.

    python -m tests.reliability.buckets s3 gs az --trials 10

In each, a run into a bucket is killed at a moment drawn by chance, once or twice; or two runs with two
workers go into it at once; or a run is stopped while another begins and ends, and then goes on, as a worker
does that was given up. Marks of runs that are killed or stopped are removed: nobody waits the minute that it
takes to see that they are not renewed. Then one more run, with `--incremental` or without, has to leave, byte
for byte, the clean files that a run between folders leaves, a row for every source, nothing in `.partial` but
what belongs to a run that was killed, and nothing for `beamstop verify` to find.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tests import buckets
from tests.between import between
from tests.buckets import Bucket

from beamstop.testing import make_instance

_DELAY = 0.01  # seconds that each request takes longer: so there is more that a kill can fall between


def main() -> None:
    """Do the trials; exit with 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="+", choices=buckets.KINDS)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="trials-") as folder:
        base = Path(folder)
        key = base / "key"
        key.write_bytes(hashlib.sha256(b"a key that opens nothing").digest())
        key.chmod(0o600)
        archive = plant(base / "in")
        begin([str(archive)], str(base / "clean"), str(base / "audit"), key).wait()
        wanted = {
            str(path.relative_to(base / "clean")): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (base / "clean").rglob("*.dcm")
        }
        outcomes = outcomes_of([it.read_bytes() for it in (base / "audit" / "instances").glob("*.parquet")])
        for kind in arguments.kinds:
            with buckets.running(kind, base) as server, between(server.url, _DELAY) as way:
                for trial in range(arguments.trials):
                    os.environ.update(server.environment)
                    buckets.forget_clients()
                    bucket = buckets.make_bucket(server, f"trial-{trial}")
                    late = {name: it.replace(server.url, way.url) for name, it in server.environment.items()}
                    os.environ.update(late)
                    chance = random.Random(f"{arguments.seed}-{kind}-{trial}")
                    how = disturb(bucket, archive, key, chance)
                    more = chance.choice([(), ("--incremental",)])
                    places = [str(archive)], f"{bucket.root}/out", f"{bucket.root}/audit", key
                    code = begin(*places, more).wait()
                    os.environ.update(server.environment)
                    faults = faults_of(bucket, code, wanted, None if more else outcomes)
                    faults += [f"verify says {found}" for found in [verified(*places)] if found]
                    wrong += bool(faults)
                    told = "; ".join(faults) or "as it should be"
                    say(f"{kind} {trial}: {how}; then {' '.join(more) or 'a run'}: {told}")
    say(f"{wrong} went wrong")
    sys.exit(bool(wrong))


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def plant(folder: Path) -> Path:
    """Make 60 instances, and among them equal and unequal ones with one UID."""
    folder.mkdir()
    for at in range(60):
        dataset = make_instance(PatientID=f"P{at % 5}", SOPInstanceUID=f"1.2.3.{at}")
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.{at % 5}", f"1.2.{at % 5}.1"
        dataset.save_as(folder / f"{at}.dcm", enforce_file_format=True)
        if at % 10 == 0:
            (folder / f"{at}-copy.dcm").write_bytes((folder / f"{at}.dcm").read_bytes())
        if at % 10 == 5:
            dataset.Rows = at
            dataset.save_as(folder / f"{at}-other.dcm", enforce_file_format=True)
    return folder


def begin(
    inputs: list[str], output: str, audit: str, key: Path, more: tuple[str, ...] = ()
) -> "subprocess.Popen[bytes]":
    """Start a run of its own group."""
    places = ["--input", *inputs, "--output", output, "--audit", audit, "--key", str(key)]
    command = [sys.executable, "-m", "beamstop_pipeline", "run", *places, "--recipe", "basic", "--quiet"]
    return subprocess.Popen(
        [*command, "--workers", "2", *more],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def verified(inputs: list[str], output: str, audit: str, key: Path) -> str:
    """Return what `beamstop verify` finds, but for tables of runs that were killed."""
    places = ["--input", *inputs, "--output", output, "--audit", audit, "--key", str(key)]
    command = [sys.executable, "-m", "beamstop_pipeline", "verify", *places, "--recipe", "basic"]
    ran = subprocess.run([*command, "--workers", "1", "--json"], capture_output=True, check=False)
    checks = json.loads(ran.stdout or b"{}").get("checks", {"nothing": ran.returncode})
    return " ".join(sorted(checks.keys() - {"no_record"}))


def disturb(bucket: Bucket, archive: Path, key: Path, chance: random.Random) -> str:
    """Kill one run or two at some moment, let two run side by side, or stop one for a while; say which."""
    how = chance.choice(["killed", "killed", "side by side", "stopped"])
    many = {"killed": chance.choice([1, 1, 2]), "side by side": 2, "stopped": 1}[how]
    places = [str(archive)], f"{bucket.root}/out", f"{bucket.root}/audit", key
    runs = [begin(*places) for _ in range(many)]
    if how != "side by side":
        time.sleep(chance.uniform(2.5, 9))
    if how == "stopped":
        codes = [_while_stopped(runs[0], lambda: _alone(bucket, *places)), runs[0].wait()]
        return f"stopped while another ended with {codes[0]}, then ended with {codes[1]}"
    for run in runs:
        if how == "killed" and run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    codes = [run.wait() for run in runs]
    _forget_marks(bucket)
    return f"{many} run(s), {how}, ended with {codes}"


def _alone(bucket: Bucket, *places: Any) -> int:
    """Run once no mark tells of another."""
    _forget_marks(bucket)
    return begin(*places).wait()


def _forget_marks(bucket: Bucket) -> None:
    for name in [it for it in bucket.versions() if it.endswith("/.partial/run")]:
        bucket.delete(name)


def _while_stopped(run: "subprocess.Popen[bytes]", work: Callable[[], int]) -> int:
    """Do something while all processes of a run stand still."""
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGSTOP)
    code = work()
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGCONT)
    return code


def outcomes_of(tables: list[bytes]) -> Counter[tuple[str, str | None]]:
    """Count outcomes and reasons in tables of instances."""
    rows = [row for table in tables for row in pq.read_table(BytesIO(table)).to_pylist()]
    return Counter((row["outcome"], row["reason"]) for row in rows)


def faults_of(
    bucket: Bucket, code: int, wanted: dict[str, str], outcomes: Counter[tuple[str, str | None]] | None
) -> list[str]:
    """Return what is not as it should be after the last run."""
    names = bucket.versions()
    clean = {
        name.removeprefix("out/"): name
        for name in names
        if name.startswith("out/") and ".partial" not in name
    }
    digests = {name: hashlib.sha256(bucket.get(at)).hexdigest() for name, at in clean.items()}
    newest = max(name for name in names if name.startswith("audit/runs/")).partition("runs/")[2][:-5]
    tables = [bucket.get(name) for name in names if name.startswith(f"audit/instances/{newest}-")]
    left = [name for name in names if "/.partial/" in name and "/claims/" not in name]
    faults = {
        f"exit code {code}": code != 1 and (code, outcomes) != (0, None),  # of the unequal ones, if new
        f"{len(wanted.keys() - digests.keys())} files are missing": wanted.keys() - digests.keys(),
        f"{len(digests.keys() - wanted.keys())} files are too many": digests.keys() - wanted.keys(),
        "other bytes": any(digests.get(it, sha256) != sha256 for it, sha256 in wanted.items()),
        "other outcomes": outcomes is not None and outcomes_of(tables) != outcomes,
        f"{len(left)} objects are left in .partial": left,
    }
    return [said for said, is_so in faults.items() if is_so]


if __name__ == "__main__":
    main()
