"""Reading ahead: how far, how much, and that bytes are given once."""

import pickle
import threading
import time
from collections.abc import Iterator

import pytest

from beamstop.errors import Failed
from beamstop_transforms import read, read_ahead
from beamstop_transforms.instance import Source
from beamstop_transforms.read import read_source
from beamstop_transforms.read_ahead import AT_ONCE, ReadAhead
from beamstop_transforms.redistribute import Packing, Work, unpack

SOURCES = [Source(f"s3://b/{number}", 4, "1") for number in range(100)]


class Far:
    """A store elsewhere that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.missing: set[str] = set()
        self.together: threading.Barrier | None = None

    def read(self, path: str) -> bytes:
        self.asked.append(path)
        if self.together is not None:
            self.together.wait()
        if path in self.missing:
            raise FileNotFoundError
        return path.encode()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Far:
    far = Far()
    monkeypatch.setattr(read, "read_remote", far.read)
    return far


@pytest.fixture
def ahead() -> Iterator[ReadAhead]:
    ahead = ReadAhead(100)
    yield ahead
    ahead.close()


def asked(far: Far, ahead: ReadAhead) -> list[str]:
    """Return what was asked for, once all threads are idle."""
    for _ in range(AT_ONCE):
        ahead._pool.submit(time.sleep, 0.01).result()
    return far.asked


def test_sources_are_fetched_side_by_side_and_come_in_order(far: Far, ahead: ReadAhead) -> None:
    far.together = threading.Barrier(AT_ONCE, timeout=20)
    ready = ahead.ready(SOURCES[:AT_ONCE])
    assert [read_source(it, 100) for it in ready] == [it.path.encode() for it in SOURCES[:AT_ONCE]]


def test_no_more_is_fetched_than_will_be_worked_on_soon(far: Far, ahead: ReadAhead) -> None:
    ready = ahead.ready(SOURCES)
    assert far.asked == []
    read_source(ready[0], 100)
    ahead._pool.submit(int).result()
    assert len(far.asked) <= AT_ONCE + 1
    assert [read_source(it, 100) for it in ready[1:]] == [it.path.encode() for it in SOURCES[1:]]
    assert sorted(far.asked) == sorted(it.path for it in SOURCES)


def test_what_is_fetched_keeps_within_a_budget(
    far: Far, ahead: ReadAhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "_MOST_BYTES", 10)
    ready = ahead.ready(SOURCES[:5])  # of 4 bytes each
    ahead.begin()
    assert asked(far, ahead) == ["s3://b/0", "s3://b/1"]
    read_source(ready[0], 100)
    assert asked(far, ahead)[2:] == ["s3://b/2"]


def test_one_source_beyond_the_budget_is_fetched_while_the_one_before_it_is_processed(
    far: Far, ahead: ReadAhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "_MOST_BYTES", 3)
    monkeypatch.setattr(read_ahead, "_LARGEST", 4)
    ready = ahead.ready([*SOURCES[:3], Source("s3://b/larger", 5, "1")])
    assert ready[3].content is None
    ahead.begin()
    for number, source in enumerate(ready[:3]):
        assert read_source(source, 100) == source.path.encode()
        assert asked(far, ahead) == [it.path for it in SOURCES[: min(number + 2, 3)]]


def test_the_next_pack_is_fetched_while_one_is_processed(far: Far, ahead: ReadAhead) -> None:
    (first,), (second,) = ahead.ready(SOURCES[:1]), ahead.ready(SOURCES[1:2])
    assert read_source(first, 100) == b"s3://b/0"
    assert asked(far, ahead) == ["s3://b/0", "s3://b/1"]
    assert read_source(second, 100) == b"s3://b/1"
    assert len(far.asked) == 2


def test_sources_that_were_passed_over_hold_nothing_back(
    far: Far, ahead: ReadAhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "_MOST_BYTES", 8)
    ready = ahead.ready(SOURCES[:5])
    ahead.begin()
    assert read_source(ready[2], 100) == b"s3://b/2"
    assert set(asked(far, ahead)) >= {it.path for it in SOURCES[2:5]}


def test_what_is_forgotten_is_read_again(far: Far, ahead: ReadAhead) -> None:
    (source,) = ahead.ready(SOURCES[:1])
    ahead.begin()
    assert asked(far, ahead) == ["s3://b/0"]
    ahead.forget()
    assert read_source(source, 100) == b"s3://b/0"
    assert far.asked == ["s3://b/0"] * 2
    (other,) = ahead.ready(SOURCES[1:2])
    assert read_source(other, 100) == b"s3://b/1"


def test_bytes_are_given_once_and_are_not_held(far: Far, ahead: ReadAhead) -> None:
    (source,) = ahead.ready(SOURCES[:1])
    assert source.content is not None
    assert source.content.take() == b"s3://b/0"
    assert source.content.take() is None
    assert read_source(source, 100) == b"s3://b/0"
    assert len(far.asked) == 2


def test_a_source_that_travels_is_read_again(far: Far, ahead: ReadAhead) -> None:
    travelled = pickle.loads(pickle.dumps(ahead.ready(SOURCES[:1])[0]))  # noqa: S301  our own
    assert travelled == SOURCES[0]
    assert read_source(travelled, 100) == b"s3://b/0"


def test_a_source_that_cannot_be_had_is_its_own_trouble(far: Far, ahead: ReadAhead) -> None:
    far.missing = {"s3://b/1"}
    one, two, three = ahead.ready(SOURCES[:3])
    read_source(one, 100)
    with pytest.raises(Failed, match="source_unreadable: FileNotFoundError"):
        read_source(two, 100)
    assert read_source(three, 100) == b"s3://b/2"


def test_what_is_too_large_or_near_is_not_fetched(far: Far, ahead: ReadAhead) -> None:
    sources = [Source("s3://b/large", 101, "1"), Source("/archive/near", 4, "1"), Source("zip:/a!/b", 4, "1")]
    assert [it.content for it in ahead.ready([*sources, Source("zip:s3://b/a!/b", 4, "1")])][:3] == [None] * 3
    assert ahead.ready([SOURCES[0]])[0].content is not None
    assert ahead.ready(sources[1:]) == sources[1:]


@pytest.mark.parametrize(
    ("path", "each", "sizes"),
    [("s3://b/{}", 0.01, [8] * 8), ("/archive/{}", 0.01, [1] * 64), ("s3://b/{}", 0.5, [2] * 32)],
)
def test_few_sources_elsewhere_go_together_if_there_is_little_to_do(
    path: str, each: float, sizes: list[int]
) -> None:
    packing = Packing(Work(each, 0))
    packs = [it for n in range(64) for it in packing.add(Source(path.format(n), 4, "1"))]
    packs += packing.finish()
    assert [len(list(unpack(it))) for it in packs] == sizes
