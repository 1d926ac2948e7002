"""Guards around pydicom: inside beamstop's calls it neither logs nor warns, and every element needs an end.

pydicom's messages quote values, and no value may reach a log. But a program that imports beamstop may use
pydicom itself, also in another thread. So the guards are installed by the first call, never at import, and
act only in threads that are inside a call.
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

# The loggers of pydicom's modules, including modules not imported yet.
_LOGGERS = (
    "pydicom",
    "pydicom.pixels.decoders.base",
    "pydicom.pixels.encoders.base",
    "pydicom.pixels.utils",
)


class _Calls(threading.local):
    """How many of beamstop's calls this thread is inside."""

    depth = 0


class _OutsideOurCalls(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return _CALLS.depth == 0


class _InsideOurCalls:
    """Replaces a module pattern in a warnings filter."""

    def match(self, module: str) -> bool:
        return _CALLS.depth > 0


_CALLS = _Calls()
_LOCK = threading.Lock()
_NO_RECORDS = _OutsideOurCalls()
_NO_WARNINGS: Any = ("ignore", None, Warning, _InsideOurCalls(), 0)


class _Guard(ContextDecorator):
    """Counts calls, for each thread separately, so that one object serves all threads."""

    def __enter__(self) -> None:
        if _CALLS.depth == 0:
            _install()
        _CALLS.depth += 1

    def __exit__(self, *_: object) -> None:
        _CALLS.depth -= 1


_GUARD = _Guard()


def guarded() -> _Guard:
    """Guard a block, or, as a decorator, a function; may be nested.

    Inside, pydicom's log records and all warnings are dropped, and pydicom raises `Failed`, reason
    `truncated`, on an element of undefined length that never ends, and `too_slow` where no time is left.
    """
    return _GUARD


def _install() -> None:
    """Install the guards, including those that the host program has removed since."""
    if warnings.filters and warnings.filters[0] is _NO_WARNINGS:  # so the others are installed, too
        return
    with _LOCK:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_NO_RECORDS)  # does nothing if it is installed
        vars(filereader)[read_undefined_length_value.__name__] = _read_or_fail
        vars(filereader)[read_sequence_item.__name__] = _read_in_time
        while _NO_WARNINGS in warnings.filters:
            warnings.filters.remove(_NO_WARNINGS)  # type: ignore[attr-defined]
        # `warnings` cannot filter by thread, so a filter that matches nothing is added and then replaced.
        warnings.filterwarnings("ignore", module="(?!)")
        warnings.filters[0] = _NO_WARNINGS  # type: ignore[index]


def _read_in_time(*arguments: Any, **named: Any) -> Any:
    """Read an item of a sequence; inside our calls, only if there is time left."""
    if _CALLS.depth:
        check_time()
    return read_sequence_item(*arguments, **named)


def _read_or_fail(*arguments: Any, **named: Any) -> bytes | None:
    """Read an element of undefined length; inside our calls, raise if it has no end.

    pydicom searches all remaining bytes for the end of each. If there is none and the element is in an item,
    pydicom drops the element, warns, and continues after its header: quadratic time, and lost data.
    """
    try:
        return read_undefined_length_value(*arguments, **named)
    except EOFError:
        if _CALLS.depth:
            raise Failed("truncated") from None
        raise
