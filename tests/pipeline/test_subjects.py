"""A run with a table of one's own pseudonyms: who is admitted, and what a changed line does."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from pydicom import dcmread

from beamstop.recipe.load import load_recipe
from beamstop_pipeline.cli import main
from beamstop_pipeline.job import Job, lines_of
from beamstop_pipeline.running import runner
from beamstop_transforms.ledger.target import new_run_id
from beamstop_transforms.subjects import stage_subjects

HEAD = "patient_id,pseudonym,shift_days,action\n"
BOTH = HEAD + "R-1001,STUDY-A,30,keep\nP-2002,STUDY-B,,keep\n"
REFUSED = HEAD + "R-1001,,,refuse\nP-2002,STUDY-B,,keep\n"
INCREMENTAL = ("--incremental",)
BY_KEY = "subjects: {absent: key}\n"
SHIFTED = "profile: basic\noptions: [retain-longitudinal-modified-dates]\n"


@pytest.fixture
def table(tmp_path: Path) -> Any:
    """Return a function that writes a table and returns the option that names it."""

    def _table(text: str) -> tuple[str, str]:
        path = tmp_path / "subjects.csv"
        path.write_text(text)
        return ("--subjects", str(path))

    return _table


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    """Return a function that writes a recipe and returns its path."""

    def _recipe(text: str) -> str:
        path = tmp_path / "ours.yaml"
        path.write_text(text)
        return str(path)

    return _recipe


def patients(ran: Any) -> list[str]:
    """Return the folders of patients in OUTPUT."""
    return sorted(path.name for path in ran.output.iterdir() if path.name != ".partial")


def test_a_run_gives_the_pseudonyms_and_shifts_of_the_table(
    run: Any, archive: Path, table: Any, recipe: Any
) -> None:
    ran = run(archive, recipe=recipe(SHIFTED), more=table(BOTH))
    assert (ran.code, patients(ran)) == (0, ["STUDY-A", "STUDY-B"])
    assert dcmread(archive / "1.dcm").StudyDate == "20240229"
    for path in (ran.output / "STUDY-A").rglob("*.dcm"):
        clean = dcmread(path)
        assert clean.PatientID == "STUDY-A"
        assert clean.StudyDate == "20240130"


def test_worker_processes_map_the_table_of_the_scratch_folder(run: Any, archive: Path, table: Any) -> None:
    ran = run(archive, workers=2, more=table(REFUSED))
    assert (ran.code, patients(ran)) == (0, ["STUDY-B"])
    assert ran.outcomes == {("written", None): 1, ("rejected", "refused"): 2}


def test_who_is_in_no_line_is_rejected_or_has_the_pseudonym_of_the_key(
    run: Any, archive: Path, table: Any, recipe: Any
) -> None:
    one = table(HEAD + "R-1001,STUDY-A,,keep\n")
    assert run(archive, more=one).outcomes == {("written", None): 2, ("rejected", "not_in_table"): 1}
    keyed = patients(run(archive, to="2"))
    by_key = run(archive, to="3", recipe=recipe(f"profile: basic\n{BY_KEY}"), more=one)
    assert len(patients(by_key)) == 2
    assert set(patients(by_key)) - {"STUDY-A"} < set(keyed)


def test_no_value_of_the_table_is_in_audit_or_record_but_in_the_clean_names(
    run: Any, archive: Path, table: Any
) -> None:
    text = HEAD + "R-1001,STUDY-A,30,keep\nP-2002,,,refuse\nQ-3003,NOBODYS-9,,keep\n"
    ran = run(archive, more=table(text))
    (digests,) = (ran.audit / "subjects").iterdir()
    assert digests.name == ran.record["subjects"]
    assert ran.record["options"]["subjects"] is True
    everything = b"".join(path.read_bytes() for path in ran.audit.rglob("*") if path.is_file())
    for value in (b"R-1001", b"P-2002", b"Q-3003", b"NOBODYS-9", b"subjects.csv"):
        assert value not in everything
    assert ran.audit.joinpath("instances").is_dir()


def test_a_changed_line_is_found_by_its_clean_patient_id(run: Any, archive: Path, table: Any) -> None:
    run(archive, more=(*table(BOTH), *INCREMENTAL))
    same = run(
        archive, more=(*table("\n".join(reversed(BOTH.splitlines()[1:])).join([HEAD, "\n"])), *INCREMENTAL)
    )
    assert (same.record["counts"]["skipped"], same.record["counts"]["written"]) == (3, 0)
    other = table(BOTH.replace("STUDY-A", "STUDY-C"))
    renamed = run(archive, more=(*other, *INCREMENTAL, "--prune"))
    assert (renamed.record["counts"]["skipped"], renamed.record["counts"]["written"]) == (1, 2)
    assert patients(renamed) == ["STUDY-B", "STUDY-C"]


def test_a_new_line_is_found_by_the_pseudonym_that_the_key_gave(
    run: Any, archive: Path, table: Any, recipe: Any
) -> None:
    ours = recipe(f"profile: basic\n{BY_KEY}")
    run(archive, recipe=ours, more=(*table(HEAD + "P-2002,STUDY-B,,keep\n"), *INCREMENTAL))
    named = run(archive, recipe=ours, more=(*table(BOTH), *INCREMENTAL))
    assert named.record["counts"]["skipped"] == 1
    assert len(patients(named)) == 3
    gone = run(archive, recipe=ours, more=(*table(HEAD + "R-1001,STUDY-A,30,\n"), *INCREMENTAL, "--prune"))
    assert gone.record["counts"]["skipped"] == 2
    assert len(patients(gone)) == 2
    assert "STUDY-B" not in patients(gone)


def test_who_comes_into_the_table_or_back_is_tried_again(run: Any, archive: Path, table: Any) -> None:
    run(archive, more=(*table(HEAD + "P-2002,STUDY-B,,keep\n"), *INCREMENTAL))
    refused = run(archive, more=(*table(REFUSED), *INCREMENTAL))
    assert refused.outcomes == {("rejected", "refused"): 2}
    back = run(archive, more=(*table(BOTH), *INCREMENTAL))
    assert (back.outcomes, back.record["counts"]["skipped"]) == ({("written", None): 2}, 1)


def test_a_table_where_there_was_none_decides_about_everybody(run: Any, archive: Path, table: Any) -> None:
    run(archive, more=INCREMENTAL)
    ran = run(archive, more=(*table(REFUSED), *INCREMENTAL, "--prune"))
    assert (ran.record["counts"]["skipped"], patients(ran)) == (0, ["STUDY-B"])


def test_a_table_that_is_forgotten_stops_the_run(
    run: Any, archive: Path, table: Any, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run(archive, more=table(REFUSED))
    places = ["--output", str(ran.output), "--audit", str(ran.audit), "--key", str(key_file)]
    assert main(["run", "--input", str(archive), *places, "--recipe", "basic"]) == 2
    assert "--subjects: the newest run in AUDIT had a table; name it" in capsys.readouterr().err


def test_a_changed_line_by_accession_number_needs_a_run_over_everything(
    run: Any, archive: Path, table: Any, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in archive.rglob("*.dcm"):
        dataset = dcmread(path)
        dataset.AccessionNumber = f"ACC{dataset.PatientID[2:]}9"
        dataset.save_as(path)
    head = "accession_number,pseudonym,action\n"
    first = head + "ACC10019,STUDY-A,\nACC20029,STUDY-B,\n"
    ran = run(archive, more=(*table(first), *INCREMENTAL))
    assert patients(ran) == ["STUDY-A", "STUDY-B"]
    changed = (*table(head + "ACC10019,,refuse\nACC20029,STUDY-B,\n"), *INCREMENTAL)
    places = ["--output", str(ran.output), "--audit", str(ran.audit), "--key", str(key_file)]
    capsys.readouterr()
    assert main(["run", "--input", str(archive), *places, "--recipe", "basic", *changed]) == 2
    assert "--subjects: 1 lines, by accession number" in capsys.readouterr().err
    assert run(archive, more=changed[:2]).outcomes == {("rejected", "refused"): 2, ("written", None): 1}
    pruned = run(archive, more=(*changed, "--prune"))
    assert (pruned.code, patients(pruned)) == (0, ["STUDY-B"])


def test_verify_crosswalk_and_explain_take_the_table(
    run: Any, archive: Path, table: Any, key_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = table(BOTH)
    ran = run(archive, more=named)
    places = ["--input", str(archive), "--key", str(key_file), "--recipe", "basic"]
    verify = ["verify", *places, "--output", str(ran.output), "--audit", str(ran.audit), "--workers", "1"]
    assert main([*verify, *named]) == 0
    assert main(verify) == 2
    crosswalk = ["crosswalk", str(ran.audit), *places, "-o", str(tmp_path / "x.csv")]
    assert main([*crosswalk, *named]) == 0
    assert "STUDY-A" in (tmp_path / "x.csv").read_text()
    other = table(BOTH.replace("30", "31"))
    assert main([*verify, *other]) == 2
    assert main([*crosswalk, *other]) == 2
    capsys.readouterr()
    assert main(["explain", str(archive / "1.dcm"), "--recipe", "basic", *table(REFUSED)]) == 0
    assert "refused" in capsys.readouterr().out


def test_another_shift_or_pseudonym_than_the_table_has_is_a_finding(
    run: Any, archive: Path, table: Any, key_file: Path
) -> None:
    ran = run(archive, more=table(BOTH))
    (digests,) = (ran.audit / "subjects").iterdir()
    digests.write_bytes(digests.read_bytes()[:-1] + b"\7")
    assert main(["verify", "--audit", str(ran.audit), "--key", str(key_file)]) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + "R-1001,STUDY-A,0,\n", "line 2: shift_days is not within 1 and 3650"),
        (HEAD + "R-1001,,,\n", "line 2: the pseudonym is empty"),
        ("patient_id,alias\nR-1001,A\n", "a column has a name that is none of"),
    ],
)
def test_a_table_that_cannot_be_used_stops_before_anything_is_read(
    archive: Path,
    table: Any,
    tmp_path: Path,
    key_file: Path,
    text: str,
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = ["--output", str(tmp_path / "o"), "--audit", str(tmp_path / "a"), "--key", str(key_file)]
    assert main(["run", "--input", str(archive), *places, "--recipe", "basic", *table(text)]) == 2
    assert not (tmp_path / "a").exists()
    said = capsys.readouterr().err
    assert why in said
    assert "1001" not in said


def test_a_run_elsewhere_finds_the_table_in_audit_and_leaves_none_there(
    archive: Path, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = []

    def noted(*arguments: Any) -> Any:
        result = stage_subjects(*arguments)
        path = Path(result.place) / result.name
        staged.append((result.name, stat.S_IMODE(path.stat().st_mode), path.read_bytes()))
        return result

    monkeypatch.setattr(runner, "stage_subjects", noted)
    (tmp_path / "subjects.csv").write_text(REFUSED)
    audit, loaded = tmp_path / "audit", load_recipe("basic")
    job = Job(
        inputs=(str(archive),),
        output=str(tmp_path / "out"),
        audit=str(audit),
        recipe=loaded,
        key=str(key_file),
        run_id=new_run_id(),
        started="2026-01-02T03:04:05+00:00",
        lines=lines_of(str(tmp_path / "subjects.csv"), loaded, str(key_file)),
    )
    assert runner.run_elsewhere(job, PipelineOptions(["--runner", "FnApiRunner"]), lambda _: None) is not None
    ((name, mode, data),) = staged
    assert (name, mode) == (f".partial/{job.run_id}/subjects/table", 0o600)
    assert b"STUDY" not in data
    assert not (audit / ".partial" / job.run_id).exists()
    record = json.loads((audit / "runs" / f"{job.run_id}.json").read_text())
    assert record["counts"]["reasons"] == {"rejected/refused": 2}


def test_each_filter_of_a_cohort_is_counted_by_its_name(run: Any, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "wanted.txt").write_text("P-2002\nR-1001\n")
    (tmp_path / "ours.yaml").write_text(
        "profile: basic\nbouncers:\n"
        "- {listed: wanted.txt, attribute: PatientID, name: consent}\n"
        "- {reject: \"not StudyDate.between('2024', '2025')\", name: period}\n"
        "- {reject: \"SeriesDescription.matches('*localizer*')\", name: kind}\n"
    )
    dataset = dcmread(archive / "1.dcm")
    dataset.SeriesDescription = "3-plane Localizer"
    dataset.save_as(archive / "1.dcm")
    dataset = dcmread(archive / "2.dcm")
    dataset.StudyDate = "20231231"
    dataset.save_as(archive / "2.dcm")
    ours = str(tmp_path / "ours.yaml")
    ran = run(archive, recipe=ours, workers=2, more=INCREMENTAL)
    assert ran.record["counts"]["reasons"] == {"rejected/criterion_kind": 1, "rejected/criterion_period": 1}
    again = run(archive, recipe=ours, more=INCREMENTAL)
    assert again.record["counts"]["skipped"] == 3
    everything = b"".join(path.read_bytes() for path in ran.audit.rglob("*") if path.is_file())
    assert b"R-1001" not in everything
    assert b"wanted.txt" not in everything
    (tmp_path / "wanted.txt").write_text("R-1001\n")
    without = run(archive, recipe=ours)
    assert without.record["counts"]["reasons"]["rejected/criterion_consent"] == 1
