"""Runs over millions of sources that are not there: what every transform but the core takes, stage by stage.

The listing is made up, ReadDicom and the steps that de-identify are replaced by one that makes a tiny
instance, and OUTPUT forgets what is written to it. Everything else is the job: its graph, Redistribute,
WriteDicom with its claims, parts, tables, ledger, record, release, on one worker in this process and Beam's
local runner. Three runs go into one AUDIT: all sources, the same again, and with one in a hundred changed.
"""

import argparse
import hashlib
import re
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import psutil
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import fn_runner
from pydicom.dataset import Dataset

from beamstop import load_recipe
from beamstop.changes import Change
from beamstop.identity import Identity
from beamstop.steps.apply_recipe import AttributeReport
from beamstop_pipeline import graph
from beamstop_pipeline.job import Job
from beamstop_pipeline.running.local_workers import pinned_runner
from beamstop_transforms import stores
from beamstop_transforms.instance import Instance, Source, source_id_of, version_digest
from beamstop_transforms.ledger.index import bring_up_to_date
from beamstop_transforms.ledger.target import new_run_id
from beamstop_transforms.stores.base import Found
from beamstop_transforms.stores.local import LocalStore

KEY = bytes(range(32))
NOWHERE = "/nowhere"
FOLDERS = 317  # parts of the listing, as of a million files in 2,000 folders
OF_A_SERIES, OF_A_STUDY, OF_A_PATIENT = 100, 300, 600  # instances
MEGABYTE = 1 << 20
LONG = 10  # seconds: a stage that takes longer is printed at once


def main() -> None:
    """Measure and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=100_000)
    parser.add_argument(
        "--changes", type=int, default=28, help="rows of `changes` for an instance; 0 for none"
    )
    arguments = parser.parse_args()
    stores.LocalStore = Forgetting  # type: ignore[misc]
    graph.Match = lambda _: Listing(arguments.sources, SETTINGS["changed"])  # type: ignore[misc,assignment]
    graph.ReadDicom = lambda *_: Made(arguments.changes)  # type: ignore[misc,assignment]
    graph.Deidentify = lambda *_, **__: Passed()  # type: ignore[misc,assignment]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        (key := Path(folder) / "key").write_bytes(KEY)
        key.chmod(0o600)
        for name, changed in (("all are new", 0), ("nothing is new", 0), ("one in 100 has changed", 100)):
            SETTINGS["changed"] = changed
            REQUESTS.clear()
            run(name, Path(folder), arguments)
        size = sum(it.stat().st_size for it in Path(folder, "audit").rglob("*") if it.is_file())
        print(f"\nAUDIT: {size / MEGABYTE:.0f} MB")


SETTINGS = {"changed": 0}
REQUESTS = Counter[str]()


def run(name: str, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the job once and print what its stages took."""
    audit, began = str(folder / "audit"), time.perf_counter()
    Path(audit).mkdir(exist_ok=True)
    detail = "changes" if arguments.changes else "instances"
    job = Job(
        inputs=("/archive",),
        output=NOWHERE,
        audit=audit,
        recipe=load_recipe("basic"),
        key=str(folder / "key"),
        incremental=True,
        audit_detail=detail,  # type: ignore[arg-type]
        run_id=new_run_id(),
        started="2026-01-01T00:00:00+00:00",
    )
    with watched() as stages:
        stages.begin("AUDIT/ledger")
        job = replace(job, ledger=bring_up_to_date(audit, Identity(KEY)))
        runner = pinned_runner(PipelineOptions([]), apart=False)
        with beam.Pipeline(runner=runner, options=PipelineOptions([])) as pipeline:
            graph.build(pipeline, job)
            stages.begin("graph")
    seconds = time.perf_counter() - began
    print(f"\n{arguments.sources} sources, {arguments.changes} changes each: {name}, {seconds:.0f} s\n")
    print("| stage | seconds | CPU s | µs CPU a source | RSS at its end, MiB | peak |")
    print("|---|--:|--:|--:|--:|--:|")
    for it in stages.told(arguments.sources):
        print(it)
    for kind, many in sorted(REQUESTS.items()):
        print(f"  {kind}: {many / arguments.sources:.3f} a source")
    sys.stdout.flush()


class Stages:
    """What stages of Beam's runner take, and how much memory the process has."""

    def __init__(self) -> None:
        self._rows: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
        self._name, self._at = "", (0.0, 0.0)

    def begin(self, name: str) -> None:
        """End the stage before and begin one."""
        now = time.perf_counter(), time.process_time()
        if self._name:
            row = self._rows[self._name]
            row[0] += now[0] - self._at[0]
            row[1] += now[1] - self._at[1]
            row[2] = resident()
            if name != self._name and row[0] > LONG:
                sys.stderr.write(f"{self._name}: {row[1]:.1f} s of CPU so far, {row[2]:.0f} MiB\n")
        self._name, self._at = name, now

    def look(self) -> None:
        """Note how much memory there is."""
        if self._name:
            self._rows[self._name][3] = max(self._rows[self._name][3], resident())

    def told(self, sources: int) -> Iterator[str]:
        """Yield the lines of a table: of stages that took a part of the time, or memory."""
        total = [sum(row[at] for row in self._rows.values()) for at in (0, 1)]
        for name, (seconds, cpu, held, peak) in self._rows.items():
            if seconds > total[0] / 100:
                each = 1e6 * cpu / sources
                print(f"| {name} | {seconds:.1f} | {cpu:.1f} | {each:.1f} | {held:.0f} | {peak:.0f} |")
        peak = max(row[3] for row in self._rows.values())
        yield f"| all | {total[0]:.1f} | {total[1]:.1f} | {1e6 * total[1] / sources:.1f} | | {peak:.0f} |"


