"""Criteria: conditions on an instance in idiscore's language, such as `Modality.equals('US')`."""

import ast
import fnmatch
import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from pydicom.datadict import keyword_dict, tag_for_keyword
from pydicom.dataset import Dataset

from beamstop.dicom.tags import vr_of
from beamstop.dicom.views import view_of
from beamstop.errors import RecipeError, did_you_mean


class Criterion:
    """A condition on an instance, by its text in idiscore's language; see `parse_criterion`.

    >>> Criterion("Modality.equals('CT')")(Dataset())
    False
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._fits = parse_criterion(text)

    def __call__(self, dataset: Dataset) -> bool:
        """Return whether a dataset fits."""
        return self._fits(dataset)

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Criterion) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[type["Criterion"], tuple[str]]:
        return type(self), (self.text,)  # the function of it cannot be pickled


def parse_criterion(text: str) -> Callable[[Dataset], bool]:
    """Read a criterion in idiscore's language.

    Args:
        text: `Keyword.equals('value')`, `.contains('value')`, `.matches('T1*')`, `.exists()`,
            `.between('20200101', '20201231')`, `.before('2020')`, `.after('20201231')`, joined by and, or,
            not and parentheses. Comparison ignores case; in a pattern `*` is any text and `?` one character.
            Days are those of the original, both ends of an interval included; a year or month means all of
            its days. A missing attribute fits none of them, and a value that is no date fits no interval.

    Returns:
        a function that returns whether a dataset fits; raw elements stay raw.

    Raises:
    RecipeError: the text has another form.

    >>> fits = parse_criterion("Modality.equals('us') or not Rows.exists()")
    >>> fits(Dataset())
    True
    """
    words = re.sub(r"\b(AND|OR|NOT)\b", lambda match: match[0].lower(), text)
    try:
        tree = ast.parse(words, mode="eval").body
    except SyntaxError as error:
        raise RecipeError(f"criterion {text!r}: cannot be read at column {error.offset}") from None
    fits = _compiled(tree, text)
    return lambda dataset: fits(view_of(dataset))


def _compiled(node: ast.expr, text: str) -> Callable[[Dataset], bool]:
    match node:
        case ast.BoolOp(op=operation, values=values):
            parts = [_compiled(value, text) for value in values]
            joined = all if isinstance(operation, ast.And) else any
            return lambda dataset: joined(part(dataset) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compiled(operand, text)
            return lambda dataset: not inner(dataset)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=keyword), attr=test), args=arguments, keywords=[]):
            return _test(keyword, test, [_literal(argument, text) for argument in arguments], text)
    raise RecipeError(
        f"criterion {text!r}: use Keyword.equals('x'), .contains('x'), .matches('x*'), .exists(), "
        ".between('20200101', '20201231'), .before('2020'), .after('2020'), and, or, not"
    )


def _test(keyword: str, test: str, arguments: list[str], text: str) -> Callable[[Dataset], bool]:
    if tag_for_keyword(keyword) is None:
        near = did_you_mean(keyword, keyword_dict)
        raise RecipeError(f"criterion {text!r}: no attribute has the keyword {keyword!r}{near}")
    if test == "exists" and not arguments:
        return lambda dataset: keyword in dataset
    if test in {"equals", "contains"} and len(arguments) == 1:
        wanted = arguments[0].casefold()
        if test == "equals":
            return lambda dataset: _value(dataset, keyword) == wanted
        return lambda dataset: wanted in (_value(dataset, keyword) or "")
    if test == "matches" and len(arguments) == 1:
        fits = re.compile(fnmatch.translate(arguments[0].casefold().replace("[", "[[]")))
        return lambda dataset: (value := _value(dataset, keyword)) is not None and bool(fits.match(value))
    if test in _INTERVALS and len(arguments) == _INTERVALS[test]:
        return _interval(keyword, test, arguments, text)
    raise RecipeError(
        f"criterion {text!r}: no test {test!r} with {len(arguments)} values; use equals, contains, matches, "
        "exists, between, before or after"
    )


_INTERVALS = {"between": 2, "before": 1, "after": 1}  # test → days
_WRITTEN_DAY = re.compile(r"(\d{4})-?(\d{2})?-?(\d{2})?")
_SAID_DAY = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")


def _interval(keyword: str, test: str, arguments: list[str], text: str) -> Callable[[Dataset], bool]:
    """Return whether all days of an attribute lie in an interval."""
    if vr_of(tag_for_keyword(keyword) or 0, None) not in ("DA", "DT"):
        raise RecipeError(f"criterion {text!r}: {keyword} is no date, so that {test} says nothing of it")
    first, last = date.min, date.max
    try:
        if test == "before":
            last = _first_day(arguments[0]) - timedelta(days=1)
        elif test == "after":
            first = _last_day(arguments[0]) + timedelta(days=1)
        else:
            first, last = _first_day(arguments[0]), _last_day(arguments[1])
    except (ValueError, OverflowError):
        raise RecipeError(
            f"criterion {text!r}: write days as 20201231, months as 202012, years as 2020"
        ) from None
    if last < first:
        raise RecipeError(f"criterion {text!r}: the earlier day comes first")

    def fits(dataset: Dataset) -> bool:
        days = [_day(it) for it in (_value(dataset, keyword) or "").split("\\")]
        return all(day is not None and first <= day <= last for day in days)

    return fits


def _first_day(written: str) -> date:
    found = _WRITTEN_DAY.fullmatch(written)
    if found is None:
        raise ValueError
    return date(int(found[1]), int(found[2] or 1), int(found[3] or 1))


def _last_day(written: str) -> date:
    first, found = _first_day(written), _WRITTEN_DAY.fullmatch(written)
    if found is None or found[3]:
        return first
    return date(first.year, int(found[2] or 12), monthrange(first.year, int(found[2] or 12))[1])


def _day(value: str) -> date | None:
    """Return the day of a DA or DT; None if it has none."""
    found = _SAID_DAY.match(value.strip())
    try:
        return date(int(found[1]), int(found[2]), int(found[3])) if found is not None else None
    except ValueError:
        return None


def _value(dataset: Dataset, keyword: str) -> str | None:
    value: Any = dataset.get(keyword)
    if value is None:
        return None
    joined = (
        str(value) if isinstance(value, str) or not hasattr(value, "__iter__") else "\\".join(map(str, value))
    )
    return joined.casefold()


def _literal(node: ast.expr, text: str) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    raise RecipeError(f"criterion {text!r}: only quoted values can be compared with")
