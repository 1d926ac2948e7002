"""Seal audits that tests write by hand: without the record of its run, a table does not count."""

import hashlib
import json
from pathlib import Path
from typing import Any

from beamstop.audit import record_mac
from beamstop.identity import Identity
from beamstop_transforms.tables import run_of


def seal(audit: Path, run_id: str, key: bytes, **more: Any) -> None:
    """Write runs/<run_id>.json for the tables of a run in an audit folder, sealed with the key.

    Further fields of the record are given by name.
    """
    tables = [path for path in sorted(audit.glob("*/*.parquet")) if run_of(str(path)) == run_id]
    named = {f"{it.parent.name}/{it.name}": hashlib.sha256(it.read_bytes()).hexdigest() for it in tables}
    record = {"run_id": run_id, "sha256": named, **more}
    record["mac"] = record_mac(record, Identity(key))
    (audit / "runs").mkdir(exist_ok=True)
    (audit / "runs" / f"{run_id}.json").write_text(json.dumps(record))
