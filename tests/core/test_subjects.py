"""What a table of one's own pseudonyms may say, and what is made of it."""

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import MakeDataset

from beamstop import Rejected, deidentify, deidentify_bytes, load_subjects
from beamstop.errors import SubjectsError
from beamstop.identity import Subject
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.recipe.model import Recipe
from beamstop.subjects import Subjects, compiled
from beamstop.verify import verify_pair

BASIC = parse_recipe("profile: basic")
MODIFIED = parse_recipe("profile: basic\noptions: [retain-longitudinal-modified-dates]")
MERGED = parse_recipe(
    "profile: basic\noptions: [retain-longitudinal-modified-dates]\nsubjects: {merge: true, absent: key}"
)
ISSUED = parse_recipe(
    "profile: basic\nsubjects: {absent: key}\npseudonyms: {normalize: [case, leading-zeros]}"
)


@pytest.fixture
def load(tmp_path: Path, key: bytes) -> Any:
    """Return a function that makes a table of lines of CSV."""

    def _load(text: str, recipe: Recipe = BASIC, ending: str = "csv") -> Subjects:
        path = tmp_path / f"table.{ending}"
        path.write_text(text)
        return load_subjects(path, recipe, key)

    return _load


def test_the_pseudonym_shift_and_action_of_a_line_hold(
    load: Any, make_dataset: MakeDataset, key: bytes
) -> None:
    text = (
        "patient_id,pseudonym,shift_days,action\nR-1001,STUDY-1,30,\nR-1002,STUDY-2,,KEEP\nR-1003,,,refuse\n"
    )
    table = load(text, MODIFIED)
    dataset = make_dataset(PatientID="R-1001", StudyDate="20200131")
    clean = deidentify(dataset, MODIFIED, key, subjects=table).dataset
    assert (clean.PatientID, clean.StudyDate) == ("STUDY-1", "20200101")
    clean = deidentify(make_dataset(PatientID=" R-1002 "), MODIFIED, key, subjects=table).dataset
    assert clean.PatientID == "STUDY-2"
    for patient_id, reason in (("R-1003", "refused"), ("R-1004", "not_in_table"), ("", "not_in_table")):
        with pytest.raises(Rejected, match=reason):
            deidentify(make_dataset(PatientID=patient_id), MODIFIED, key, subjects=table)


def test_the_most_specific_line_holds_but_one_that_refuses_before_all(
    load: Any, make_dataset: MakeDataset
) -> None:
    table = load(
        "patient_id,issuer,accession_number,pseudonym,action\n"
        "7001,,,BY-PATIENT,\n"
        "7001,NORTH,,BY-ISSUER,\n"
        ",,ACC-9,BY-STUDY,\n"
        "7002,,,,refuse\n"
        ",,ACC-8,,refuse\n"
    )

    def line(**attributes: str) -> Subject | None:
        return table.of_instance(make_dataset(**attributes))

    assert line(PatientID="7001") == Subject("BY-PATIENT")
    assert line(PatientID="7001", IssuerOfPatientID="SOUTH") == Subject("BY-PATIENT")
    assert line(PatientID="7001", IssuerOfPatientID="NORTH") == Subject("BY-ISSUER")
    assert line(PatientID="7001", AccessionNumber="ACC-9") == Subject("BY-STUDY")
    assert line(PatientID="", AccessionNumber="ACC-9") == Subject("BY-STUDY")
    assert line(PatientID="7002", AccessionNumber="ACC-9") == Subject("", None, True)
    assert line(PatientID="7001", AccessionNumber="ACC-8") == Subject("", None, True)
    assert line(PatientID="7001\\7002") == Subject("", None, True)
    assert line(PatientID="7003") is None


def test_who_was_found_by_accession_number_gets_a_patient_id(
    load: Any, make_dataset: MakeDataset, key: bytes
) -> None:
    table = load("accession_number,pseudonym\nACC-9,BY-STUDY\n")
    for patient_id in ("", None, "7001"):
        dataset = make_dataset(PatientID=patient_id, AccessionNumber="ACC-9")
        assert deidentify(dataset, BASIC, key, subjects=table).dataset.PatientID == "BY-STUDY"


def test_writings_that_the_recipe_calls_equal_find_one_line(load: Any, make_dataset: MakeDataset) -> None:
    table = load("patient_id,pseudonym\n0012a,STUDY-1\n", ISSUED)
    assert table.of_instance(make_dataset(PatientID="12A")) == Subject("STUDY-1")
    with pytest.raises(SubjectsError, match="line 3: line 2 has the same original"):
        load("patient_id,pseudonym\n0012a,STUDY-1\n12A,STUDY-2\n", ISSUED)


