"""Placing: duplicates, second runs and what is never overwritten."""

import hashlib
import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydicom.dataset import Dataset
from tests.sealing import seal

from beamstop.audit import INSTANCES
from beamstop.dicom.files import Encoded
from beamstop.errors import PixelError, Quarantined
from beamstop.identity import Identity
from beamstop_transforms.instance import Instance, Lost, Placed, Source
from beamstop_transforms.ledger.claims import Claimant, Claims
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.paths import output_path
from beamstop_transforms.placing import Place, Placing
from beamstop_transforms.stores.local import LocalStore

PATH = "P/1.2/1.2.3/1.2.3.4.dcm"


class Runs:
    """Runs into one OUTPUT and AUDIT."""

    def __init__(self, folder: Path, key_file: Path) -> None:
        self.output, self.audit, self.key_file = folder / "out", folder / "audit", key_file
        self.key = key_file.read_bytes()

    def placing(self, run_id: str, first_wins: bool = False) -> Placing:
        target = Target(str(self.output), str(self.audit), str(self.key_file), run_id, first_wins)
        return Placing(target, content_of)

    def end(self, run_id: str, *written: tuple[Instance, Placed]) -> None:
        """Write the audit of a run and release its claims, as its last steps do."""
        rows = [
            {"source_id": it.source_id, "output_path": placed.path, "output_sha256": placed.sha256}
            for it, placed in written
        ]
        (self.audit / "instances").mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(rows, INSTANCES)
        pq.write_table(table, self.audit / "instances" / f"{run_id}-00000-of-00001.parquet")
        seal(self.audit, run_id, self.key)
        claims = Claims(LocalStore(str(self.output)), Identity(self.key), run_id)
        for part in claims.tidy():
            claims.release(part)

    def content(self, path: str = PATH) -> bytes:
        return (self.output / path).read_bytes()

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.output)) for path in self.output.rglob("*") if path.is_file())


def content_of(data: bytes) -> str:
    """Return what stands before a bar: the picture, so to speak, behind which headers may differ."""
    picture, bar, _ = data.partition(b"|")
    if not bar:
        raise PixelError("pixels_undecodable")
    return picture.hex()


@pytest.fixture
def runs(tmp_path: Path, key_file: Path) -> Runs:
    return Runs(tmp_path, key_file)


def instance(source: str, digest: str, data: bytes, patient: str = "P") -> Instance:
    dataset: Any = Dataset()
    dataset.PatientID, dataset.StudyInstanceUID = patient, "1.2"
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2.3", "1.2.3.4"
    return Instance(Source(source, 1, ""), source, digest, dataset, encoded=Encoded(data, data))


LOW, HIGH = instance("s1", "aa", b"picture|low"), instance("s2", "bb", b"picture|high")
SAME, OTHER = instance("s3", "aa", b"picture|low"), instance("s4", "cc", b"another|picture")
NEW = instance("s1", "aa", b"picture|by another recipe")


def test_the_path_is_made_of_the_clean_identifiers(runs: Runs) -> None:
    placed = runs.placing("r1").place(LOW)
    assert placed.path == PATH
    assert placed.sha256 == hashlib.sha256(b"picture|low").hexdigest()
    assert runs.content() == b"picture|low"


@pytest.mark.parametrize("value", [None, "", " "])
def test_what_is_absent_is_called_none(value: str | None) -> None:
    dataset = Dataset()
    dataset.SOPInstanceUID = "1.2"
    dataset.PatientID = value
    assert output_path(dataset) == "NONE/NONE/NONE/1.2.dcm"


@pytest.mark.parametrize("value", ["..", ".partial", "a/b", "a\\b", "a\nb", "x" * 129])
def test_a_value_that_is_no_plain_component_is_quarantined(value: str) -> None:
    dataset = Dataset()
    dataset.SOPInstanceUID = "1.2"
    dataset.add_new("PatientID", "UT", value)
    with pytest.raises(Quarantined) as refusal:
        output_path(dataset)
    assert (refusal.value.reason, refusal.value.detail) == ("unsafe_path", "PatientID")


