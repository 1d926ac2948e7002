from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstop.words.written_dates import find_dates, other_years

DAY = date(2004, 3, 12)
WRITINGS = (
    "20040312",
    "2004-03-12",
    "2004/03/12",
    "2004.03.12",
    "2004 03 12",
    "12.03.2004",
    "12/03/2004",
    "03/12/2004",
    "3/12/2004",
    "12-3-2004",
    "12.3.2004",
    "12. 3. 2004",
    "12. 03. 2004",
    "2004. 3. 12",
    "12MAR04",
    "12mar04",
    "12/3/04",
    "12.03.04",
    "12032004",
    "03122004",
    "12 Mar 2004",
    "12-MAR-2004",
    "12Mar2004",
    "12. März 2004",
    "Mar 12, 2004",
    "March 12 2004",
    "March 12th, 2004",
    "12th of March 2004",
    "2004-Mar-12",
    "20040312185059",
    "200403121850",
)


@pytest.mark.parametrize("writing", WRITINGS)
def test_a_date_is_found_however_it_is_written(writing: str) -> None:
    assert DAY in {reading for found in find_dates(f"on {writing}, late") for reading in found.readings}


@pytest.mark.parametrize(
    "text",
    [
        "T1 8/10",
        "L5-S1",
        "10.5.12",
        "1-2-20",
        "2/3",
        "120/80",
        "2.25.99820040312771",
        "1.20040312",
        "20040312.5",
        "120040312",
        "99999999",
        "20041345",
        "31.02.2004",
        "may",
        "2004",
        "1.2.840.10008.1.2",
    ],
)
def test_other_numbers_are_no_dates(text: str) -> None:
    assert [found for found in find_dates(text) if found.sure] == []


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20040312", "20040201"),
        ("2004-03-12", "2004-02-01"),
        ("13.03.2004", "02.02.2004"),
        ("3/13/2004", "2/2/2004"),
        ("13/3/04", "2/2/04"),
        ("13. 3. 2004", "2. 2. 2004"),
        ("13MAR04", "02FEB04"),
        ("12 Mar 2004", "01 Feb 2004"),
        ("MARCH 12, 2004", "FEBRUARY 01, 2004"),
        ("20040312185059", "20040201"),
    ],
)
def test_a_date_is_rewritten_the_way_it_was_written(text: str, moved: str) -> None:
    (found,) = find_dates(text)
    assert found.rewrite(lambda day: day - timedelta(days=40)) == moved


def test_of_two_readings_the_known_one_counts() -> None:
    (found,) = find_dates("1/2/1970")
    assert found.rewrite(lambda day: day, frozenset({date(1970, 2, 1)})) == "1/2/1970"
    assert found.rewrite(lambda day: day + timedelta(days=1), frozenset({date(1970, 2, 1)})) == "2/2/1970"
    assert found.rewrite(lambda day: day + timedelta(days=1)) == "1/3/1970"


@given(
    st.dates(date(1900, 1, 1), date(2099, 12, 31)),
    st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%d %b %Y"]),
)
def test_any_day_is_read_back(day: date, form: str) -> None:
    assert day in {reading for found in find_dates(f"{day:{form}}") for reading in found.readings}


@pytest.mark.parametrize("before", range(0, 20, 3))
def test_a_short_year_behind_points_is_sure_only_with_two_digits_each(before: int) -> None:
    """10.5.12 is a version, wherever in a text it stands."""
    text = "x" * before + " "
    assert [(it.sure, len(it.readings)) for it in find_dates(f"{text}10.5.12")] == [(False, 2)]
    assert [(it.sure, len(it.readings)) for it in find_dates(f"{text}10.05.12")] == [(True, 2)]


@pytest.mark.parametrize("day", [date.min, date(1867, 12, 31), date(1868, 1, 1), date.max])
def test_every_day_has_a_year_in_chinese_numerals(day: date) -> None:
    """Programs write 00010101 for no date at all."""
    assert f"{''.join('〇一二三四五六七八九'[int(it)] for it in str(day.year))}年" in other_years(day)
