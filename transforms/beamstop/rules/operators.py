"""Operators: what an action does to an element, by value representation.

An operator gets one element and its context, and returns the element that replaces it, or None to remove it.
Items of sequences that stay are visited afterwards; the operator need not do that.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydicom import config
from pydicom.dataelem import DataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from beamstop.dicom.tags import tag_name
from beamstop.dicom.views import view_of
from beamstop.identity import Identity
from beamstop.rules.dates import band_age, cap_age, shift_da, shift_dt
from beamstop.rules.icc_profiles import clean_icc_profile
from beamstop.standard.actions import Action
from beamstop.standard.defined_terms import is_defined_term
from beamstop.words.clean_text import clean_values

CLEANED_VRS = frozenset({"AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})  # text that C can clean
NUMBER_VRS = frozenset({"AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_TEXTS = CLEANED_VRS - {"CS"}
BYTES_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

DUMMY_DATE = "19000101"
DUMMY_TIME = "000000"
_FIXED_DUMMIES: dict[str, Any] = {
    "AS": "000D",
    "AT": 0,
    "DA": DUMMY_DATE,
    "DS": "0",
    "DT": DUMMY_DATE + DUMMY_TIME,
    "IS": "0",
    "TM": DUMMY_TIME,
    "UR": "https://example.org/",
}
ICC_PROFILE = 0x00282000
MAX_CLEANED = 1 << 20  # characters; a million take a minute
_DUMMY_LENGTH = 16  # the shortest of the text VRs hold 16 characters: AE, CS, SH


@dataclass(frozen=True)
class Context:
    """The place of an element, and everything else that an operator may need.

    Attributes:
        identity: makes keyed stand-ins.
        dataset: the dataset or item with the element; other elements in it may have been changed already, so
            rely only on its structure.
        path: tags from the top level to the element.
        days: by which dates of this patient move.
        clean_text: removes identifiers from a text.
        is_old: the instance's age or dates show that the patient was over 89 years.
        owner: the owner of the instance, see `Identity.owner_of`.
    """

    identity: Identity
    dataset: Dataset
    path: tuple[int, ...]
    days: int
    clean_text: Callable[[str], str]
    is_old: bool = False
    owner: tuple[str, str] = ("patient", "")


class CannotCleanError(Exception):
    """A value that cannot be cleaned; the rule's fallback applies."""


class Operator(ABC):
    """An action on an element.

    Subclass it, set `action` to the code for the audit, and name the class by its import path in a recipe.
    """

    action: Action

    @abstractmethod
    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        """Return the element that replaces it, or None to remove it.

        Must depend only on its arguments, so that every worker and every retry gives the same result.

        Raises:
            CannotCleanError: the value cannot be cleaned; the rule's fallback applies. Any other exception of
            a
                custom operator is a `fault` of its class, and the instance is not written.
        """


class Keep(Operator):
    """K: keep it unchanged; ages over 89 years become 090Y."""

    action = Action.K

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        return element


class Remove(Operator):
    """X: remove it."""

    action = Action.X

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        return None


class Empty(Operator):
    """Z: keep the element without its value."""

    action = Action.Z

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        return _element(element, Sequence() if element.VR == "SQ" else empty_value_for_VR(element.VR))


class Replace(Operator):
    """D: a dummy value of the same VR, the same for the same original of one patient in one attribute.

    PS3.15 E.1.1: consistent within the set, hence keyed and not random. Dates, times and numbers
    get one fixed dummy, because nothing refers to them. Empty stays empty.
    """

    action = Action.D

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        if element.VR == "SQ":
            return _element(element, _dummy_items(element))
        if element.is_empty:
            return element
        if element.VR == "UI":
            return HashUID().apply(element, context)
        return _element(element, self._dummy(element, context))

    def _dummy(self, element: DataElement, context: Context) -> Any:
        if element.VR in _FIXED_DUMMIES:
            return _FIXED_DUMMIES[element.VR]
        if element.VR in NUMBER_VRS:
            return 0
        if element.VR in BYTES_VRS:
            return b"\0\0"
        token = context.identity.dummy(context.owner, element.tag, str(element.value), _DUMMY_LENGTH)
        return f"Person^{token}" if element.VR == "PN" else token


class Clean(Operator):
    """C: keep the harmless part of the value.

    Dates move by the patient's shift and times stay; ages are capped; texts lose identifiers, and code
    strings too, unless they are terms that the standard defines; UIDs are remapped; sequences are
    visited; numbers are harmless; of an ICC profile the colours stay. Names and other payloads cannot
    be cleaned.

    Raises:
        CannotCleanError: a name, a payload, a date that cannot be parsed, a text with nothing left or longer
            than any report.
    """

    action = Action.C

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        vr = element.VR
        if vr in NUMBER_VRS or vr in {"SQ", "TM"} or element.is_empty:
            return element
        if vr == "UI":
            return HashUID().apply(element, context)
        if vr in BYTES_VRS and element.tag == ICC_PROFILE:
            return _clean_colours(element)
        if vr in {"PN"} or vr in BYTES_VRS or sum(map(len, _values(element))) > MAX_CLEANED:
            raise CannotCleanError
        if vr in _TEXTS:
            cleaned = _with_values(element, clean_values(_values(element), context.clean_text))
        else:
            cleaned = _mapped(element, self._cleaner(element, context))
        if cleaned is not element and not any(_values(cleaned)):  # an IOD may require a value
            raise CannotCleanError
        return cleaned

    def _cleaner(self, element: DataElement, context: Context) -> Callable[[str], str]:
        vr, tag = element.VR, element.tag

        def parsed(value: str | None) -> str:
            if value is None:
                raise CannotCleanError
            return value

        if vr == "DA":
            return lambda value: parsed(shift_da(value, context.days))
        if vr == "DT":
            return lambda value: parsed(shift_dt(value, context.days))
        if vr == "AS":
            return lambda value: parsed(cap_age(value))
        return lambda value: value if is_defined_term(tag, value) else context.clean_text(value)