def test_an_instance_without_its_uid_is_quarantined() -> None:
    with pytest.raises(Quarantined, match="no_sop_instance_uid"):
        output_path(Dataset())


def workers(runs: Runs, run_id: str, order: tuple[Instance, ...]) -> list[Placed]:
    """Place instances, each by another of two workers."""
    placings = itertools.cycle([runs.placing(run_id), runs.placing(run_id)])
    return [next(placings).place(it) for it in order]


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, HIGH, SAME])))
def test_of_equal_sources_the_lowest_digest_wins_in_any_order(
    runs: Runs, order: tuple[Instance, ...]
) -> None:
    assert [it.contested for it in workers(runs, "r1", order)] == [False, True, True]
    for _ in range(2):  # a retried bundle
        lost = runs.placing("r1").resolve("1.2.3.4")
        assert lost == {"s2": Lost("duplicate", "s1"), "s3": Lost("duplicate", "s1")}
        assert runs.content() == b"picture|low"
    runs.end("r1")
    assert runs.files() == [PATH]


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, SAME, OTHER])))
def test_of_unequal_sources_none_is_written_in_any_order(runs: Runs, order: tuple[Instance, ...]) -> None:
    workers(runs, "r1", order)
    for _ in range(2):
        assert runs.placing("r1").resolve("1.2.3.4") == {
            "s1": Lost("duplicate_conflict", "s3 s4"),
            "s3": Lost("duplicate_conflict", "s1 s4"),
            "s4": Lost("duplicate_conflict", "s1 s3"),
        }
        assert not (runs.output / PATH).exists()
    runs.end("r1")
    assert runs.files() == []


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, HIGH])))
def test_what_cannot_be_compared_counts_as_unequal(runs: Runs, order: tuple[Instance, ...]) -> None:
    unclear = instance("s2", "bb", b"undecodable")
    workers(runs, "r1", tuple(unclear if it is HIGH else it for it in order))
    assert {it.reason for it in runs.placing("r1").resolve("1.2.3.4").values()} == {"duplicate_conflict"}


def test_a_waiting_file_that_somebody_changed_counts_as_unequal(runs: Runs) -> None:
    workers(runs, "r1", (LOW, HIGH))
    (waiting,) = (runs.output / ".partial/r1/aside").iterdir()
    waiting.write_bytes(b"picture|forged")
    assert len(runs.placing("r1").resolve("1.2.3.4")) == 2
    runs.end("r1")
    assert runs.files() == []


def test_of_a_hundred_conflicting_sources_each_row_names_sixteen(runs: Runs) -> None:
    for number in range(100):
        runs.placing("r1").place(instance(f"s{number:02}", f"{number:02}", b"%d|" % number))
    lost = runs.placing("r1").resolve("1.2.3.4")
    assert len(lost) == 100
    assert lost["s50"].detail == " ".join(f"s{it:02}" for it in range(16)) + " and 83 more"


def test_a_retried_winner_says_again_that_it_is_contested(runs: Runs) -> None:
    for it in (HIGH, LOW):
        runs.placing("r1").place(it)
    assert runs.placing("r1").place(LOW).contested


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, HIGH])))
def test_one_uid_under_two_patients_is_a_conflict(runs: Runs, order: tuple[Instance, ...]) -> None:
    elsewhere = instance("s2", "bb", b"picture|high", patient="Q")
    workers(runs, "r1", tuple(elsewhere if it is HIGH else it for it in order))
    assert set(runs.placing("r1").resolve("1.2.3.4")) == {"s1", "s2"}
    runs.end("r1")
    assert runs.files() == []


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, OTHER])))
def test_what_an_earlier_run_wrote_stays_in_a_conflict(runs: Runs, order: tuple[Instance, ...]) -> None:
    runs.end("r1", (LOW, runs.placing("r1").place(LOW)))
    workers(runs, "r2", order)
    assert set(runs.placing("r2").resolve("1.2.3.4")) == {"s1", "s4"}
    runs.end("r2")
    assert runs.files() == [PATH]
    assert runs.content() == b"picture|low"


