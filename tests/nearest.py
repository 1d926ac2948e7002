"""A pytest plugin for tests/mutants.py.

Under coverage, it records which test runs which line, and writes the seconds of each test to test-times.json:

    coverage run -m pytest -p tests.nearest TESTS

With BEAMSTOP_TESTS, it runs only the tests that a JSON file lists, in that order:

    BEAMSTOP_TESTS=FILE python -m pytest -p tests.nearest TESTS
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TIMES = "test-times.json"
_TIMES: dict[str, float] = {}


def _noting() -> Any:
    """Return the running coverage, or None. Coverage is not imported here: it may not be installed."""
    coverage = sys.modules.get("coverage")
    return coverage.Coverage.current() if coverage else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Record the lines that a test runs under its name, and the seconds that it takes."""
    if noting := _noting():
        _forget()
        noting.switch_context(item.nodeid)
    started = time.monotonic()
    done = yield
    _TIMES[item.nodeid] = time.monotonic() - started
    return done


def _forget() -> None:
    """Clear beamstop's bounded caches: with them, a test would skip lines that an earlier one ran for it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("beamstop"):
            for it in list(vars(module).values()):
                if hasattr(it, "cache_parameters") and it.cache_parameters()["maxsize"]:
                    it.cache_clear()


def pytest_sessionfinish() -> None:
    """Write the seconds that each test took."""
    if _noting():
        Path(TIMES).write_text(json.dumps(_TIMES))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep only the tests that the file in BEAMSTOP_TESTS lists, in its order."""
    if wanted := os.environ.get("BEAMSTOP_TESTS"):
        found = {item.nodeid: item for item in items}
        items[:] = [found[name] for name in json.loads(Path(wanted).read_text()) if name in found]