def test_originals_of_one_pseudonym_are_one_patient(load: Any, make_dataset: MakeDataset, key: bytes) -> None:
    """Dates of both move alike, though the key alone would move them differently."""
    table = load("patient_id,pseudonym\nR-1001,STUDY-1\nN-5005,STUDY-1\n", MERGED)
    one, two = (
        deidentify(make_dataset(PatientID=it, StudyDate="20200131"), MERGED, key, subjects=table).dataset
        for it in ("R-1001", "N-5005")
    )
    assert (one.PatientID, one.StudyDate) == (two.PatientID, two.StudyDate)
    alone = parse_recipe("profile: basic\noptions: [retain-longitudinal-modified-dates]")
    by_key = {
        deidentify(make_dataset(PatientID=it, StudyDate="20200131"), alone, key).dataset.StudyDate
        for it in ("R-1001", "N-5005")
    }
    assert len(by_key) == 2


@pytest.mark.parametrize("pseudonym", ["4711", "P4711", "ABC", "0815"])
def test_a_pseudonym_may_be_a_piece_of_the_original(
    load: Any, make_dataset: MakeDataset, key: bytes, pseudonym: str
) -> None:
    table = load(f"patient_id,pseudonym\nABC-4711-0815,{pseudonym}\n")
    dataset = make_dataset(PatientID="ABC-4711-0815")
    assert deidentify(dataset, BASIC, key, subjects=table).dataset.PatientID == pseudonym


def test_the_original_is_searched_for_under_a_table_too(
    load: Any, make_dataset: MakeDataset, key: bytes
) -> None:
    kept = parse_recipe("profile: basic\nattributes: {ProtocolName: K}")
    table = load("patient_id,pseudonym\nABC-4711,STUDY-1\n", kept)
    with pytest.raises(Exception, match="leak: ProtocolName"):
        deidentify(
            make_dataset(PatientID="ABC-4711", ProtocolName="head ABC 4711"), kept, key, subjects=table
        )


def test_a_clean_file_made_by_a_table_verifies_by_it_alone(
    load: Any, make_dataset: MakeDataset, key: bytes, tmp_path: Path
) -> None:
    table = load("patient_id,pseudonym,shift_days\nR-1001,STUDY-1,30\n", MODIFIED)
    path = tmp_path / "original.dcm"
    make_dataset(PatientID="R-1001", StudyDate="20200131").save_as(path, enforce_file_format=True)
    clean = deidentify_bytes(path.read_bytes(), MODIFIED, key, subjects=table)
    pair = verify_pair(path.read_bytes(), clean, MODIFIED, MODIFIED.identity(key, table))
    assert pair.findings == ()
    other = load("patient_id,pseudonym,shift_days\nR-1001,STUDY-2,31\n", MODIFIED)
    found = verify_pair(path.read_bytes(), clean, MODIFIED, MODIFIED.identity(key, other)).findings
    assert {"pseudonym", "date"} <= {it.check for it in found}


def test_the_file_says_nothing_without_the_key_and_no_other_key_opens_it(tmp_path: Path, key: bytes) -> None:
    path, identity = tmp_path / "table.csv", BASIC.identity(key)
    path.write_text("patient_id,pseudonym\nABC-4711,STUDY-1\nABC-4712,STUDY-22\n")
    lines = BASIC.read_subjects(path, key)
    data = compiled(lines, identity)
    assert compiled(lines[::-1], identity) == data
    assert b"STUDY" not in data
    assert b"4711" not in data
    assert len(data) == 64 + 2 * (16 + 4 + 8)
    assert Subjects(data, identity).of_patient("ABC-4712", "") == Subject("STUDY-22")
    for changed, opened in ((data, BASIC.identity(bytes(range(1, 33)))), (data[:-1] + b"\0", identity)):
        with pytest.raises(SubjectsError, match="was changed, or made with another key"):
            Subjects(changed, opened)


