import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstop.rules.dates import band_age, cap_age, is_over_age, shift_da, shift_dt

DAYS = st.integers(min_value=-3650, max_value=-1)
DATES = st.dates(min_value=datetime.date(1900, 1, 1), max_value=datetime.date(2100, 1, 1))


@given(DATES, DATES, DAYS)
def test_shifting_preserves_intervals(one, other, days):
    moved = [
        datetime.datetime.strptime(shift_da(f"{day:%Y%m%d}", days), "%Y%m%d").date() for day in (one, other)
    ]
    assert moved[1] - moved[0] == other - one
    assert moved[0] - one == datetime.timedelta(days=days)


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        ("20040301", "20040229"),
        ("2004.03.01", "20040229"),
        ("20040301-20040302", "20040229-20040301"),
        ("-20040301", "-20040229"),
        ("20040301-", "20040229-"),
        ("-", None),
        ("20040301-20040302-20040303", None),
        ("20040301-x", None),
        (" 20040301 ", "20040229"),
        ("00010101", None),
        ("01000101", "00991231"),
        ("20041301", None),
        ("2004/03/01", None),
        ("2004031", None),
        ("today", None),
        ("", None),
    ],
)
def test_a_date_moves_or_is_not_understood(value, moved):
    assert shift_da(value, -1) == moved


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        ("20040301", "20040229"),
        ("2004030112", "2004022912"),
        ("20040301120000.123456-0500", "20040229120000.123456-0500"),
        ("200403", "200402"),
        ("2004", "2003"),
        ("2004+0100", "2003+0100"),
        ("20040301 patient", None),
        ("200403011", None),
        ("200403011259", "200402291259"),
        ("20040301125959", "20040229125959"),
        ("20040301125959.1234567", None),
        ("0100", "0099"),
        ("0001", None),
        ("20041301120000", None),
    ],
)
def test_a_datetime_keeps_precision_fraction_and_offset(value, moved):
    assert shift_dt(value, -1) == moved


@pytest.mark.parametrize(
    ("age", "capped"),
    [
        ("089Y", "089Y"),
        ("090Y", "090Y"),
        ("101Y", "090Y"),
        ("999M", "999M"),
        ("012W", "012W"),
        ("999W", "999W"),
        ("999D", "999D"),
        ("45", None),
        ("", None),
    ],
)
def test_ages_over_89_years_become_one_category(age, capped):
    assert cap_age(age) == capped


@pytest.mark.parametrize(
    ("age", "band"),
    [
        *(("019Y", "010Y"), ("020Y", "020Y"), ("000Y", "000Y"), ("089Y", "080Y"), ("090Y", "090Y")),
        *(("120M", "010Y"), ("119M", "000Y"), ("522W", "010Y"), ("521W", "000Y"), ("999D", "000Y")),
        *(("ten", None), ("", None)),
    ],
)
def test_an_age_in_any_unit_falls_into_the_band_of_its_years(age, band):
    assert band_age(age, 10) == band


def test_days_are_divided_by_the_days_of_a_year():
    assert [band_age(age, 1) for age in ("365D", "366D", "730D", "731D")] == ["000Y", "001Y", "001Y", "002Y"]


@pytest.mark.parametrize(
    ("birth", "days", "expected"),
    [
        ("19270115", ["2017-01-14"], False),
        ("19270115", ["2017-01-15"], True),
        ("19270115", ["2017-02-01"], True),
        ("19270215", ["2017-01-20"], False),
        ("19270115", ["2017-01-15", "2010-01-01"], True),
        ("1927.01.15", ["2017-01-15"], True),
        ("19270115", ["1950-01-01"], False),
        ("19270115", [], False),
        ("1927", ["2017-01-15"], False),
        ("", ["2017-01-15"], False),
    ],
)
def test_over_89_is_who_was_90_on_the_last_day(birth, days, expected):
    assert is_over_age(birth, map(datetime.date.fromisoformat, days)) is expected
