"""Ahead: work on many files of a store at once, because each request is mostly waiting."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def ahead(work: Callable[[_T], _R], items: Iterable[_T], many: int = 8) -> Iterator[_R]:
    """Yield the result of the work for each item, in order, with `many` items in threads at a time.

    Raises:
        Exception: what the work raised for an item, when it is that item's turn.
    """
    with ThreadPoolExecutor(many) as pool:
        waiting: deque[Future[_R]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == many:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
