import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstop.rules.dates import cap_age, shift_da, shift_dt

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
        ("45", None),
        ("", None),
    ],
)
def test_ages_over_89_years_become_one_category(age, capped):
    assert cap_age(age) == capped
