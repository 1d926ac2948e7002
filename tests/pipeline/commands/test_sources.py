"""From rows of the audit back to the files that they are about."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from beamstop_pipeline.cli import main


@pytest.fixture
def told(
    run: Any, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[Any, list[str]]:
    """Return a run on an archive with three files that are not written, and a command on its audit."""
    data = (archive / "1.dcm").read_bytes()
    (archive / "cut.dcm").write_bytes(data[:-7])
    Path(os.fsdecode(os.fsencode(archive) + b"/\xff\n.dcm")).write_bytes(data[:-7])
    (archive / "notes.txt").write_bytes(b"not DICOM")
    audit = str(run(archive).audit)
    capsys.readouterr()
    return run, ["sources", audit, "--input", str(archive), "--key", str(key_file)]


def listed(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    out, err = capsys.readouterr()
    assert err == ""
    return sorted(line.split("\t") for line in out.splitlines())


def test_what_failed_is_named(
    told: tuple[Any, list[str]], archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(told[1]) == 0
    assert listed(capsys) == [
        ["failed", "truncated", "", f"{archive}/\\xff\\n.dcm"],
        ["failed", "truncated", "", f"{archive}/cut.dcm"],
    ]


def test_outcomes_and_reasons_are_chosen(
    told: tuple[Any, list[str]], archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*told[1], "--outcome", "rejected", "--outcome", "failed", "--reason", "not_dicom"]) == 0
    assert listed(capsys) == [["rejected", "not_dicom", "", f"{archive}/notes.txt"]]
    assert main([*told[1], "--reason", "leak"]) == 0
    assert listed(capsys) == []


def test_a_reason_that_does_not_exist_is_refused(
    told: tuple[Any, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*told[1], "--reason", "truncted"]) == 2
    assert "--reason truncted: no such reason; did you mean truncated?" in capsys.readouterr().err


def test_the_newest_row_of_a_source_says_what_became_of_it(
    told: tuple[Any, list[str]], archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / "cut.dcm").write_bytes((archive / "2.dcm").read_bytes())
    (archive / "2.dcm").write_bytes(b"\0" * 200)
    told[0](archive)
    capsys.readouterr()
    assert main([*told[1], "--outcome", "failed", "--outcome", "rejected", "--reason", "truncated"]) == 0
    assert listed(capsys) == [["failed", "truncated", "", f"{archive}/\\xff\\n.dcm"]]


def test_of_a_conflict_the_others_are_named_by_their_paths(
    run: Any, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = dcmread(archive / "1.dcm")
    forged.KVP = "120"
    forged.save_as(archive / "forged.dcm", enforce_file_format=True)
    audit = str(run(archive).audit)
    capsys.readouterr()
    command = ["sources", audit, "--input", str(archive), "--key", str(key_file)]
    assert main([*command, "--reason", "duplicate_conflict"]) == 0
    one, other = f"{archive}/1.dcm", f"{archive}/forged.dcm"
    conflict = ["quarantined", "duplicate_conflict"]
    assert listed(capsys) == [[*conflict, one, other], [*conflict, other, one]]


def test_a_source_that_is_gone_is_counted(
    told: tuple[Any, list[str]], archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / "cut.dcm").unlink()
    assert main(told[1]) == 0
    out, err = capsys.readouterr()
    assert out == f"failed\ttruncated\t\t{archive}/\\xff\\n.dcm\n"
    assert err == "1 more are in the audit and not among --input\n"


def test_another_key_names_nothing(
    told: tuple[Any, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    assert main(["keygen", str(other)]) == 0
    assert main([*told[1], "--key", str(other)]) == 2
    assert capsys.readouterr() == (
        "",
        "beamstop: --key: no seal of this audit was made with it; name the key of the run\n",
    )


def test_an_audit_without_a_run_is_refused(
    tmp_path: Path, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sources", str(tmp_path), "--input", str(archive), "--key", str(key_file)]) == 2
    assert "no run has ended there; check the path" in capsys.readouterr().err
