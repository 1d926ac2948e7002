"""A search for many texts finds each of them, wherever it stands, in text as in bytes."""

import pytest

from beamstop.words.text_search import LONGEST, TextSearch

WINDOW = 1 << 20
LONG = "a" * LONGEST


def found(texts: list[str], where: str) -> set[tuple[str, int, int]]:
    """Return what is found in a text, having seen that it is found in its bytes, too."""
    matches = list(TextSearch(texts).matches(where))
    in_bytes = TextSearch([text.encode() for text in texts]).matches(where.encode())
    assert sorted(matches) == sorted((text.decode(), start, end) for text, start, end in in_bytes)
    assert len(matches) == len(set(matches))
    return set(matches)


def test_texts_that_overlap_are_all_found() -> None:
    assert found(["ab", "b", "bc", "ab"], "abc") == {("ab", 0, 2), ("b", 1, 2), ("bc", 1, 3)}


@pytest.mark.parametrize("start", [0, WINDOW - 2, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW - 1])
def test_a_text_is_found_once_wherever_it_is_cut(start: int) -> None:
    assert found(["xyz"], " " * start + "xyz" + " ") == {("xyz", start, start + 3)}


def test_of_a_long_text_all_of_it_counts() -> None:
    texts = [LONG, f"{LONG}b", f"{LONG}c"]
    assert found(texts, f" {LONG}b") == {(LONG, 1, LONGEST + 1), (f"{LONG}b", 1, LONGEST + 2)}


def test_more_texts_than_one_automaton_takes_are_found() -> None:
    texts = [f"{number:05}" for number in range(20_000)]
    assert {text for text, *_ in found(texts, "00000 09999 19999 20000")} == {"00000", "09999", "19999"}


def test_nothing_is_found_where_nothing_is_searched_for() -> None:
    assert not TextSearch([])
    assert found([], "a") == set()