def resident() -> float:
    """Return the megabytes that this process has for itself."""
    return psutil.Process().memory_info().rss / MEGABYTE


@contextmanager
def watched() -> Iterator[Stages]:
    """Watch the runner's stages, inside."""
    stages, over = Stages(), threading.Event()
    execute: Any = fn_runner.FnApiRunner._execute_bundle

    def executed(self: Any, context: Any, bundle: Any, given: Any) -> Any:
        stages.begin(short(bundle.stage.name))
        return execute(self, context, bundle, given)

    def look() -> None:
        while not over.wait(0.1):
            stages.look()

    fn_runner.FnApiRunner._execute_bundle = executed
    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield stages
    finally:
        stages.begin("")
        over.set()
        thread.join()
        fn_runner.FnApiRunner._execute_bundle = execute


def short(stage: str) -> str:
    """Return what a stage does, by the labels of its transforms."""
    labels = [it.replace("-", "/").split("/") for it in _LABEL.findall(stage)]
    names = [it[1] if it[0] == "WriteAudit" and len(it) > 1 else it[0] for it in labels]
    return ", ".join(dict.fromkeys(it for it in names if not it.startswith(_DULL))) or stage[:60]


_LABEL = re.compile(r"(?:AppliedPTransform_)?([A-Z][A-Za-z()]*(?:[-/][A-Za-z_()]+)*)")
_DULL = ("AppliedPTransform", "PCollection", "Read", "Write/", "Impulse", "ref_", "Group", "Once")


@dataclass(eq=False)
class Listing(beam.PTransform):
    """The sources, in as many parts as a real listing has."""

    sources: int
    changed: int

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pipeline: Any) -> Any:
        """Return every `Source`."""
        each = -(-self.sources // FOLDERS)
        parts = [(at, min(at + each, self.sources)) for at in range(0, self.sources, each)]
        return pipeline | beam.Create(parts) | beam.FlatMapTuple(self._list).with_output_types(Source)

    def _list(self, begin: int, end: int) -> Iterator[Source]:
        for number in range(begin, end):
            version = "2" if self.changed and number % self.changed == 0 else "1"
            yield Source(
                f"/archive/{number // 50_000:03}/{number // 500:06}/{number:08}.dcm", 39_205, version
            )


@dataclass(eq=False)
class Made(beam.PTransform):
    """In place of ReadDicom: instances that were de-identified already."""

    changes: int

    def attempted(self, sources: Any) -> Any:
        """Return an `Instance` for each source."""
        return sources | beam.ParDo(MakeFn(self.changes)).with_output_types(Instance)


class MakeFn(beam.DoFn):
    """Makes a tiny instance of a source."""

    def __init__(self, changes: int) -> None:
        self._changes = changes

    def setup(self) -> None:
        """Get what is costly."""
        self._identity = Identity(KEY)

    def process(self, source: Source) -> Iterator[Instance]:
        """Yield the instance."""
        number = int(source.path[-12:-4])
        source_id = source_id_of(source, self._identity)
        dataset = Dataset()
        dataset.PatientID = f"{number // OF_A_PATIENT:016}"
        for keyword, many in (("Study", OF_A_STUDY), ("Series", OF_A_SERIES)):
            setattr(dataset, f"{keyword}InstanceUID", self._identity.uid(f"1.{many}.{number // many}"))
        dataset.SOPInstanceUID = self._identity.uid(f"1.1.{number}")
        dataset.Manufacturer, dataset.ManufacturerModelName = "Acme", f"M{number % 7}"
        dataset.file_meta = Dataset()
        instance = Instance(source, source_id)
        instance.source_digest = hashlib.sha256(source_id.encode()).hexdigest()
        instance.source_version = version_digest(source_id, source.version, self._identity)
        instance.bytes_in, instance.dataset = source.size, dataset
        digest = instance.source_digest[:32]
        change = Change(
            "PatientName", "(0010,0010)", "PN", "Z", "Basic Profile, line 12", digest, digest[::-1]
        )
        instance.report = AttributeReport(changes=[change] * self._changes)
        instance.encoded = SimpleNamespace(data=f"{source_id}{source.version}".encode())  # type: ignore[assignment]
        yield instance


class Passed(beam.PTransform):
    """In place of Deidentify: nothing."""

    def attempted(self, instances: Any) -> Any:
        """Return the instances."""
        return instances


class Forgetting(LocalStore):
    """A folder; as OUTPUT it counts requests, answers yes and keeps nothing."""

    def __init__(self, root: str, private: bool = False) -> None:
        super().__init__(root, private)
        self._forgets = root == NOWHERE

    def find(self, name: str) -> Found | None:
        """See `Store`."""
        return self._nothing("reads (class B)") if self._forgets else super().find(name)

    def read(self, name: str) -> tuple[object, bytes] | None:
        """See `Store`."""
        return self._nothing("reads (class B)") if self._forgets else super().read(name)

    def write(
        self, name: str, data: bytes, version: object | None, durable: bool = True, about: str = ""
    ) -> bool:
        """See `Store`."""
        if not self._forgets:
            return super().write(name, data, version, durable, about)
        self._nothing("writes of claims (class A)" if "/claims/" in name else "writes of files (class A)")
        return True

    @contextmanager
    def together(self, contents: Any) -> Iterator[None]:
        """See `Store`."""
        yield

    def folders(self, folder: str) -> list[str]:
        """See `Store`."""
        if not self._forgets:
            return super().folders(folder)
        if folder.endswith("/claims"):
            return [f"{it:02x}" for it in range(256)]
        return []

    def clear(self, folder: str) -> None:
        """See `Store`."""
        if not self._forgets:
            super().clear(folder)

    def _nothing(self, kind: str) -> None:
        REQUESTS[kind] += 1


if __name__ == "__main__":
    main()
