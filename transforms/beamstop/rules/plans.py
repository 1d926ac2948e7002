"""Plans: the rule for an attribute at its place, and its resolved action."""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_is_retired,
    dictionary_VR,
    repeater_has_tag,
    tag_for_keyword,
)
from pydicom.dataset import Dataset

from beamstop.dicom.elements import text_of
from beamstop.dicom.tags import vr_of
from beamstop.dicom.views import view_of
from beamstop.rules.bulk_data import has_no_place, operator_of
from beamstop.rules.declared_private import Block, Declared, declared_blocks
from beamstop.rules.operators import (
    BY_ACTION,
    BYTES_VRS,
    CLEANED_VRS,
    ICC_PROFILE,
    NUMBER_VRS,
    Clean,
    GuardBirthDate,
    Keep,
    KeepTerms,
    Operator,
    PseudonymisePatientID,
    Remove,
    Replace,
)
from beamstop.rules.profile import (
    CLEAN_DESCRIPTORS,
    CLEAN_STRUCTURED_CONTENT,
    FULL_DATES,
    MODIFIED_DATES,
    OPTIONS,
    RETAIN_SAFE_PRIVATE,
    RETAIN_UIDS,
    newer_vrs,
)
from beamstop.rules.rules import Condition, Profile, Rule
from beamstop.rules.tag_identifiers import PrivateTags
from beamstop.standard.actions import Action
from beamstop.standard.content_items import find_content_item
from beamstop.standard.iods import attribute_type, resolve
from beamstop.standard.safe_private import safe_vr
from beamstop.words.clean_text import UnknownWords

_MAX_PLANS, _MAX_VARIANTS = 100_000, 64
BIRTH_DATE, _PATIENT_ID = 0x00100030, 0x00100020
_CODE_VALUE, _CODING_SCHEME_DESIGNATOR, _VALUE_TYPE = 0x00080100, 0x00080102, 0x0040A040
_PATIENT_ID_DUMMY = PseudonymisePatientID(Action.D)

# No reader could open an object without these, so a profile that removes unlisted attributes keeps them.
_STRUCTURE = {0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E}
CONTENT_VALUES = frozenset({0x0040A120, 0x0040A121, 0x0040A122, 0x0040A123, 0x0040A124, 0x0040A160})
# VRs of text by people or stations; in code strings, only undefined terms.
_FREE_TEXT_VRS = CLEANED_VRS - {"AE"}
_TELLING_VRS = CLEANED_VRS | {"DA", "DT", "PN", "UI"}
_NO_FREE_TEXT = {
    tag_for_keyword(keyword)
    for keyword in (
        "CodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeURL",
        "CodingSchemeVersion",
        "ContextIdentifier",
        "LongCodeValue",
        "MappingResource",
        "RecognitionCode",
        "SpecificCharacterSet",
        "URNCodeValue",
    )
}
_REMOVED = frozenset({Action.X, Action.Z})
_PIXEL_GROUP, _IMAGE_PIXEL_GROUP = 0x7FE0, 0x0028
_IMAGE_PIXEL_ELEMENTS = (range(0x0002, 0x0122), range(0x1040, 0x1224))  # about display, not processing


def is_unknown(tag: int) -> bool:
    """Return whether PS3.6 has no such attribute, or has retired it.

    >>> [is_unknown(tag) for tag in (0x00080060, 0x00284000, 0x00091001)]
    [False, True, True]
    """
    is_known = dictionary_has_tag(tag) or repeater_has_tag(tag)
    return not is_known or dictionary_is_retired(tag)


class Plan(NamedTuple):
    """What is done to one attribute at one place.

    Attributes:
        action: the code, compounds resolved.
        operator: None keeps the element untouched.
        origin: rule set and line.
        fallback: X, Z or D if the operator cannot process the value.
        vr: the value representation to read it by, if the file has none.
        grammar: pattern that a kept value must match; None for anything.
    """

    action: Action
    operator: Operator | None
    origin: str = ""
    fallback: Action = Action.X
    vr: str | None = None
    grammar: re.Pattern[str] | None = None


