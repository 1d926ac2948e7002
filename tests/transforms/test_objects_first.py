"""Placing in buckets, where the object is written before anything claims its UID: crashes, races, zombies."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam import CombineGlobally, Create, Pipeline
from pydicom.dataset import Dataset
from tests.buckets import Bucket
from tests.sealing import seal

from beamstop.audit import INSTANCES
from beamstop.dicom.files import Encoded
from beamstop.errors import Quarantined
from beamstop.identity import Identity
from beamstop_transforms.instance import Instance, Lost, Placed, Seen, Source
from beamstop_transforms.ledger.index import open_index
from beamstop_transforms.ledger.numbers import digest_number
from beamstop_transforms.ledger.provenance import Maker, Provenance
from beamstop_transforms.ledger.skipped import CollectSkipped, packed_positions
from beamstop_transforms.ledger.target import Target, open_claims
from beamstop_transforms.placing import Placing
from beamstop_transforms.release import Release
from beamstop_transforms.stores import StoreError, open_store
from beamstop_transforms.stores.base import Found

EARLIER, DEAD, RUN, LATER = (f"2026010{day}T000000Z-0000000000{day}" for day in range(1, 5))
UID, PATH = "1.2.3.4", "P/1.2/1.2.3/1.2.3.4.dcm"


def source_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def instance(name: str, data: bytes, patient: str = "P") -> Instance:
    dataset: Any = Dataset()
    dataset.PatientID, dataset.StudyInstanceUID = patient, "1.2"
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2.3", UID
    return Instance(Source(name, 1, ""), source_id(name), name, dataset, encoded=Encoded(data, data))


ONE, OTHER, ELSEWHERE = instance("a", b"one"), instance("b", b"other"), instance("c", b"one", "Q")


class Runs:
    """Runs into one bucket."""

    def __init__(self, bucket: Bucket, audit: Path, key_file: Path) -> None:
        self.output, self.audit, self.key_file = f"{bucket.root}/out", audit, key_file
        self.store = open_store(self.output)

    def target(self, run_id: str = RUN) -> Target:
        return Target(self.output, str(self.audit), str(self.key_file), run_id)

    def placing(self, run_id: str = RUN) -> Placing:
        return Placing(self.target(run_id), lambda data: data.hex())

    def place(self, it: Instance, run_id: str = RUN) -> Placed:
        placing = self.placing(run_id)
        placed = placing.place(it)
        placing.end_bundle()
        return placed

    def resolve(self, *seen: tuple[Instance, Placed], run_id: str = RUN) -> dict[str, Lost]:
        return self.placing(run_id).resolve(UID, seen=[Seen.of(it.source_id, at) for it, at in seen])

    def end(
        self, run_id: str, *rows: tuple[Instance, Placed | None], skipped: tuple[Instance, ...] = ()
    ) -> None:
        """Write the audit of a run, and let it do what it does last."""
        index = open_index(self.target(run_id))
        found = [index.newest(digest_number(it.source_id)) for it in skipped]
        positions = packed_positions(it[0] for it in found if it is not None)
        of_all = [
            {
                "source_id": it.source_id,
                "output_path": placed and placed.path,
                "output_sha256": placed and placed.sha256,
            }
            for it, placed in rows
        ]
        (self.audit / "instances").mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(of_all, INSTANCES)
        pq.write_table(table, self.audit / "instances" / f"{run_id}-00000-of-00001.parquet")
        seal(self.audit, run_id, self.key_file.read_bytes())
        parts = open_claims(self.target(run_id)).tidy()
        with Pipeline(runner="FnApiRunner") as pipeline:
            left_out = pipeline | "Skipped" >> Create([positions]) | CombineGlobally(CollectSkipped())
            _ = pipeline | Create(parts) | Release(self.target(run_id), left_out)

    @property
    def clean(self) -> dict[str, bytes]:
        """Name → content of what is not in `.partial`."""
        return {it: self.store.read(it)[1] for it in self.names if not it.startswith(".partial")}

    @property
    def partial(self) -> list[str]:
        """What is in `.partial`, by its first three parts."""
        return sorted({"/".join(it.split("/")[1:3]) for it in self.names if it.startswith(".partial")})

    @property
    def names(self) -> list[str]:
        return list(self.store.names(""))


@pytest.fixture
def runs(bucket: Bucket, tmp_path: Path, key_file: Path) -> Runs:
    return Runs(bucket, tmp_path / "audit", key_file)


def test_a_first_file_needs_no_claim_and_its_run_lets_go_of_all(runs: Runs) -> None:
    placed = runs.place(ONE)
    assert (placed.contested, placed.unchanged, placed.lost) == (False, False, None)
    assert runs.partial == [f"{RUN}/open"]
    again = runs.place(ONE)  # a bundle that is tried again
    assert (again, runs.partial) == (placed, [f"{RUN}/open"])
    runs.end(RUN, (ONE, placed))
    assert (runs.clean, runs.partial) == ({PATH: b"one"}, [])


def test_one_uid_at_two_paths_is_found_without_a_claim(runs: Runs) -> None:
    seen = (ONE, runs.place(ONE)), (ELSEWHERE, runs.place(ELSEWHERE))
    assert runs.partial == [f"{RUN}/open"]
    for _ in range(2):  # a bundle that is tried again
        assert {it.reason for it in runs.resolve(*seen).values()} == {"duplicate_conflict"}
        assert runs.clean == {}
    runs.end(RUN, (ONE, None), (ELSEWHERE, None))
    assert runs.names == []


@pytest.mark.parametrize("after_a_crash", [False, True])
@pytest.mark.parametrize("zombie", [ONE, OTHER, ELSEWHERE], ids=["one", "other", "elsewhere"])
def test_a_worker_that_was_given_up_does_not_bring_back_what_was_taken_back(
    runs: Runs, zombie: Instance, after_a_crash: bool
) -> None:
    if after_a_crash:
        runs.place(ONE, DEAD)
    every = (ONE, OTHER, ELSEWHERE)
    seen = [(it, runs.place(it)) for it in every]
    given_up = runs.placing()
    runs.resolve(*seen)
    assert runs.clean == {}
    given_up.place(zombie)
    runs.end(RUN, *((it, None) for it in every))
    assert runs.clean == {}


def test_what_it_writes_when_its_run_has_let_go_is_found_by_the_next(runs: Runs) -> None:
    seen = (ONE, runs.place(ONE)), (ELSEWHERE, runs.place(ELSEWHERE))
    given_up = runs.placing()
    given_up.place(ONE)
    runs.resolve(*seen)
    runs.end(RUN, (ONE, None), (ELSEWHERE, None))
    assert runs.names == []
    given_up.place(ONE)
    given_up.end_bundle()
    assert (list(runs.clean), runs.partial) == ([PATH], [f"{RUN}/open"])
    runs.end(LATER, (OTHER, None), skipped=(ONE,))
    assert runs.names == []


def test_what_a_dead_run_made_counts_as_written_before(runs: Runs) -> None:
    runs.place(ONE, DEAD)
    placed = runs.place(ONE)
    assert (placed.contested, placed.unchanged) == (False, True)
    runs.end(RUN, (ONE, placed))
    assert (runs.clean, runs.partial) == ({PATH: b"one"}, [])


def test_what_a_dead_run_made_of_a_source_by_another_recipe_is_replaced(runs: Runs) -> None:
    runs.place(ONE, DEAD)
    anew = instance("a", b"by another recipe")
    placed = runs.place(anew)
    assert (placed.contested, runs.clean) == (False, {PATH: b"by another recipe"})
    runs.end(RUN, (anew, placed))
    assert (runs.clean, runs.partial) == ({PATH: b"by another recipe"}, [])


@pytest.mark.parametrize("is_seen", [True, False], ids=["seen again", "gone"])
def test_what_a_dead_run_made_of_another_source_stays_until_the_end(runs: Runs, is_seen: bool) -> None:
    runs.place(ONE, DEAD)
    seen = [(ONE, runs.place(ONE))] if is_seen else []
    waits = runs.place(OTHER)
    assert (waits.contested, runs.clean) == (True, {PATH: b"one"})
    lost = runs.resolve(*seen, (OTHER, waits))
    reasons = {it: lost[it.source_id].reason for it in (ONE, OTHER) if it.source_id in lost}
    assert reasons == ({ONE: "duplicate_conflict", OTHER: "duplicate_conflict"} if is_seen else {})
    assert runs.clean == ({} if is_seen else {PATH: b"other"})


def test_what_a_dead_run_made_of_a_source_that_is_decided_otherwise_goes(runs: Runs) -> None:
    runs.place(ONE, DEAD)
    runs.place(ELSEWHERE, DEAD)
    runs.end(RUN, (ONE, None), (ELSEWHERE, None))
    assert runs.names == []


def test_what_it_made_of_a_source_that_nobody_decided_stays_with_a_claim(runs: Runs) -> None:
    runs.place(ONE, DEAD)
    runs.end(RUN, (OTHER, None))
    assert (runs.clean, runs.partial) == ({PATH: b"one"}, [f"{DEAD}/claims"])
    runs.end(LATER, (ONE, None))
    assert runs.names == []


def test_what_a_row_tells_of_stays(runs: Runs) -> None:
    placed = runs.place(ONE, EARLIER)
    runs.end(EARLIER, (ONE, placed), (ELSEWHERE, None))
    runs.placing(EARLIER).place(ELSEWHERE)
    open_claims(runs.target(EARLIER)).stay_open()
    runs.end(RUN, (OTHER, None), skipped=(ONE, ELSEWHERE))
    assert (runs.clean, runs.partial) == ({PATH: b"one"}, [])


def test_what_a_run_that_began_later_made_is_not_looked_at(runs: Runs) -> None:
    runs.place(ONE, LATER)
    runs.end(RUN, (ONE, None))
    assert (runs.clean, runs.partial) == ({PATH: b"one"}, [f"{LATER}/open"])


@pytest.mark.parametrize(
    "day", ["00000000T000000Z", "00010101T000000Z", "20251399T990099Z", "１９９９０１０１T000000Z"]
)
def test_a_mark_of_a_run_that_was_none_breaks_no_run(runs: Runs, day: str) -> None:
    runs.store.write(f".partial/{day}-00000000001/open/run", b"", None)
    runs.place(ONE, DEAD)
    runs.end(RUN, (ONE, None))
    assert runs.clean == {}


def test_a_run_that_dies_while_it_looks_leaves_that_to_the_next(runs: Runs) -> None:
    runs.place(ONE, DEAD)
    assert open_claims(runs.target()).dead_marks() == [DEAD]
    open_claims(runs.target()).begin_sweep(DEAD)
    assert runs.partial == [f"{DEAD}/open"]
    runs.end(LATER, (ONE, None))
    assert runs.names == []


def test_what_a_run_that_has_let_go_made_is_not_overwritten_unless_a_row_tells_of_it(runs: Runs) -> None:
    """As with a new AUDIT beside an old OUTPUT."""
    runs.place(ONE, EARLIER)
    runs.store.clear(".partial")
    with pytest.raises(Quarantined, match="occupied"):
        runs.place(instance("a", b"by another recipe"))
    with pytest.raises(Quarantined, match="occupied"):
        runs.place(OTHER)
    assert runs.clean == {PATH: b"one"}


def test_a_source_that_changed_between_two_tries_replaces_its_own(runs: Runs) -> None:
    runs.place(ONE)
    placed = runs.place(instance("a", b"changed"))
    assert (placed.contested, placed.unchanged, runs.clean) == (False, False, {PATH: b"changed"})


def test_two_runs_side_by_side_do_not_replace_what_the_other_made_before_their_end(runs: Runs) -> None:
    mine = (ONE, runs.place(ONE)), (OTHER, runs.place(OTHER))
    theirs = (ONE, runs.place(ONE, LATER)), (OTHER, runs.place(OTHER, LATER))
    assert runs.clean == {PATH: b"one"}
    for seen, run_id in ((mine, RUN), (theirs, LATER)):
        assert len(runs.resolve(*seen, run_id=run_id)) == 2
    assert runs.clean == {}


def test_a_run_breaks_if_somebody_changes_what_two_sources_contest(runs: Runs) -> None:
    seen = (ONE, runs.place(ONE)), (ELSEWHERE, runs.place(ELSEWHERE))
    runs.store.remove(PATH)
    with pytest.raises(StoreError, match="what this run wrote was changed"):
        runs.resolve(*seen)


def test_a_mark_under_a_name_that_no_run_has_says_nothing(runs: Runs) -> None:
    runs.store.write(".partial/1/open/run", b"", None)
    runs.end(RUN, (ONE, runs.place(ONE)))
    assert (runs.clean, runs.partial) == ({PATH: b"one"}, ["1/open"])


def test_provenance_counts_for_its_key_path_and_content_alone(key: bytes) -> None:
    maker = Maker(RUN, source_id("a"), source_id("content"))
    line = Provenance(Identity(key)).line(maker, PATH, "aa")
    assert line.isascii()
    assert line.split(" ")[:3] == list(maker)

    def read(path: str = PATH, sha256: str = "aa", about: str = line, key: bytes = key) -> Maker | None:
        return Provenance(Identity(key)).maker(path, Found(1, sha256, about))

    assert read() == maker
    assert read(path=PATH.replace("P/", "Q/")) is None
    assert read(sha256="ab") is None
    assert read(key=bytes(32)) is None
    assert [read(about=it) for it in ("", "x", f"{line} x", line.replace(RUN, DEAD), "ä b c d")] == [None] * 5
