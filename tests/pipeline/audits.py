"""Audits made in code: rows as a run writes them, without a run."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beamstop.audit import CHANGES, INSTANCES, Outcome

_ZERO = [field.name for field in INSTANCES if field.type in (pa.int64(), pa.float64())]
_TEXTS = {
    "modality": "CT",
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
    "transfer_syntax_uid": "1.2.840.10008.1.2.1",
    "recipe_digest": "d1",
    "beamstop_version": "0.1.0",
}


def a_row(source: str, outcome: str = "written", **columns: Any) -> dict[str, Any]:
    """Return a row of `instances` for a source, as little as can be."""
    where = {
        "sop_instance_uid": f"2.25.{source}",
        "output_path": f"P/S/R/{source}.dcm",
        "methods": ["113100"],
    }
    return (
        dict.fromkeys(INSTANCES.names)
        | dict.fromkeys(_ZERO, 0)
        | _TEXTS
        | {"methods": []}
        | (where if outcome == "written" else {"reason": "leak"})
        | {
            "source_id": hashlib.sha256(source.encode()).hexdigest(),
            "outcome": outcome,
            "pixels_changed": False,
        }
        | columns
    )


def a_device(
    manufacturer: str | None,
    model: str | None,
    written: int,
    with_text: int = 0,
    hidden: int = 0,
    kept: int = 0,
    example: str = "",
) -> dict[str, Any]:
    """Return an entry of a record's `devices`."""
    seen = {"written": written, "with_text": with_text, "text_boxes_hidden": hidden, "text_boxes_kept": kept}
    return {"manufacturer": manufacturer, "model": model, **seen, "example": example}


def write_run(
    audit: Path,
    run_id: str,
    *files: list[dict[str, Any]],
    changes: list[dict[str, Any]] | None = None,
    ended: bool = True,
    **record: Any,
) -> None:
    """Write the files and the record of a run below an audit."""
    for folder in ("instances", "changes", "runs"):
        (audit / folder).mkdir(parents=True, exist_ok=True)
    tables = [("instances", INSTANCES, rows) for rows in files]
    tables += [("changes", CHANGES, [dict.fromkeys(CHANGES.names) | row for row in changes or []])]
    for number, (folder, schema, rows) in enumerate(tables):
        if rows:
            table = pa.Table.from_pylist([{**row, "run_id": run_id} for row in rows], schema)
            pq.write_table(table, audit / folder / f"{run_id}-{number:05}-of-00002.parquet")
    every = [row for rows in files for row in rows]
    counts = {str(it): sum(row["outcome"] == it for row in every) for it in Outcome}
    said = {
        "run_id": run_id,
        "recipe": {"name": "default", "digest": "d1", "profile": "basic", "options": []},
        "started": "2026-01-02T03:04:05+00:00",
        "ended": "2026-01-02T03:05:05+00:00",
        "seconds": 60.0,
        "counts": {"sources": len(every), **counts, "skipped": 0, "face_may_show": 0},
    }
    if ended:
        (audit / "runs" / f"{run_id}.json").write_text(json.dumps(said | record))
