"""Dates as DICOM writes them (PS3.5 6.2: DA, DT, AS), moved by whole days."""

import re
from collections.abc import Iterable
from datetime import date, timedelta

_DA = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})\Z")  # with dots: ACR-NEMA, still met in archives
_DT = re.compile(r"(\d{4})(?:(\d{2})(?:(\d{2})(.*))?)?([+-]\d{4})?\Z", re.DOTALL)
_DT_REST = re.compile(r"(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?([+-]\d{4})?\Z")
_AS = re.compile(r"(\d{3})([DWMY])\Z")
OVER_AGE = "090Y"
MAX_AGE_YEARS = 89  # HIPAA 164.514(b)(2)(i)(C): ages over 89 are one category


def shift_da(value: str, days: int) -> str | None:
    """Return a DA value, or a range `a-b` of them, moved by `days`; None when it cannot be parsed.

    >>> shift_da("20040301", -1)
    '20040229'
    >>> shift_da("20040301-20040302", -1)
    '20040229-20040301'
    """
    if "-" in value:
        ends = [shift_da(end, days) if end else "" for end in value.split("-")]
        return None if len(ends) != 2 or not any(ends) or None in ends else "-".join(map(str, ends))
    match = _DA.match(value.strip())
    if match is None:
        return None
    try:
        moved = date(int(match[1]), int(match[2]), int(match[3])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04}{moved.month:02}{moved.day:02}"


def shift_dt(value: str, days: int) -> str | None:
    """Return a DT value moved by `days`: fraction and offset stay, a partial date stays partial.

    A value without a day counts as its first day, and the result has the same precision. None if it cannot be
    parsed.

    >>> shift_dt("20040301120000.5+0100", -1)
    '20040229120000.5+0100'
    >>> shift_dt("200403", -1)
    '200402'
    """
    match = _DT.match(value.strip())
    if match is None:
        return None
    year, month, day, rest, offset = match.groups()
    if rest is not None and not _DT_REST.match(rest):
        return None
    try:
        start = date(int(year), int(month or 1), int(day or 1))
        moved = start + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    text = f"{moved.year:04}" + (f"{moved.month:02}" if month else "") + (f"{moved.day:02}" if day else "")
    return text + (rest or "") + (offset or "")


def is_over_age(birth: str, days: Iterable[date]) -> bool:
    """Return whether somebody born on a DA value was over 89 on the last of some days.

    >>> is_over_age("19270101", [date(2016, 12, 31)]), is_over_age("19270101", [date(2017, 1, 1)])
    (False, True)
    """
    match = _DA.match(birth.strip())
    last = max(days, default=None)
    if match is None or last is None:
        return False
    year, month, day = map(int, match.groups())
    return (last.year, last.month, last.day) >= (year + MAX_AGE_YEARS + 1, month, day)


def band_age(value: str, years: int) -> str | None:
    """Return the lowest age of an AS value's band of years; None if it cannot be parsed.

    >>> band_age("047Y", 10), band_age("018M", 10), band_age("093Y", 20), band_age("089Y", 20)
    ('040Y', '000Y', '090Y', '080Y')
    """
    capped = cap_age(value)
    if capped is None or capped == OVER_AGE:
        return capped
    whole = int(_in_years(capped))
    return f"{whole - whole % years:03}Y"


def cap_age(value: str) -> str | None:
    """Return an AS value, `090Y` for more than 89 years; None if it cannot be parsed.

    >>> cap_age("093Y"), cap_age("045Y")
    ('090Y', '045Y')
    """
    match = _AS.match(value.strip())
    if match is None:
        return None
    return OVER_AGE if _in_years(match[0]) > MAX_AGE_YEARS else match[0]


def _in_years(age: str) -> float:
    return int(age[:3]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1}[age[3]]
