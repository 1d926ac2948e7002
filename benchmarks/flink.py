"""Many headers on a Flink of this machine, beside a run on one machine; how small a heap may be.

python benchmarks/flink.py --files 20000 --heap 384 128 64

Needs what `make test-flink` fetches. The job manager, two task managers, Beam's job server and the pool are
processes to look at from outside: CPU seconds, with those of the workers that came and went, and the largest
PSS. What the engine leaves is compared with what the local run left. Each heap has its own cluster; a run
that takes longer than --patience is ended.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from tests.pipeline.conftest import Ran
from tests.pipeline.engines.cluster import Cluster, JobServer, Pool, free_port
from tests.pipeline.engines.conftest import by_source, changed
from tests.pipeline.engines.distribution import installed

from beamstop.testing import make_instance

KEY = bytes(range(32))
PLANTED = 200  # instances in a folder, of one patient


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--heap", type=int, nargs="*", default=[384], help="of a task manager, MB")
    parser.add_argument("--patience", type=int, default=1500, help="seconds for a run on Flink")
    chosen = parser.parse_args()
    flinks = installed()
    if not flinks:
        sys.exit("no Flink in the cache: make test-flink fetches it")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        base = Path(folder)
        (base / "key").write_bytes(KEY)
        (base / "key").chmod(0o600)
        plant(base / "archive", chosen.files)
        print("| run | seconds | CPU s | peak PSS, MiB | it ended |\n|---|--:|--:|--:|---|", flush=True)
        local = measured("one machine, two workers", base / "local", ["--workers=2"], {}, chosen.patience)
        for flink in flinks:
            for heap in chosen.heap:
                with ExitStack() as running:
                    place = base / f"{flink.flink}-{heap}"
                    place.mkdir()
                    cluster = Cluster(flink, place / "cluster", heap)
                    running.callback(cluster.stop)
                    server = JobServer(flink, place / "server", cluster.address)
                    running.callback(server.stop)
                    pool = Pool(Path(sys.prefix), free_port(), dict(os.environ))
                    running.callback(pool.stop)
                    parts = {
                        **{f"task manager {it + 1}": p.pid for it, p in enumerate(cluster.task_managers)},
                        "job manager": cluster.job_manager.pid,
                        "job server": server.process.pid,
                        "pool and workers": pool.process.pid,
                    }
                    name = f"Flink {flink.release}, heaps of {heap} MB"
                    ran = measured(name, place, server.options(pool), parts, chosen.patience)
                    tell(cluster, ran, local)
                if ran is None:
                    break


def plant(archive: Path, count: int) -> None:
    """Write instances without pixels."""
    for number in range(count):
        patient = number // PLANTED
        place = archive / f"{patient}"
        if number % PLANTED == 0:
            place.mkdir(parents=True)
        uid = f"1.2.3.{patient}"
        make_instance(
            PatientName=f"Roe^Jane{patient}",
            PatientID=f"R-{patient}",
            StudyInstanceUID=uid,
            SeriesInstanceUID=f"{uid}.1",
            SOPInstanceUID=f"{uid}.1.{number}",
        ).save_as(place / f"{number}.dcm", enforce_file_format=True)


def measured(
    name: str, place: Path, engine: list[str], parts: Mapping[str, int], patience: int
) -> Ran | None:
    """Run the job; print what it and the processes of an engine took; return what it left if it ended."""
    out, audit = place / "out", place / "audit"
    command = [sys.executable, "-m", "beamstop_pipeline", "run", "--input", str(place.parent / "archive")]
    command += ["--output", str(out), "--audit", str(audit), "--key", str(place.parent / "key")]
    started = time.monotonic()
    job = subprocess.Popen(
        [*command, "--recipe=basic", *engine], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    families = {"the command": job.pid, **parts}
    before = {it: spent(pid) for it, pid in families.items()}
    peaks = dict.fromkeys(families, 0)
    last = dict(before)
    said: list[str] = []
    listening = threading.Thread(target=lambda: said.extend(line.decode() for line in job.stderr or ()))
    listening.start()
    while job.poll() is None and time.monotonic() - started < patience:
        for it, pid in families.items():
            last[it] = max(last[it], spent(pid))
            peaks[it] = max(peaks[it], memory(pid))
        time.sleep(1)
    ended = f"exit {job.returncode}" if job.poll() is not None else f"not within {patience} s"
    if job.poll() is None:
        job.kill()
        job.wait()
    listening.join()
    cpu = {it: max(last[it], spent(pid)) - before[it] for it, pid in families.items()}
    figures = f"{time.monotonic() - started:.0f} | {sum(cpu.values()):.0f} | {sum(peaks.values()) >> 20}"
    print(f"| **{name}** | {figures} | {ended} |")
    for it in families:
        print(f"| {it} | | {cpu[it]:.0f} | {peaks[it] >> 20} | |", flush=True)
    sys.stderr.writelines(said)
    if job.returncode not in (0, 1):
        return None
    (record,) = (audit / "runs").glob("*.json")
    return Ran(job.returncode, out, audit, json.loads(record.read_text()))


def tell(cluster: Cluster, ran: Ran | None, local: Ran | None) -> None:
    """Print whether two runs left the same, or why Flink ended a job."""
    if ran is not None and local is not None:
        same: dict[str, Callable[[Ran], Any]] = {
            "clean files": lambda it: it.tree,
            "rows": lambda it: by_source(it.table("instances")),
            "changes": changed,
        }
        equal = {name: of(ran) == of(local) for name, of in same.items()}
        print(f"\nequal: {equal}; {ran.record['counts']['written']} written\n", flush=True)
        return
    for job in cluster.jobs() if cluster.get("/overview") else []:
        causes = cluster.get(f"/jobs/{job['jid']}/exceptions") or {}
        print(f"\n{job['state']}: {str(causes.get('root-exception'))[:2000]}\n", flush=True)


def spent(pid: int) -> float:
    """Return the CPU seconds of a process, of its children, and of those that are gone."""
    try:
        process = psutil.Process(pid)
        own = process.cpu_times()
        living = sum(sum(it.cpu_times()[:2]) for it in process.children(recursive=True))
        return float(sum(own[:4]) + living)
    except psutil.Error:
        return 0.0


def memory(pid: int) -> int:
    """Return the PSS of a process and its children, bytes."""
    try:
        process = psutil.Process(pid)
        return sum(int(it.memory_full_info().pss) for it in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
