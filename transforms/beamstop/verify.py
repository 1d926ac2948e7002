"""Verify: compares an original with its clean file and reports differences from what the recipe requires.

It shares with the run the recipe, the key's derivations (`identity`) and the search for identifiers
(`leaks`), but nothing that the run made: which identifiers must be gone, and which UIDs and dates may be
there, is computed again from the original's bytes, and checked in the bytes of the clean file.

1. `leak`: an identifier of the original that the recipe does not keep is in the clean file's bytes; comments
   of compressed frames are searched, top-level pixel data are not. Then names, numbers and UIDs are searched
   once more in their exact spelling, in all bytes, without the run's search.
2. `element`: an element is there, or has a value, that the recipe removes or empties.
3. `uid`: a UID that is not well known, not derived from one of the original's, and not kept or set by
   the recipe. Study, series and instance must be derived from their own originals.
4. `date`: a date that is neither a dummy, nor moved by the patient's shift from one of the original's,
   nor kept or set by the recipe.
5. `pseudonym`: PatientID is not the one that the key gives to this patient.

Values from a recipe's custom operators are only searched for identifiers, because their rules are unknown.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from io import BytesIO
from typing import Any, NamedTuple

from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from beamstop.dicom.character_sets import CHARACTER_SET_VRS
from beamstop.dicom.elements import MALFORMED, UNDEFINED_LENGTH, text_of
from beamstop.dicom.files import FIRST_PIXEL_TAG, IMPLEMENTATION_CLASS_UID, LAST_PIXEL_TAG, read_dicom
from beamstop.dicom.tags import is_private_creator, vr_of
from beamstop.dicom.walk import is_readable, walk
from beamstop.errors import PixelError, Quarantined, Refusal
from beamstop.identity import Identity
from beamstop.leaks.needles import MIN_UID_LENGTH
from beamstop.leaks.search import search
from beamstop.pixels.codestreams import comments
from beamstop.pixels.frame_extras import has_extras
from beamstop.recipe.model import Recipe
from beamstop.rules.icc_profiles import clean_icc_profile
from beamstop.rules.operators import (
    DUMMY_DATE,
    Clean,
    Empty,
    GuardBirthDate,
    HashUID,
    Keep,
    Operator,
    PseudonymisePatientID,
    Remove,
    Replace,
)
from beamstop.rules.plans import Plan
from beamstop.standard.uids import is_well_known_uid
from beamstop.steps.insert import PIXELS_DONE
from beamstop.words.identifiers import harvest, words_of
from beamstop.words.vocabulary import is_common_word
from beamstop.words.written_dates import find_dates

_PATIENT_ID, _SOP_INSTANCE_UID = 0x00100020, 0x00080018
_OWN_UIDS = (_SOP_INSTANCE_UID, 0x0020000D, 0x0020000E)
_REFERENCED_SOP_INSTANCE_UID = 0x00081155
_DERIVATION_DESCRIPTION, _RECOGNIZABLE_VISUAL_FEATURES = 0x00082111, 0x00280302
# Attributes that `insert` writes under every recipe.
_INSERTED = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280301, 0x00280303})
_DATE_VRS = frozenset({"DA", "DT"})
_DUMMY_DAY = date.fromisoformat(DUMMY_DATE)
_DAY = re.compile(r"(?<!\d)(\d{4})\.?(\d{2})\.?(\d{2})")
_META_START = 132
_SHORTEST_SPELLED = 6
_NUMBERS = frozenset({_PATIENT_ID, 0x00080050, 0x00101000, 0x00380010, 0x00200010, 0x00400009, 0x00401001})
# Ids of procedures may be codes of their kind.
_MAY_BE_CODES = frozenset({0x00200010, 0x00400009, 0x00401001})
_CODES = frozenset({0x00080100, 0x00080119, 0x00080120})


class Finding(NamedTuple):
    """One finding in a pair.

    Attributes:
        check: `leak`, `element`, `uid`, `date`, `pseudonym`, `frame_extras`, or `unreadable`.
        element: path by keywords in the clean file; tag numbers for private elements.
        detail: a code, never a value.
    """

    check: str
    element: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Pair:
    """The result for one pair.

    Attributes:
        findings: all findings.
        clean: the clean file, read; None if it cannot be read.
        original_uid: SOP Instance UID of the original.
        references: SOP Instance UIDs that the original refers to → their new UIDs in the clean file.
    """

    findings: tuple[Finding, ...]
    clean: FileDataset | None = None
    original_uid: str = ""
    references: tuple[tuple[str, str], ...] = ()


def verify_pair(original: bytes, clean: bytes, recipe: Recipe, identity: Identity) -> Pair:
    """Compare an original with its clean file.

    Args:
        original: the source's bytes.
        clean: the clean file's bytes.
        recipe: the recipe with which the clean file was made.
        identity: `recipe.identity(key, subjects)`.
    """
    try:
        before = read_dicom(original)
    except Refusal as refusal:
        return Pair((Finding("unreadable", "", f"original: {refusal.reason}"),))
    try:
        after = read_dicom(clean)
    except Refusal as refusal:
        return Pair((Finding("unreadable", "", f"clean file: {refusal.reason}"),))
    look = _Look(before, after, recipe, identity)
    try:
        findings = (*look.leaks(clean), *look.disagreements())
    except MALFORMED as error:
        findings = (Finding("unreadable", "", type(error).__name__),)
    return Pair(findings, after, look.uid(_SOP_INSTANCE_UID), look.references)


class _Element(NamedTuple):
    """An element with its place, from `walk`, converted."""

    dataset: Dataset
    path: tuple[int, ...]
    label: str
    vr: str
    value: Any
    creator: str | None
    around: tuple[str | None, ...]


class _Look:
    def __init__(self, before: FileDataset, after: FileDataset, recipe: Recipe, identity: Identity) -> None:
        # The raw bytes: pydicom may strip more than the padding from a value.
        self._own_uids = {tag: text_of(before, tag).strip(" \0") for tag in _OWN_UIDS}
        self._written_uids: set[str] = set()
        self._written_dates: set[date] = set()
        for place in walk(before, is_readable):
            written, is_uid = place.dataset._dict[place.tag].value, place.vr == "UI"
            # In a clean file without VRs, an attribute is a date even where the original has another VR.
            is_date = vr_of(place.tag, None) in _DATE_VRS and place.vr not in _DATE_VRS
            if isinstance(written, bytes) and (is_uid or is_date):
                texts = _texts(written.decode("iso-8859-1").split("\\"))
                self._written_uids.update(texts if is_uid else ())
                self._written_dates.update(_written_days(texts) if is_date else ())
        self._before = before
        self._after = after
        self._planner = recipe.planner.for_instance(before)
        self._identity = identity = identity.of(before)
        self._days = timedelta(days=identity.shift_days(before))
        self._sop_class = str(before.get("SOPClassUID") or "")
        self._set = {BaseTag(tag) for tag in _inserted_tags(recipe)}

    @cached_property
    def _derived_uids(self) -> set[str]:
        return {self._identity.uid(uid) for uid in self._all_uids | self._written_uids}

    @cached_property
    def _moved_dates(self) -> set[date]:
        """Every date of the original, in dates and in texts, moved by this patient's shift."""
        return {moved for day in self._all_dates if (moved := _move(day, self._days))}

    def uid(self, tag: int) -> str:
        return self._own_uids[tag]

    @property
    def references(self) -> tuple[tuple[str, str], ...]:
        """The references of the clean file whose originals are known, with those originals."""
        originals = {self._identity.uid(uid): uid for uid in _referenced(self._before)} | {
            uid: uid for uid in _referenced(self._before) & _referenced(self._after)
        }
        found = _referenced(self._after)
        return tuple(sorted((originals[uid], uid) for uid in found if uid in originals))

    def leaks(self, clean: bytes) -> Iterator[Finding]:
        """Search the clean file's bytes for identifiers that must be gone."""
        identifiers = harvest(self._before, self._planner.keeps)
        if self._identity.subject is not None:
            identifiers = identifiers.without_parts(self._identity.subject.pseudonym)
        # A moved date, or one that an operator made, may by chance equal another date of the original.
        moved = self._moved_dates if self._planner.dates_move else set()
        identifiers = identifiers.without_dates(moved | self._made_dates())
        try:
            header, said = _haystack(clean, self._after)
            search(header, identifiers, said)
        except Quarantined as quarantined:
            yield Finding(quarantined.reason, quarantined.detail)
            return
        # Again, without any of the run's code, and in the pixel data too.
        spelled = set(_spelled_out(self._before, self._planner.keeps, identifiers.encodings))
        for place, data in (("", header), ("PixelData", clean)):
            if any(_stands_alone(text, data) for text in spelled):
                yield Finding("leak", place, "as it is spelled in the original")
                return

    def _made_dates(self) -> set[date]:
        """Return the dates of the clean file that a custom operator of the recipe wrote."""
        dates = (element for element in _elements(self._after) if element.vr in _DATE_VRS)
        known = (type(None), Remove, Empty, Replace, Clean)
        return {day for it in dates if not isinstance(self._plan(it).operator, known) for day in _days(it)}

    def disagreements(self) -> Iterator[Finding]:
        """Compare every element of the clean file with the recipe, and UIDs and dates with the key."""
        for element in _elements(self._after):
            tag = element.path[-1]
            if element.path[0] in self._set or is_private_creator(tag):
                continue
            if element.path == (_DERIVATION_DESCRIPTION,) and element.value in PIXELS_DONE:
                continue  # beamstop's own, if the recipe left nothing of the original
            plan = self._plan(element)
            code = self._judge(element, plan)
            if code:
                yield Finding(code, element.label)
        try:
            if has_extras(self._after, clean_icc_profile):
                yield Finding("frame_extras", "PixelData")
        except PixelError as error:
            yield Finding("frame_extras", "PixelData", error.reason)
        for element in _elements(self._after.file_meta):
            if element.vr == "UI" and not self._is_right_in_meta(element):
                yield Finding("uid", element.label)

    def _plan(self, element: _Element) -> Plan:
        return self._planner.plan(element.path, element.creator, element.vr, self._sop_class, element.around)

    def _judge(self, element: _Element, plan: Plan) -> str | None:
        operator, vr = plan.operator, element.vr
        if isinstance(operator, Remove) and not self._is_content(element):
            return "element"
        if not element.value and element.value != 0:
            return None
        if isinstance(operator, Empty) and not self._is_content(element):
            return "element"
        if element.path == (_PATIENT_ID,):
            return None if self._is_right_patient(element, operator) else "pseudonym"
        if vr == "UI":
            return None if self._is_right_uid(element, operator) else "uid"
        if vr in _DATE_VRS:
            return None if self._is_right_date(element, operator) else "date"
        return None

    def _is_content(self, element: _Element) -> bool:
        """Return whether a value is a content item's, for which Table E.3.4-1 decides, not the tag alone."""
        return self._planner.content_action(element.dataset) is not None

    def _is_right_patient(self, element: _Element, operator: Operator | None) -> bool:
        value, old = str(element.value), str(self._before.get("PatientID") or "")
        if operator is None:
            return value == old
        if isinstance(operator, PseudonymisePatientID):
            issuer = str(self._before.get("IssuerOfPatientID") or "")
            return value == self._identity.patient_id(old, issuer)
        return True

    def _is_right_uid(self, element: _Element, operator: Operator | None) -> bool:
        values = _texts(element.value)
        if operator is None:
            return all(uid in self._all_uids for uid in values)
        if not isinstance(operator, HashUID | Replace | Clean):
            return True
        if element.path[-1] in _OWN_UIDS and len(element.path) == 1:
            originals = _texts(self.uid(element.path[-1]).split("\\"))
            return values == [self._identity.uid(uid) for uid in originals]
        tag = element.path[-1]
        return all(is_well_known_uid(uid, tag) or uid in self._derived_uids for uid in values)

    def _is_right_in_meta(self, element: _Element) -> bool:
        values = _texts(element.value)
        ours = {str(IMPLEMENTATION_CLASS_UID), str(self._after.get("SOPInstanceUID") or "")}
        standard = {str(self._after.get("SOPClassUID") or "")}
        tag = element.path[-1]
        return all(is_well_known_uid(uid, tag) or uid in ours | standard for uid in values)

    def _is_right_date(self, element: _Element, operator: Operator | None) -> bool:
        days = set(_days(element))
        if isinstance(operator, GuardBirthDate):
            operator = operator.guarded
        if operator is None or isinstance(operator, Keep):
            return days <= self._all_dates
        if isinstance(operator, Replace):
            return all(text.startswith(DUMMY_DATE) for text in _texts(element.value))
        if isinstance(operator, Clean):
            # The dummy replaces a value that was not a date.
            return days <= self._moved_dates | {_DUMMY_DAY}
        return True

    @cached_property
    def _all_uids(self) -> set[str]:
        uids = (element for element in _elements(self._before) if element.vr == "UI")
        return {uid for element in uids for uid in _texts(element.value)}

    @cached_property
    def _all_dates(self) -> set[date]:
        return self._written_dates | {day for element in _elements(self._before) for day in _days(element)}


