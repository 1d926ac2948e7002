"""Claims: who wants a SOP Instance UID in a run, what stood there before, what outlives a run that dies."""

from pathlib import Path

import pytest

from beamstop.identity import Identity
from beamstop_transforms.ledger.claims import CLAIM_CHANGED, Claim, Claimant, Claims
from beamstop_transforms.stores import StoreError
from beamstop_transforms.stores.local import LocalStore

DEAD, RUN, LATER = "20260101", "20260102", "20260103"
UID, PATH, OTHER = "1.2.3", "P/1.2/1.2.1/1.2.3.dcm", "Q/1.2/1.2.1/1.2.3.dcm"
A, B, C = Claimant("bb", PATH, "a0"), Claimant("aa", PATH, "b0"), Claimant("aa", OTHER, "c0")
NOTHING = Claim()
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of no bytes


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path))


def claims(store: LocalStore, run_id: str = RUN, key: int = 0, first_wins: bool = False) -> Claims:
    return Claims(store, Identity(bytes(range(key, key + 32))), run_id, first_wins=first_wins)


def test_all_who_join_are_in_the_claim_with_what_stood_at_their_paths(store: LocalStore) -> None:
    stood = {PATH: "00", OTHER: None}
    for name, it in (("a", A), ("b", B), ("c", C), ("a", A)):
        claims(store).join(UID, name, it, stood.__getitem__)
    claim = claims(store).read(UID)
    assert claim == Claim({"a": A, "b": B, "c": C}, stood)
    assert list(claim.files()) == [(PATH, "a0"), (PATH, "b0"), (OTHER, "c0")]
    assert claims(store).read("1.2.4") == NOTHING


def test_the_lowest_digest_wins_and_of_equal_ones_the_lowest_source(store: LocalStore) -> None:
    for name, it in (("a", A), ("c", C), ("b", B)):
        claims(store).join(UID, name, it)
    assert claims(store).read(UID).winner == "b"
    assert claims(store, first_wins=True).read(UID).winner == "a"
    claim = claims(store).read(UID)
    assert [claim.has_rivals(it) for it in "abc"] == [True, True, True]
    assert [Claim({"b": B, "c": C}).has_rivals(it) for it in "bc"] == [False, False]


def test_without_being_told_it_looks_at_what_stands_there(store: LocalStore) -> None:
    store.write(PATH, b"", None)
    claims(store).join(UID, "a", Claimant("aa", PATH, EMPTY))
    claims(store).join(UID, "c", C)
    claim = claims(store).read(UID)
    assert claim.before == {PATH: EMPTY, OTHER: None}
    assert list(claim.files()) == [(OTHER, "c0")]  # the other was there
    store.remove(PATH)
    claims(store).join(UID, "b", B)  # the first look counts
    assert claims(store).read(UID).before == {PATH: EMPTY, OTHER: None}


def test_what_a_source_claimed_before_it_changed_stays_its_own(store: LocalStore) -> None:
    changed = A._replace(sha256="a1", source_digest="cc")
    for it in (A, changed, changed):
        claims(store).join(UID, "a", it)
    claim = claims(store).read(UID)
    assert (claim.claimants, claim.earlier) == ({"a": changed}, [[PATH, "a0"]])
    assert [claim.made(PATH, it) for it in ("a0", "a1", "a2")] == [True, True, False]
    assert not claim.made(OTHER, "a0")
    assert list(claim.files()) == [(PATH, "a0"), (PATH, "a1")]


def test_one_who_is_known_may_be_left_as_it_is(store: LocalStore) -> None:
    claims(store).join(UID, "a", A)
    claims(store).join(UID, "a", A._replace(sha256="a1"), unless_known=True)
    assert claims(store).read(UID).claimants == {"a": A}
    claims(store).join(UID, "b", B, unless_known=True)
    assert claims(store).read(UID).claimants == {"a": A, "b": B}


def test_who_made_what_stands_there_joins_before_unless_it_is_known(store: LocalStore) -> None:
    claims(store).join(UID, "b", B, lambda _: None, maker=("a", A))
    assert list(claims(store, first_wins=True).read(UID).claimants.items()) == [("a", A), ("b", B)]
    claims(store).join(UID, "c", C, lambda _: None, maker=("a", A._replace(sha256="a1")))
    assert claims(store).read(UID).claimants == {"a": A, "b": B, "c": C}


