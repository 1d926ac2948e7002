"""From rows to Parquet files, a record, or a run that breaks."""

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamstop import load_recipe
from beamstop.audit import CROSSWALK
from beamstop.changes import Change
from beamstop.steps.apply_recipe import AttributeReport
from beamstop_transforms.audit import JobOutputs, UnreconciledError, WriteAudit
from beamstop_transforms.instance import Instance, Lost, Source
from beamstop_transforms.ledger.skipped import Skipped
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.record import Run

ROWS = [
    {
        "source_id": f"{n:02x}" * 32,
        "outcome": "written",
        "bytes_in": 5,
        "bytes_out": 4,
        "output_path": f"{n}.dcm",
    }
    for n in (1, 2, 3)
]


CHANGE = Change("PatientName", "(0010,0010)", "PN", "Z", "rule", "before", "after")
BOX = Change("", "(7FE0,0010)", "OW", "X", "text", frame=1, x=2, y=3, width=4, height=5, why="text")


def change_of(source_id: str, *changes: Change) -> pa.RecordBatch:
    instance = Instance(Source("", 0, ""), source_id)
    instance.report = AttributeReport(changes=list(changes or (CHANGE,)))
    return instance.change_rows("r1", "2.25.1")


def write(
    folder: Path,
    key_file: Path,
    sources: int,
    rows: list[dict[str, Any]],
    losers: dict[str, Lost],
    skipped: int = 0,
) -> dict[str, Any]:
    run = Run(
        target=Target(str(folder / "out"), str(folder / "audit"), str(key_file), "r1"),
        recipe=load_recipe("basic"),
        crosswalk=str(folder / "cross"),
        inputs=("/archive",),
        started="2026-01-01T00:00:00+00:00",
    )
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        inputs = {
            "sources": [Source(str(number), 0, "") for number in range(sources)],
            "skipped": [Skipped(skipped)],
            "rows": rows,
            "changes": [change_of(row["source_id"]) for row in rows],
            "crosswalk": [
                dict.fromkeys(CROSSWALK.names, "x") | {"source_id": row["source_id"]} for row in rows
            ],
            "attributes": [],
            "losers": list(losers.items()),
        }
        outputs = {name: pipeline | name >> beam.Create(elements) for name, elements in inputs.items()}
        _ = JobOutputs(**outputs) | WriteAudit(run)
    record: dict[str, Any] = json.loads((folder / "audit" / "runs" / "r1.json").read_text())
    return record


def ids(folder: Path, table: str) -> list[str]:
    return sorted(pq.read_table(folder / table).column("source_id").to_pylist())


def test_the_record_counts_what_the_rows_say(tmp_path: Path, key_file: Path) -> None:
    record = write(tmp_path, key_file, 3, ROWS, {})
    assert record["counts"] == {
        "sources": 3,
        "written": 3,
        "rejected": 0,
        "quarantined": 0,
        "failed": 0,
        "unchanged": 0,
        "skipped": 0,
        "bytes_in": 15,
        "bytes_out": 12,
        "text_boxes_hidden": 0,
        "face_may_show": 0,
        "face_removed": 0,
        "reasons": {},
    }
    assert record["recipe"]["name"] == "basic"
    assert record["integrity"]["rows"] == 3


def test_a_loser_is_rejected_and_leaves_nothing_but_its_row(tmp_path: Path, key_file: Path) -> None:
    lost = ROWS[1]["source_id"]
    record = write(tmp_path, key_file, 3, ROWS, {lost: Lost("duplicate", "")})
    assert record["counts"]["reasons"] == {"rejected/duplicate": 1}
    rows = pq.read_table(tmp_path / "audit" / "instances").to_pylist()
    (row,) = (row for row in rows if row["source_id"] == lost)
    assert (row["outcome"], row["reason"], row["output_path"], row["bytes_out"]) == (
        "rejected",
        "duplicate",
        None,
        0,
    )
    assert ids(tmp_path, "audit/changes") == [ROWS[0]["source_id"], ROWS[2]["source_id"]]
    ties = pq.read_table(tmp_path / "cross")
    assert (ties.num_rows, ties.schema.names) == (2, CROSSWALK.names)


def test_the_record_tells_what_each_device_wrote_and_counts_no_loser(tmp_path: Path, key_file: Path) -> None:
    made = [(["Acme", "Sono 7"], 3), (["Acme", "Sono 7"], 9), (["Acme", ""], 0)]
    rows = [
        {**row, "device": device, "text_boxes_hidden": hidden, "sop_instance_uid": f"2.25.{hidden}"}
        for row, (device, hidden) in zip(ROWS, made, strict=True)
    ]
    turned_away = {"source_id": "09" * 32, "outcome": "quarantined", "bytes_in": 0, "bytes_out": 0}
    losers = {ROWS[1]["source_id"]: Lost("duplicate", "")}
    record = write(tmp_path, key_file, 4, [*rows, turned_away], losers)
    none = {"with_text": 0, "text_boxes_hidden": 0, "text_boxes_kept": 0}
    assert record["devices"] == [
        {"manufacturer": "Acme", "model": None, "written": 1, **none, "example": "2.25.0"},
        {
            "manufacturer": "Acme",
            "model": "Sono 7",
            "written": 1,
            "with_text": 1,
            "text_boxes_hidden": 3,
            "text_boxes_kept": 0,
            "example": "2.25.3",
        },
    ]


def test_the_changes_of_an_instance_are_rows_of_what_a_change_says() -> None:
    same = {"run_id": "r1", "source_id": "s", "sop_instance_uid": "2.25.1"}
    assert change_of("s", CHANGE, BOX).to_pylist() == [same | it._asdict() for it in (CHANGE, BOX)]


def test_an_instance_without_changes_has_no_rows() -> None:
    instance = Instance(Source("", 0, ""), "s", report=AttributeReport())
    assert instance.change_rows("r1", "2.25.1").to_pylist() == []


def test_skipped_sources_have_no_row_unless_they_lost_what_they_held(tmp_path: Path, key_file: Path) -> None:
    lost = {"source_id": "04" * 32, "outcome": "rejected", "bytes_in": 0, "bytes_out": 0, "overturned": True}
    counts = write(tmp_path, key_file, 6, [*ROWS, lost], {}, 3)["counts"]
    assert (counts["sources"], counts["skipped"], counts["rejected"]) == (6, 2, 1)


def test_a_row_of_a_source_that_was_skipped_breaks_the_run(tmp_path: Path, key_file: Path) -> None:
    with pytest.raises(UnreconciledError):
        write(tmp_path, key_file, 3, ROWS, {}, 1)


@pytest.mark.parametrize(("sources", "rows"), [(4, ROWS), (2, ROWS), (4, [*ROWS, ROWS[0]])])
def test_rows_that_are_not_the_sources_one_for_one_break_the_run(
    tmp_path: Path, key_file: Path, sources: int, rows: list[dict[str, Any]]
) -> None:
    with pytest.raises(UnreconciledError):
        write(tmp_path, key_file, sources, rows, {})
    assert not (tmp_path / "audit" / "runs").exists()


def test_a_run_without_sources_has_empty_tables(tmp_path: Path, key_file: Path) -> None:
    assert write(tmp_path, key_file, 0, [], {})["integrity"]["rows"] == 0
    assert ids(tmp_path, "audit/instances") == []