def _inserted_tags(recipe: Recipe) -> Iterator[int]:
    yield from _INSERTED
    if recipe.face_action is not None:
        yield _RECOGNIZABLE_VISUAL_FEATURES
    for keyword in recipe.insert:
        element = Dataset()
        setattr(element, keyword, None)
        yield from element.keys()


def _haystack(clean: bytes, dataset: FileDataset) -> tuple[bytes, bytes]:
    """Return a file, inflated and without its top-level pixel data; and the comments of compressed frames.

    Args:
        clean: the whole file.
        dataset: read from it, nothing converted yet.
    """
    if dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        meta = read_partial(BytesIO(clean), stop_when=lambda *_: True)
        start = _META_START + 12 + int(meta.file_meta.FileMetaInformationGroupLength)
        return clean[:start] + zlib.decompressobj(-zlib.MAX_WBITS).decompress(clean[start:]), b""
    pieces, at, said = [], 0, b""
    for tag in sorted(tag for tag in dataset._dict if FIRST_PIXEL_TAG <= tag <= LAST_PIXEL_TAG):
        element: Any = dataset._dict[tag]
        is_encapsulated = element.length == UNDEFINED_LENGTH
        pieces.append(clean[at : element.value_tell - (8 if element.is_implicit_VR else 12)])
        value = element.value or b""
        at = element.value_tell + len(value) + (8 if is_encapsulated else 0)
        said += comments(value) if is_encapsulated else b""
    return b"".join((*pieces, clean[at:])), said


