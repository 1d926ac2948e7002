"""The queries of docs/audit.md, run on an audit whose answers are known."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.pipeline.audits import a_device, a_row, write_run

from beamstop.audit import FINDINGS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "audit.md").read_text()
FIRST, SECOND, UNFINISHED = "20260101T000000Z-aaa", "20260102T000000Z-bbb", "20260103T000000Z-ccc"


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an audit of two runs and one that did not end, with devices."""
    us: dict[str, Any] = {
        "modality": "US",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.6.1",
        "frames_examined": 1,
    }
    fine: dict[str, Any] = {"identifiers_checked": 10, "bytes_in": 1_000_000, "ms_read": 1.0}
    cut = a_row("cut", "failed", reason="truncated", bytes_in=5)
    write_run(tmp_path, FIRST, [a_row("ct", **fine), cut], devices=[a_device("Cee", None, 1)])
    write_run(
        tmp_path,
        SECOND,
        [a_row("us1", **us, **fine, text_boxes_hidden=2), a_row("us2", **us, **fine, text_boxes_hidden=1)],
        [a_row("us3", **us, **fine, ms_pixels=900.0), a_row("cut", **fine)],
        [a_row("bad", "quarantined", detail="StudyDescription", identifiers_checked=3)],
        changes=[
            *(_change(source, rule="basic:00081030", action="X") for source in ("us1", "us2")),
            *(_change("us1", rule="basic:PRIVATE", action="X") for _ in range(3)),
            _change("us1", rule="basic:00080020", action="Z"),
            *(_box(source, 4, 8) for source in ("us1", "us2")),
            _box("us1", 50, 60),
        ],
        devices=[a_device("Acme", "Sono", 3, 2, 3), a_device("Cee", None, 1)],
    )
    write_run(tmp_path, UNFINISHED, [a_row("ct", "failed", reason="fault")], ended=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _change(source: str, **columns: Any) -> dict[str, Any]:
    return {
        "source_id": a_row(source)["source_id"],
        "tag": "(0008,1030)",
        "path": "StudyDescription",
        **columns,
    }


def _box(source: str, x: int, y: int) -> dict[str, Any]:
    where = {"frame": 0, "x": x, "y": y, "width": 10, "height": 5}
    return _change(source, **where, why="text", rule="text", action="X")


def answer(number: int) -> list[tuple[Any, ...]]:
    """Return what the query under a heading of the page finds."""
    (query,) = re.findall(rf"^## {number}\. .*?^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    with duckdb.connect() as connection:
        connection.execute(re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0])
        return connection.execute(query).fetchall()


CT, US = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.6.1"


@pytest.mark.parametrize(
    ("number", "rows"),
    [
        (1, [("written", None, 5, 5_000_000), ("quarantined", "leak", 1, 0)]),
        (2, [("US", US, 3, 2, 67, 3)]),
        (3, [("Acme", "Sono", 3, 2, 3), ("Cee", None, 2, 0, 0)]),
        (4, [("US", 4, 8, 10, 5, 2)]),
        (5, [("basic:PRIVATE", 3, 1), ("basic:00081030", 2, 2)]),
        (6, [("P/S/R/us1.dcm",), ("P/S/R/us2.dcm",)]),
        (7, [("quarantined", "leak", "StudyDescription", "CT", 1, a_row("bad")["source_id"])]),
        (8, [("US", 1, 901, 900, 1, 1.0, 0.0)]),
        (9, [("failed", "written", None, 1)]),
        (10, [(0, 0, 1, 53)]),
    ],
)
@pytest.mark.usefixtures("audit")
def test_query_finds(number: int, rows: list[tuple[Any, ...]]) -> None:
    assert answer(number) == rows


def test_findings_of_verify_are_counted_as_its_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audit" / "verify").mkdir(parents=True)
    every = [
        ("leak", "StudyDescription", "b.dcm"),
        ("leak", "StudyDescription", "a.dcm"),
        ("root", None, None),
    ]
    rows = [
        dict.fromkeys(FINDINGS.names) | {"check": check, "element": element, "output_path": path}
        for check, element, path in every
    ]
    pq.write_table(pa.Table.from_pylist(rows, FINDINGS), tmp_path / "audit" / "verify" / "one.parquet")
    (query,) = re.findall(r"^```sql\n(.*?)^```", (DOCS / "verify.md").read_text(), re.DOTALL | re.MULTILINE)
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == [
            ("leak", "StudyDescription", 2, "a.dcm"),
            ("root", None, 1, None),
        ]


def test_there_are_ten_questions() -> None:
    assert [int(number) for number in re.findall(r"^## (\d+)\.", PAGE, re.MULTILINE)] == list(range(1, 11))


@pytest.mark.usefixtures("audit")
def test_pandas_finds_the_same() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - our own documentation
    assert {outcome: int(n) for (outcome, _), n in found["outcomes"].items()} == {
        "written": 5,
        "quarantined": 1,
    }
    assert found["boxes"].loc["US"].tolist() == [3, 3]
    assert found["removed"].to_dict() == {"basic:PRIVATE": 3, "basic:00081030": 2}
