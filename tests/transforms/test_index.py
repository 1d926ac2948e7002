"""AUDIT/ledger: what it says is what the sealed tables say, and nothing else is believed."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sealing import seal

from beamstop.audit import INSTANCES, PRUNED_FILES
from beamstop.identity import Identity
from beamstop_transforms.ledger import index as indexes
from beamstop_transforms.ledger import sorted_rows
from beamstop_transforms.ledger.decisions import Decisions, _instances
from beamstop_transforms.ledger.history import History, input_digests
from beamstop_transforms.ledger.index import bring_up_to_date, broken_files, open_index
from beamstop_transforms.ledger.numbers import digest_number, number_of, uid_number
from beamstop_transforms.ledger.skipped import CollectSkipped, Skipped, packed_positions
from beamstop_transforms.ledger.sorted_rows import SealBrokenError
from beamstop_transforms.ledger.target import Target


def source_id(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def row(name: object, uid: str | None = "1.2", outcome: str = "written", **more: Any) -> dict[str, Any]:
    is_written = outcome == "written"
    return {
        "source_id": source_id(name),
        "source_digest": source_id(f"bytes of {name}"),
        "source_size": 7,
        "source_version": "1" * 32,
        "outcome": outcome,
        "patient_id": "DOE" if is_written else None,
        "sop_instance_uid": uid if is_written else None,
        "output_path": f"P/1/1/{uid}.dcm" if is_written else None,
        "output_sha256": source_id(f"file of {name}") if is_written else None,
        "recipe_digest": "recipe",
        "beamstop_version": "1",
        **more,
    }


class Audit:
    """Runs that are written by hand."""

    def __init__(self, folder: Path, key_file: Path) -> None:
        self.folder, self.key_file = folder / "audit", key_file
        self.identity = Identity(key_file.read_bytes())
        for name in ("instances", "pruned", "runs"):
            (self.folder / name).mkdir(parents=True)

    def run(self, run_id: str, *tables: list[dict[str, Any]], pruned: list[dict[str, Any]] = []) -> None:  # noqa: B006
        for number, rows in enumerate(tables):
            self._put("instances", f"{run_id}-{number:05}-of-{len(tables):05}.parquet", rows, INSTANCES)
        if pruned:
            self._put("pruned", f"{run_id}-00000-of-00001.parquet", pruned, PRUNED_FILES)
        seal(self.folder, run_id, self.key_file.read_bytes(), inputs=input_digests(("A",), self.identity))

    def _put(self, folder: str, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
        known = [{it: row.get(it) for it in schema.names} for row in rows]
        pq.write_table(pa.Table.from_pylist(known, schema), self.folder / folder / name)

    def target(self, run_id: str = "z", ledger: tuple[str, ...] | None = None) -> Target:
        place = str(self.folder.parent / "out")
        return Target(place, str(self.folder), str(self.key_file), run_id, ledger=ledger)

    def update(self) -> tuple[str, ...]:
        return bring_up_to_date(str(self.folder), self.identity)

    def decisions(self, ledger: tuple[str, ...] | None = None) -> Decisions:
        return Decisions(self.target(ledger=ledger), "recipe", "1")

    def decides(self, name: object, ledger: tuple[str, ...] | None = None) -> bool:
        return self.decisions(ledger).holds(source_id(name), 7, "1" * 32)

    @property
    def files(self) -> dict[str, bytes]:
        return {it.name: it.read_bytes() for it in sorted((self.folder / "ledger").iterdir())}


@pytest.fixture
def audit(tmp_path: Path, key_file: Path) -> Audit:
    return Audit(tmp_path, key_file)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make files, slices and segments so small that a thousand rows need many."""
    monkeypatch.setattr(sorted_rows, "FILE_BLOCKS", 2)
    monkeypatch.setattr(sorted_rows, "_FILE_ROWS", 2 * sorted_rows.BLOCK)
    for name, rows in (("_AT_ONCE", 90), ("_SLICE", 50), ("_SMALL", 8)):
        monkeypatch.setattr(indexes, name, rows)
    monkeypatch.setattr("beamstop_transforms.ledger.history._MOST", 7)


def test_a_row_takes_45_bytes_16_for_its_uid_and_28_for_its_content(audit: Audit) -> None:
    audit.run("r1", [row(number, f"1.{number}") for number in range(6400)])
    (name,) = audit.update()
    sizes = {it.removeprefix(name): len(data) for it, data in audit.files.items() if "json" not in it}
    blocks = 6400 // 64
    assert sizes == {
        "-sources-00000": 6400 * 45 + blocks * 16,
        "-sources-fences": blocks * 8 + 16,
        "-uids-00000": 6400 * 16 + blocks * 16,
        "-uids-fences": blocks * 8 + 16,
        "-contents-00000": 6400 * 28 + blocks * 16,
        "-contents-fences": blocks * 8 + 16,
    }


