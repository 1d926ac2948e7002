"""Placing: duplicates, second runs and what is never overwritten, in folders and in buckets."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydicom.dataset import Dataset
from tests.buckets import KINDS, Bucket
from tests.sealing import seal

from beamstop.audit import INSTANCES
from beamstop.dicom.files import Encoded
from beamstop.errors import PixelError, Quarantined
from beamstop_transforms.instance import Instance, Lost, Placed, Seen, Source
from beamstop_transforms.ledger.claims import Claimant
from beamstop_transforms.ledger.target import Target, open_claims
from beamstop_transforms.paths import output_path
from beamstop_transforms.placing import Place, Placing
from beamstop_transforms.stores import PARTIAL, open_store

PATH = "P/1.2/1.2.3/1.2.3.4.dcm"


def s(number: int) -> str:
    """Return a source_id; they sort by their numbers."""
    return f"{number:016x}" * 4


class Runs:
    """Runs into one OUTPUT and AUDIT."""

    def __init__(self, output: str, audit: Path, key_file: Path) -> None:
        self.output, self.audit, self.key_file = output, audit, key_file
        self.key, self.store = key_file.read_bytes(), open_store(output)
        self.seen: dict[str, set[Seen]] = defaultdict(set)

    def target(self, run_id: str, first_wins: bool = False) -> Target:
        return Target(self.output, str(self.audit), str(self.key_file), run_id, first_wins)

    def placing(self, run_id: str, first_wins: bool = False) -> Placing:
        return Placing(self.target(run_id, first_wins), content_of)

    def place(self, run_id: str, it: Instance, placing: Placing | None = None) -> Placed:
        """Place one instance, by a worker of its own unless told by which."""
        placed = (placing or self.placing(run_id)).place(it)
        self.seen[run_id].add(Seen.of(it.source_id, placed))
        return placed

    def resolve(self, run_id: str, holders: dict[str, Claimant] | None = None) -> dict[str, Lost]:
        return self.placing(run_id).resolve("1.2.3.4", holders, seen=self.seen[run_id])

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
        claims = open_claims(self.target(run_id))
        for part in claims.tidy():
            for note, _ in claims.taken_back(part):
                claims.forget(note)
            claims.release(part)

    def content(self, path: str = PATH) -> bytes | None:
        found = self.store.read(path)
        return found and found[1]

    def put(self, data: bytes, path: str = PATH) -> None:
        """Put there what no run of ours made, whatever stands there."""
        found = self.store.find(path)
        assert self.store.write(path, data, found and found.version)

    def version(self) -> object:
        found = self.store.find(PATH)
        return found and found.version

    def files(self) -> list[str]:
        return sorted(self.store.names(""))


def content_of(data: bytes) -> str:
    """Return what stands before a bar: the picture, so to speak, behind which headers may differ."""
    picture, bar, _ = data.partition(b"|")
    if not bar:
        raise PixelError("pixels_undecodable")
    return picture.hex()


@pytest.fixture(params=["folder", *KINDS])
def runs(request: pytest.FixtureRequest, tmp_path: Path, key_file: Path) -> Runs:
    if request.param == "folder":
        return Runs(str(tmp_path / "out"), tmp_path / "audit", key_file)
    make_bucket: Callable[[str], Bucket] = request.getfixturevalue("make_bucket")
    return Runs(f"{make_bucket(request.param).root}/out", tmp_path / "audit", key_file)


@pytest.fixture
def in_a_folder(tmp_path: Path, key_file: Path) -> Runs:
    return Runs(str(tmp_path / "out"), tmp_path / "audit", key_file)


def instance(source: str, digest: str, data: bytes, patient: str = "P") -> Instance:
    dataset: Any = Dataset()
    dataset.PatientID, dataset.StudyInstanceUID = patient, "1.2"
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2.3", "1.2.3.4"
    return Instance(Source(source, 1, ""), source, digest, dataset, encoded=Encoded(data, data))


LOW, HIGH = instance(s(1), "aa", b"picture|low"), instance(s(2), "bb", b"picture|high")
SAME, OTHER = instance(s(3), "aa", b"picture|low"), instance(s(4), "cc", b"another|picture")
NEW = instance(s(1), "aa", b"picture|by another recipe")


def test_the_path_is_made_of_the_clean_identifiers(runs: Runs) -> None:
    placed = runs.place("r1", LOW)
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
    return [runs.place(run_id, it, next(placings)) for it in order]


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, HIGH, SAME])))
def test_of_equal_sources_the_lowest_digest_wins_in_any_order(
    runs: Runs, order: tuple[Instance, ...]
) -> None:
    assert [it.contested for it in workers(runs, "r1", order)] == [False, True, True]
    for _ in range(2):  # a retried bundle
        lost = runs.resolve("r1")
        assert lost == {s(2): Lost("duplicate", s(1)), s(3): Lost("duplicate", s(1))}
        assert runs.content() == b"picture|low"
    runs.end("r1")
    assert runs.files() == [PATH]


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, SAME, OTHER])))
def test_of_unequal_sources_none_is_written_in_any_order(runs: Runs, order: tuple[Instance, ...]) -> None:
    workers(runs, "r1", order)
    for _ in range(2):
        assert runs.resolve("r1") == {
            s(1): Lost("duplicate_conflict", f"{s(3)} {s(4)}"),
            s(3): Lost("duplicate_conflict", f"{s(1)} {s(4)}"),
            s(4): Lost("duplicate_conflict", f"{s(1)} {s(3)}"),
        }
        assert runs.content() is None
    runs.end("r1")
    assert runs.files() == []


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, HIGH])))
def test_what_cannot_be_compared_counts_as_unequal(runs: Runs, order: tuple[Instance, ...]) -> None:
    unclear = instance(s(2), "bb", b"undecodable")
    workers(runs, "r1", tuple(unclear if it is HIGH else it for it in order))
    assert {it.reason for it in runs.resolve("r1").values()} == {"duplicate_conflict"}


def test_a_waiting_file_that_somebody_changed_counts_as_unequal(runs: Runs) -> None:
    workers(runs, "r1", (LOW, HIGH))
    (waiting,) = runs.store.names(f"{PARTIAL}/r1/aside")
    runs.put(b"picture|forged", waiting)
    assert len(runs.resolve("r1")) == 2
    runs.end("r1")
    assert runs.files() == []


def test_of_a_hundred_conflicting_sources_each_row_names_sixteen(runs: Runs) -> None:
    for number in range(100):
        runs.place("r1", instance(s(number), f"{number:02}", b"%d|" % number))
    lost = runs.resolve("r1")
    assert len(lost) == 100
    assert lost[s(50)].detail == " ".join(s(it) for it in range(16)) + " and 83 more"


def test_a_retried_winner_says_again_that_it_is_contested(runs: Runs) -> None:
    for it in (HIGH, LOW):
        runs.place("r1", it)
    assert runs.place("r1", LOW).contested


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, HIGH])))
def test_one_uid_under_two_patients_is_a_conflict(runs: Runs, order: tuple[Instance, ...]) -> None:
    elsewhere = instance(s(2), "bb", b"picture|high", patient="Q")
    workers(runs, "r1", tuple(elsewhere if it is HIGH else it for it in order))
    assert set(runs.resolve("r1")) == {s(1), s(2)}
    runs.end("r1")
    assert runs.files() == []


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, OTHER])))
def test_what_an_earlier_run_wrote_stays_in_a_conflict(runs: Runs, order: tuple[Instance, ...]) -> None:
    runs.end("r1", (LOW, runs.place("r1", LOW)))
    workers(runs, "r2", order)
    assert set(runs.resolve("r2")) == {s(1), s(4)}
    runs.end("r2")
    assert runs.files() == [PATH]
    assert runs.content() == b"picture|low"


@pytest.mark.parametrize("order", list(itertools.permutations([NEW, OTHER])))
def test_so_it_does_where_this_run_had_replaced_it(runs: Runs, order: tuple[Instance, ...]) -> None:
    runs.end("r1", (LOW, runs.place("r1", LOW)))
    workers(runs, "r2", order)
    for _ in range(2):
        assert set(runs.resolve("r2")) == {s(1), s(4)}
        assert runs.content() == b"picture|low"
    runs.end("r2")
    assert runs.files() == [PATH]


def test_a_source_that_is_skipped_keeps_its_file_and_its_row(runs: Runs) -> None:
    placed = runs.place("r1", LOW)
    runs.end("r1", (LOW, placed))
    runs.place("r2", OTHER)
    holders = {s(1): Claimant("aa", placed.path, placed.sha256)}
    for _ in range(2):
        assert runs.resolve("r2", holders) == {s(4): Lost("duplicate_conflict", s(1))}
    runs.end("r2")
    assert runs.content() == b"picture|low"


def test_a_source_that_no_run_sees_any_more_is_not_displaced_by_another_picture(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.place("r1", LOW)))
    assert runs.place("r2", OTHER).contested
    assert runs.resolve("r2") == {s(4): Lost("duplicate_conflict", s(1))}
    runs.end("r2")
    assert runs.content() == b"picture|low"


def test_what_a_dead_run_wrote_goes_in_a_conflict(runs: Runs) -> None:
    runs.place("dead", LOW)
    workers(runs, "r2", (LOW, OTHER))
    assert set(runs.resolve("r2")) == {s(1), s(4)}
    assert runs.content() is None


def test_a_retry_in_the_same_run_counts_as_new(runs: Runs) -> None:
    assert [runs.place("r1", LOW).unchanged for _ in range(2)] == [False, False]


def test_the_same_bytes_in_a_second_run_are_left_as_they_are(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.place("r1", LOW)))
    before = runs.version()
    assert runs.place("r2", LOW).unchanged
    assert runs.version() == before


def test_what_the_ledger_says_is_ours_is_replaced(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.place("r1", LOW)))
    placed = runs.place("r2", instance(s(1), "aa", b"picture|by another recipe"))
    assert (placed.contested, placed.unchanged) == (False, False)
    assert runs.content() == b"picture|by another recipe"


def test_what_is_not_ours_is_never_overwritten(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.place("r1", LOW)))
    runs.put(b"theirs")
    with pytest.raises(Quarantined, match="occupied"):
        runs.place("r2", LOW)
    assert runs.content() == b"theirs"


def test_what_a_dead_run_wrote_is_ours(runs: Runs) -> None:
    runs.place("dead", LOW)
    runs.place("r2", instance(s(1), "aa", b"picture|by another recipe"))
    assert runs.content() == b"picture|by another recipe"


@pytest.mark.parametrize("order", list(itertools.permutations([LOW, HIGH])))
def test_duplicates_leave_the_file_alone_in_a_second_run(runs: Runs, order: tuple[Instance, ...]) -> None:
    runs.end("r1", (LOW, runs.place("r1", LOW)))
    before = runs.version()
    for it in order:
        runs.place("r2", it)
    assert runs.resolve("r2") == {s(2): Lost("duplicate", s(1))}
    runs.end("r2")
    assert runs.version() == before
    assert runs.files() == [PATH]


def test_a_source_takes_the_place_of_one_that_is_gone(runs: Runs) -> None:
    runs.end("r1", (LOW, runs.place("r1", LOW)))
    assert runs.place("r2", HIGH).contested  # LOW might still come
    assert runs.content() == b"picture|low"
    for _ in range(2):  # a retried bundle
        assert runs.resolve("r2") == {}
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
    changed = instance(s(1), "cc", b"picture|changed")
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


def test_an_empty_path_is_free(in_a_folder: Runs) -> None:
    assert seen(in_a_folder, "r1", LOW) == [Place.FREE]


def test_a_repeated_bundle_finds_its_very_file(in_a_folder: Runs) -> None:
    in_a_folder.place("r1", LOW)
    assert seen(in_a_folder, "r1", LOW) == [Place.FREE, Place.SAME_FILE]  # a first try does not look


def test_what_another_source_of_this_run_made_waits_for_the_end(in_a_folder: Runs) -> None:
    in_a_folder.place("r1", HIGH)
    assert seen(in_a_folder, "r1", LOW) == [Place.FROM_THIS_RUN]
    assert in_a_folder.content() == b"picture|high"


def test_another_recipe_replaces_what_an_earlier_run_made_of_the_source(in_a_folder: Runs) -> None:
    in_a_folder.end("r1", (LOW, in_a_folder.place("r1", LOW)))
    assert seen(in_a_folder, "r2", instance(s(1), "aa", b"picture|new")) == [Place.FROM_THIS_SOURCE]
    assert in_a_folder.content() == b"picture|new"


def test_a_run_replaces_what_a_dead_run_made(in_a_folder: Runs) -> None:
    in_a_folder.place("dead", HIGH)
    assert seen(in_a_folder, "r2", LOW) == [Place.FROM_A_DEAD_RUN]
    assert in_a_folder.content() == b"picture|low"


def test_what_an_earlier_run_made_of_another_source_waits_for_the_end(in_a_folder: Runs) -> None:
    in_a_folder.end("r1", (HIGH, in_a_folder.place("r1", HIGH)))
    assert seen(in_a_folder, "r2", LOW) == [Place.FROM_ANOTHER_SOURCE]
    assert in_a_folder.content() == b"picture|high"
    in_a_folder.resolve("r2")
    assert in_a_folder.content() == b"picture|low"


def test_a_foreign_file_stays(in_a_folder: Runs) -> None:
    in_a_folder.put(b"theirs")
    assert seen(in_a_folder, "r1", LOW) == [Place.FOREIGN]
    assert in_a_folder.content() == b"theirs"


def test_every_case_but_three_may_be_replaced_at_once() -> None:
    stay = {it for it in Place if not it.may_be_replaced}
    assert stay == {Place.SAME_FILE, Place.FROM_ANOTHER_SOURCE, Place.FOREIGN}
