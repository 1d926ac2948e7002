"""Everything that a run leaves or says is searched for what was planted in its originals."""

import json
import os
import re
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.attacks.hidden_people import LONG_AGO, PLANTED, Attacked

pytestmark = pytest.mark.workers


def planted_in(text: str | bytes) -> set[str]:
    """Return what was planted that a text holds, in either case."""
    data = text.encode() if isinstance(text, str) else text
    return {it for it in PLANTED if it.lower().encode() in data.lower()}


def files(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def test_the_search_finds_what_was_planted(attacked: Attacked) -> None:
    """Else the other tests here would prove nothing."""
    everything = b"".join(path.read_bytes() + str(path).encode() for path in files(attacked.originals))
    assert planted_in(everything) == set(PLANTED)


def test_every_source_ended_in_a_row(attacked: Attacked) -> None:
    rows = [row for path in files(attacked.audit / "instances") for row in pq.read_table(path).to_pylist()]
    assert len(rows) == len(os.listdir(attacked.originals))
    assert {row["outcome"] for row in rows} == {"written", "rejected", "quarantined", "failed"}


def test_clean_files_and_their_paths_tell_nothing(attacked: Attacked) -> None:
    found = files(attacked.output)
    assert len(found) == 3
    assert [planted_in(path.read_bytes()) for path in found] == [set()] * 3
    assert planted_in("\n".join(str(path.relative_to(attacked.output)) for path in found)) == set()


def test_file_times_are_those_of_the_run(attacked: Attacked) -> None:
    assert all(path.stat().st_mtime > LONG_AGO + 1e8 for path in files(attacked.output, attacked.audit))


def test_the_audit_tells_nothing(attacked: Attacked) -> None:
    """Rows, the tables' own metadata and statistics, run records, names of files."""
    for path in files(attacked.audit):
        assert planted_in(path.relative_to(attacked.audit).as_posix()) == set()
        assert planted_in(path.read_bytes()) == set()
        if path.suffix == ".parquet":
            table = pq.ParquetFile(path)
            assert planted_in(f"{table.metadata} {table.schema_arrow.metadata}") == set()
            assert planted_in(json.dumps(table.read().to_pylist())) == set()


def test_changes_are_bound_to_their_place(attacked: Attacked) -> None:
    """Two instances of one patient, and two elements of one value, share no digest."""
    rows = [row for path in files(attacked.audit / "changes") for row in pq.read_table(path).to_pylist()]
    digests = [row["before_digest"] for row in rows if row["before_digest"]]
    assert len(digests) > 20
    assert len(set(digests)) == len(digests)


def test_what_is_said_tells_nothing(attacked: Attacked) -> None:
    """Not at DEBUG, not of files that could not be read, cleaned or proved."""
    assert planted_in(attacked.stdout) == set()
    assert planted_in(attacked.stderr) == set()


def test_nothing_half_done_is_left(attacked: Attacked) -> None:
    left = [*attacked.output.rglob(".partial/**/*"), *attacked.audit.rglob(".partial/**/*")]
    assert [path for path in left if path.is_file()] == []


def test_temporary_files_tell_nothing(attacked: Attacked) -> None:
    found = files(attacked.output.parent / "tmp")
    assert [path for path in found if planted_in(path.name) or planted_in(path.read_bytes())] == []
    assert [path for path in found if attacked.key in path.read_bytes()] == []


def test_folders_are_the_owner_s_alone(attacked: Attacked) -> None:
    folders = [attacked.output, attacked.audit, *attacked.output.rglob("*"), *attacked.audit.rglob("*")]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folders if path.is_dir()}
    assert modes == {0o700}


def test_the_key_is_in_nothing_that_is_left_or_shown(attacked: Attacked) -> None:
    written = b"".join(path.read_bytes() for path in files(attacked.output, attacked.audit))
    said = (attacked.stdout + attacked.stderr + attacked.arguments).encode()
    for shape in (attacked.key, attacked.key.hex().encode()):
        assert shape not in written + said


def test_the_process_list_names_no_patient(attacked: Attacked) -> None:
    """Workers are told where to listen; what they work on does not stand in their command lines."""
    workers = [line for line in attacked.arguments.splitlines() if "beamstop_pipeline.worker" in line]
    assert workers
    assert planted_in("\n".join(workers)) == set()
    assert not [line for line in workers if re.search(r"\bkey\b", line)]
