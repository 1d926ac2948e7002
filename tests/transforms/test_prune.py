"""What the ledger says of sources that are gone and of clean files that none stands for."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sealing import seal

from beamstop.audit import INSTANCES, PRUNED_FILES
from beamstop.identity import Identity
from beamstop_transforms.ledger.history import History, Leftover, input_digests
from beamstop_transforms.ledger.index import open_index
from beamstop_transforms.ledger.numbers import digest_number
from beamstop_transforms.ledger.sealed import SealedTable
from beamstop_transforms.ledger.skipped import CollectSkipped, packed_positions
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.prune import CollectPaths, Paths, _digest_of


def source_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def written(name: str, path: str, version: str = "1") -> dict[str, Any]:
    return {
        "source_id": source_id(name),
        "source_size": 1,
        "source_version": version,
        "outcome": "written",
        "output_path": path,
        "output_sha256": source_id(f"sha of {name}"),
    }


def refused(name: str, outcome: str, reason: str, version: str = "1") -> dict[str, Any]:
    return {**written(name, ""), "outcome": outcome, "reason": reason, "output_path": None} | {
        "source_version": version
    }


class Audit:
    """Runs that are written by hand."""

    def __init__(self, folder: Path, key_file: Path) -> None:
        self.folder = folder
        self.key_file = key_file
        for name in ("instances", "pruned", "runs"):
            (folder / name).mkdir()

    def run(
        self, run_id: str, *rows: dict[str, Any], inputs: tuple[str, ...] = ("A",), ended: bool = True
    ) -> None:
        self._write("instances", run_id, list(rows), INSTANCES)
        if ended:
            self._seal(run_id, inputs)

    def pruned(self, run_id: str, name: str, path: str) -> None:
        row = {
            "source_id": source_id(name),
            "output_path": path,
            "output_sha256": source_id(f"sha of {name}"),
        }
        self._write("pruned", run_id, [row], PRUNED_FILES)
        self._seal(run_id, ("A",))

    def _seal(self, run_id: str, inputs: tuple[str, ...]) -> None:
        key = self.key_file.read_bytes()
        seal(self.folder, run_id, key, inputs=input_digests(inputs, Identity(key)))

    def _write(self, folder: str, run_id: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
        name = f"{run_id}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema), self.folder / folder / name)

    def history(self, run_id: str, *skipped: str, inputs: tuple[str, ...] = ("A",)) -> History:
        path = self.folder / "instances" / f"{run_id}-00000-of-00001.parquet"
        own = []
        if path.exists():
            name, digest = f"instances/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()
            own.append(SealedTable(name, run_id, digest))
        target = Target(str(self.folder / "out"), str(self.folder), str(self.key_file), run_id)
        index, collect = open_index(target), CollectSkipped()
        found = [index.newest(digest_number(source_id(it))) for it in skipped]
        positions = packed_positions(it[0] for it in found if it is not None)
        bits = collect.extract_output(collect.add_input(collect.create_accumulator(), positions)).bits()
        return History(target, own, inputs, bits)


@pytest.fixture
def audit(tmp_path: Path, key_file: Path) -> Audit:
    return Audit(tmp_path, key_file)


def left(history: History) -> dict[str, str]:
    return {it.path: it.why for it in history.leftovers()}


def test_a_source_that_is_not_found_any_more_is_gone(audit: Audit) -> None:
    audit.run("r1", written("a", "P/a"), written("b", "P/b"))
    audit.run("r2", ended=False)
    history = audit.history("r2", "a")
    assert history.since == {"gone": 1, "changed": 0, "judged": True}
    assert list(history.leftovers()) == [Leftover(source_id("b"), "P/b", source_id("sha of b"), "gone")]


@pytest.mark.parametrize(
    ("then", "now", "gone"),
    [
        (("A",), ("A",), 1),
        (("A",), ("A", "B"), 1),
        (("A", "B"), ("A",), 0),
        (("A",), ("B",), 0),
        ((), ("A",), 0),  # a record that does not tell
    ],
)
def test_what_lies_outside_of_this_runs_patterns_is_not_gone(
    audit: Audit, then: tuple[str, ...], now: tuple[str, ...], gone: int
) -> None:
    audit.run("r1", written("a", "P/a"), inputs=then)
    audit.run("r2", ended=False)
    history = audit.history("r2", inputs=now)
    assert history.since["gone"] == gone
    assert len(left(history)) == gone


def test_nothing_is_gone_while_a_folder_cannot_be_listed(audit: Audit) -> None:
    audit.run("r1", written("a", "P/a"))
    audit.run("r2", refused("folder", "failed", "folder_unreadable"), ended=False)
    history = audit.history("r2")
    assert history.since == {"gone": 0, "changed": 0, "judged": False}
    assert left(history) == {}


def test_a_changed_source_is_counted_and_its_file_is_not_left(audit: Audit) -> None:
    audit.run("r1", written("a", "P/a"), written("b", "P/b"))
    audit.run("r2", written("a", "P/a", version="2"), written("b", "P/b"), written("c", "P/c"), ended=False)
    history = audit.history("r2")
    assert history.since == {"gone": 0, "changed": 1, "judged": True}
    assert left(history) == {}


@pytest.mark.parametrize("outcome", ["rejected", "quarantined", "failed"])
def test_a_file_whose_source_is_not_written_any_more_is_left(audit: Audit, outcome: str) -> None:
    audit.run("r1", written("a", "P/a"))
    audit.run("r2", refused("a", outcome, "some"))
    audit.run("r3", ended=False)
    assert left(audit.history("r3", "a")) == {"P/a": outcome}


def test_a_file_whose_source_is_written_elsewhere_is_left(audit: Audit) -> None:
    audit.run("r1", written("a", "P/a"))
    audit.run("r2", written("a", "Q/a"), ended=False)
    assert left(audit.history("r2")) == {"P/a": "moved"}


def test_a_file_that_another_source_took_over_is_not_left(audit: Audit) -> None:
    audit.run("r1", written("a", "P/a"))
    audit.run("r2", refused("a", "rejected", "duplicate"), written("b", "P/a"), ended=False)
    assert left(audit.history("r2")) == {}


def test_a_disputed_file_is_not_left_even_if_its_source_is_gone(audit: Audit) -> None:
    audit.run("r1", written("a", "P/a"))
    audit.run("r2", refused("a", "quarantined", "duplicate_conflict"))
    audit.run("r3", ended=False)
    assert left(audit.history("r3")) == {}


def test_what_was_pruned_is_neither_gone_nor_left_again(audit: Audit) -> None:
    audit.run("r1", written("a", "P/a"))
    audit.run("r2")
    audit.pruned("r2", "a", "P/a")
    audit.run("r3", ended=False)
    history = audit.history("r3")
    assert history.since["gone"] == 0
    assert left(history) == {}
    audit.run("r3", written("a", "P/a"))  # it is there again
    audit.run("r4", ended=False)
    assert left(audit.history("r4")) == {"P/a": "gone"}


def test_a_run_without_a_record_says_nothing(audit: Audit) -> None:
    audit.run("r1", written("a", "P/a"), ended=False)
    audit.run("r2", ended=False)
    assert left(audit.history("r2")) == {}


def test_an_empty_ledger_has_no_leftovers(audit: Audit) -> None:
    history = audit.history("r1")
    assert history.since == {"gone": 0, "changed": 0, "judged": True}
    assert left(history) == {}


def test_a_pattern_has_one_digest_however_it_is_written(key: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    identity = Identity(key)
    assert input_digests(["/archive/", "archive", "/archive"], identity) == input_digests(
        ["/archive"], identity
    )
    assert input_digests(["gs://b/p"], identity) != input_digests(["gs://b/p/**"], identity)


def test_paths_of_pruned_files_are_16_bytes_each_and_found_again() -> None:
    collect = CollectPaths()
    parts = [["P/a", "P/b"], [], ["P/b", "Q/c"]]
    accumulators = [collect.compact([*map(_digest_of, it)]) for it in parts]
    paths = collect.extract_output(collect.merge_accumulators(accumulators))
    assert len(paths.packed) == 3 * 16
    assert paths.mask(["P/b", "P/d", "Q/c", "P/a", ""]).tolist() == [True, False, True, True, False]
    assert not Paths()
    assert Paths().mask(["P/a"]).tolist() == [False]