@pytest.mark.parametrize("order", list(itertools.permutations([NEW, OTHER])))
def test_so_it_does_where_this_run_had_replaced_it(runs: Runs, order: tuple[Instance, ...]) -> None:
    runs.end("r1", (LOW, runs.placing("r1").place(LOW)))
    workers(runs, "r2", order)
    for _ in range(2):
        assert set(runs.placing("r2").resolve("1.2.3.4")) == {"s1", "s4"}
        assert runs.content() == b"picture|low"
    runs.end("r2")
    assert runs.files() == [PATH]


def test_a_source_that_is_skipped_keeps_its_file_and_its_row(runs: Runs) -> None:
    placed = runs.placing("r1").place(LOW)
    runs.end("r1", (LOW, placed))
    runs.placing("r2").place(OTHER)
    holders = {"s1": Claimant("aa", placed.path, placed.sha256)}
    for _ in range(2):
        assert runs.placing("r2").resolve("1.2.3.4", holders) == {"s4": Lost("duplicate_conflict", "s1")}
    runs.end("r2")
    assert runs.content() == b"picture|low"


def test_a_source_that_no_run_sees_any_more_is_not_displaced_by_another_picture(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.placing("r1").place(LOW)))
    assert runs.placing("r2").place(OTHER).contested
    assert runs.placing("r2").resolve("1.2.3.4") == {"s4": Lost("duplicate_conflict", "s1")}
    runs.end("r2")
    assert runs.content() == b"picture|low"


def test_what_a_dead_run_wrote_goes_in_a_conflict(runs: Runs) -> None:
    runs.placing("dead").place(LOW)
    workers(runs, "r2", (LOW, OTHER))
    assert set(runs.placing("r2").resolve("1.2.3.4")) == {"s1", "s4"}
    assert not (runs.output / PATH).exists()


def test_a_retry_in_the_same_run_counts_as_new(runs: Runs) -> None:
    assert [runs.placing("r1").place(LOW).unchanged for _ in range(2)] == [False, False]


def test_the_same_bytes_in_a_second_run_are_left_as_they_are(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.placing("r1").place(LOW)))
    before = (runs.output / PATH).stat()
    assert runs.placing("r2").place(LOW).unchanged
    after = (runs.output / PATH).stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_what_the_ledger_says_is_ours_is_replaced(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.placing("r1").place(LOW)))
    placed = runs.placing("r2").place(instance("s1", "aa", b"picture|by another recipe"))
    assert (placed.contested, placed.unchanged) == (False, False)
    assert runs.content() == b"picture|by another recipe"


def test_what_is_not_ours_is_never_overwritten(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.placing("r1").place(LOW)))
    (runs.output / PATH).write_bytes(b"theirs")
    with pytest.raises(Quarantined, match="occupied"):
        runs.placing("r2").place(LOW)
    assert runs.content() == b"theirs"


def test_what_a_dead_run_wrote_is_ours(runs: Runs) -> None:
    runs.placing("dead").place(LOW)
    runs.placing("r2").place(instance("s1", "aa", b"picture|by another recipe"))
    assert runs.content() == b"picture|by another recipe"


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, HIGH])))
def test_duplicates_leave_the_file_alone_in_a_second_run(runs: Runs, order: tuple[Instance, ...]) -> None:
    runs.end("r1", (LOW, runs.placing("r1").place(LOW)))
    before = (runs.output / PATH).stat()
    for it in order:
        runs.placing("r2").place(it)
    assert runs.placing("r2").resolve("1.2.3.4") == {"s2": Lost("duplicate", "s1")}
    runs.end("r2")
    assert (runs.output / PATH).stat().st_mtime_ns == before.st_mtime_ns
    assert runs.files() == [PATH]


def test_a_source_takes_the_place_of_one_that_is_gone(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.placing("r1").place(LOW)))
    assert runs.placing("r2").place(HIGH).contested  # LOW might still come
    assert runs.content() == b"picture|low"
    for _ in range(2):  # a retried bundle
        assert runs.placing("r2").resolve("1.2.3.4") == {}
    runs.end("r2")
    assert runs.content() == b"picture|high"


