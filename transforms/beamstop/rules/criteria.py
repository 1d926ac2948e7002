"""Criteria: conditions on an instance in idiscore's language, such as `Modality.equals('US')`."""

import ast
import re
from collections.abc import Callable
from typing import Any

from pydicom.datadict import keyword_dict, tag_for_keyword
from pydicom.dataset import Dataset

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
        """Say whether a dataset fits."""
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
        text: `Keyword.equals('value')`, `Keyword.contains('value')`, `Keyword.exists()`, joined
            by and, or, not and parentheses. Comparison ignores case; a missing attribute fits no
            `equals` or `contains`.

    Returns:
        a function that says whether a dataset fits, whose raw elements stay raw.

    Raises:
        RecipeError: anything else.

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
    raise RecipeError(f"criterion {text!r}: use Keyword.equals('x'), .contains('x'), .exists(), and, or, not")


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
    raise RecipeError(
        f"criterion {text!r}: no test {test!r} with {len(arguments)} values; use equals, contains or exists"
    )


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
