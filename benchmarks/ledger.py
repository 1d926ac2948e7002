"""The ledger of so many made-up rows: made once, asked, added to, compared; each in a process of its own.

Time by the clock, CPU and the largest PSS are looked at from outside. The audit's tables have what the ledger
reads, digests drawn by chance, in files of 50,000 rows.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from beamstop.audit import INSTANCES
from beamstop.identity import Identity
from beamstop_transforms.ledger.decisions import Decisions
from beamstop_transforms.ledger.history import History, input_digests
from beamstop_transforms.ledger.index import bring_up_to_date, open_index
from beamstop_transforms.ledger.skipped import Bits
from beamstop_transforms.ledger.target import Target

KEY = bytes(range(32))
ROWS = 50_000  # in a file
FILES = 20  # of a run


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--step", help="do one, in this process")
    parser.add_argument("--base", type=Path, help="of the audit")
    arguments = parser.parse_args()
    if arguments.step:
        print(STEPS[arguments.step](Place(arguments.base), arguments.rows), flush=True)
        return
    from pipeline import measure  # noqa: TID251  the benchmark beside this one

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Place(Path(folder))
        place.write(range(arguments.rows // ROWS))
        print("| step | seconds | CPU s | peak PSS, MiB |\n|---|--:|--:|--:|", flush=True)
        for name in STEPS:
            command = [sys.executable, __file__, "--step", name, "--base", folder]
            cost = measure([*command, "--rows", str(arguments.rows)])
            print(f"| {name} | {cost.seconds:.1f} | {cost.cpu:.1f} | {cost.memory:.0f} |", flush=True)
        size = sum(it.stat().st_size for it in (place.audit / "ledger").iterdir())
        print(f"\n{size / (arguments.rows + ROWS):.1f} bytes a row in AUDIT/ledger")


class Place:
    """An audit with made-up rows."""

    def __init__(self, base: Path) -> None:
        self.audit, self.key_file = base / "audit", base / "key"
        if not self.key_file.exists():
            self.key_file.write_bytes(KEY)
            self.key_file.chmod(0o600)
            for name in ("instances", "runs"):
                (self.audit / name).mkdir(parents=True)
        self.identity = Identity(KEY)

    def target(self, ledger: tuple[str, ...] | None = None) -> Target:
        """Return the target of a run."""
        return Target("out", str(self.audit), str(self.key_file), "z", ledger=ledger)

    def write(self, files: range, rows: int = ROWS) -> None:
        """Write so many tables, some in a run."""
        from tests.sealing import seal

        for number in files:
            self._write_table(f"r{number // FILES:06}-{number % FILES:05}-of-{FILES:05}", number, rows)
        for run in sorted({number // FILES for number in files}):
            seal(self.audit, f"r{run:06}", KEY, inputs=input_digests(("A",), self.identity))

    def _write_table(self, name: str, number: int, rows: int) -> None:
        same: dict[str, Any] = {"source_size": 1, "source_version": "1" * 32, "outcome": "written"}
        same |= {"recipe_digest": "recipe", "beamstop_version": "version", "patient_id": f"P{number}"}
        columns = {it: pa.array([value] * rows, INSTANCES.field(it).type) for it, value in same.items()}
        ids = source_ids(number, rows)
        columns["source_id"] = columns["output_sha256"] = pa.array(ids)
        columns["output_path"] = pa.array([f"P/2.25.{it[:20]}/2.25.{it[20:40]}/2.25.{it}.dcm" for it in ids])
        columns["sop_instance_uid"] = pa.array([f"2.25.{it}" for it in ids])
        arrays = [columns.get(it.name, pa.nulls(rows, it.type)) for it in INSTANCES]
        table = pa.Table.from_arrays(arrays, schema=INSTANCES)
        pq.write_table(table, self.audit / "instances" / f"{name}.parquet", compression="zstd")


def source_ids(number: int, rows: int) -> list[str]:
    """Return the source_ids of one table."""
    digests = np.random.default_rng(number).bytes(32 * rows).hex()
    return [digests[at : at + 64] for at in range(0, len(digests), 64)]


def make(place: Place, rows: int) -> str:
    """Make the ledger of an audit that has none."""
    return f"{len(bring_up_to_date(str(place.audit), place.identity))} segments"


def ask(place: Place, rows: int) -> str:
    """Look whether it is what it was, as a run with nothing new does; ask for 50,000 sources."""
    decisions = Decisions(
        place.target(bring_up_to_date(str(place.audit), place.identity)), "recipe", "version"
    )
    found = [decisions.holds(it, 1, "1" * 32) for it in source_ids(0, ROWS)]
    return f"{sum(found)} decided"


def ask_many(place: Place, rows: int) -> str:
    """Ask for a million sources, of all tables."""
    decisions = Decisions(place.target(), "recipe", "version")
    some = range(0, rows // ROWS, max(1, rows // ROWS // 20))
    found = sum(
        decisions.holds(it, 1, "1" * 32) for number in list(some)[:20] for it in source_ids(number, ROWS)
    )
    return f"{found} decided"


def compare(place: Place, rows: int) -> str:
    """Say what is gone and left over: one source in 64."""
    index = open_index(place.target())
    bits = np.full(-(-len(index) // 8), 255, np.uint8)
    bits[::8] = 254
    history = History(place.target(), [], ("A",), Bits(bits))
    return f"{history.since}, {sum(1 for _ in history.leftovers())} left over"


def add(place: Place, rows: int) -> str:
    """Add a run of 50,000 rows."""
    place.write(range(rows // ROWS + FILES, rows // ROWS + FILES + 1))
    return f"{len(bring_up_to_date(str(place.audit), place.identity))} segments"


STEPS: dict[str, Callable[[Place, int], str]] = {
    "make": make,
    "ask": ask,
    "ask_many": ask_many,
    "compare": compare,
    "add": add,
}

if __name__ == "__main__":
    main()
