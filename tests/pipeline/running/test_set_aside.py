"""What rings in the morning: what a run set aside and no earlier run had said, and what to do about it."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from beamstop_pipeline.cli import main
from beamstop_transforms.stores import StoreError

AGAIN = ("--incremental",)


@pytest.fixture
def cut(archive: Path) -> Path:
    """Return the archive with one file that is cut off."""
    (archive / "1.dcm").write_bytes((archive / "1.dcm").read_bytes()[:-7])
    return archive


@pytest.fixture
def command(tmp_path: Path, cut: Path, key_file: Path) -> list[str]:
    places = ["--input", str(cut), "--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit")]
    return ["run", *places, "--recipe", "basic", "--key", str(key_file), "--workers", "1"]


def told(command: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, int]]:
    """Return exit code and what was set aside, as --json says."""
    capsys.readouterr()
    code = main([*command, "--json"])
    said = json.loads(capsys.readouterr().out)
    return code, {name: said[name] for name in ("quarantined", "failed", "known")}


def test_what_failed_as_it_did_last_night_is_known(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert told([*command, *AGAIN], capsys) == (1, {"quarantined": 0, "failed": 1, "known": 0})
    assert told([*command, *AGAIN], capsys) == (0, {"quarantined": 0, "failed": 1, "known": 1})
    assert told([*command, *AGAIN], capsys) == (0, {"quarantined": 0, "failed": 1, "known": 1})


def test_without_incremental_nothing_is_known(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert told(command, capsys) == (1, {"quarantined": 0, "failed": 1, "known": 0})


def test_other_bytes_another_reason_and_another_source_are_new(
    command: list[str], cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *AGAIN, "--quiet"]) == 1
    data = (cut / "1.dcm").read_bytes()
    (cut / "1.dcm").write_bytes(data[:-2])
    assert told([*command, *AGAIN], capsys) == (1, {"quarantined": 0, "failed": 1, "known": 0})
    assert told([*command, *AGAIN], capsys) == (0, {"quarantined": 0, "failed": 1, "known": 1})
    assert told([*command, *AGAIN, "--max-bytes", "100"], capsys)[0] == 1  # too_large, not truncated
    (cut / "2.dcm").write_bytes((cut / "2.dcm").read_bytes()[:-7])
    assert main([*command, *AGAIN, "--quiet"]) == 1
    (cut / "1.dcm").write_bytes(data)
    assert told([*command, *AGAIN], capsys) == (1, {"quarantined": 0, "failed": 2, "known": 1})


def test_what_was_well_in_between_is_new_again(
    command: list[str], cut: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken = dcmread(cut / "2.dcm"), (cut / "1.dcm").read_bytes()
    whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.99"
    assert main([*command, *AGAIN, "--quiet"]) == 1
    whole.save_as(cut / "1.dcm", enforce_file_format=True)
    assert main([*command, *AGAIN, "--quiet"]) == 0
    (cut / "1.dcm").write_bytes(broken)
    assert told([*command, *AGAIN], capsys) == (1, {"quarantined": 0, "failed": 1, "known": 0})


def test_a_source_that_was_not_read_is_known_by_size_and_version(
    command: list[str], cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [*command, *AGAIN, "--max-bytes", "100"]
    assert told(small, capsys) == (1, {"quarantined": 0, "failed": 3, "known": 0})
    assert told(small, capsys) == (0, {"quarantined": 0, "failed": 3, "known": 3})
    os.utime(cut / "2.dcm", ns=(1, 1))
    assert told(small, capsys) == (1, {"quarantined": 0, "failed": 3, "known": 2})


def test_what_a_run_that_broke_set_aside_is_told_by_the_next(
    command: list[str], cut: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("beamstop_transforms.audit._WriteInstancesFn.process", broken)
        assert main([*command, *AGAIN, "--quiet"]) == 3
    assert told([*command, *AGAIN], capsys) == (1, {"quarantined": 0, "failed": 1, "known": 0})
    assert told([*command, *AGAIN], capsys) == (0, {"quarantined": 0, "failed": 1, "known": 1})


def broken(*_: Any) -> Any:
    raise StoreError("the disk is full")


def test_quiet_speaks_where_somebody_has_to_look_and_lists_what_is_known(
    command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *AGAIN, "--quiet"]) == 1
    out, err = capfd.readouterr()
    assert err == ""
    assert "1: truncated 1" in " ".join(out.split())
    assert main([*command, *AGAIN, "--quiet"]) == 0
    assert "".join(capfd.readouterr()) == ""
    assert main([*command, *AGAIN]) == 0
    assert "1 of these, reported before: failed truncated 1" in capfd.readouterr().out


def test_the_summary_ends_with_whole_commands_that_work(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main([*command, *AGAIN, "--crosswalk", str(tmp_path / "cross walk")]) == 1
    assert main([*command, *AGAIN, "--attributes", str(tmp_path / "attributes")]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("  beamstop ")]
    first, last = ["sources", "explain"], ["verify", "report"]
    assert [it[0] for it in commands] == [*first, *last, *first, "crosswalk", *last]
    sources, explain, crosswalk, verify, report = commands[4:]
    assert report[2:] == ["--attributes", str(tmp_path / "attributes")]
    assert explain == ["explain", "FILE", "--recipe", "basic"]
    assert main(sources) == 0
    assert capsys.readouterr().out == f"failed\ttruncated\t\t{tmp_path / 'archive' / '1.dcm'}\n"
    assert (main(crosswalk), main(verify)) == (0, 0)
    assert (tmp_path / "crosswalk.csv").exists()


def test_the_table_of_subjects_goes_along(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "our subjects.csv"
    table.write_text("patient_id,pseudonym\nR-1001,A\nP-2002,B\n")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main([*command, "--subjects", str(table)]) == 1
    lines = capsys.readouterr().out.splitlines()
    commands = {
        it[1]: it[1:] for it in (shlex.split(line) for line in lines if line.startswith("  beamstop "))
    }
    assert commands["explain"][2:] == ["--recipe", "basic", "--subjects", str(table)]
    assert main(commands["verify"]) == 0


def test_in_a_log_no_name_of_an_input_is_told(
    command: list[str], cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--quiet"]) == 1
    out = capsys.readouterr().out
    assert str(cut) not in out
    assert "--input ORIGINALS" in out


def test_after_an_ephemeral_key_no_command_is_named_that_needs_it(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    at = command.index("--key")
    assert main([*command[:at], *command[at + 2 :], "--ephemeral-key"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("  beamstop ")] == ["report"]
