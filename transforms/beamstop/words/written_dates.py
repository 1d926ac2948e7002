"""Dates as people write them in texts: finds and reads them, and writes others in the same form."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from beamstop.words.vocabulary import fold

# By language, full and short. Italian short forms are left out: with a number, set, gen and mag are medical.
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
# Languages that write the day first: the form used with a day, then the others.
_DAY_FIRST_LANGUAGES = tuple(
    tuple(names.split())
    for names in (
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
        "январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь",
        "янв фев мар апр мая июн июл авг сен окт ноя дек",
        "янв февр март апр май июнь июль авг сент окт нояб дек",
        "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
        "януари февруари март април май юни юли август септември октомври ноември декември",
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
        "styczeń luty marzec kwiecień maj czerwiec lipiec sierpień wrzesień październik listopad grudzień",
        "sty lut mar kwi maj cze lip sie wrz paź lis gru",
        "ledna února března dubna května června července srpna září října listopadu prosince",
        "leden únor březen duben květen červen červenec srpen září říjen listopad prosinec",
        "januára februára marca apríla mája júna júla augusta septembra októbra novembra decembra",
        "januari februari mars april maj juni juli augusti september oktober november december",
        "januar februar marts april maj juni juli august september oktober november december",
        "januar februar mars april mai juni juli august september oktober november desember",
        "siječnja veljače ožujka travnja svibnja lipnja srpnja kolovoza rujna listopada studenoga prosinca",
        "ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie decembrie",
        "január február március április május június július augusztus szeptember október november december",
        "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",
        "ιανουαρίου φεβρουαρίου μαρτίου απριλίου μαΐου ιουνίου ιουλίου αυγούστου σεπτεμβρίου οκτωβρίου "
        "νοεμβρίου δεκεμβρίου",
        "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
        "ינואר פברואר מרץ אפריל מאי יוני יולי אוגוסט ספטמבר אוקטובר נובמבר דצמבר",
    )
)
# listopad is November in Polish and Czech, October in Croatian: it has both readings.
_PLAIN = str.maketrans("äéûç", "aeuc")
_NUMBER_OF = {
    spelling: number
    for names in _LANGUAGES
    for number, name in enumerate(names, 1)
    for spelling in (name, name.translate(_PLAIN))
} | {"sept": 9, "maerz": 3}
_NUMBERS_OF: dict[str, set[int]] = {}
for _names in _DAY_FIRST_LANGUAGES:
    for _number, _name in enumerate(_names, 1):
        _NUMBERS_OF.setdefault(fold(_name), set()).add(_number)
_YEAR = r"(?:1[89]|20)[0-9]{2}"
# Only the first letters are compared at first, because most places have none of them.
_MONTH = (
    f"(?=[{''.join(sorted({name[0] for name in _NUMBER_OF}))}])(?:"
    + "|".join(sorted(_NUMBER_OF, key=len, reverse=True))
    + r")(?![^\W\d_])"
)
# With an adjoining digit or decimal point it is part of a number or a UID, not a date.
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
    + r"(?:(?P<y>[0-9]{4})(?P<s>[-/. _,:;*|=]) ?(?P<m>[0-9]{1,2})(?P=s) ?(?P<d>[0-9]{1,2})"
    + r"|(?P<a>[0-9]{1,2})(?P<t>[-/. _,:;*|=]) ?(?P<b>[0-9]{1,2})(?P=t) ?"
    + r"(?P<year>(?:1[89]|20)[0-9]{2}|[0-9]{2}))"
    + _END
)
_MARKS, _FULL_SIZE = "-/. _,:", 8  # that surely are a date's; characters of 12.03.04
_MONTH_AND_YEAR = re.compile(_START + rf"(?<![/-])(?P<m>0[1-9]|1[0-2])/(?P<year>{_YEAR})" + _END + "(?![/-])")
_ORDINAL = r"(?:st|nd|rd|th|er|\.)?"
_SPOKEN = re.compile(
    rf"{_WORD_START}(?=[^\W_])(?:"
    rf"(?P<d1>[0-9]{{1,2}}){_ORDINAL}[-/ ,.]{{0,2}}(?:(?:of|de) )?"
    rf"(?P<m1>{_MONTH})\.?(?:[-/ ,]{{0,3}}(?:de )?(?P<y1>{_YEAR})"
    rf"|(?:[-/ ]['’]?|(?<=[0-9]{{2}}[a-z]{{3}}))(?P<y5>[0-9]{{2}})(?![.,/-]?[0-9]))"
    rf"|(?P<m2>{_MONTH})\.?[-/ ]?(?P<d2>[0-9]{{1,2}}){_ORDINAL}[-/ ,]{{1,3}}(?P<y2>{_YEAR})"
    rf"|(?P<m3>{_MONTH})\.?[-/ ,]{{0,3}}(?P<y3>{_YEAR})"
    rf"|(?P<y4>{_YEAR})[-/ ](?P<m4>{_MONTH})\.?[-/ ](?P<d4>[0-9]{{1,2}})"
    rf")(?![0-9])",
    re.IGNORECASE,
)
_DAY_FIRST = re.compile(
    _START
    + r"(?P<d>[0-9]{1,2})(?:\.|-?(?:го|е|ого))?[-/ ]{0,2}(?P<m>[^\W\d_]{3,12})"
    + rf"[-/., ]{{0,3}}(?P<y>{_YEAR})(?![0-9])"
)
_YEAR_FIRST = re.compile(
    _START
    + rf"(?P<y>{_YEAR})\.?[-/ ]{{0,2}}(?P<m>[^\W\d_]{{3,12}})\.?[-/ ]{{1,2}}(?P<d>[0-9]{{1,2}})(?![0-9])"
)
_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_ROMAN = {numeral: number for number, numeral in enumerate(_NUMERALS, 1)}
_ROMAN_MONTH = re.compile(
    _START + rf"(?P<d>[0-9]{{1,2}})(?P<s>[-/. ]|\. )(?P<m>[IVX]{{1,4}})(?P=s)(?P<y>{_YEAR})" + _END
)
# 2021年9月6日, 2021년 9월 6일, 昭和27年8月17日, S27.8.17, 民國110年9月6日, 二〇二一年九月六日
_ERAS = {"明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018, "民國": 1911, "民国": 1911}
_SHORT_ERAS = {
    "明": 1867,
    "大": 1911,
    "昭": 1925,
    "平": 1988,
    "令": 2018,
    "M": 1867,
    "T": 1911,
    "S": 1925,
    "H": 1988,
    "R": 2018,
}
_ALL_ERAS = _ERAS | _SHORT_ERAS
_HAN_DIGITS = "〇零一二三四五六七八九十廿卅元"
_HAN_NUMBER = rf"(?:[0-9]{{1,4}}|[{_HAN_DIGITS}]{{1,4}})"
_EAST_ASIAN = re.compile(
    rf"(?<![0-9])(?P<era>{'|'.join(_ERAS)}|[明大昭平令])?\s?(?P<y>{_HAN_NUMBER})\s?[年년]\s?(?P<m>{_HAN_NUMBER})\s?[月월]"
    rf"(?:\s?(?P<d>{_HAN_NUMBER})\s?[日号號일])?"
)
_ERA_IN_SHORT = re.compile(
    rf"(?<![^\W\u2e80-\ud7ff])(?P<era>{'|'.join(_ERAS)}|[明大昭平令MTSHR])(?P<y>[0-9]{{1,2}})(?P<s>[-/.])(?P<m>[0-9]{{1,2}})(?P=s)(?P<d>[0-9]{{1,2}})(?![0-9])"
)
MONTHS = frozenset(_NUMBER_OF) | {name for name in _NUMBERS_OF if name.isascii()}
_ALL_LANGUAGES = _LANGUAGES + _DAY_FIRST_LANGUAGES
_HAN_VALUES = dict(zip("零一二三四五六七八九十", range(11), strict=True)) | {
    "〇": 0,
    "廿": 20,
    "卅": 30,
    "元": 1,
}
_EARLIEST, _LATEST = 1800, 2100
_CENTURY_TURNS = 40  # 00 to 39 is 20xx, 40 to 99 is 19xx


@dataclass(frozen=True, slots=True)
class WrittenDate:
    """A date found in a text.

    Attributes:
        start, end: its place, end excluded.
        readings: the days that it can mean, the likeliest first; more than one for 03/04/2004.
        whole: it is a day; for a month with its year this is False, and the reading is the first day.
        has_century: its year has four digits.
        sure: it is most probably a date; 3.11.63 is not, because it may be a version.
    """

    start: int
    end: int
    readings: tuple[date, ...]
    whole: bool
    has_century: bool
    _write: Callable[[date, date], str]
    sure: bool = True

    def rewrite(self, moved: Callable[[date], date], known: frozenset[date] = frozenset()) -> str:
        """Return another date in the same form: field order, separators, digits, month names.

        Args:
            moved: returns the other date; may raise OverflowError.
            known: of several readings, one of these is preferred.
        """
        reading = next((day for day in self.readings if day in known), self.readings[0])
        return self._write(reading, moved(reading))


def find_dates(text: str) -> Iterator[WrittenDate]:
    """Yield every date in a text, in no particular order; they may overlap.

    20040312, 2004-03-12, 12.03.2004, 12/03/2004, 03/12/2004, 3/12/04, 04-03-12, 12032004, 12. 3. 2004,
    12,03,2004, 2004:03:12, 12 Mar 2004, 12-MAR-2004, 12MAR04, March 12, 2004, Mar 2004, 3 de marzo de 2004,
    3 août 2004, 3 września 2004, 3 марта 2004, 2004年3月12日, 平成16年3月12日, H16.3.12, and dates directly
    followed by a time (20040312185059). Digits of other scripts and of full width are read in the text's
    `normal_form`.

    >>> [found.readings[0].isoformat() for found in find_dates("on 12 Mar 2004, T1 8/10, 1.20040312")]
    ['2004-03-12']
    """
    if any(map(str.isdecimal, text)):
        yield from _packed(text)
        yield from _numeric(text)
        yield from _spoken(text)
        yield from _spoken_day_first(text)
        yield from _roman(text)
        yield from _era_in_short(text)
    if not text.isascii():
        yield from _east_asian(text)


@lru_cache(maxsize=256)
def other_years(day: date) -> frozenset[str]:
    """Return the forms of a day's year in the eras of Japan and Taiwan and in Chinese numerals.

    >>> {"S27", "昭和27", "昭和二十七", "民國41", "一九五二年"} <= other_years(date(1952, 8, 17))
    True
    """
    found = {_in_han_digits(day.year) + "年"}
    for era, before in _ALL_ERAS.items():
        number = day.year - before
        if number > 0 and (era[0] == "民" or before == max(it for it in _ALL_ERAS.values() if it < day.year)):
            found.add(f"{era}{number}")
            if not era.isascii():
                found |= {era + _in_han_tens(number), era + ("元" if number == 1 else f"{number}")}
    return frozenset(found)


def _in_han_digits(number: int) -> str:
    return "".join("〇一二三四五六七八九"[int(digit)] for digit in f"{number}")


def _in_han_tens(number: int) -> str:
    tens, ones = divmod(number, 10)
    if tens > 9:
        return _in_han_digits(number)
    digits = " 一二三四五六七八九"
    return (digits[tens] * (tens > 1) + "十" * (tens > 0)).strip() + digits[ones].strip()


def packed_days(day: date) -> tuple[str, str, str]:
    """Return a date without separators: year, month, day; day, month, year; month, day, year."""
    year, month, number = f"{day.year:04}", f"{day.month:02}", f"{day.day:02}"
    return year + month + number, number + month + year, month + number + year


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
                writer = _writer(match, {"y": "y", "m": "m", "d": "d"})
                yield WrittenDate(*match.span(), (day,), True, True, writer, match["s"] in _MARKS)
            continue
        short_year, mark = len(match["year"]) == 2, match["t"]
        size = match.end() - match.start()
        # 10.5.12 is a version and 1-2-20 a range of slices: short years need a slash or two digits each.
        # Times have colons.
        if short_year and (mark not in "-/.," or (mark == "," and size < _FULL_SIZE)):
            continue
        sure = mark in _MARKS
        if short_year:
            sure = mark in "-/." and " " not in match[0] and (mark == "/" or size >= _FULL_SIZE)
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


def _spoken_day_first(text: str) -> Iterator[WrittenDate]:
    for match in (*_DAY_FIRST.finditer(text), *_YEAR_FIRST.finditer(text)):
        if match["m"].lower() in _NUMBER_OF:
            continue  # found by `_spoken`
        numbers = _NUMBERS_OF.get(fold(match["m"]), ())
        days = [day for number in sorted(numbers) if (day := _date(match["y"], f"{number}", match["d"]))]
        if days:
            writer = _writer(match, {"y": "y", "m": "m", "d": "d"})
            yield WrittenDate(*match.span(), tuple(days), True, True, writer)


def _roman(text: str) -> Iterator[WrittenDate]:
    for match in _ROMAN_MONTH.finditer(text):
        month = _ROMAN.get(match["m"])
        day = _date(match["y"], f"{month}", match["d"]) if month else None
        if day:
            yield WrittenDate(
                *match.span(), (day,), True, True, _writer(match, {"y": "y", "m": "m", "d": "d"})
            )


def _east_asian(text: str) -> Iterator[WrittenDate]:
    for match in _EAST_ASIAN.finditer(text) if "年" in text or "년" in text else ():
        era = match["era"] or ""
        first = _ALL_ERAS.get(era, 0)
        year, month = _han_number(match["y"]) + first, _han_number(match["m"])
        day = _date_of(year, month, _han_number(match["d"]) if match["d"] else 1)
        if day:
            yield WrittenDate(*match.span(), (day,), match["d"] is not None, True, _era_writer(match, first))


def _era_in_short(text: str) -> Iterator[WrittenDate]:
    for match in _ERA_IN_SHORT.finditer(text):
        first = _ALL_ERAS[match["era"]]
        day = _date_of(int(match["y"]) + first, int(match["m"]), int(match["d"]))
        if day:
            # S2.5.1 may be a series or a version.
            sure = match["era"] not in _SHORT_ERAS
            yield WrittenDate(*match.span(), (day,), True, True, _era_writer(match, first), sure)


def _han_number(text: str) -> int:
    """Return the value of digits or Chinese numerals: 二〇二一, 二十一, 元."""
    if text.isdecimal():
        return int(text)
    digits = [_HAN_VALUES[letter] for letter in text]
    if all(digit < 10 for digit in digits):
        return int("".join(map(str, digits)))
    number = 0
    for digit in digits:
        number = (number or 1) * 10 if digit == 10 else number + digit
    return number


def _era_writer(match: re.Match[str], first: int) -> Callable[[date, date], str]:
    """Return a function that writes another day in the same era, in digits."""

    def write(_: date, new: date) -> str:
        text, offset = match[0], match.start()
        values = {"y": new.year - first, "m": new.month, "d": new.day}
        if values["y"] < 1:
            raise ValueError("before the era")
        for group in sorted((group for group in values if match[group]), key=match.start, reverse=True):
            start, end = match.span(group)
            number = f"{values[group]:02}" if match[group].startswith("0") else f"{values[group]}"
            text = text[: start - offset] + number + text[end - offset :]
        return text

    return write


def _either_order(
    match: re.Match[str], year: str, first: str, second: str, day_first: bool, sure: bool = True
) -> WrittenDate | None:
    """Return a date of day and month in either order, the likelier reading first."""
    orders = ["dmy", "mdy"] if day_first else ["mdy", "dmy"]
    found: dict[date, str] = {}
    for order in orders:
        parts = dict(zip(order, (first, second, year), strict=True))
        reading = _date(parts["y"], parts["m"], parts["d"])
        if reading:
            found.setdefault(reading, order)
    if len(year) == len(first) == len(second) == 2 and (not found or match["t"] in "-/"):  # 61-03-17
        reading = _date(first, second, year)
        if reading:
            found.setdefault(reading, "ymd")
    if not found:
        return None

    def write(old: date, new: date) -> str:
        return _rewritten(match, dict(zip(found[old], ("a", "b", "year"), strict=True)), new)

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
    if old in _ROMAN:
        return next(roman for roman, number in _ROMAN.items() if number == new.month)
    language = next((names for names in _ALL_LANGUAGES if old.lower() in names), None)
    if language is None:
        folded = fold(old)
        language = next(
            (it for names in _ALL_LANGUAGES if folded in (it := tuple(map(fold, names)))), _LANGUAGES[1]
        )
    month = language[new.month - 1]
    if old.isupper():
        return month.upper()
    return month.capitalize() if old[0].isupper() else month


def _date(year: str, month: str, day: str) -> date | None:
    number = int(year)
    if len(year) == 2:
        number += 2000 if number < _CENTURY_TURNS else 1900
    return _date_of(number, int(month), int(day))


def _date_of(year: int, month: int, day: int) -> date | None:
    if not _EARLIEST <= year < _LATEST:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None