class KeepTerms(Operator):
    """C: keep a code string that is one of the standard's terms for the attribute.

    Raises:
        CannotCleanError: it is another term, which may be a name.
    """

    action = Action.C

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        if not all(is_defined_term(element.tag, value) for value in _values(element) if value):
            raise CannotCleanError
        return element


class HashUID(Operator):
    """U: the keyed UID that replaces the original; well-known UIDs stay.

    Raises:
        CannotCleanError: the value is bytes, not text.
    """

    action = Action.U

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        if element.VR == "SQ" or element.is_empty:
            return element
        if element.VR in BYTES_VRS:
            raise CannotCleanError
        return _mapped(element, lambda uid: context.identity.uid(uid, element.tag))


class PseudonymisePatientID(Operator):
    """Z with a dummy, as E.1.1 allows, or D: the patient's pseudonym, always the same under one key."""

    def __init__(self, action: Action = Action.Z) -> None:
        self.action = action

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        issuer = str(view_of(context.dataset).get("IssuerOfPatientID") or "")
        return _element(element, context.identity.patient_id(str(element.value or ""), issuer))


class AgeBand(Operator):
    """C: an age becomes the lowest age of its band of years; ages over 89 years are one band, 090Y.

    Args:
        years: how many a band has.

    Raises:
        CannotCleanError: it is not an age.
    """

    action = Action.C

    def __init__(self, years: int) -> None:
        self.years = years

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        return _mapped(element, self._band)

    def _band(self, age: str) -> str:
        band = band_age(age, self.years)
        if band is None:
            raise CannotCleanError
        return band


class KeepYear(Operator):
    """C: keep the year of a date, as its 1 January in a DA.

    Args:
        moves: first move the date by the patient's shift: beside shifted dates, its true year would reveal
            the shift.

    Raises:
        CannotCleanError: it is not a date.
    """

    action = Action.C

    def __init__(self, moves: bool = False) -> None:
        self.moves = moves

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        end = "0101" if element.VR == "DA" else ""

        def year(value: str) -> str:
            move = shift_da if element.VR == "DA" else shift_dt
            moved = move(value, context.days if self.moves else 0)
            if moved is None or "-" in moved[:-5]:  # a range; the offset of a DT stands last
                raise CannotCleanError
            return moved[:4] + end

        return _mapped(element, year)


class GuardBirthDate(Operator):
    """K or C of a date of birth, unless it would reveal, beside other dates, an age over 89 years.

    Attributes:
        guarded: the operator that is applied otherwise.

    Raises:
        CannotCleanError: it would reveal such an age.
    """

    def __init__(self, guarded: Operator) -> None:
        self.action = guarded.action
        self.guarded = guarded

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        if context.is_old and not element.is_empty:
            raise CannotCleanError
        return self.guarded.apply(element, context)


class Hash(Operator):
    """D: 16 letters and digits derived from the value with the run's key.

    idiscore's `Hash` is an unsalted MD5, which anyone with a list of names can look up; this one
    needs the key.
    """

    action = Action.D

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        if element.VR == "SQ" or element.is_empty:
            return element
        return _mapped(element, lambda value: context.identity.pseudonym("hash", value))


class SetFixedValue(Operator):
    """D: the same given value everywhere."""

    action = Action.D

    def __init__(self, value: Any) -> None:
        self.value = value

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        return _element(element, self.value)


BY_ACTION: dict[Action, Operator] = {
    operator.action: operator for operator in (Keep(), Remove(), Empty(), Replace(), Clean(), HashUID())
}


def _element(like: DataElement, value: Any) -> DataElement:
    return DataElement(like.tag, like.VR, value, validation_mode=config.IGNORE)


def _values(element: DataElement) -> list[str]:
    if isinstance(element.value, MultiValue | list | tuple):
        return [str(value) for value in element.value]
    return [str(element.value)]


def _mapped(element: DataElement, function: Callable[[str], str]) -> DataElement:
    """Apply a function of text to every value of an element; the same element when nothing changes."""
    return _with_values(element, [function(value) if value else value for value in _values(element)])


def _with_values(element: DataElement, values: list[str]) -> DataElement:
    if values == _values(element):
        return element
    return _element(element, values if len(values) > 1 else values[0])


def _clean_colours(element: DataElement) -> DataElement:
    try:
        return _element(element, clean_icc_profile(bytes(element.value)))
    except ValueError:
        raise CannotCleanError from None


def _dummy_items(element: DataElement) -> Sequence:
    """Return one invented code for a code sequence; other items stay and are visited."""
    items: Sequence = element.value
    if not items or not tag_name(element.tag).endswith("CodeSequence"):
        return items
    code = Dataset()
    code.CodeValue = "REMOVED"
    code.CodingSchemeDesignator = "99BEAMSTOP"
    code.CodeMeaning = "Removed by de-identification"
    return Sequence([code])
