"""The deadline for the work on one instance.

Every loop over elements, texts, streams and frames checks it, so that no file takes much longer than allowed.
It decides whether there is a result, never which one: unfinished instances are failed.
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
    """Make `check_time` fail in this thread, inside the context, after this time of `perf_counter`."""
    token = _DEADLINE.set(moment)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def check_time() -> None:
    """Continue if there is time left.

    Raises:
        Failed: `too_slow`.
    """
    if perf_counter() > _DEADLINE.get():
        raise Failed("too_slow")