def test_it_holds_no_text_of_a_row(audit: Audit) -> None:
    audit.run("r1", [row("a", "2.25.777777777")])
    audit.update()
    every = b"".join(audit.files.values())
    for text in (b"DOE", b"2.25.777777777", b"P/1/1", source_id("a")[:16].encode()):
        assert text not in every


class Reference:
    """What an audit says, by dictionaries."""

    def __init__(self) -> None:
        self.newest: dict[str, dict[str, Any]] = {}
        self.of_path: dict[str, tuple[str, dict[str, Any] | None]] = {}

    def add(self, rows: list[dict[str, Any]]) -> None:
        for it in rows:
            self.newest[it["source_id"]] = it
            if it["output_path"]:
                self.of_path[it["output_path"]] = it["source_id"], it

    def prune(self, rows: list[dict[str, Any]]) -> None:
        for it in rows:
            self.newest[it["source_id"]] = {**it, "outcome": "pruned"}
            self.of_path[it["output_path"]] = it["source_id"], None

    def leftovers(self, gone: set[str]) -> dict[str, str]:
        found = {}
        for path, (source, written) in self.of_path.items():
            newest = self.newest[source]
            if written is None:
                continue
            if newest is written:
                why = "gone" if source in gone else ""
            else:
                why = {"written": "moved", "pruned": "moved"}.get(newest["outcome"], newest["outcome"])
                why = "" if str(newest.get("reason")).startswith("duplicate") else why
            if why:
                found[path] = why
        return found


