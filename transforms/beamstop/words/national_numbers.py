"""National numbers with a date of birth: of Europe, Asia, Latin America, South Africa.

Those of this patient are found by the birth date, at the places where such numbers have it (`own_numbers`).
Those of anybody are found by form, a valid date and, if there is one, the check digit (`national_numbers`).
"""

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from functools import lru_cache

from beamstop.dicom.deadline import check_time

_DIGITS = re.compile(
    r"(?<![0-9])(?<![0-9]\.)[0-9](?:[-/ +A]?[0-9]|\.[0-9](?=[0-9]{1,2}(?![0-9]))){8,17}X?(?![0-9])(?!\.[0-9])"
)
_NO_DIGIT = re.compile(r"[^0-9]")
_RUN_OF_DIGITS = re.compile(rb"[0-9](?:[-/ +A.]?[0-9]){8,}")
_SEPARATORS, _SEPARATOR = b"-/ +A.", re.compile(rb"[^0-9]")
_FEW = 16
# Added to months for a century or a sex (Poland, Bulgaria, Czech Republic), to days for women (Indonesia) or
# guests (Norway).
_MONTH_SHIFTS, _DAY_SHIFTS = (0, 20, 40, 50, 70), (0, 40)
# Place at which the date begins → possible numbers of digits of the whole number.
_STARTS = {0: range(9, 15), 1: range(11, 16), 6: range(16, 19)}
_FEWEST_DIGITS, _MOST_DIGITS = 9, 20  # two of them can be the tag of the next element
_SIZES = (6, 7, 8)  # digits of a date

_CHINESE = re.compile(r"(?<![0-9])[1-8][0-9]{5}(?P<date>(?:19|20)[0-9]{6})[0-9]{3}[0-9Xx](?![0-9A-Za-z])")
_CHINESE_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHINESE_CHECKS = "10X98765432"
_POLISH = re.compile(r"(?<![0-9.])(?P<date>[0-9]{6})[0-9]{5}(?![0-9]|\.[0-9])")
_POLISH_WEIGHTS = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
# Sweden, Finland, Denmark, Korea, the Czech Republic and Slovakia, Belgium: the date, a mark, the rest
_MARKED = re.compile(
    r"(?<![0-9.])(?:(?P<north>[0-9]{6})[-+A][0-9]{3}[0-9A-Y]|(?P<korea>[0-9]{6})-[1-8][0-9]{6}|(?P<czech>[0-9]{6})/[0-9]{3,4}"
    r"|(?P<belgium>[0-9]{2}\.[0-9]{2}\.[0-9]{2})-[0-9]{3}[.-][0-9]{2})(?![0-9A-Za-z])"
)
# Mexico (CURP), Italy (codice fiscale)
_LETTERED = re.compile(
    r"(?<![0-9A-Za-z])(?:[A-Z]{4}(?P<date>[0-9]{6})[HMX][A-Z]{5}[0-9A-Z][0-9]"
    r"|[A-Z]{6}[0-9]{2}[ABCDEHLMPRST](?:[0-6][0-9]|7[01])[A-Z][0-9]{3}[A-Z])(?![0-9A-Za-z])"
)


def own_numbers(text: str, births: Iterable[date]) -> Iterator[tuple[int, int]]:
    """Yield the spans of numbers that contain one of some dates of birth as national numbers do.

    >>> list(own_numbers("PESEL 61031712345, 610317-1234", [date(1961, 3, 17)]))
    [(6, 17), (19, 30)]
    """
    packed = {form for birth in births for form in packed_births(birth)}
    if not packed:
        return
    for match in _DIGITS.finditer(text):
        digits = _NO_DIGIT.sub("", match[0])
        starts = [start for start, counts in _STARTS.items() if len(digits) in counts]
        if any(digits[start : start + size] in packed for start in starts for size in _SIZES):
            yield match.span()


def may_hold_birth(data: bytes, packed: Collection[bytes]) -> bool:
    """Return whether bytes may contain a number that `own_numbers` finds, with anything before and after it.

    Args:
        data: text of one byte a letter, among other bytes.
        packed: what `packed_births` makes of the dates of birth.
    """
    for match in _RUN_OF_DIGITS.finditer(data):
        check_time()
        digits = match[0].translate(None, _SEPARATORS)
        if len(packed) <= _FEW and not any(form in digits for form in packed):
            continue  # the rest takes three microseconds per UID
        pieces = _SEPARATOR.split(match[0])
        for first, piece in enumerate(pieces):
            if len(piece) > _MOST_DIGITS:  # it is part of a UID
                continue
            digits = _as_many_as_a_number_has(pieces[first : first + _MOST_DIGITS])
            if any(digits[place : place + size] in packed for place in _STARTS for size in _SIZES):
                return True
    return False


def _as_many_as_a_number_has(pieces: list[bytes]) -> bytes:
    """Return the digits of the first piece and those after it; empty if there are more than a number has."""
    digits = b""
    for piece in pieces:
        if len(digits) + len(piece) > _MOST_DIGITS:
            break
        digits += piece
    return digits if len(digits) >= _FEWEST_DIGITS else b""


@lru_cache(maxsize=256)
def packed_births(birth: date) -> tuple[str, ...]:
    """Return the forms in which national numbers have a date of birth."""
    year, short = f"{birth.year}", f"{birth.year % 100:02}"
    forms = {f"{year}{birth:%m%d}", f"{birth:%d%m}{year}", f"{birth:%d%m}{year[1:]}"}
    forms |= {f"{short}{birth.month + shift:02}{birth:%d}" for shift in _MONTH_SHIFTS}
    forms |= {f"{birth.day + shift:02}{birth:%m}{short}" for shift in _DAY_SHIFTS}
    return tuple(sorted(forms))


def national_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of national numbers of anybody.

    >>> list(national_numbers("11010519491231002X, 44051401359, 900101-1234567, 123456-1234"))
    [(0, 18), (20, 31), (33, 47)]
    """
    for match in _CHINESE.finditer(text):
        weighted = sum(
            int(digit) * weight for digit, weight in zip(match[0][:17], _CHINESE_WEIGHTS, strict=True)
        )
        if _CHINESE_CHECKS[weighted % 11] == match[0][17].upper() and _is_day(match["date"][2:]):
            yield match.span()
    for match in _POLISH.finditer(text):
        weighted = sum(int(digit) * weight for digit, weight in zip(match[0], _POLISH_WEIGHTS, strict=False))
        if (10 - weighted % 10) % 10 == int(match[0][10]) and _is_day(match["date"]):
            yield match.span()
    for match in _MARKED.finditer(text):
        digits = _NO_DIGIT.sub("", match[match.lastgroup or 0])
        reversed_too = digits[4:] + digits[2:4] + digits[:2] if match["north"] else digits
        if _is_day(digits) or _is_day(reversed_too):
            yield match.span()
    for match in _LETTERED.finditer(text):
        if match["date"] is None or _is_day(match["date"]):
            yield match.span()


def _is_day(digits: str) -> bool:
    """Return whether three pairs of digits are a day; months may be shifted for century or sex."""
    month, day = int(digits[2:4]), int(digits[4:6])
    months = (month - shift for shift in _MONTH_SHIFTS)
    return 1 <= day <= 31 and any(1 <= each <= 12 for each in months)