def _values(one: str) -> re.Pattern[str]:
    """Return the pattern of values separated by backslashes, all of which may be empty."""
    return re.compile(rf"[\s\0]*+(?:{one})?[\s\0]*+(?:\\[\s\0]*+(?:{one})?[\s\0]*+)*")


# PS3.5 6.2, and common deviations of devices.
NUMBER = _values(r"[+-]?(?:(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eEdD][+-]?\d+)?|(?i:nan|inf(?:inity)?))")
_TIME = _values(r"(?:[01]\d|2[0-3])(?::?[0-5]\d(?::?(?:[0-5]\d|60)(?:\.\d{0,6})?)?)?")
_GRAMMARS = {"AS": _values(r"\d{1,3}[DWMYdwmy]?"), "DS": NUMBER, "IS": NUMBER, "TM": _TIME}
_KEEP_TERMS = KeepTerms()
_UNKNOWN = "unknown"
_BULK_DATA = "beamstop:bulk data"
_DECLARED = "beamstop:not declared safe"
NOT_A_VALUE = Plan(Action.Z, BY_ACTION[Action.Z], "beamstop:not a value of its VR")


@dataclass(frozen=True)
class Planner:
    """Decides about each attribute, and remembers the decision.

    Attributes:
        profile: the rules.
        options: names of the PS3.15 options that are on.
        keep_unlisted: standard attributes that no rule names stay; otherwise zero trust.
        keep_unknown: elements that are not in the data dictionary stay.
        asks_iod: if unlisted attributes are removed, keep, in some form, those that a valid object needs.
        unknown_words: what happens to words of cleaned texts that no vocabulary knows.
        extra_words: folded words that the recipe adds to the vocabulary.
        trusts_declared: keep private blocks that the file declares safe, without being on a list.
        declared: this file's declarations.
    """

    profile: Profile
    options: frozenset[str] = frozenset()
    keep_unlisted: bool = True
    keep_unknown: bool = False
    unknown_words: UnknownWords = "keep"
    extra_words: frozenset[str] = frozenset()
    asks_iod: bool = True
    trusts_declared: bool = False
    declared: Declared = frozenset()
    _plans: dict[str, dict[Any, Plan]] = field(default_factory=dict, repr=False, compare=False)
    _kept: dict[tuple[int, ...], bool] = field(default_factory=dict, repr=False, compare=False)
    _variants: dict[tuple[frozenset[Condition], Declared], "Planner"] = field(
        default_factory=dict, repr=False, compare=False
    )

    def for_instance(self, dataset: Dataset) -> "Planner":
        """Return the planner for an instance, given the conditions that it meets and its declarations.

        Args:
            dataset: before anything in it is changed; its raw elements stay raw.
        """
        conditions = self._conditions
        declared: Declared = declared_blocks(dataset) if self.keeps_safe_private else frozenset()
        if not conditions and not declared:
            return self
        view = view_of(dataset)
        fitting = frozenset(condition for condition in conditions if condition(view))
        if not fitting and not declared:
            return self
        variant = self._variants.get((fitting, declared))
        if variant is None:
            if len(self._variants) >= _MAX_VARIANTS:
                self._variants.clear()
            profile = self.profile.holding(fitting)
            variant = self._variants[fitting, declared] = replace(
                self, profile=profile, declared=declared, _plans={}, _kept={}, _variants={}
            )
        return variant

    @cached_property
    def _conditions(self) -> tuple[Condition, ...]:
        return self.profile.conditions

    @property
    def dates_move(self) -> bool:
        """Whether all dates of a patient are shifted."""
        return MODIFIED_DATES in self.options

    @property
    def keeps_safe_private(self) -> bool:
        """Whether safe private elements are kept."""
        return RETAIN_SAFE_PRIVATE in self.options

    @cached_property
    def _safe_blocks(self) -> dict[Block, frozenset[int] | None]:
        return dict(self.declared)

    @property
    def dates_stay(self) -> bool:
        """Whether dates remain at all, shifted or not."""
        return self.dates_move or FULL_DATES in self.options

    @cached_property
    def guards_birth_date(self) -> bool:
        """Whether a date of birth may stay, in part or moved."""
        return isinstance(self._kept_plan((BIRTH_DATE,)).operator, GuardBirthDate)

    @cached_property
    def removal_of_private(self) -> str | None:
        """The origin of the one rule that removes all private attributes; None if they have several.

        Then a private block can go as a whole: half of the walk's time, in a CT with 179 private elements.
        """
        rules = [rule for rule in self.profile.flatten() if rule.identifier.may_be_private]
        if not rules:
            return None if self.keep_unknown else _UNKNOWN
        first = rules[0]
        removes = first.operation is Action.X or type(first.operation) is Remove
        return first.origin if removes and first.identifier == PrivateTags() else None

    def keeps(self, path: tuple[int, ...]) -> bool:
        """Return whether an attribute stays unchanged, and no sequence around it is removed.

        Args:
            path: tags from the top level to it.
        """
        kept = self._kept.get(path)
        if kept is None:
            around = (self._kept_plan(path[:end]).action for end in range(1, len(path)))
            kept = self._kept_plan(path).operator is None and _REMOVED.isdisjoint(around)
            if len(self._kept) < _MAX_PLANS:
                self._kept[path] = kept
        return kept

    def _kept_plan(self, path: tuple[int, ...]) -> Plan:
        plans = self.plans_for("")
        key = (path, "" if path[-1] & 0x10000 else None, None)
        plan = plans.get(key)
        if plan is None:
            plan = plans[key] = self.plan(*key, "")
        return plan

    def plans_for(self, sop_class: str) -> dict[Any, Plan]:
        """Return the memo of plans for one SOP class; it depends on the recipe alone."""
        plans = self._plans.setdefault(sop_class, {})
        if len(plans) > _MAX_PLANS:  # the private tags of a large archive must not fill the memory
            plans.clear()
        return plans

    def plan(
        self,
        path: tuple[int, ...],
        creator: str | None,
        raw_vr: str | None,
        sop_class: str,
        around: tuple[str | None, ...] = (),
    ) -> Plan:
        """Decide what is done to one attribute at one place.

        Args:
            path: tags from the top level to it.
            creator: of its private block; None for a standard attribute.
            raw_vr: as in the file; None if the syntax is implicit.
            sop_class: determines which attributes the object needs.
            around: private creators of the sequences around it; empty if none of them is private.
        """
        found = self._plan(path, creator, raw_vr, sop_class, around)
        stays = found.operator is None or type(found.operator) in (Clean, Keep)
        grammar = found.grammar or _GRAMMARS.get(vr_of(path[-1], raw_vr))
        return found._replace(grammar=grammar) if stays else found

    def _plan(
        self,
        path: tuple[int, ...],
        creator: str | None,
        raw_vr: str | None,
        sop_class: str,
        around: tuple[str | None, ...],
    ) -> Plan:
        tag = path[-1]
        vr = vr_of(tag, raw_vr)
        rule = self.profile.rule_for(path, creator, around)
        if rule is None:
            return self._unlisted(path, vr, sop_class)
        if creator is not None and _cleans(rule) and not rule.identifier.names_creator:
            return self._safe_private(path, creator, raw_vr, rule)
        newer = newer_vrs().get(tag) if vr == "UN" else None
        return self._by_rule(rule, path, newer or vr, sop_class)._replace(vr=newer)

    def _by_rule(self, rule: Rule, path: tuple[int, ...], vr: str, sop_class: str) -> Plan:
        operation = rule.operation
        fallback = _still_valid(resolve(rule.fallback, sop_class, path), sop_class, path, vr)
        if (operation is Action.K or type(operation) is Keep) and _is_disguised(path[-1], vr):
            gone = _still_valid(Action.X, sop_class, path, vr)
            return Plan(gone, BY_ACTION[gone], rule.origin, gone)
        if isinstance(operation, Operator):
            return Plan(operation.action, _fitted(path, operation), rule.origin, fallback)
        action = _still_valid(resolve(operation, sop_class, path), sop_class, path, vr)
        if action is Action.K and path[-1] != BIRTH_DATE:
            return self._keep(vr, rule.origin)
        return Plan(action, _fitted(path, BY_ACTION[action]), rule.origin, fallback)

    def content_action(self, item: Dataset) -> Action | None:
        """Return the action of Table E.3.4-1 for one content item of a report; None if it has none.

        This applies if structured content is cleaned (PS3.15 E.3.4); otherwise every value gets a dummy.
        """
        if CLEAN_STRUCTURED_CONTENT not in self.options:
            return None
        for concept in item.get("ConceptNameCodeSequence") or ():
            code, scheme = text_of(concept, _CODE_VALUE), text_of(concept, _CODING_SCHEME_DESIGNATOR)
            row = find_content_item(code, scheme, text_of(item, _VALUE_TYPE))
            if row is not None:
                chosen = [
                    row.options[name] for name in OPTIONS if name in self.options and name in row.options
                ]
                return chosen[-1] if chosen else Action.X if row.basic is Action.X_D else row.basic
        return None

    def content_plan(self, action: Action) -> Plan:
        """Return the plan for the value of a content item that the table lists."""
        operator = None if action is Action.K else BY_ACTION[action]
        return Plan(action, operator, "content item", Action.D)

    def _keep(self, vr: str, origin: str) -> Plan:
        if vr == "SQ":
            return Plan(Action.K, BY_ACTION[Action.K], origin)
        if vr == "AS":
            return Plan(Action.C, BY_ACTION[Action.C], origin)  # ages over 89
        return Plan(Action.K, None, origin)

    def _unlisted(self, path: tuple[int, ...], vr: str, sop_class: str) -> Plan:
        """Plan an attribute that no rule names."""
        tag = path[-1]
        if is_unknown(tag):
            if not self.keep_unknown:
                return Plan(Action.X, BY_ACTION[Action.X], _UNKNOWN)
        elif not self.keep_unlisted and not _is_structure(path):
            return self._needed(path, vr, sop_class)
        elif has_no_place(path, not BYTES_VRS.isdisjoint(vr.split(" or ")), sop_class):
            return Plan(Action.X, BY_ACTION[Action.X], _BULK_DATA)
        elif operator := operator_of(tag, sop_class):
            return Plan(Action.C, operator, _BULK_DATA, _still_valid(Action.X, sop_class, path, vr))
        if vr == "UI":
            if RETAIN_UIDS in self.options:
                return Plan(Action.K, None, "unlisted")
            return Plan(Action.U, BY_ACTION[Action.U], "unlisted:UI")
        if vr == "PN":
            return Plan(Action.Z, BY_ACTION[Action.Z], "unlisted:PN")
        if vr in {"DA", "DT"}:
            return self._unlisted_date(f"unlisted:{vr}", _still_valid(Action.X, sop_class, path, vr))
        if CLEAN_DESCRIPTORS in self.options and vr in _FREE_TEXT_VRS and tag not in _NO_FREE_TEXT:
            fallback = resolve(Action.X_Z_D, sop_class, path)
            return Plan(Action.C, BY_ACTION[Action.C], f"unlisted:{vr}", fallback)
        return self._keep(vr, "unlisted")

    def _needed(self, path: tuple[int, ...], vr: str, sop_class: str) -> Plan:
        """Plan an attribute that is removed unless a valid object needs it.

        Type 2 is emptied. In Type 1, numbers, terms of the standard and codes stay, UIDs are remapped,
        sequences are visited; anything else gets a dummy, except bytes, which are removed.
        """
        type_ = (self.asks_iod and attribute_type(sop_class, path)) or "3"
        origin = f"unlisted:Type {type_}"
        if path[-1] == ICC_PROFILE and type_[0] == "1":
            return Plan(Action.C, BY_ACTION[Action.C], origin)
        if type_[0] == "3" or vr in BYTES_VRS:
            return Plan(Action.X, BY_ACTION[Action.X], "unlisted")
        if type_[0] == "2":
            return Plan(Action.Z, BY_ACTION[Action.Z], origin)
        if vr in NUMBER_VRS or vr == "SQ" or path[-1] in _NO_FREE_TEXT:
            return self._keep(vr, origin)
        if vr == "CS":
            return Plan(Action.C, _KEEP_TERMS, origin, Action.D)
        action = Action.U if vr == "UI" else Action.D
        return Plan(action, BY_ACTION[action], origin, Action.D)

    def _unlisted_date(self, origin: str, gone: Action = Action.X) -> Plan:
        if FULL_DATES in self.options:
            return Plan(Action.K, None, origin)
        action = Action.C if MODIFIED_DATES in self.options else gone
        return Plan(action, BY_ACTION[action], origin, gone)

    def _safe_private(
        self, path: tuple[int, ...], creator: str | None, raw_vr: str | None, rule: Rule
    ) -> Plan:
        """Keep a private attribute that is listed as safe; UIDs and dates in it are still processed.

        Attributes that the file itself declares unsafe are still removed (PS3.15 E.3.10).
        """
        tag = path[-1]
        listed = safe_vr(creator or "", tag >> 16, tag & 0xFF)
        block = (tag >> 16, (creator or "").strip())
        if block in self._safe_blocks:
            safe = self._safe_blocks[block]
            if safe is not None and tag & 0xFF not in safe:
                return Plan(Action.X, BY_ACTION[Action.X], _DECLARED)
            if listed is None and self.trusts_declared and raw_vr != "UN":
                listed = raw_vr
        if listed is None or listed == "PN":
            return Plan(Action.X, BY_ACTION[Action.X], rule.origin)
        vr = raw_vr if raw_vr not in {None, "UN"} else listed
        override = vr if vr != raw_vr else None
        if vr == "UI":
            action = Action.K if RETAIN_UIDS in self.options else Action.U
            return Plan(
                action, None if action is Action.K else BY_ACTION[action], rule.origin, Action.X, override
            )
        if vr in {"DA", "DT"}:
            return self._unlisted_date(rule.origin)._replace(vr=override)
        if vr == "SQ":
            return Plan(Action.K, BY_ACTION[Action.K], rule.origin, Action.X, override)
        if vr in CLEANED_VRS:
            return Plan(Action.C, BY_ACTION[Action.C], rule.origin, Action.X, override)
        # Numbers without a VR in the file must have the form of numbers.
        return Plan(Action.K, None, rule.origin, Action.X, grammar=_GRAMMARS.get(vr))


