"""How many patients share what may be known of one, by the table of attributes of the files that stand."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lxml import html
from tests.pipeline.audits import a_row, write_run

from beamstop_pipeline.cli import main
from beamstop_pipeline.report.figures import read_figures
from beamstop_pipeline.report.risk import SMALLEST, Risk, measure

RUN, NEXT = "20260101T000000Z-aaa", "20260102T000000Z-bbb"


def archive_of(folder: Path, patients: list[dict[str, str]], run_id: str = RUN, **record: Any) -> None:
    """Write a run with a clean file of each patient, and its table of attributes."""
    names = [it.get("SOPInstanceUID", f"2.25.{n}") for n, it in enumerate(patients)]
    rows = [a_row(name, sop_instance_uid=name) for name in names]
    write_run(folder / "audit", run_id, rows, **record)
    (folder / "attributes").mkdir(exist_ok=True)
    table = [
        {"PatientID": f"P{n}", **it, "SOPInstanceUID": name}
        for n, (name, it) in enumerate(zip(names, patients, strict=True))
    ]
    columns = sorted({name for row in table for name in row})
    schema = pa.schema([(name, pa.string()) for name in columns])
    path = folder / "attributes" / f"{run_id}-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(table, schema), path)


def risk_of(folder: Path) -> Risk:
    return measure(read_figures(str(folder / "audit")), str(folder / "attributes"))


def test_patients_who_share_all_that_is_known_are_a_group(tmp_path: Path) -> None:
    women = [{"PatientSex": "F", "PatientAge": "050Y"}] * 12
    men = [{"PatientSex": "M", "PatientAge": "050Y"}] * 3 + [{"PatientSex": "M", "PatientAge": "060Y"}]
    archive_of(tmp_path, [*women, *men])
    risk = risk_of(tmp_path)
    assert (risk.patients, risk.known, risk.k, risk.unique, risk.small) == (16, ["sex", "age"], 1, 1, 4)
    assert risk.sizes == [("1", 1, 1), ("2 to 4", 1, 3), ("5 to 10", 0, 0), ("11 or more", 1, 12)]
    assert risk.alone == [("sex", 2, 4, 4), ("age", 2, 1, 1)]
    assert (risk.groups, risk.hidden_groups) == ([("sex F; age 050Y", 12)], 2)


def test_a_patient_counts_once_with_all_values_of_all_files(tmp_path: Path) -> None:
    twice = [{"PatientID": "P", "Modality": "MR"}, {"PatientID": "P", "Modality": "CT"}]
    once = [{"PatientID": "Q", "Modality": "CT"}, {"PatientID": "Q", "Modality": "CT"}]
    archive_of(tmp_path, [*twice, *once])
    risk = risk_of(tmp_path)
    assert (risk.files, risk.patients, risk.k, risk.unique) == (4, 2, 1, 2)
    assert risk.alone == [("modality", 2, 1, 2)]


def test_without_a_patient_id_a_study_is_one(tmp_path: Path) -> None:
    study = {"PatientID": "", "StudyInstanceUID": "2.25.7", "PatientSex": "F"}
    archive_of(tmp_path, [study, study, {"StudyInstanceUID": "2.25.8", "PatientSex": "F"}])
    assert (risk_of(tmp_path).patients, risk_of(tmp_path).k) == (2, 2)


def test_a_rare_word_of_a_procedure_singles_out_and_is_never_printed(tmp_path: Path) -> None:
    common = [{"StudyDescription": "Thorax routine"}] * 12
    archive_of(tmp_path, [*common, {"StudyDescription": "Thorax routine Pheochromocytoma"}])
    risk = risk_of(tmp_path)
    assert (risk.known, risk.rare_words, risk.unique, risk.small) == (["rare procedure words"], 1, 1, 1)
    assert "heochromocytoma" not in repr(risk)


def test_no_value_of_a_small_group_is_on_the_page(tmp_path: Path) -> None:
    many = [{"PatientSex": "F", "EthnicGroup": "Common"}] * SMALLEST
    few = [{"PatientSex": "F", "EthnicGroup": "Uncommon"}] * (SMALLEST - 1)
    archive_of(tmp_path, [*many, *few])
    place = tmp_path / "r.html"
    options = ["-o", str(place), "--attributes", str(tmp_path / "attributes")]
    assert main(["report", str(tmp_path / "audit"), *options]) == 0
    page = html.document_fromstring(place.read_text())
    risk = " ".join(page.get_element_by_id("risk").text_content().split())
    assert "sex F; ethnic group Common" in risk
    assert "Uncommon" not in place.read_text()
    said = "By sex and ethnic group together 0 of 21 patients are alone, 10 are in groups of fewer than 11"
    assert f"{said} (k = 10)" in page.get_element_by_id("certificate").text_content()


def test_a_group_that_shares_one_examination_tells_it_of_all_of_them(tmp_path: Path) -> None:
    same = [{"PatientSex": "F", "BodyPartExamined": "BREAST"}] * 12
    mixed = [{"PatientSex": "M", "BodyPartExamined": part} for part in ("CHEST", "HEAD", "CHEST")]
    archive_of(tmp_path, [*same, *mixed])
    risk = risk_of(tmp_path)
    assert (risk.diversity, risk.same_examination) == (1, 12)
    archive_of(tmp_path, [{"PatientSex": "M"}])
    assert risk_of(tmp_path).diversity is None


def test_dates_count_where_they_are_the_patients(tmp_path: Path) -> None:
    dated = [{"PatientSex": "F", "StudyDate": f"2020010{n}"} for n in range(1, 4)]
    archive_of(tmp_path, dated)
    assert risk_of(tmp_path).known == ["sex"]
    full = {"name": "r", "digest": "d1", "options": ["retain-longitudinal-full-dates"]}
    archive_of(tmp_path, dated, recipe=full)
    risk = risk_of(tmp_path)
    assert (risk.known, risk.unique, risk.are_dates_moved) == (["sex", "dates"], 3, False)


def test_only_the_newest_row_of_a_file_that_stands_counts(tmp_path: Path) -> None:
    women = [{"SOPInstanceUID": f"2.25.{n}", "PatientID": str(n), "PatientSex": "F"} for n in range(4)]
    archive_of(tmp_path, women)
    archive_of(tmp_path, [{**women[0], "PatientSex": "M"}], NEXT)
    risk = risk_of(tmp_path)
    assert (risk.files, risk.missing, risk.alone) == (4, 0, [("sex", 2, 1, 4)])
    write_run(tmp_path / "audit", "20260103T000000Z-ccc", [a_row("2.25.0", "rejected"), a_row("new")])
    risk = risk_of(tmp_path)
    assert (risk.files, risk.missing, risk.alone) == (3, 1, [("sex", 1, 3, 3)])
    assert list(risk.sentences())[1] == ("1 clean file is not in these figures: its run had no --attributes.")


def test_files_that_say_nothing_of_anybody_single_out_nobody(tmp_path: Path) -> None:
    archive_of(tmp_path, [{"Rows": "512"}])
    assert list(risk_of(tmp_path).sentences()) == [
        "The clean files have nothing that somebody may know about a patient, such as age or sex."
    ]


def test_a_table_of_other_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive_of(tmp_path, [{"PatientSex": "F"}])
    (tmp_path / "other").mkdir()
    options = ["-o", str(tmp_path / "r.html"), "--attributes", str(tmp_path / "other")]
    assert main(["report", str(tmp_path / "audit"), *options]) == 2
    assert "no table of a run in AUDIT is there" in capsys.readouterr().err


def test_a_real_run_is_measured(run: Any, archive: Path, tmp_path: Path) -> None:
    ran = run(archive, more=("--attributes", str(tmp_path / "attributes")))
    risk = measure(read_figures(str(ran.audit)), str(tmp_path / "attributes"))
    assert (risk.files, risk.missing, risk.patients) == (3, 0, 2)