def drawn_runs(seed: int) -> Iterator[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
    """Yield runs over 200 sources that are written, moved, refused, pruned and duplicates of one another."""
    draw = random.Random(seed)
    for number in range(12):
        some = draw.sample(range(200), draw.choice([0, 3, 40, 150]))
        rows = []
        for name in some:
            outcome = draw.choice(["written"] * 4 + ["rejected", "quarantined", "failed"])
            reason = None if outcome == "written" else draw.choice(["x", "duplicate", "duplicate_conflict"])
            rows.append(row(name, f"1.{draw.randrange(150)}", outcome, reason=reason))
        pruned = [it for it in rows if it["output_path"]][: draw.choice([0, 0, 5])]
        yield f"r{number:02}", rows, pruned


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.usefixtures("small")
def test_it_says_what_all_rows_say_one_after_the_other(audit: Audit, seed: int) -> None:
    said = Reference()
    ledger: tuple[str, ...] = ()
    for run_id, rows, pruned in drawn_runs(seed):
        half = len(rows) // 2
        audit.run(run_id, rows[:half], rows[half:], pruned=pruned)
        said.add(rows)
        said.prune(pruned)
        ledger = audit.update()
        assert len(ledger) < 6
    index = open_index(audit.target(ledger=ledger))
    found = {it: index.newest(digest_number(source_id(it))) for it in range(200)}
    assert {source_id(it) for it, entry in found.items() if entry} == said.newest.keys()
    for name, entry in found.items():
        if entry is not None:
            newest = said.newest[source_id(name)]
            assert [*indexes.OUTCOMES, "pruned"][entry[1].outcome] == newest["outcome"]
            table = pq.read_table(audit.folder / index.tables[entry[1].table].name)
            assert table["source_id"][entry[1].row].as_py() == source_id(name)
    for uid in {it["sop_instance_uid"] for it in said.newest.values() if it["outcome"] == "written"}:
        holders = {
            source
            for source, it in said.newest.items()
            if it.get("sop_instance_uid") == uid and it["outcome"] == "written"
        }
        assert {digest_number(it) for it in holders} <= index.with_uid(uid_number(uid))
    skipped = {name for name, entry in found.items() if entry and name % 3}
    packed = packed_positions(entry[0] for name, entry in found.items() if entry and name in skipped)
    bits = CollectSkipped().extract_output(CollectSkipped().add_input((0, Skipped().bits()._bits), packed))
    history = History(audit.target("z", ledger), [], ("A",), bits.bits())
    gone = {it for it in said.newest if said.newest[it]["outcome"] != "pruned"}
    gone -= {source_id(name) for name in skipped}
    assert history.since["gone"] == len(gone)
    left = {it.path: it.why for it in history.leftovers()}
    assert left == said.leftovers(gone)


@pytest.mark.usefixtures("small")
def test_it_is_the_same_however_it_grew(audit: Audit, key_file: Path, tmp_path: Path) -> None:
    at_once = Audit(tmp_path / "at-once", key_file)
    for run_id, rows, pruned in drawn_runs(7):
        audit.run(run_id, rows, pruned=pruned)
        audit.update()
        at_once.run(run_id, rows, pruned=pruned)
    one, other = (open_index(it.target(ledger=it.update())) for it in (audit, at_once))
    assert len(other.segments) == 1
    for name in range(200):
        one_entry, other_entry = (it.newest(digest_number(source_id(name))) for it in (one, other))
        assert (one_entry and one_entry[1]) == (other_entry and other_entry[1])


def test_a_run_with_nothing_new_reads_no_table_again(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    audit.run("r1", [row("a")])
    ledger = audit.update()
    read: list[str] = []
    monkeypatch.setattr(indexes, "rows_of", lambda audit, table, columns: read.append(table.name) or iter(()))
    assert audit.update() == ledger
    assert audit.decides("a", ledger)
    assert read == []
    audit.run("r2", [row("b")])
    audit.update()
    assert read == ["instances/r2-00000-of-00001.parquet"]


def spoil(path: Path, at: int = 50) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "kind", ["-sources-00000", "-sources-fences", "-uids-00000", "-contents-00000", "-uids-fences", ".json"]
)
@pytest.mark.parametrize("harm", ["changed", "gone", "cut"])
def test_what_was_changed_is_found_and_made_anew(audit: Audit, kind: str, harm: str) -> None:
    audit.run("r1", [row("a"), row("b", outcome="failed")])
    (name,) = audit.update()
    before = audit.files
    path = audit.folder / "ledger" / f"{name}{kind}"
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        spoil(path, 3)
    assert list(broken_files(str(audit.folder), audit.identity)) != []
    ledger = audit.update()
    assert audit.files == before
    assert (audit.decides("a", ledger), audit.decides("b", ledger)) == (True, False)


def test_a_forged_row_is_not_believed_in_the_middle_of_a_run(audit: Audit) -> None:
    audit.run("r1", [row("a", outcome="failed")])
    (name,) = ledger = audit.update()
    path = audit.folder / "ledger" / f"{name}-sources-00000"
    data = path.read_bytes()
    path.write_bytes(data[:44] + b"\0" + data[45:])  # as if it had been written
    with pytest.raises(SealBrokenError, match="run again"):
        audit.decides("a", ledger)
    assert not (audit.folder / "ledger" / f"{name}.json").exists()
    assert audit.decides("a", audit.update()) is False
    assert path.read_bytes() == data


def test_what_another_key_sealed_is_not_believed(audit: Audit, tmp_path: Path, key: bytes) -> None:
    (other_key := tmp_path / "other").write_bytes(bytes(32))
    other_key.chmod(0o600)
    other = Audit(tmp_path / "other-audit", other_key)
    other.run("r1", [row("a")])
    (name,) = other.update()
    audit.run("r1", [row("a", outcome="failed")])
    (audit.folder / "ledger").mkdir()
    for file, data in other.files.items():
        (audit.folder / "ledger" / file).write_bytes(data)
    assert audit.decides("a", audit.update()) is False
    assert name not in {it[:32] for it in audit.files}


def test_a_segment_of_tables_that_no_record_names_any_more_is_not_believed(audit: Audit) -> None:
    audit.run("r1", [row("a")])
    audit.run("r2", [row("a", outcome="failed")])
    assert audit.decides("a", audit.update()) is False
    (audit.folder / "runs" / "r2.json").unlink()
    assert audit.decides("a", audit.update()) is True
    audit.run("r1", [row("b")])  # another file under the same name
    assert audit.decides("a", audit.update()) is False


def test_a_run_that_began_earlier_and_ended_later_has_its_place_in_between(audit: Audit) -> None:
    audit.run("r1", [row("a")])
    audit.run("r3", [row("a")])
    audit.update()
    audit.run("r2", [row("a", outcome="failed"), row("b")])
    ledger = audit.update()
    index = open_index(audit.target(ledger=ledger))
    assert [it.run_id for it in index.tables] == ["r1", "r2", "r3"]
    assert (audit.decides("a", ledger), audit.decides("b", ledger)) == (True, True)


def test_a_run_keeps_to_the_ledger_that_it_began_with(audit: Audit) -> None:
    audit.run("r1", [row("a")])
    ledger = audit.update()
    audit.run("r2", [row("b")])
    assert (audit.decides("b", ledger), audit.decides("b")) == (False, True)


def test_an_audit_of_before_has_none_and_gets_one(audit: Audit) -> None:
    audit.run("r1", [row("a", source_version="1700000000000000000")])
    assert not (audit.folder / "ledger").exists()
    ledger = audit.update()
    from beamstop_transforms.instance import version_digest

    version = version_digest(source_id("a"), "1700000000000000000", audit.identity)
    assert audit.decisions(ledger).holds(source_id("a"), 7, version)


def test_an_audit_without_rows_has_an_empty_one(audit: Audit) -> None:
    assert audit.update() == ()
    audit.run("r1", [])
    (name,) = audit.update()
    assert audit.files.keys() == {f"{name}.json"}
    assert len(open_index(audit.target(ledger=(name,)))) == 0
    assert audit.decides("a", (name,)) is False


def test_files_of_segments_that_are_merged_go_and_those_of_others_stay(audit: Audit) -> None:
    audit.run("r1", [row("a")])
    audit.update()
    (audit.folder / "ledger" / "theirs").write_bytes(b"")
    audit.run("r2", [row("b")])
    (second,) = audit.update()
    assert {it[:32] for it in audit.files} == {second, "theirs"}
    assert list(broken_files(str(audit.folder), audit.identity)) == ["theirs"]
    assert list(broken_files(str(audit.folder), None)) == ["theirs"]


def test_a_head_that_says_more_than_it_was_sealed_with_is_none(audit: Audit) -> None:
    audit.run("r1", [row("a", outcome="failed")])
    (name,) = audit.update()
    path = audit.folder / "ledger" / f"{name}.json"
    head = json.loads(path.read_text())
    path.write_text(json.dumps({**head, "rows": 0}))
    assert open_index(audit.target()).newest(digest_number(source_id("a"))) is not None


def test_bits_of_many_parts_are_one() -> None:
    collect = CollectSkipped()
    parts = [[3, 9], [70_000], [], [0, 8, 64]]
    accumulators = [
        collect.compact(collect.add_input(collect.create_accumulator(), packed_positions(it))) for it in parts
    ]
    skipped = collect.extract_output(collect.merge_accumulators(accumulators))
    assert skipped.sources == 6
    assert [it for it in range(80_000) if skipped.bits().has(it)] == [0, 3, 8, 9, 64, 70_000]
    assert not Skipped().bits().has(0)


@pytest.mark.usefixtures("small")
def test_a_content_at_a_path_is_its_last_source_s_whatever_else_was_written_since(audit: Audit) -> None:
    draw = random.Random(3)
    last: dict[tuple[str, str], tuple[str, str]] = {}
    without: dict[tuple[str, str], str] = {}
    for number in range(12):
        rows = [
            row(it, f"1.{draw.randrange(20)}", output_sha256=source_id(draw.randrange(3)))
            for it in draw.sample(range(60), 30)
        ]
        audit.run(f"r{number:02}", rows)
        for it in rows:
            last[it["output_path"], it["output_sha256"]] = it["source_id"], f"r{number:02}"
            if number < 10:
                without[it["output_path"], it["output_sha256"]] = it["source_id"]
        if number % 3 == 2:
            audit.update()
    index = open_index(audit.target(ledger=audit.update()))
    assert len(last) > 50
    for (path, sha256), (source, run_id) in last.items():
        found = index.source_of(number_of(path), digest_number(sha256))
        assert found is not None
        assert (found[0], index.tables[found[1]].run_id) == (digest_number(source), run_id)
        ended = index.source_of(number_of(path), digest_number(sha256), {"r10", "r11"})
        assert (ended is not None) == ((path, sha256) in without)
    assert index.source_of(number_of("P/1/1/1.1.dcm"), digest_number(source_id("x"))) is None


def test_a_row_whose_table_is_gone_since_holds_nothing(audit: Audit) -> None:
    audit.run("r1", [row("a")])
    ledger = audit.update()
    bits = CollectSkipped().extract_output(CollectSkipped().add_input((0, Skipped().bits()._bits), b"\0" * 8))
    decisions = audit.decisions(ledger)
    assert [it.claimant.path for it in decisions.holders("1.2", bits.bits())] == ["P/1/1/1.2.dcm"]
    (audit.folder / "instances" / "r1-00000-of-00001.parquet").unlink()
    _instances.cache_clear()
    assert list(decisions.holders("1.2", bits.bits())) == []
    assert list(History(audit.target("z", ledger), [], ("A",), Skipped().bits()).leftovers()) == []


def test_a_table_that_was_gone_for_a_while_has_its_rows_when_it_is_back(audit: Audit) -> None:
    audit.run("a", [row("one")])
    audit.run("b", [row("two", "1.3")])
    (table,) = (audit.folder / "instances").glob("a-*")
    content = table.read_bytes()
    table.unlink()
    names = audit.update()
    assert (audit.update(), len(open_index(audit.target()))) == (names, 1)
    table.write_bytes(content)
    audit.update()
    found = open_index(audit.target())
    assert [found.newest(digest_number(source_id(it))) is not None for it in ("one", "two")] == [True, True]
