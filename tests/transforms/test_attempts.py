"""Sources that kill their worker, on a runner that tries again, and in the next run."""

import gc
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest

from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.ledger.attempts import Attempts, left_behind
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.redistribute import Redistribute, pack, unpack

SOURCES = [Source(f"/archive/{number}", 1, "1") for number in range(4)]
PACKED = pack(SOURCES)
RUN1, RUN2, RUN3 = (f"2026010{number}T000000Z-00000000000" for number in (1, 2, 3))
Attempt = Callable[..., list[str]]


@pytest.fixture
def target(tmp_path: Path, key_file: Path) -> Callable[[str], Target]:
    return lambda run_id: Target(str(tmp_path / "out"), str(tmp_path / "audit"), str(key_file), run_id)


def die(attempts: Attempts, number: int, alive: list[object]) -> None:
    """Be at a pack until a source kills the worker, which does nothing any more."""
    worker = attempts.sources(PACKED, list(unpack(PACKED)))
    alive.append(worker)  # an end by itself would not be a death
    for _ in range(number + 1):
        next(worker)


def left_alone(attempts: Attempts) -> list[int]:
    """Finish a pack; return the numbers of the sources that are not touched."""
    done = list(attempts.sources(PACKED, list(unpack(PACKED))))
    assert [it.path for it in done] == [it.path for it in SOURCES]
    return [number for number, it in enumerate(done) if it.suspect == "killed_worker"]


def test_the_third_try_leaves_alone_what_killed_two_workers(
    target: Callable[[str], Target], tmp_path: Path
) -> None:
    attempts, alive = Attempts(target(RUN1)), list[object]()
    die(attempts, 2, alive)
    die(attempts, 2, alive)
    assert left_alone(attempts) == [2]
    assert not [it for it in tmp_path.rglob("attempts/*") if it.is_file()]


def test_the_fourth_try_leaves_alone_two_of_them(target: Callable[[str], Target]) -> None:
    """Dataflow gives up after four."""
    attempts, alive = Attempts(target(RUN1)), list[object]()
    for number in (1, 1, 3):
        die(attempts, number, alive)
    assert left_alone(attempts) == [1, 3]


def test_a_pack_that_is_done_leaves_no_note(target: Callable[[str], Target], tmp_path: Path) -> None:
    assert left_alone(Attempts(target(RUN1))) == []
    assert not [it for it in tmp_path.rglob("*") if it.is_file() and "attempts" in it.parts]


def test_the_next_run_is_careful_and_the_one_after_it_leaves_the_source_alone(
    target: Callable[[str], Target],
) -> None:
    """An engine that tries nothing again ends with the first death."""
    alive = list[object]()
    ids = [source_id_of(it, target(RUN1).identity()) for it in SOURCES]
    die(Attempts(target(RUN1)), 2, alive)
    assert left_behind(target(RUN2)) == (frozenset(), frozenset(ids))
    die(Attempts(target(RUN2), frozenset(ids)), 2, alive)
    assert left_behind(target(RUN3)) == (frozenset([ids[2]]), frozenset(ids))


def test_a_note_that_the_key_did_not_seal_says_nothing(
    target: Callable[[str], Target], tmp_path: Path
) -> None:
    alive = list[object]()
    die(Attempts(target(RUN1)), 2, alive)
    (note,) = [it for it in tmp_path.rglob("attempts/*") if it.is_file()]
    note.write_text(note.read_text().replace('\\"at\\": \\"\\"', '\\"at\\": \\"x\\"'))
    assert left_behind(target(RUN2)) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"{", b"[]", b"7", b"null", b'"x"', b"{}", b'{"mac": 1, "note": "x"}', b"[" * 100_000],
)
def test_what_is_no_note_says_nothing(target: Callable[[str], Target], tmp_path: Path, data: bytes) -> None:
    alive = list[object]()
    die(Attempts(target(RUN1)), 2, alive)
    (note,) = [it for it in tmp_path.rglob("attempts/*") if it.is_file()]
    note.write_bytes(data)
    assert left_behind(target(RUN2)) == (frozenset(), frozenset())
    assert left_alone(Attempts(target(RUN1))) == []


def test_an_exception_is_no_death(target: Callable[[str], Target], tmp_path: Path) -> None:
    def full(source: Source) -> None:
        raise OSError("the disk is full")

    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = pipeline | beam.Create(SOURCES) | Redistribute(attempts=Attempts(target(RUN1))) | beam.Map(full)
    with pytest.raises(OSError, match="the disk is full"):
        pipeline.run()
    gc.collect()
    assert left_behind(target(RUN2)) == (frozenset(), frozenset())
