"""Work on many files at once."""

import threading

import pytest

from beamstop_transforms.stores.ahead import ahead


def test_results_come_in_order_while_several_are_at_work() -> None:
    """Each of four waits until all four have begun."""
    barrier = threading.Barrier(4, timeout=10)

    def work(number: int) -> int:
        barrier.wait()
        return -number

    assert list(ahead(work, range(8), 4)) == [0, -1, -2, -3, -4, -5, -6, -7]


def test_no_more_are_begun_than_are_asked_for() -> None:
    begun: list[int] = []
    results = ahead(begun.append, range(100), 3)
    next(results)
    assert len(begun) <= 3


def test_what_the_work_raises_is_raised_in_its_turn() -> None:
    results = ahead(lambda number: 1 // number, [1, 0], 2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
