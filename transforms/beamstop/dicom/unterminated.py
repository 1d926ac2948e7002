"""Elements of undefined length that never end.

pydicom searches the rest of the bytes for the end of each. Where there is none and the element is in an
item, it drops the element, warns, and goes on behind its head: time by the square of the size, and data
lost without a word. Here the first one is the last.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom import filereader
from pydicom.fileutil import read_undefined_length_value

from beamstop.errors import Failed


class _Reader(threading.local):
    """Whether this thread reads for beamstop: whose program it is may use pydicom for itself."""

    is_ours = False


_READER = _Reader()


@contextmanager
def failing_if_endless() -> Iterator[None]:
    """Make pydicom raise `Failed`, reason `truncated`, inside, where an element has no end."""
    before, _READER.is_ours = _READER.is_ours, True
    try:
        yield
    finally:
        _READER.is_ours = before


def _read_or_fail(*arguments: Any, **named: Any) -> bytes | None:
    try:
        return read_undefined_length_value(*arguments, **named)
    except EOFError:
        if _READER.is_ours:
            raise Failed("truncated") from None
        raise


vars(filereader)[read_undefined_length_value.__name__] = _read_or_fail
