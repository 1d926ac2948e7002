"""The moment by which the work on one instance has to be done.

It is asked in every loop over elements, texts, streams and frames, so that no file takes much longer than it
may. It decides whether there is a result, never which: what is not done in time is failed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from time import perf_counter

from beamstop.errors import Failed

_DEADLINE: ContextVar[float] = ContextVar("deadline", default=inf)


@contextmanager
def working_until(moment: float) -> Iterator[None]:
    """Let `check_time` fail inside, in this thread, once a moment of `perf_counter` has passed."""
    token = _DEADLINE.set(moment)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def check_time() -> None:
    """Go on if there is time left.

    Raises:
        Failed: `too_slow`.
    """
    if perf_counter() > _DEADLINE.get():
        raise Failed("too_slow")
