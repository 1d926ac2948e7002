"""The crosswalk, made when it is needed rather than by a run."""

import csv
import stat
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pydicom
import pytest

from beamstop.audit import CROSSWALK
from beamstop_pipeline.cli import main


@pytest.fixture
def ask(archive: Path, key_file: Path, tmp_path: Path) -> Any:
    """Return a function that asks for the crosswalk of an audit and returns its exit code."""

    def _ask(ran: Any, *more: str) -> int:
        return main(["crosswalk", str(ran.audit), "--input", str(archive), "--key", str(key_file), *more])

    return _ask


def rows_of_the_run(folder: Path) -> list[dict[str, Any]]:
    rows = [row for file in folder.glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    return sorted(rows, key=lambda row: row["source_path"])


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_it_is_what_a_run_would_have_written(run: Any, ask: Any, archive: Path, tmp_path: Path) -> None:
    ran = run(archive, more=("--crosswalk", str(tmp_path / "ties")))
    for name in ("x.csv", "x.parquet"):
        assert ask(ran, "-o", str(tmp_path / name)) == 0
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    expected = rows_of_the_run(tmp_path / "ties")
    assert len(expected) >= 2
    assert sorted(read_csv(tmp_path / "x.csv"), key=lambda row: row["source_path"]) == expected
    found = pq.read_table(tmp_path / "x.parquet")
    assert found.schema.names == CROSSWALK.names
    assert sorted(found.to_pylist(), key=lambda row: row["source_path"]) == expected


def test_it_is_complete_after_runs_that_had_none(run: Any, ask: Any, archive: Path, tmp_path: Path) -> None:
    ran = run(archive)
    (archive / "later.dcm").write_bytes((archive / "1.dcm").read_bytes())
    dataset = pydicom.dcmread(archive / "later.dcm")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.6.7.8.9"
    dataset.save_as(archive / "later.dcm")
    again = run(archive, more=("--incremental",))
    assert len(again.table("instances")) == 1
    assert ask(again, "-o", str(tmp_path / "x.csv")) == 0
    originals = {row["original_sop_instance_uid"] for row in read_csv(tmp_path / "x.csv")}
    assert "1.2.3.4.5.6.7.8.9" in originals
    assert len(originals) == ran.record["counts"]["written"] + 1


def test_a_pseudonym_is_looked_up(
    run: Any, ask: Any, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run(archive)
    row = ran.table("instances")[0]
    capsys.readouterr()
    assert ask(ran, "--find", row["sop_instance_uid"]) == 0
    out, err = capsys.readouterr()
    (found,) = csv.DictReader(out.splitlines())
    assert (found["sop_instance_uid"], err) == (row["sop_instance_uid"], "")
    original = pydicom.dcmread(found["source_path"])
    assert found["original_patient_id"] == original.PatientID
    assert ask(ran, "--find", original.PatientID) == 0
    assert capsys.readouterr().out.splitlines() == [",".join(CROSSWALK.names)]


def test_with_the_recipe_every_remapped_uid_is_there(
    run: Any, ask: Any, archive: Path, tmp_path: Path
) -> None:
    dataset = pydicom.dcmread(archive / "1.dcm")
    dataset.FrameOfReferenceUID = "1.2.3.4.5.6.77"
    dataset.save_as(archive / "1.dcm")
    ran = run(archive)
    assert ask(ran, "-o", str(tmp_path / "x.csv"), "--recipe", "basic") == 0
    uids = {row["original_uid"]: row["uid"] for row in read_csv(tmp_path / "x-uids.csv")}
    clean = [pydicom.dcmread(path) for path in ran.output.rglob("*.dcm")]
    assert uids["1.2.3.4.5.6.77"] in {it.get("FrameOfReferenceUID") for it in clean}
    in_clean_files = {str(it.value) for each in clean for it in each.iterall() if it.VR == "UI" and it.value}
    assert set(uids.values()) <= in_clean_files
    assert dataset.SOPClassUID not in uids


def test_what_is_gone_or_changed_has_no_row(
    run: Any, ask: Any, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run(archive)
    (archive / "1.dcm").unlink()
    dataset = pydicom.dcmread(archive / "2.dcm")
    dataset.PatientID = "somebody else"
    dataset.save_as(archive / "2.dcm")
    capsys.readouterr()
    assert ask(ran, "-o", str(tmp_path / "x.csv")) == 1
    assert len(read_csv(tmp_path / "x.csv")) == ran.record["counts"]["written"] - 2
    assert capsys.readouterr().err.splitlines() == [
        "clean files without a row, because their originals are not among --input: 1",
        "clean files without a row, because their originals are changed since the run: 1",
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--recipe", "strict", "-o", "x.csv"), "--recipe strict: the newest run had basic"),
        (("--recipe", "basic"), "--recipe: writes a second table for UIDs; name a file with -o"),
        (("-o", "x.txt"), "-o x.txt: the file must end in .csv or .parquet"),
        (("-o", "nowhere/x.csv"), "-o nowhere/x.csv: there is no such folder"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Any, ask: Any, archive: Path, more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run(archive)
    capsys.readouterr()
    assert ask(ran, *more) == 2
    assert said in capsys.readouterr().err
