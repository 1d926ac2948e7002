"""The claims of runs that died, listed once: what they may have written is not decided."""

from pathlib import Path

import pytest

from beamstop.identity import Identity
from beamstop_transforms.ledger.claims import Claimant, Claims
from beamstop_transforms.ledger.left_open import LeftOpen, put_left_open
from beamstop_transforms.ledger.numbers import uid_number
from beamstop_transforms.ledger.sorted_rows import SealBrokenError
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.stores.local import LocalStore


@pytest.fixture
def target(tmp_path: Path, key_file: Path) -> Target:
    return Target(str(tmp_path / "out"), str(tmp_path / "audit"), str(key_file), "20260103")


def claim(target: Target, run_id: str, *uids: str) -> None:
    claims = Claims(LocalStore(target.output), Identity(bytes(range(32))), run_id)
    for uid in uids:
        claims.join(uid, "ab" * 32, Claimant("digest", "P/1/1/1.dcm", "cd" * 32))


def test_each_uid_leads_to_the_runs_that_claimed_it(target: Target) -> None:
    claim(target, "20260101", *(f"1.{it}" for it in range(300)))
    claim(target, "20260102", "1.7", "2.1")
    claim(target, "20260103", "3.1")  # its own
    listed = put_left_open(target)
    assert listed == (302, ("20260101", "20260102"))
    left = LeftOpen(Target(target.output, target.audit, target.key, target.run_id, left_open=listed))
    assert [list(left.by(uid_number(it))) for it in ("1.6", "1.7", "2.1", "3.1")] == [
        ["20260101"],
        ["20260101", "20260102"],
        ["20260102"],
        [],
    ]


def test_what_else_lies_among_the_claims_is_passed_over(target: Target, tmp_path: Path) -> None:
    claim(target, "20260101", "1.1")
    (part,) = (tmp_path / "out" / ".partial" / "20260101" / "claims").iterdir()
    for name in (".nfs0000000001", "README", "0" * 31, "x" * 32):
        (part / name).touch()
        (part.parent / name).touch()
    assert put_left_open(target) == (1, ("20260101",))


def test_where_no_run_died_nothing_is_written(target: Target, tmp_path: Path) -> None:
    assert put_left_open(target) == (0, ())
    assert list(LeftOpen(target).by(7)) == []
    assert not (tmp_path / "audit").exists()


def test_a_list_that_somebody_changed_is_not_believed(target: Target, tmp_path: Path) -> None:
    claim(target, "20260101", "1.1")
    left = LeftOpen(target)
    (file,) = (tmp_path / "audit" / ".partial" / "20260103" / "left-open").glob("uids-00000")
    file.write_bytes(b"\0" + file.read_bytes()[1:])
    with pytest.raises(SealBrokenError):
        list(left.by(uid_number("1.1")))