def _spelled_out(
    dataset: FileDataset, keeps: Callable[[tuple[int, ...]], bool], encodings: tuple[str, ...]
) -> Iterator[bytes]:
    """Yield the names, numbers and UIDs of an original that must be gone, in their exact spelling.

    They are encoded in UTF-8, in Latin-1 and in the instance's own character sets, if these have all letters.
    Those of fewer than six letters are left out, and those that consist of ordinary words or dates.
    """
    elements = list(_elements(dataset))
    codes = {str(element.value).strip() for element in elements if element.path[-1] in _CODES}
    kept = {str(element.value).strip() for element in elements if keeps(element.path)}
    for element in elements:
        if keeps(element.path) or not (element.vr in {"PN", "UI"} or element.path[-1] in _NUMBERS):
            continue
        for text in _texts(element.value):
            words = words_of(text)
            is_common = is_well_known_uid(text, element.path[-1]) or text == IMPLEMENTATION_CLASS_UID
            is_telling_uid = element.vr == "UI" and len(text) >= MIN_UID_LENGTH  # of whatever numbers
            tells = not is_common and (is_telling_uid or not all(map(is_common_word, words)))
            is_code = text in codes and element.path[-1] in _MAY_BE_CODES
            if len(text) >= _SHORTEST_SPELLED and text not in kept and tells and not is_code:
                for encoding in dict.fromkeys(("utf-8", "latin-1", *encodings)):
                    with suppress(LookupError, UnicodeError):
                        yield text.encode(encoding)


