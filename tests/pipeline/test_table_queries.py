"""The queries of docs/tables.md, run on the table that a run wrote."""

import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tables.md").read_text()
RECIPE = "profile: basic\noptions: [retain-longitudinal-full-dates, clean-descriptors]\n"


def test_the_queries_shown_answer_by_the_clean_files(
    run: Any, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours.yaml").write_text(RECIPE)
    ours, to = str(tmp_path / "ours.yaml"), ("--attributes", str(tmp_path / "attributes"))
    run(archive, recipe=ours, more=to)
    os.utime(archive / "1.dcm", ns=(1, 1))
    run(archive, recipe=ours, more=(*to, "--incremental"))  # one instance has two rows
    monkeypatch.chdir(tmp_path)
    queries = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    with duckdb.connect() as connection:
        *_, counts, omop, fhir = [connection.execute(it).fetchall() for it in queries]
        types = dict(
            connection.execute("SELECT column_name, column_type FROM (DESCRIBE instances)").fetchall()
        )
    assert counts == [("CT", 2, 3)]
    assert sorted((row[2], row[5]) for row in omop) == [(date(2024, 2, 29), "CT")] * 2
    studies = [json.loads(resource) for (resource,) in fhir]
    assert sorted(it["numberOfInstances"] for it in studies) == [1, 2]
    assert {it["started"] for it in studies} == {"2024-02-29"}
    assert all(re.fullmatch(r"urn:oid:2\.25\.\d+", it["identifier"][0]["value"]) for it in studies)
    assert (types["StudyDate"], types["KVP"], types["PixelSpacing"]) == ("DATE", "DOUBLE", "DOUBLE[]")
