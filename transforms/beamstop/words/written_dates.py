"""Dates as people write them in a text: found, read, and written again in the same way."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

# By language, full and short. Italian short forms are left out: set, gen and mag are medicine with a number.
_LANGUAGES = tuple(
    tuple(names.split())
    for names in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "jan feb mär apr mai jun jul aug sep okt nov dez",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janv févr mars avr mai juin juil août sept oct nov déc",
        "januari februari maart april mei juni juli augustus september oktober november december",
        "jan feb mrt apr mei jun jul aug sep okt nov dec",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "ene feb mar abr may jun jul ago sep oct nov dic",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    )
)
_PLAIN = str.maketrans("äéûç", "aeuc")
_NUMBER_OF = {
    spelling: number
    for names in _LANGUAGES
    for number, name in enumerate(names, 1)
    for spelling in (name, name.translate(_PLAIN))
} | {"sept": 9, "maerz": 3}
_YEAR = r"(?:1[89]|20)[0-9]{2}"
# The first letters alone are looked at first: most places have none of them.
_MONTH = (
    f"(?=[{''.join(sorted({name[0] for name in _NUMBER_OF}))}])(?:"
    + "|".join(sorted(_NUMBER_OF, key=len, reverse=True))
    + r")(?![^\W\d_])"
)
# A digit or a decimal point beside it: part of a number or a UID, not a date.
_START, _END = r"(?<![0-9])(?<![0-9]\.)", r"(?![0-9])(?!\.[0-9])"
_WORD_START = r"(?<![^\W_])"
_TIME_DIGITS = r"(?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9](?:\.[0-9]{1,6})?)?"

_PACKED = re.compile(
    _START + r"(?P<year>(?:1[89]|20)[0-9]{2})(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12][0-9]|3[01])"
    rf"(?:{_END}|(?=(?:{_TIME_DIGITS})(?![0-9])))"
)
_PACKED_REVERSED = re.compile(_START + rf"(?P<a>[0-3][0-9])(?P<b>[0-3][0-9])(?P<year>{_YEAR})" + _END)
_NUMERIC = re.compile(
    _START
    + r"(?:(?P<y>[0-9]{4})(?P<s>[-/. _])(?P<m>[0-9]{1,2})(?P=s)(?P<d>[0-9]{1,2})"
    + r"|(?P<a>[0-9]{1,2})(?P<t>[-/. _])(?P<b>[0-9]{1,2})(?P=t)(?P<year>(?:1[89]|20)[0-9]{2}|[0-9]{2}))"
    + _END
)
_MONTH_AND_YEAR = re.compile(_START + rf"(?<![/-])(?P<m>0[1-9]|1[0-2])/(?P<year>{_YEAR})" + _END + "(?![/-])")
_ORDINAL = r"(?:st|nd|rd|th|er|\.)?"
_SPOKEN = re.compile(
    rf"{_WORD_START}(?=[^\W_])(?:"
    rf"(?P<d1>[0-9]{{1,2}}){_ORDINAL}[-/ ,.]{{0,2}}(?:(?:of|de) )?"
    rf"(?P<m1>{_MONTH})\.?(?:[-/ ,]{{0,2}}(?:de )?(?P<y1>{_YEAR})"
    rf"|[-/ ]['’]?(?P<y5>[0-9]{{2}})(?![.,/-]?[0-9]))"
    rf"|(?P<m2>{_MONTH})\.?[-/ ]?(?P<d2>[0-9]{{1,2}}){_ORDINAL}[-/ ,]{{1,2}}(?P<y2>{_YEAR})"
    rf"|(?P<m3>{_MONTH})\.?[-/ ,]{{0,2}}(?P<y3>{_YEAR})"
    rf"|(?P<y4>{_YEAR})[-/ ](?P<m4>{_MONTH})\.?[-/ ](?P<d4>[0-9]{{1,2}})"
    rf")(?![0-9])",
    re.IGNORECASE,
)
MONTHS = frozenset(_NUMBER_OF)
_CENTURY_TURNS = 40  # 00 to 39 is 20xx, 40 to 99 is 19xx


@dataclass(frozen=True, slots=True)
class WrittenDate:
    """A date found in a text.

    Attributes:
        start, end: where it stands, end excluded.
        readings: the days it can mean, the likeliest first; more than one for 03/04/2004.
        whole: it names a day; a month with its year does not, and then the reading is its first day.
        has_century: its year has four digits.
        sure: what else it could be is rarer; 3.11.63 may be a version.
    """

    start: int
    end: int
    readings: tuple[date, ...]
    whole: bool
    has_century: bool
    _write: Callable[[date, date], str]
    sure: bool = True

    def rewrite(self, moved: Callable[[date], date], known: frozenset[date] = frozenset()) -> str:
        """Return another date written in the same way: field order, separators, digits, month names.

        Args:
            moved: gives the other date; may raise OverflowError.
            known: of several readings, one in here is preferred.
        """
        reading = next((day for day in self.readings if day in known), self.readings[0])
        return self._write(reading, moved(reading))


def find_dates(text: str) -> Iterator[WrittenDate]:
    """Yield every date in a text, in no particular order; they may overlap.

    20040312, 2004-03-12, 12.03.2004, 12/03/2004, 03/12/2004, 3/12/04, 12032004, 12 Mar 2004,
    12-MAR-2004, March 12, 2004, Mar 2004, 3 de marzo de 2004, 3 août 2004, and dates directly
    followed by a time (20040312185059).

    >>> [found.readings[0].isoformat() for found in find_dates("on 12 Mar 2004, T1 8/10, 1.20040312")]
    ['2004-03-12']
    """
    if any(map(str.isdecimal, text)):
        yield from _packed(text)
        yield from _numeric(text)
        yield from _spoken(text)


def _packed(text: str) -> Iterator[WrittenDate]:
    for match in _PACKED.finditer(text):
        day = _date(match["year"], match["m"], match["d"])
        if day:
            yield WrittenDate(*match.span(), (day,), True, True, lambda _, new: f"{new:%Y%m%d}")
    for match in _PACKED_REVERSED.finditer(text):
        found = _either_order(match, match["year"], match["a"], match["b"], day_first=True)
        if found:
            yield found


def _numeric(text: str) -> Iterator[WrittenDate]:
    for match in _NUMERIC.finditer(text):
        if match["y"]:
            day = _date(match["y"], match["m"], match["d"])
            if day:
                yield WrittenDate(
                    *match.span(), (day,), True, True, _writer(match, {"y": "y", "m": "m", "d": "d"})
                )
            continue
        short_year, mark = len(match["year"]) == 2, match["t"]
        # 10.5.12 is a version and 1-2-20 a range of slices: short years need a slash or two digits each.
        if short_year and mark in " _":
            continue
        sure = not short_year or mark == "/" or match.end() - match.start() >= 8
        found = _either_order(match, match["year"], match["a"], match["b"], day_first=mark != "/", sure=sure)
        if found:
            yield found
    for match in _MONTH_AND_YEAR.finditer(text):
        day = _date(match["year"], match["m"], "1")
        if day:
            yield WrittenDate(*match.span(), (day,), False, True, _writer(match, {"y": "year", "m": "m"}))


def _spoken(text: str) -> Iterator[WrittenDate]:
    for match in _SPOKEN.finditer(text):
        form = next(number for number in "1234" if match[f"m{number}"])
        groups = {"y": f"y{form}", "m": f"m{form}", "d": f"d{form}"}
        if form == "1" and match["y5"]:
            groups["y"] = "y5"
        if form == "3":
            del groups["d"]
        whole = "d" in groups
        month = str(_NUMBER_OF[match[groups["m"]].lower()])
        day = _date(match[groups["y"]], month, match[groups["d"]] if whole else "1")
        if day:
            yield WrittenDate(*match.span(), (day,), whole, groups["y"] != "y5", _writer(match, groups))


def _either_order(
    match: re.Match[str], year: str, first: str, second: str, day_first: bool, sure: bool = True
) -> WrittenDate | None:
    """Return a date of day and month in either order, the likelier reading first."""
    orders = ("dm", "md") if day_first else ("md", "dm")
    found: dict[date, str] = {}
    for order in orders:
        day, month = (first, second) if order == "dm" else (second, first)
        reading = _date(year, month, day)
        if reading:
            found.setdefault(reading, order)
    if not found:
        return None

    def write(old: date, new: date) -> str:
        return _rewritten(match, {found[old][0]: "a", found[old][1]: "b", "y": "year"}, new)

    return WrittenDate(*match.span(), tuple(found), True, len(year) == 4, write, sure)


def _writer(match: re.Match[str], groups: dict[str, str]) -> Callable[[date, date], str]:
    return lambda _, new: _rewritten(match, groups, new)


def _rewritten(match: re.Match[str], groups: dict[str, str], new: date) -> str:
    """Return the match's text with the groups of y, m and d replaced by those of another date."""
    text, offset = match[0], match.start()
    padded = all(len(match[group]) > 1 for group in groups.values())
    for name, group in sorted(groups.items(), key=lambda item: match.start(item[1]), reverse=True):
        start, end = match.span(group)
        field = _field(name, match[group], new, padded)
        text = text[: start - offset] + field + text[end - offset :]
    return text


def _field(name: str, old: str, new: date, padded: bool) -> str:
    if name == "y":
        return f"{new.year:04}"[-len(old) :]
    if name == "d" or old.isdecimal():
        number = new.day if name == "d" else new.month
        return f"{number:02}" if padded or old.startswith("0") else str(number)
    language = next((names for names in _LANGUAGES if old.lower() in names), _LANGUAGES[1])
    month = language[new.month - 1]
    if old.isupper():
        return month.upper()
    return month.capitalize() if old[0].isupper() else month


def _date(year: str, month: str, day: str) -> date | None:
    number = int(year)
    if len(year) == 2:
        number += 2000 if number < _CENTURY_TURNS else 1900
    if not 1800 <= number < 2100:
        return None
    try:
        return date(number, int(month), int(day))
    except ValueError:
        return None
