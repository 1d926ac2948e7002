"""The deadline of an instance: asked in every loop that a file can make long."""

from collections.abc import Callable
from time import perf_counter

import pytest
from pydicom.dataset import FileDataset

from beamstop.dicom.deadline import check_time, working_until
from beamstop.errors import Failed
from beamstop.leaks.embedded_text import unpacked
from beamstop.testing import make_instance
from beamstop.words.clean_text import clean_text
from beamstop.words.identifiers import Identifiers, harvest
from beamstop.words.text_search import TextSearch

MakeDataset = Callable[..., FileDataset]
GONE = -1.0  # of perf_counter


def test_there_is_time_without_a_deadline_and_before_it() -> None:
    check_time()
    with working_until(perf_counter() + 100):
        check_time()


def test_a_deadline_holds_inside_alone_and_the_outer_one_comes_back() -> None:
    with working_until(GONE):
        with working_until(perf_counter() + 100):
            check_time()
        with pytest.raises(Failed, match="too_slow"):
            check_time()
    check_time()


@pytest.mark.parametrize(
    "work",
    [
        lambda: list(unpacked(b"\x78\x9c" * 9)),
        lambda: list(unpacked(b"%41" * 9)),
        lambda: clean_text("a text", Identifiers()),
        lambda: harvest(make_instance(), lambda path: False),
        lambda: list(TextSearch(["a"]).matches("a")),
    ],
)
def test_loops_over_texts_streams_and_items_ask_for_it(work: Callable[[], object]) -> None:
    with working_until(GONE), pytest.raises(Failed, match="too_slow"):
        work()
