"""Bouncers: which instances policy does not let in.

A bouncer that reads BurnedInAnnotation is asked twice, as in idiscore: on the first look as if
nothing were burned in, so that what HideText can clean is not turned away, and again after it.
"""

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from beamstop.dicom.elements import failing_if_broken, text_of
from beamstop.errors import RecipeError, Rejected

_BURNED_IN = "BurnedInAnnotation"
_SOP_CLASS_UID, _ENCAPSULATED_DOCUMENT = 0x00080016, BaseTag(0x00420011)
_OF_THE_STANDARD = re.compile(r"1\.2\.840\.10008(\.[0-9]+)+")
_ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."  # PDF, CDA, STL, OBJ, MTL (PS3.4 B.5)
_KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.88.59"
_PRESENTATION_STATES = "1.2.840.10008.5.1.4.1.1.11."


class Bouncer(ABC):
    """Looks at a dataset and turns it away or not.

    Subclass it and name the class by its import path in a recipe. It must not change the dataset
    and must depend on it alone.

    Attributes:
        reason: the code that the audit shows.
        reads_burned_in: it looks at BurnedInAnnotation, so ask again after HideText.
    """

    reason: str = "bounced"
    reads_burned_in: bool = False

    @abstractmethod
    def inspect(self, dataset: Dataset) -> None:
        """Return when the dataset may pass.

        Raises:
            Rejected: policy says no, or it cannot be told: that means no, too.
        """

    def _reject(self, detail: str = "") -> None:
        raise Rejected(self.reason, detail)


class RejectNonStandardDicom(Bouncer):
    """Turns away SOP classes that PS3.4 does not define: nobody knows what they hold."""

    reason = "non_standard_sop_class"

    def inspect(self, dataset: Dataset) -> None:
        """Look at SOPClassUID."""
        if not _OF_THE_STANDARD.fullmatch(_sop_class(dataset)):
            self._reject()


class RejectEncapsulatedImageStorage(Bouncer):
    """Turns away encapsulated documents: PDF, CDA, STL, OBJ, MTL.

    Args:
        but: SOP classes that may pass, because their payload is cleaned.
    """

    reason = "encapsulated_document"

    def __init__(self, but: Iterable[str] = ()) -> None:
        self.but = frozenset(but)

    def inspect(self, dataset: Dataset) -> None:
        """Look at SOPClassUID and for a payload."""
        sop_class = _sop_class(dataset)
        if sop_class in self.but:
            return
        if sop_class.startswith(_ENCAPSULATED) or _ENCAPSULATED_DOCUMENT in dataset._dict:
            self._reject()


class RejectKeyObject(Bouncer):
    """Turns away Key Object Selection documents."""

    reason = "key_object"

    def inspect(self, dataset: Dataset) -> None:
        """Look at SOPClassUID."""
        if _sop_class(dataset) == _KEY_OBJECT:
            self._reject()


class RejectPresentationState(Bouncer):
    """Turns away presentation states."""

    reason = "presentation_state"

    def inspect(self, dataset: Dataset) -> None:
        """Look at SOPClassUID."""
        if _sop_class(dataset).startswith(_PRESENTATION_STATES):
            self._reject()


class RejectKOGSPS(Bouncer):
    """Turns away key objects and presentation states, as idiscore's bouncer of this name."""

    reason = "presentation_state"

    def inspect(self, dataset: Dataset) -> None:
        """Ask the two bouncers it is made of."""
        RejectKeyObject().inspect(dataset)
        RejectPresentationState().inspect(dataset)


class CriterionBouncer(Bouncer):
    """Turns away what fits a criterion.

    Args:
        criterion: text as `parse_criterion` reads it.
        justification: why, for the reader of the recipe.

    >>> CriterionBouncer("Modality.equals('US') and not BurnedInAnnotation.equals('NO')").reads_burned_in
    True
    """

    reason = "criterion"

    def __init__(self, criterion: str, justification: str = "") -> None:
        self.criterion = criterion
        self.justification = justification
        self.reads_burned_in = _BURNED_IN in criterion
        # The audit names the attributes that the criterion reads: a value in it may be a patient's.
        self._reads = ", ".join(dict.fromkeys(re.findall(r"(\w+)\s*\.\s*\w+\s*\(", criterion)))
        self._fits = parse_criterion(criterion)

    def __reduce__(self) -> tuple[type["CriterionBouncer"], tuple[str, str]]:
        return type(self), (self.criterion, self.justification)  # the function of it cannot be pickled

    def inspect(self, dataset: Dataset) -> None:
        """Evaluate the criterion."""
        if self._fits(dataset):
            self._reject(self._reads)


@failing_if_broken
def bounce(dataset: Dataset, bouncers: Iterable[Bouncer], pixels_cleaned: bool | None = None) -> None:
    """Ask every bouncer.

    Args:
        dataset: the instance, before its attributes are changed.
        bouncers: of the recipe.
        pixels_cleaned: None is the first look, at which BurnedInAnnotation is taken to be NO.
            After HideText, True or False says whether its pixels were cleaned; only bouncers
            that read BurnedInAnnotation are asked again.

    Raises:
        Rejected: by the first bouncer that says no.
        Failed: `unreadable`: what it looks at is not what it claims to be.
    """
    second_look = pixels_cleaned is not None
    asked = [bouncer for bouncer in bouncers if bouncer.reads_burned_in or not second_look]
    if not asked:
        return
    view = dataset
    if not second_look or pixels_cleaned:
        view = Dataset({**dataset._dict})
        implicit, little = dataset.original_encoding
        view.set_original_encoding(implicit, little, dataset._character_set)
        view.add_new("BurnedInAnnotation", "CS", "NO")
    for bouncer in asked:
        bouncer.inspect(view)


def parse_criterion(text: str) -> Callable[[Dataset], bool]:
    """Read a criterion in idiscore's language.

    Args:
        text: `Keyword.equals('value')`, `Keyword.contains('value')`, `Keyword.exists()`, joined
            by and, or, not and parentheses. Comparison ignores case; a missing attribute fits no
            `equals` or `contains`.

    Returns:
        a function that says whether a dataset fits.

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
    return _compiled(tree, text)


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
    from pydicom.datadict import tag_for_keyword

    if tag_for_keyword(keyword) is None:
        raise RecipeError(f"criterion {text!r}: no attribute has the keyword {keyword!r}")
    if test == "exists" and not arguments:
        return lambda dataset: keyword in dataset
    if test in {"equals", "contains"} and len(arguments) == 1:
        wanted = arguments[0].casefold()
        if test == "equals":
            return lambda dataset: _value(dataset, keyword) == wanted
        return lambda dataset: wanted in (_value(dataset, keyword) or "")
    raise RecipeError(
        f"criterion {text!r}: no test {test!r} with {len(arguments)} values; use equals, contains, exists"
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


def _sop_class(dataset: Dataset) -> str:
    return text_of(dataset, _SOP_CLASS_UID)