def test_parquet_and_tsv_say_the_same_as_csv(load: Any, tmp_path: Path, key: bytes) -> None:
    by_csv = load("patient_id,pseudonym,shift_days\nR-1001,STUDY-1,30\nR-1002,STUDY-2,\n")
    by_tsv = load("patient_id\tpseudonym\tshift_days\nR-1002\tSTUDY-2\t\nR-1001\tSTUDY-1\t30\n", ending="tsv")
    rows = {
        "patient_id": ["R-1001", "R-1002"],
        "pseudonym": ["STUDY-1", "STUDY-2"],
        "shift_days": [30.0, None],
    }
    rows["patient_id"] = pa.array(rows["patient_id"]).dictionary_encode()  # as pandas writes categories
    pq.write_table(pa.table(rows), tmp_path / "table.parquet")
    by_parquet = load_subjects(tmp_path / "table.parquet", BASIC, key)
    assert by_csv.digest == by_tsv.digest == by_parquet.digest


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_semicolons_may_part_the_cells_of_csv(load: Any, start: str) -> None:
    """Spreadsheets write them where a comma parts the decimals."""
    by_commas = load("patient_id,pseudonym\nR-1001,STUDY-1\n")
    by_semicolons = load(f"{start}patient_id;pseudonym\nR-1001;STUDY-1\n")
    assert by_commas.digest == by_semicolons.digest


def test_a_column_of_numbers_is_no_column_of_identifiers(tmp_path: Path, key: bytes) -> None:
    pq.write_table(pa.table({"patient_id": [1001], "pseudonym": ["STUDY-1"]}), tmp_path / "table.parquet")
    with pytest.raises(SubjectsError, match="column patient_id is not text"):
        load_subjects(tmp_path / "table.parquet", BASIC, key)


def test_columns_may_have_other_names(load: Any) -> None:
    recipe = parse_recipe("profile: basic\nsubjects: {columns: {patient_id: MRN, pseudonym: code}}")
    assert load("MRN,code\nR-1001,STUDY-1\n", recipe).of_patient("R-1001", "") == Subject("STUDY-1")