def test_whether_all_are_one_instance_is_noted_once(store: LocalStore) -> None:
    with pytest.raises(StoreError, match=CLAIM_CHANGED):
        claims(store).settle(UID, agreed=True)
    claims(store).join(UID, "a", A, lambda _: None)
    for agreed in (True, False):
        claims(store).settle(UID, agreed)
        assert claims(store).read(UID) == Claim({"a": A}, {PATH: None}, agreed=agreed)


def claim_file(store: LocalStore, run_id: str = RUN) -> str:
    (name,) = store.names(f".partial/{run_id}/claims")
    return name


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"{", b"[]", b"7", b"null", b'"x"', b"{}", b'{"mac": "x"}', b"[" * 100_000],
)
def test_a_claim_that_is_no_claim_says_nothing_and_is_made_anew(store: LocalStore, data: bytes) -> None:
    claims(store).join(UID, "a", A)
    name = claim_file(store)
    found = store.find(name)
    store.write(name, data, found and found.version)
    assert claims(store).read(UID) == NOTHING
    assert claims(store, first_wins=True).read(UID) == Claim(first_wins=True)
    claims(store).join(UID, "b", B, lambda _: None)
    assert claims(store).read(UID) == Claim({"b": B}, {PATH: None})


def test_a_claim_counts_under_its_name_and_key_alone(store: LocalStore) -> None:
    claims(store).join(UID, "a", A)
    name = claim_file(store)
    found = store.read(name)
    assert found is not None
    assert claims(store, key=1).read(UID) == NOTHING
    claims(store).join("1.2.4", "b", B)
    (other,) = set(store.names(f".partial/{RUN}/claims")) - {name}
    version = store.find(other)
    store.write(other, found[1], version and version.version)
    assert claims(store).read("1.2.4") == NOTHING


@pytest.mark.parametrize("path", ["../x.dcm", "/etc/passwd", ".partial/x/y/z.dcm", "P/1.2/1.2.3.dcm", ""])
def test_a_claim_whose_path_is_none_of_a_run_says_nothing(store: LocalStore, path: str) -> None:
    claims(store).join(UID, "a", A._replace(path=path), lambda _: None)
    assert claims(store).read(UID) == NOTHING


def test_a_run_may_have_left_files_if_it_has_a_mark_or_claims(store: LocalStore) -> None:
    claims(store, DEAD).open()
    claims(store, LATER).join(UID, "a", A)
    mine = claims(store)
    assert [mine.is_open(it) for it in (DEAD, LATER, "20251231")] == [True, True, False]
    assert mine.dead_marks() == [DEAD]
    mine.begin_sweep(DEAD)
    assert (mine.dead_marks(), claims(store).is_open(DEAD)) == ([DEAD], True)
    mine.end_sweep(DEAD)
    assert (mine.dead_marks(), claims(store).is_open(DEAD)) == ([], False)


def test_what_a_dead_run_claimed_is_known_and_may_be_forgotten(store: LocalStore) -> None:
    claims(store, DEAD).join(UID, "a", A, lambda _: None)
    claims(store, LATER).join(UID, "c", C, lambda _: None)
    mine = claims(store)
    mine.join(UID, "b", B, lambda _: None)
    found = [mine.made_before(UID, *it) for it in ((PATH, "a0"), (OTHER, "c0"), (PATH, "b0"), (OTHER, "a0"))]
    assert found == [True, True, False, False]
    (part,) = mine.tidy()
    (dead,) = mine.of_the_dead(part)  # one that began later may be alive
    assert (dead.claim, dead.mine) == (Claim({"a": A}, {PATH: None}), Claim({"b": B}, {PATH: None}))
    mine.forget(dead.name)
    mine.release(part)
    assert [it.split("/")[1] for it in store.names(".partial")] == [LATER]


def test_at_the_end_claims_stay_and_all_else_in_partial_goes(store: LocalStore) -> None:
    for run_id in (DEAD, RUN, LATER):
        claims(store, run_id).join(UID, run_id, A, lambda _: None)
        claims(store, run_id).open()
        store.write(f".partial/{run_id}/aside/x", b"", None)
    store.write(".partial/20251231/aside/x", b"", None)
    claims(store).note_taken_back(UID)
    claims(store).tidy()
    left = {tuple(it.split("/")[1:3]) for it in store.names(".partial")}
    assert left == {(it, "claims") for it in (DEAD, RUN, LATER)} | {
        *((it, "open") for it in (DEAD, LATER)),
        (RUN, "taken-back"),
    }
    ((note, claim),) = claims(store).taken_back(claims(store).tidy()[0])
    assert claim == Claim({RUN: A}, {PATH: None})
    claims(store).forget(note)
    assert list(claims(store).taken_back(claims(store).tidy()[0])) == []