def _is_disguised(tag: int, vr: str) -> bool:
    """Return whether a file has text, a name, a date or a UID where the standard has numbers or bytes."""
    if vr not in _TELLING_VRS or tag & 0x10000 or not dictionary_has_tag(tag):
        return False
    return (NUMBER_VRS | BYTES_VRS).issuperset(dictionary_VR(tag).split(" or "))


def _cleans(rule: Rule) -> bool:
    return rule.operation is Action.C or isinstance(rule.operation, Clean)


def _fitted(path: tuple[int, ...], operator: Operator) -> Operator:
    """Return the operator, guarded for its place.

    Guarded if it keeps a date of birth that may reveal an age over 89. The dummy of a PatientID is its usual
    pseudonym.
    """
    if path[-1] == BIRTH_DATE and operator.action in (Action.K, Action.C):
        return GuardBirthDate(operator)
    return _PATIENT_ID_DUMMY if path[-1] == _PATIENT_ID and type(operator) is Replace else operator


def _still_valid(action: Action, sop_class: str, path: tuple[int, ...], vr: str) -> Action:
    """Return a dummy or an empty value if removing a required attribute would break the object.

    Table E.1-1 has X for attributes that some IOD makes Type 1, such as PresentationCreationDate. Type 2C
    counts as 2: the attribute is present, so its condition is met. A sequence gets no dummy.
    """
    if action not in {Action.X, Action.Z}:
        return action
    needed = attribute_type(sop_class, path)
    if needed == "1" and vr != "SQ":
        return Action.D
    return Action.Z if needed in {"2", "2C"} else action


def _is_structure(path: tuple[int, ...]) -> bool:
    tag = path[-1]
    group, element = tag >> 16, tag & 0xFFFF
    if len(path) > 1:
        return False
    if group == _IMAGE_PIXEL_GROUP:
        return any(element in elements for elements in _IMAGE_PIXEL_ELEMENTS)
    return group == _PIXEL_GROUP or tag in _STRUCTURE