@pytest.mark.parametrize(("one", "two"), [(LOW, HIGH), (HIGH, LOW)])
def test_the_first_wins_where_nobody_waits_for_all(runs: Runs, one: Instance, two: Instance) -> None:
    placing = runs.placing("r1", first_wins=True)
    assert placing.place(one).lost is None
    assert placing.place(two).lost == Lost("duplicate", one.source_id)
    assert placing.place(SAME).lost == Lost("duplicate", one.source_id)
    assert placing.place(OTHER).lost == Lost("duplicate_conflict", one.source_id)
    assert placing.place(one).lost is None
    assert placing.resolve("1.2.3.4") == {}
    assert runs.content() == one.encoded.data


def test_the_first_stays_in_later_runs(runs: Runs) -> None:
    runs.end("r1", (HIGH, runs.placing("r1", first_wins=True).place(HIGH)))
    placing = runs.placing("r2", first_wins=True)
    assert placing.place(LOW).lost == Lost("duplicate", "")
    assert placing.place(OTHER).lost == Lost("duplicate_conflict", "")
    assert placing.place(HIGH).lost is None
    assert runs.content() == b"picture|high"


def test_a_source_that_changes_while_a_run_goes_on_replaces_its_own(runs: Runs) -> None:
    placing = runs.placing("r1", first_wins=True)
    placing.place(LOW)
    changed = instance("s1", "cc", b"picture|changed")
    assert placing.place(changed).lost is None
    assert runs.content() == b"picture|changed"
    assert placing.place(LOW).lost is None
    assert runs.content() == b"picture|low"


def seen(runs: Runs, run_id: str, it: Instance) -> list[Place]:
    """Return what a run sees at the path, each time it looks, while it places an instance."""
    placing, places = runs.placing(run_id), list[Place]()
    look_at = placing._look_at

    def noted(*args: Any) -> Place:
        places.append(look_at(*args))
        return places[-1]

    placing._look_at = noted  # type: ignore[method-assign]
    with suppress(Quarantined):
        placing.place(it)
    return places


def test_an_empty_path_is_free(runs: Runs) -> None:
    assert seen(runs, "r1", LOW) == [Place.FREE]


def test_a_repeated_bundle_finds_its_very_file(runs: Runs) -> None:
    runs.placing("r1").place(LOW)
    assert seen(runs, "r1", LOW) == [Place.FREE, Place.SAME_FILE]  # a first try does not look


def test_what_another_source_of_this_run_made_waits_for_the_end(runs: Runs) -> None:
    runs.placing("r1").place(HIGH)
    assert seen(runs, "r1", LOW) == [Place.FROM_THIS_RUN]
    assert runs.content() == b"picture|high"


def test_another_recipe_replaces_what_an_earlier_run_made_of_the_source(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.placing("r1").place(LOW)))
    assert seen(runs, "r2", instance("s1", "aa", b"picture|new")) == [Place.FROM_THIS_SOURCE]
    assert runs.content() == b"picture|new"


def test_a_run_replaces_what_a_dead_run_made(runs: Runs) -> None:
    runs.placing("dead").place(HIGH)
    assert seen(runs, "r2", LOW) == [Place.FROM_A_DEAD_RUN]
    assert runs.content() == b"picture|low"


def test_what_an_earlier_run_made_of_another_source_waits_for_the_end(runs: Runs) -> None:
    runs.end("r1", (HIGH, runs.placing("r1").place(HIGH)))
    assert seen(runs, "r2", LOW) == [Place.FROM_ANOTHER_SOURCE]
    assert runs.content() == b"picture|high"
    runs.placing("r2").resolve("1.2.3.4")
    assert runs.content() == b"picture|low"


def test_a_foreign_file_stays(runs: Runs) -> None:
    (runs.output / PATH).parent.mkdir(parents=True)
    (runs.output / PATH).write_bytes(b"theirs")
    assert seen(runs, "r1", LOW) == [Place.FOREIGN]
    assert runs.content() == b"theirs"


def test_every_case_but_three_may_be_replaced_at_once() -> None:
    stay = {it for it in Place if not it.may_be_replaced}
    assert stay == {Place.SAME_FILE, Place.FROM_ANOTHER_SOURCE, Place.FOREIGN}
