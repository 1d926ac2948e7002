"""A plugin for pytest: notes which test runs which line, or runs what a file names, in its order.

coverage run -m pytest -p tests.nearest TESTS                      # how long each took: TIMES
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
    """Return the coverage that is being noted, if any: it is a tool that may not be installed."""
    coverage = sys.modules.get("coverage")
    return coverage.Coverage.current() if coverage else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note under the test's name which lines run from here on."""
    if noting := _noting():
        _forget()
        noting.switch_context(item.nodeid)
    started = time.monotonic()
    done = yield
    _TIMES[item.nodeid] = time.monotonic() - started
    return done


def _forget() -> None:
    """Clear the caches that hold what depends on an instance, so that each test runs all that it needs."""
    for name, module in list(sys.modules.items()):
        if name.startswith("beamstop"):
            for it in list(vars(module).values()):
                if hasattr(it, "cache_parameters") and it.cache_parameters()["maxsize"]:
                    it.cache_clear()


def pytest_sessionfinish() -> None:
    """Write how long each test took."""
    if _noting():
        Path(TIMES).write_text(json.dumps(_TIMES))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the tests that a file names, in its order."""
    if wanted := os.environ.get("BEAMSTOP_TESTS"):
        found = {item.nodeid: item for item in items}
        items[:] = [found[name] for name in json.loads(Path(wanted).read_text()) if name in found]
