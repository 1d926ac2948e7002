"""Parts: what a run has sealed of its rows is read back as it was, and nothing else is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from beamstop.identity import Identity
from beamstop_transforms.ledger.parts import Part, broken_runs, put_part, read_parts
from beamstop_transforms.tables import Partial

RUN, OTHER = "20260101T000000Z-00000000000", "20260102T000000Z-00000000000"
IDENTITY = Identity(bytes(range(32)))
PART = Part({"run_id": RUN, "recipe": "basic"}, {"output": "ab"}, {"instances": Partial("x", 7, "cd")})


def parts_of(audit: Path, run_id: str = RUN, identity: Identity = IDENTITY) -> list[Part]:
    return list(read_parts(str(audit), run_id, identity))


def file_of(audit: Path, name: str, run_id: str = RUN) -> Path:
    return audit / ".partial" / run_id / "parts" / f"{name}.json"


def test_the_parts_of_a_run_are_read_back_in_the_order_of_their_names(tmp_path: Path) -> None:
    second = replace(PART, tables={})
    put_part(str(tmp_path), "b", second, IDENTITY)
    put_part(str(tmp_path), "a", PART, IDENTITY)
    put_part(str(tmp_path), "c", replace(PART, head={"run_id": OTHER}), IDENTITY)
    assert parts_of(tmp_path) == [PART, second]
    assert broken_runs(str(tmp_path)) == [RUN, OTHER]
    assert parts_of(tmp_path, "20260103T000000Z-00000000000") == []


def test_a_run_is_broken_if_its_name_is_a_run_s_and_it_left_parts(tmp_path: Path) -> None:
    put_part(str(tmp_path), "a", PART, IDENTITY)
    for name in (f"{OTHER}/attempts", f"{OTHER[:-1]}/parts", "x/parts"):
        (tmp_path / ".partial" / name).mkdir(parents=True)
        (tmp_path / ".partial" / name / "a.json").write_text("{}")
    assert broken_runs(str(tmp_path)) == [RUN]


def test_another_key_another_name_and_another_run_seal_nothing(tmp_path: Path) -> None:
    put_part(str(tmp_path), "a", PART, IDENTITY)
    assert parts_of(tmp_path, identity=Identity(bytes(32))) == []
    data = file_of(tmp_path, "a").read_bytes()
    file_of(tmp_path, "b").write_bytes(data)
    file_of(tmp_path, "a", OTHER).parent.mkdir(parents=True)
    file_of(tmp_path, "a", OTHER).write_bytes(data)
    assert (parts_of(tmp_path), parts_of(tmp_path, OTHER)) == ([PART], [])


@pytest.mark.parametrize("name", ["part", "head", "places", "tables", "mac"])
def test_a_part_that_somebody_changed_says_nothing(tmp_path: Path, name: str) -> None:
    put_part(str(tmp_path), "a", PART, IDENTITY)
    said = json.loads(file_of(tmp_path, "a").read_text())
    for changed in ({**said, name: "x"}, {it: said[it] for it in said if it != name}, {**said, "more": 1}):
        file_of(tmp_path, "a").write_text(json.dumps(changed))
        assert parts_of(tmp_path) == []
    file_of(tmp_path, "a").write_text(json.dumps(said))
    assert parts_of(tmp_path) == [PART]


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"{", b"[]", b"7", b"null", b'"x"', b"{}", b'{"mac": null}', b"[" * 100_000]
)
def test_what_is_no_record_of_a_part_says_nothing(tmp_path: Path, data: bytes) -> None:
    put_part(str(tmp_path), "b", PART, IDENTITY)
    file_of(tmp_path, "a").write_bytes(data)
    assert parts_of(tmp_path) == [PART]
