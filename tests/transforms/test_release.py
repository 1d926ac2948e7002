"""What a run that has its record lets go of: its claims, and files of dead runs that nothing stands for."""

import hashlib
from itertools import count, islice
from pathlib import Path
from threading import Barrier
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam import CombineGlobally, Create, Pipeline
from tests.sealing import seal

from beamstop.audit import INSTANCES
from beamstop.identity import Identity
from beamstop_transforms.ledger.claims import Claimant, Claims, uid_key
from beamstop_transforms.ledger.index import open_index
from beamstop_transforms.ledger.numbers import digest_number
from beamstop_transforms.ledger.skipped import CollectSkipped, packed_positions
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.release import Release
from beamstop_transforms.stores.local import LocalStore

DEAD, RUN, LATER = "20260101", "20260102", "20260103"
KEY = bytes(range(32))
UID, PATH, DATA = "1.2.3", "P/1.2/1.2.1/1.2.3.dcm", b"what the dead run wrote"


def source_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Place:
    """OUTPUT with what a dead run wrote of `one`, and AUDIT."""

    def __init__(self, folder: Path, dead: str = DEAD, before: bytes | None = None) -> None:
        self.output = str(folder / "out")
        self.store = LocalStore(self.output)
        self.audit, self.key_file = folder / "audit", folder / "key"
        self.key_file.write_bytes(KEY)
        self.key_file.chmod(0o600)
        for name in ("instances", "runs"):
            (self.audit / name).mkdir(parents=True)
        if before is not None:
            self.store.write(PATH, before, None)
        self.claim(dead, "one")
        found = self.store.find(PATH)
        self.store.write(PATH, DATA, found and found.version)

    def claim(self, run_id: str, name: str, path: str = PATH) -> None:
        Claims(self.store, Identity(KEY), run_id).join(
            UID, source_id(name), Claimant(name, path, sha256(DATA))
        )

    def ended(self, run_id: str, *names: str, path: str | None = None) -> None:
        rows = [
            {"source_id": source_id(name), "output_path": path, "output_sha256": path and sha256(DATA)}
            for name in names
        ]
        table = pa.Table.from_pylist(rows, INSTANCES)
        pq.write_table(table, self.audit / "instances" / f"{run_id}-00000-of-00001.parquet")
        seal(self.audit, run_id, KEY)

    def released(self, *skipped: str) -> tuple[bool, bool]:
        """Release the claims of the run; say whether the dead run's file and claim are still there."""
        target = Target(self.output, str(self.audit), str(self.key_file), RUN)
        parts = Claims(self.store, Identity(KEY), RUN).tidy()
        with Pipeline(runner="FnApiRunner") as pipeline:
            index = open_index(target)
            found = [index.newest(digest_number(source_id(it))) for it in skipped]
            positions = packed_positions(it[0] for it in found if it is not None)
            left_out = pipeline | "Skipped" >> Create([positions]) | CombineGlobally(CollectSkipped())
            _ = pipeline | Create(parts) | Release(target, left_out)
        assert not list(self.store.names(f".partial/{RUN}"))
        return self.store.find(PATH) is not None, any(self.store.names(".partial"))


def test_what_no_source_stands_for_goes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.ended(RUN, "one", "other")
    assert place.released() == (False, False)
    assert place.released() == (False, False)  # once more, as a retry would


@pytest.mark.parametrize("folder", ["P", "P/1.2", "P/1.2/1.2.1"])
def test_folders_that_a_run_made_before_it_died_go(tmp_path: Path, folder: str) -> None:
    place = Place(tmp_path)
    place.store.remove(PATH)
    (tmp_path / "out" / folder).mkdir(parents=True)
    place.ended(RUN, "one")
    assert place.released() == (False, False)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_source_that_was_skipped_stands_for_its_earlier_row_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.ended("20251230", "one")
    place.ended(RUN, "other")
    assert place.released("one") == (False, False)


def test_the_file_of_a_source_that_nobody_decided_stays(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.ended(RUN, "other")
    assert place.released() == (True, True)


def test_so_does_one_of_several_sources_of_which_one_is_not_decided(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.claim(DEAD, "two")
    place.ended(RUN, "one")
    assert place.released() == (True, True)


def test_what_a_source_of_this_run_stands_for_stays(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.claim(RUN, "one")
    place.ended(RUN, "one", path=PATH)
    assert place.released() == (True, False)


def test_what_this_run_has_claimed_again_is_forgotten(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.claim(DEAD, "two")
    place.claim(RUN, "one")
    place.ended(RUN, "one", path=PATH)
    assert place.released() == (True, False)


def test_the_same_instance_at_another_place_goes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.claim(RUN, "one", "Q/1.2/1.2.1/1.2.3.dcm")
    place.ended(RUN, "one", path="Q/1.2/1.2.1/1.2.3.dcm")
    assert place.released() == (False, False)


def test_what_a_row_of_a_run_that_ended_tells_of_stays(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.ended("20251231", "two", path=PATH)
    place.ended(RUN, "one")
    assert place.released() == (True, False)


def test_what_was_there_before_the_dead_run_stays(tmp_path: Path) -> None:
    place = Place(tmp_path, before=DATA)
    place.ended(RUN, "one")
    assert place.released() == (True, False)


def test_what_somebody_else_has_changed_since_stays(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store.write(PATH, b"something else", place.store.find(PATH).version)
    place.ended(RUN, "one")
    assert place.released() == (True, False)


def test_a_run_that_began_later_may_be_alive(tmp_path: Path) -> None:
    place = Place(tmp_path, dead=LATER)
    place.ended(RUN, "one")
    assert place.released() == (True, True)


def test_claims_of_one_part_are_settled_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a bucket each of them takes its time on the way, and all of a part are one worker's."""
    place = Place(tmp_path)
    uids = list(islice((it for it in map("1.2.{}".format, count()) if uid_key(it)[0] == 0), 16))
    for uid in uids:
        path = f"P/1.2/1.2.1/{uid}.dcm"
        place.store.write(path, DATA, None)
        Claims(place.store, Identity(KEY), DEAD).join(
            uid, source_id("one"), Claimant("one", path, sha256(DATA)), lambda _: None
        )
    place.ended(RUN, "one")
    met, read, remove = Barrier(8), LocalStore.read, LocalStore.remove

    def meet(store: LocalStore, name: str) -> Any:
        if f"{DEAD}/claims/00/" in name:
            met.wait(60)
        return read(store, name)

    def meet_again(store: LocalStore, name: str) -> None:
        if f"{DEAD}/claims/00/" in name:
            met.wait(60)
        remove(store, name)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "read", meet)
        assert place.released() == (False, False)
    with monkeypatch.context() as patch:
        for uid in uids:
            Claims(place.store, Identity(KEY), DEAD).join(
                uid, source_id("one"), Claimant("one", PATH, sha256(DATA)), lambda _: None
            )
        patch.setattr(LocalStore, "remove", meet_again)
        assert place.released() == (False, False)
    assert not list(place.store.names("P"))
