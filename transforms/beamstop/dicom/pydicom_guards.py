"""Guards around pydicom: inside a call of ours it logs and warns nothing, and an element needs an end.

pydicom's messages quote values, and nothing of a dataset may reach a log. The program that imports beamstop
may use pydicom for itself, though, also in another thread. So the guards are installed at the first call of
ours, never at import, and they act only in threads that are inside one.
"""

import logging
import threading
import warnings
from contextlib import ContextDecorator
from typing import Any

from pydicom import filereader
from pydicom.filereader import read_sequence_item
from pydicom.fileutil import read_undefined_length_value

from beamstop.dicom.deadline import check_time
from beamstop.errors import Failed

# The loggers that pydicom's modules write to, those of modules that are not imported yet among them.
_LOGGERS = (
    "pydicom",
    "pydicom.pixels.decoders.base",
    "pydicom.pixels.encoders.base",
    "pydicom.pixels.utils",
)


class _Calls(threading.local):
    """How many calls of ours this thread is inside of."""

    depth = 0


class _OutsideOurCalls(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return _CALLS.depth == 0


class _InsideOurCalls:
    """Stands where a filter of warnings has the pattern of a module."""

    def match(self, module: str) -> bool:
        return _CALLS.depth > 0


_CALLS = _Calls()
_LOCK = threading.Lock()
_NO_RECORDS = _OutsideOurCalls()
_NO_WARNINGS: Any = ("ignore", None, Warning, _InsideOurCalls(), 0)


class _Guard(ContextDecorator):
    """Counts calls; every thread has a count of its own, so that one object serves all."""

    def __enter__(self) -> None:
        if _CALLS.depth == 0:
            _install()
        _CALLS.depth += 1

    def __exit__(self, *_: object) -> None:
        _CALLS.depth -= 1


_GUARD = _Guard()


def guarded() -> _Guard:
    """Guard what is done inside, or, as a decorator, in a function; calls may be nested.

    Inside, pydicom's log records and all warnings are dropped, and pydicom raises `Failed`, reason
    `truncated`, on an element of undefined length that never ends, and `too_slow` where no time is left.
    """
    return _GUARD


def _install() -> None:
    """Install the guards, or again those that the host has taken out since."""
    if warnings.filters and warnings.filters[0] is _NO_WARNINGS:  # so the others stand, too
        return
    with _LOCK:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_NO_RECORDS)  # does nothing where it is there
        vars(filereader)[read_undefined_length_value.__name__] = _read_or_fail
        vars(filereader)[read_sequence_item.__name__] = _read_in_time
        while _NO_WARNINGS in warnings.filters:
            warnings.filters.remove(_NO_WARNINGS)  # type: ignore[attr-defined]
        # The module has no way to add a filter that looks at threads: one that fits nothing makes the place.
        warnings.filterwarnings("ignore", module="(?!)")
        warnings.filters[0] = _NO_WARNINGS  # type: ignore[index]


def _read_in_time(*arguments: Any, **named: Any) -> Any:
    """Read an item of a sequence; inside a call of ours only if there is time left."""
    if _CALLS.depth:
        check_time()
    return read_sequence_item(*arguments, **named)


def _read_or_fail(*arguments: Any, **named: Any) -> bytes | None:
    """Read an element of undefined length; inside a call of ours one without an end is the last.

    pydicom searches the rest of the bytes for the end of each. Where there is none and the element is in an
    item, it drops the element, warns, and goes on behind its head: time by the square of the size, and data
    lost without a word.
    """
    try:
        return read_undefined_length_value(*arguments, **named)
    except EOFError:
        if _CALLS.depth:
            raise Failed("truncated") from None
        raise
