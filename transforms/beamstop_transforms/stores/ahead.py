"""Ahead: work on many files of a store at once, as each costs its time on the way and little else."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def ahead(work: Callable[[_T], _R], items: Iterable[_T], many: int = 8) -> Iterator[_R]:
    """Yield what the work gives for each item, in order, while so many are at work in threads.

    Raises:
        Exception: what the work raises, when its turn comes.
    """
    with ThreadPoolExecutor(many) as pool:
        waiting: deque[Future[_R]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == many:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
