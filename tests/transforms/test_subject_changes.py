"""What a table of subjects changes about rows that were made under another."""

from pathlib import Path
from typing import Any

import pytest

from beamstop.identity import Identity
from beamstop.recipe.load import parse_recipe
from beamstop.recipe.model import Recipe
from beamstop_transforms.ledger.subjects import Changes, changes, patient_numbers, put_lines

BASIC = parse_recipe("profile: basic")
WITH_ISSUER = parse_recipe("profile: basic\npseudonyms: {with_issuer: true}")
HEAD = "patient_id,issuer,accession_number,pseudonym,action\n"
A, B, C = "A-1,,,PSEUDO-A,\n", "B-2,,,PSEUDO-B,\n", "C-3,,,PSEUDO-C,\n"


@pytest.fixture
def between(tmp_path: Path, key: bytes) -> Any:
    """Return a function that says what the second of two tables changes; None is no table."""

    def _between(
        before: str | None, now: str | None, absent: str = "reject", recipe: Recipe = BASIC
    ) -> Changes | None:
        identity = recipe.identity(key)

        def put(text: str | None) -> str | None:
            if text is None:
                return None
            path = tmp_path / "table.csv"
            path.write_text(HEAD + text)
            return put_lines(str(tmp_path), recipe.read_subjects(path, key), identity)

        return changes(str(tmp_path), Identity(key), put(before), put(now), absent)

    return _between


@pytest.fixture
def named(key: bytes) -> Any:
    """Return a function that makes the numbers of clean PatientIDs, sorted."""
    return lambda *patients: sorted(patient_numbers(patients, Identity(key)).tolist())


def keyed(patient_id: str, key: bytes, issuer: str = "", recipe: Recipe = BASIC) -> str:
    return recipe.identity(key).patient_id(patient_id, issuer)


def test_the_same_lines_in_another_order_change_nothing(between: Any) -> None:
    assert between(A + B, B + A) is None
    assert between(None, None) is None


def test_a_changed_or_missing_line_is_found_by_its_former_pseudonym(between: Any, named: Any) -> None:
    renamed = between(A + B, A.replace("PSEUDO-A", "OTHER-A") + B)
    assert (renamed.patients.tolist(), renamed.reasons) == (named("PSEUDO-A"), ("duplicate",))
    refused = between(A + B, "A-1,,,PSEUDO-A,refuse\n" + B)
    assert (refused.patients.tolist(), refused.reasons) == (named("PSEUDO-A"), ("duplicate",))
    gone = between(A + B, B)
    assert (gone.patients.tolist(), gone.reasons) == (named("PSEUDO-A"), ("duplicate",))


def test_who_comes_or_comes_back_is_found_by_the_reason_or_the_key(
    between: Any, named: Any, key: bytes
) -> None:
    back = between("A-1,,,,refuse\n" + B, A + B)
    assert (back.patients.tolist(), back.reasons) == ([], ("duplicate", "refused"))
    new = between(B, A + B)
    assert (new.patients.tolist(), new.reasons) == ([], ("duplicate", "not_in_table"))
    by_key = between(B, A + B, absent="key")
    assert by_key.patients.tolist() == named(keyed("A-1", key))
    first = between(None, A, absent="key")
    assert (first.patients.tolist(), first.everything) == (named(keyed("A-1", key)), False)
    assert between(None, A).everything


def test_a_line_by_issuer_takes_from_the_line_by_patient_alone(between: Any, named: Any, key: bytes) -> None:
    found = between(A + B, A + B + "A-1,NORTH,,PSEUDO-N,\n")
    assert found.patients.tolist() == named("PSEUDO-A")
    found = between(A + "A-1,NORTH,,PSEUDO-N,\n", A)
    assert found.patients.tolist() == named("PSEUDO-N")
    found = between(A, A + "C-3,NORTH,,PSEUDO-N,\n", absent="key", recipe=WITH_ISSUER)
    assert found.patients.tolist() == named(keyed("C-3", key, "NORTH", WITH_ISSUER))


def test_what_cannot_be_found_in_the_ledger_is_counted_and_concerns_everybody(between: Any) -> None:
    accession = ",,ACC-9,PSEUDO-S,\n"
    for before, now in (
        (A, A + accession),
        (A + accession, A),
        (A + accession, A + accession.replace("S,", "T,")),
    ):
        found = between(before, now)
        assert (found.untraceable, found.everything) == (1, True)
    found = between(A, A + C, absent="key", recipe=WITH_ISSUER)
    assert (found.untraceable, found.everything) == (1, True)


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_digests_that_are_gone_or_were_changed_decide_nothing(
    between: Any, tmp_path: Path, key: bytes, harm: str
) -> None:
    (tmp_path / "table.csv").write_text(HEAD + A)
    digest = put_lines(str(tmp_path), BASIC.read_subjects(tmp_path / "table.csv", key), BASIC.identity(key))
    path = tmp_path / "subjects" / digest
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"\7")
    (tmp_path / "table.csv").write_text(HEAD + B)
    now = put_lines(str(tmp_path), BASIC.read_subjects(tmp_path / "table.csv", key), BASIC.identity(key))
    found = changes(str(tmp_path), Identity(key), digest, now, "reject")
    assert found is not None
    assert found.everything