def _stands_alone(text: bytes, data: bytes) -> bool:
    """Return whether a text is in the data without an adjoining letter, digit or point."""
    at = data.find(text)
    while at >= 0:
        beside = data[max(0, at - 1) : at] + data[at + len(text) : at + len(text) + 1]
        if not any(chr(byte).isalnum() or byte == ord(".") for byte in beside):
            return True
        at = data.find(text, at + 1)
    return False


def _elements(dataset: Dataset) -> Iterator[_Element]:
    """Yield every element with its converted value, at every depth; of sequences only the items' elements.

    Top-level pixel data and values that pydicom cannot convert are left out: `leaks` searches the latter as
    bytes.
    """
    for place in walk(dataset, is_readable):
        if place.depth == 0 and FIRST_PIXEL_TAG <= place.tag <= LAST_PIXEL_TAG:
            continue
        try:
            element = place.dataset[place.tag]
            value: Any = element.value
        except MALFORMED:
            continue
        if element.VR != "SQ":
            creator, around = place.creator, place.around
            yield _Element(place.dataset, place.path, place.label, place.vr, value, creator, around)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, MultiValue | list | tuple) else [value]
    return [text for it in values if (text := str(it).strip(" \0"))]


def _days(element: _Element) -> Iterator[date]:
    """Yield the days in a date or a text."""
    if element.vr in _DATE_VRS:
        yield from _written_days(_texts(element.value))
    elif element.vr in CHARACTER_SET_VRS:
        for text in _texts(element.value):
            yield from (day for found in find_dates(text) for day in found.readings)


def _written_days(texts: list[str]) -> Iterator[date]:
    for text in texts:
        for year, month, day in _DAY.findall(text):
            with suppress(ValueError):
                yield date(int(year), int(month), int(day))


def _move(day: date, by: timedelta) -> date | None:
    try:
        return day + by
    except OverflowError:
        return None


def _referenced(dataset: Dataset) -> set[str]:
    return {
        uid
        for element in _elements(dataset)
        if element.path[-1] == _REFERENCED_SOP_INSTANCE_UID
        for uid in _texts(element.value)
    }