H = "patient_id,pseudonym,shift_days,action,issuer,accession_number\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (H + "R-1,S-1,,,,\nR-2,s-1,,,,\n", "line 3: line 2 has the same pseudonym"),
        (H + "R-1,S-1,,,,\nR-1,S-2,,,,\n", "line 3: line 2 has the same original"),
        (H + "R-1001,xR-1001,,,,\n", "line 2: the pseudonym holds the original"),
        (H + "0004711,P4711,,,,\n", "line 2: the pseudonym holds the original"),
        (H + "r_1001,R1001X,,,,\n", "line 2: the pseudonym holds the original"),
        (H + "R-1001,S-1,,,,\nR-1002,r1001,,,,\n", "line 3: the pseudonym is the original of line 2"),
        (H + "R-1001,4711,,,,\n0004711,,,refuse,,\n", "line 2: the pseudonym is the original of line 3"),
        (H + "R-1,S-1,0,,,\n", "line 2: shift_days is not within 1 and 3650"),
        (H + "R-1,S-1,-30,,,\n", "line 2: shift_days is not within 1 and 3650"),
        (H + "R-1,S-1,3651,,,\n", "line 2: shift_days is not within 1 and 3650"),
        (H + "R-1,S-1,1.5,,,\n", "line 2: shift_days is not a whole number"),
        (H + "R-1,S-1,x,,,\nR-2,S-2,y,,,\n", "lines 2, 3: shift_days is not a whole number"),
        (H + "R-1,S-1,,drop,,\n", "line 2: the action must be keep or refuse"),
        (H + "R-1,,,,,\n", "line 2: the pseudonym is empty"),
        (H + "R-1,a/b,,,,\n", "line 2: the pseudonym cannot be part of a path"),
        (H + "R-1,..,,,,\n", "line 2: the pseudonym cannot be part of a path"),
        (H + "R-1,None,,,,\n", "line 2: the pseudonym cannot be part of a path"),
        (H + "R-1,é,,,,\n", "line 2: the pseudonym cannot be part of a path"),
        (H + f"R-1,{'x' * 65},,,,\n", "line 2: the pseudonym has more than 64 characters"),
        (H + ",S-1,,,,\n", "line 2: patient_id and accession_number are both empty"),
        (H + "R-1,S-1,,,,A-1\n", "line 2: patient_id and accession_number are both there"),
        (H + ",S-1,,,I,A-1\n", "line 2: there is an issuer without a patient_id"),
        (H + "R-1,S-1\n", "line 2: it must have as many cells as the header"),
        (H, "the table has only a header"),
        ("", "there is no column patient_id"),
        ("patient_id\nR-1\n", "there is no column pseudonym"),
        ("patient_id,pseudonym,pseudonym\n", "two columns have one name"),
        ("patient_id,pseudonyms\n", "a column has a name that is none of .* did you mean pseudonym"),
        (H + '"R-1,S-1,,,,\n', "quotes or line ends cannot be understood"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_by_lines_and_no_value(load: Any, text: str, why: str) -> None:
    with pytest.raises(SubjectsError, match=why) as raised:
        load(text)
    values = {cell for line in text.splitlines()[1:] for cell in line.split(",") if len(cell) > 3}
    assert not any(value in str(raised.value) for value in values)


def test_lines_of_one_pseudonym_say_one_thing(load: Any) -> None:
    head = "patient_id,pseudonym,shift_days\n"
    with pytest.raises(SubjectsError, match="line 3: line 2 has the pseudonym with another shift or action"):
        load(head + "R-1,S-1,30\nR-2,S-1,31\n", MERGED)


def test_a_shift_outside_of_the_recipe_is_none(load: Any) -> None:
    narrow = parse_recipe("profile: basic\ndates: {shift_days: [10, 20]}")
    with pytest.raises(SubjectsError, match="line 2: shift_days is not within 10 and 20"):
        load("patient_id,pseudonym,shift_days\nR-1,S-1,30\n", narrow)


def test_a_recipe_that_keeps_or_removes_patient_ids_has_no_place_for_pseudonyms(load: Any) -> None:
    for action in ("K", "X"):
        recipe = parse_recipe(f"profile: basic\nattributes: {{PatientID: {action}}}")
        with pytest.raises(SubjectsError, match="gives no pseudonym to PatientID"):
            load("patient_id,pseudonym\nR-1,S-1\n", recipe)
        assert load("patient_id,action\nR-1,refuse\n", recipe).of_patient("R-1", "") == Subject(
            "", None, True
        )


def test_a_recipe_that_speaks_of_a_table_does_nothing_without_one(
    make_dataset: MakeDataset, key: bytes
) -> None:
    with pytest.raises(SubjectsError, match="it has subjects:, so that a table is needed"):
        deidentify(make_dataset(), MERGED, key)


LISTED = """
bouncers:
- {listed: wanted.txt, attribute: AccessionNumber}
- {listed: objected.txt, attribute: PatientID, reject: listed, name: objection}
pseudonyms: {normalize: [case]}
"""


@pytest.fixture
def listed(tmp_path: Path) -> Recipe:
    """Return a recipe that goes by two lists, which lie beside it."""
    (tmp_path / "wanted.txt").write_text("ACC-1\nACC-2\n\n")
    (tmp_path / "objected.txt").write_text("r-1001\n")
    path = tmp_path / "ours.yaml"
    path.write_text(f"profile: basic\n{LISTED}")
    return load_recipe(path)


def test_bouncers_go_by_lists_in_files(listed: Recipe, make_dataset: MakeDataset, key: bytes) -> None:
    lists = load_subjects(None, listed, key)

    def outcome(**attributes: str) -> str:
        try:
            return deidentify(make_dataset(**attributes), listed, key, subjects=lists).dataset.PatientID
        except Rejected as refusal:
            return f"{refusal.reason}, {refusal.detail}"

    assert outcome(AccessionNumber="ACC-3", PatientID="R-1002") == "unlisted, AccessionNumber"
    assert outcome(AccessionNumber="", PatientID="R-1002") == "unlisted, AccessionNumber"
    assert outcome(AccessionNumber="ACC-1", PatientID="R-1001") == "criterion_objection, PatientID"
    keyed = deidentify(make_dataset(PatientID="R-1002"), BASIC, key).dataset.PatientID
    assert outcome(AccessionNumber="ACC-1", PatientID="R-1002") != keyed  # the recipe takes case away
    assert len(outcome(AccessionNumber="ACC-2", PatientID="R-1002")) == 16


def test_no_value_of_a_list_travels_with_the_recipe(
    listed: Recipe, make_dataset: MakeDataset, key: bytes, tmp_path: Path
) -> None:
    travels = pickle.dumps(listed)
    for value in (b"ACC-1", b"r-1001", str(tmp_path).encode()):
        assert value not in travels
    data = compiled(listed.read_lists(key), listed.identity(key))
    assert b"ACC-1" not in data
    assert listed.digest == load_recipe(tmp_path / "ours.yaml").digest


def test_a_list_that_was_not_loaded_lets_nobody_in(
    listed: Recipe, make_dataset: MakeDataset, key: bytes
) -> None:
    with pytest.raises(SubjectsError, match="the list was not loaded"):
        deidentify(make_dataset(), listed, key)


@pytest.mark.parametrize(("text", "why"), [(None, "No such file"), ("\n", "the list is empty")])
def test_a_list_that_cannot_be_read_stops_the_run(
    listed: Recipe, tmp_path: Path, key: bytes, text: str | None, why: str
) -> None:
    (tmp_path / "wanted.txt").unlink()
    if text is not None:
        (tmp_path / "wanted.txt").write_text(text)
    with pytest.raises(SubjectsError, match=why):
        load_subjects(None, listed, key)
