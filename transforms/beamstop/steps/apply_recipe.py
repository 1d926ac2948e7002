"""ApplyRecipe: walks a dataset once and applies the recipe to every element."""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from beamstop.changes import Change, block_size
from beamstop.dicom.character_sets import CannotHoldError, as_read
from beamstop.dicom.deadline import check_time
from beamstop.dicom.elements import (
    MALFORMED,
    UNDEFINED_LENGTH,
    UNKNOWN_VRS,
    as_sequence,
    failing_if_malformed,
    hides_sequence,
    text_of,
    value_bytes,
)
from beamstop.dicom.files import BLANK_PREAMBLE, clean_file_meta
from beamstop.dicom.limits import MAX_DEPTH
from beamstop.dicom.tags import (
    creator_text,
    is_private_creator,
    private_block_start,
    tag_name,
    tag_text,
    vr_of,
)
from beamstop.errors import Failed
from beamstop.identity import Identity
from beamstop.recipe.model import Recipe
from beamstop.rules.bulk_data import BULK_OPERATORS, is_unseen_picture
from beamstop.rules.csa_headers import Physics, csa_physics
from beamstop.rules.dates import OVER_AGE, cap_age, is_over_age
from beamstop.rules.declared_private import CHARACTERISTICS, blocks_in, is_about
from beamstop.rules.dependents import emptied_lists, filled_lists, is_upheld, upheld
from beamstop.rules.foreign import apply_foreign, is_foreign
from beamstop.rules.operators import (
    BY_ACTION,
    CLEANED_VRS,
    MAX_CLEANED,
    CannotCleanError,
    Clean,
    Context,
    Empty,
    GuardBirthDate,
    HashUID,
    Remove,
    Replace,
)
from beamstop.rules.plans import BIRTH_DATE, CONTENT_VALUES, NOT_A_VALUE, NUMBER, Plan, Planner
from beamstop.standard.actions import Action
from beamstop.words.clean_text import clean_text
from beamstop.words.identifiers import MAX_ESCAPES, Identifiers, harvest

Element = Any  # a DataElement or a RawDataElement: pydicom's own containers hold both
_Removal = tuple[Element, str]  # a removed private element, and the rule that removed it
_DATE_VRS = {"DA", "DT"}
# Custom operators may change their argument.
_NEVER_IN_PLACE = {type(operator) for operator in (*BY_ACTION.values(), *BULK_OPERATORS)}
_VISITED = {Action.K, Action.C, Action.U}  # actions on a sequence whose items are visited
_ALWAYS_A_CHANGE = {Action.D, Action.X, Action.Z}
_SOP_CLASS_UID = 0x00080016
_MODALITY = 0x00080060
_PATIENT_ID, _PATIENT_AGE = 0x00100020, 0x00101010
_DAYS_OF_EXAMINATION = (0x00080020, 0x00080021, 0x00080022, 0x00080023)  # study, series, acquisition, content
_ORIGINAL_IDS = (0x00100020, 0x0020000D, 0x0020000E, 0x00080018)  # patient, study, series, instance
_CONTENT_SEQUENCE = 0x0040A730
_DELIMITERS, _FIRST_PICTURE = 0xFFFE, 0x6000  # groups
_LONGEST_NUMBER = 64  # digits
_LONG = 5  # digits; shorter numbers are counts and sizes
_SHORTEST_PADDED = 4  # digits of an identifier that is found behind zeros
_MAX_BYTES = 4  # of a character
_SHORT_LIST, _LONG_LIST = 64, 4096  # characters
_WITHOUT_NUMERALS = dict.fromkeys(map(ord, "0123456789+-.eE\\ \0"))
_LONG_NUMBER = re.compile(rf"(?<![\d.])(\d{{{_LONG},}})(?:[.,]0*)?(?![\d.,])")
_EXPONENT = re.compile(r"[eEdD]")
_CSA_PHYSICS = "beamstop:physics of a CSA header"
_BLOCK_GONE = "beamstop:private block gone"
_UNWRITABLE = b"unwritable"  # stands for a value that cannot be written as bytes
_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003


class OriginalIds(NamedTuple):
    """The four identifiers of an instance before de-identification, only for the crosswalk."""

    patient_id: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    sop_instance_uid: str | None = None


@dataclass
class AttributeReport:
    """What was done to the attributes of one instance.

    Attributes:
        original: its identifiers before.
        identifiers: those that CheckLeaks must not find.
        changes: one entry per element acted on; empty unless asked for.
        removed, emptied, replaced, kept: numbers of elements, each of which is one of these.
        uids_remapped, dates_shifted: numbers of those replaced that are UIDs, or dates moved by the shift.
    """

    original: OriginalIds = field(default_factory=OriginalIds)
    identifiers: Identifiers = field(default_factory=Identifiers)
    changes: list[Change] = field(default_factory=list)
    removed: int = 0
    emptied: int = 0
    replaced: int = 0
    kept: int = 0
    uids_remapped: int = 0
    dates_shifted: int = 0

    def add(self, other: "AttributeReport") -> None:
        """Add the counts and changes of another to this one."""
        self.changes += other.changes
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_COUNTS = ("removed", "emptied", "replaced", "kept", "uids_remapped", "dates_shifted")


def apply_recipe(
    dataset: Dataset,
    recipe: Recipe,
    identity: Identity,
    source_id: str = "",
    detail: bool = True,
    max_depth: int = MAX_DEPTH,
) -> AttributeReport:
    """De-identify the attributes of one instance in place, at every depth and in the file meta.

    Args:
        dataset: as read; raw elements that no rule changes stay raw, so byte-identical.
        recipe: to apply.
        identity: makes keyed replacements.
        source_id: to which the digests of `changes` are bound.
        detail: also return one `Change` per element acted on.
        max_depth: most items in items, `DEEPEST` at most.

    Raises:
        Failed: `truncated` inside a sequence, `too_deep`, or `unreadable`.
    """
    return apply_plans(dataset, recipe.planner, identity, source_id, detail, max_depth)


@failing_if_malformed
def apply_plans(
    dataset: Dataset,
    planner: Planner,
    identity: Identity,
    source_id: str = "",
    detail: bool = True,
    max_depth: int = MAX_DEPTH,
) -> AttributeReport:
    """Do the same as `apply_recipe`, with a given planner."""
    planner, identity = planner.for_instance(dataset), identity.of(dataset)
    report = AttributeReport(original_ids(dataset), harvest(dataset, planner.keeps))
    if identity.subject is not None:
        report.identifiers = report.identifiers.without_parts(identity.subject.pseudonym)
        if BaseTag(_PATIENT_ID) not in dataset._dict:
            dataset.add_new(_PATIENT_ID, "LO", "")  # the subject was found by accession number
    _Walk(dataset, planner, identity, source_id, detail, max_depth, report).run()
    return report


class _Walk:
    """One pass over one instance."""

    def __init__(
        self,
        dataset: Dataset,
        planner: Planner,
        identity: Identity,
        source_id: str,
        detail: bool,
        max_depth: int,
        report: AttributeReport,
    ) -> None:
        self._dataset = dataset
        self._planner = planner
        self._identity = identity
        self._digests = identity.begin("change", source_id)
        self._detail = detail
        self._max_depth = max_depth
        self._report = report
        self._sop_class = text_of(dataset, _SOP_CLASS_UID)
        self._modality = text_of(dataset, _MODALITY)
        self._plans = planner.plans_for(self._sop_class)
        self._days = identity.shift_days(dataset)
        self._owner = identity.owner_of(dataset)
        self._new_dates: set[date] = set()
        self._around: tuple[str | None, ...] = ()  # private creators, inside a private sequence
        self._removal = planner.removal_of_private
        # Private elements of the dataset or item that are already removed, by the tag of their creator.
        self._private: defaultdict[int, list[_Removal]] = defaultdict(list)

    @cached_property
    def _is_old(self) -> bool:
        """Whether age or dates show that the patient was over 89 years, or neither is known."""
        birth, age = (text_of(self._dataset, tag) for tag in (BIRTH_DATE, _PATIENT_AGE))
        born = _as_day(birth)
        capped = cap_age(age)
        if capped is None and born is not None:
            examined = any(text_of(self._dataset, tag) == birth for tag in _DAYS_OF_EXAMINATION)
            if not examined and max(self._own_dates, default=born) <= born:
                return True
        return capped == OVER_AGE or is_over_age(birth, self._own_dates)

    @cached_property
    def _own_dates(self) -> frozenset[date]:
        return self._report.identifiers.dates | self._report.identifiers.kept_dates

    def run(self) -> None:
        if self._planner.guards_birth_date:
            _ = self._is_old  # while dates and age are still there
        lists = filled_lists(self._dataset, self._sop_class)
        last = [*lists, *([CHARACTERISTICS] if BaseTag(CHARACTERISTICS) in self._dataset._dict else [])]
        physics = self._add_physics() if self._planner.keeps_safe_private else []
        self._visit(self._dataset, (), "", later=last)
        self._visit_lists(lists)
        self._visit_characteristics()
        self._record_physics(physics)
        # A date that beamstop wrote may by chance equal another date of the original.
        self._report.identifiers = self._report.identifiers.without_dates(self._new_dates)
        self._rebuild_file_meta(self._dataset)

    def _visit_characteristics(self) -> None:
        """Visit the declarations of private blocks, without the items about removed blocks."""
        tag = BaseTag(CHARACTERISTICS)
        if tag not in self._dataset._dict:
            return
        element, blocks = self._dataset[tag], blocks_in(self._dataset)
        items = list(element.value or ()) if element.VR == "SQ" else []
        gone = [number for number, item in enumerate(items) if not is_about(item, blocks)]
        if items and len(gone) == len(items):
            self._remove(self._dataset, element, (CHARACTERISTICS,), "", _BLOCK_GONE)
            return
        for number in gone:
            self._report.removed += 1
            if self._detail:
                name = f"{tag_name(tag)}[{number}]"
                self._record(name, (CHARACTERISTICS,), "SQ", Action.X, _BLOCK_GONE)
        if gone:
            element.value = Sequence(item for number, item in enumerate(items) if number not in gone)
        self._element(self._dataset, tag, (), "", None)

    def _visit_lists(self, lists: list[int]) -> None:
        """Visit the lists of references, and remove those whose referenced content is gone.

        This is known only after everything was visited. Changes inside a removed list are then dropped, so
        that each element has one count and one row.
        """
        report, visited = self._report, {}
        for tag in lists:
            before = self._value(self._dataset._dict[BaseTag(tag)]) if self._detail else None
            self._report = AttributeReport(identifiers=report.identifiers)
            self._element(self._dataset, BaseTag(tag), (), "", None)
            visited[tag] = before, self._report
        self._report = report
        gone = emptied_lists(self._dataset, lists)
        for tag, (before, done) in visited.items():
            if tag not in gone:
                report.add(done)
                continue
            del self._dataset._dict[BaseTag(tag)]
            report.removed += 1
            if self._detail:
                self._record(tag_name(tag), (tag,), "SQ", Action.X, "beamstop:references gone", before)

    def _visit(
        self,
        dataset: Dataset,
        path: tuple[int, ...],
        label: str,
        content: Action | None = None,
        later: Iterable[int] = (),
    ) -> None:
        """Act on every element of a dataset or item.

        Args:
            dataset: or the item.
            path: tags to it.
            label: the names of its place.
            content: action for a content item's value.
            later: tags of elements to be visited later.
        """
        if len(path) > self._max_depth:
            raise Failed("too_deep", f"more than {self._max_depth} items in items")
        elements = dataset._dict
        dependents = upheld(dataset)
        around, self._private = self._private, defaultdict(list)
        private = sorted((tag for tag in elements if tag & 0x10000), key=int)
        creators = {
            int(tag): creator_text(elements[tag])
            for tag in private
            if not tag & 0xFF00 and is_private_creator(tag)
        }
        if creators and self._removal is not None:
            self._remove_blocks(dataset, private, creators.keys(), self._removal)
        now = elements.keys() - {*dependents, *later} if dependents or later else elements
        check_time()
        for tag in sorted(now, key=int):
            if tag & 0x10000:
                if int(tag) not in creators:
                    self._element(dataset, tag, path, label, creators.get(private_block_start(tag), ""))
            elif tag & 0xFFFF == 0 or tag >> 16 < 8 or tag >> 16 == _DELIMITERS:
                # Group lengths are not written (PS3.5 7.2). Command and meta groups do not belong here, nor
                # do delimiters, which are not elements (PS3.5 7.5).
                del elements[tag]
            elif tag >> 16 >= _FIRST_PICTURE and is_unseen_picture((*path, int(tag))):
                self._remove(dataset, elements[tag], (*path, int(tag)), label, "beamstop:unseen picture")
            else:
                self._element(dataset, tag, path, label, None, content)
        for dependent in map(BaseTag, dependents):
            if is_upheld(dataset, dependent):
                self._element(dataset, dependent, path, label, None, content)
            else:
                here, origin = (*path, int(dependent)), "beamstop:depends on what is gone"
                self._remove(dataset, elements[dependent], here, label, origin)
        if creators:
            self._drop_empty_blocks(dataset, creators, path, label)
        for block in self._private.values():
            for element, origin in block:
                self._record_removal((*path, int(element.tag)), element, origin, label)
        self._private = around

    def _add_physics(self) -> list[BaseTag]:
        """Add acquisition data of a removed Siemens header as elements, unless they exist.

        The walk treats these elements like any other. Elements that it would not keep are not added.

        Returns:
            their tags.
        """
        added = []
        for physics in filter(self._is_kept, csa_physics(self._dataset)):
            try:
                block = self._dataset.private_block(physics.group, physics.creator, create=True)
            except StopIteration:  # none of the 240 blocks is free
                continue
            if physics.element not in block:
                block.add_new(physics.element, physics.vr, physics.value)
                added.append(block.get_tag(physics.element))
        return added

    def _is_kept(self, physics: Physics) -> bool:
        """Return whether the walk would keep a value, in each VR in which it could identify somebody."""
        tag = BaseTag(physics.group << 16 | 0x1000 | physics.element)
        element = DataElement(tag, physics.vr, physics.value)
        plan = self._planner.plan((tag,), physics.creator, physics.vr, self._sop_class)
        if physics.vr != "CS" and self._are_own(_LONG_NUMBER.findall(_in_full(physics.value))):
            return False
        if plan.grammar is not None and not self._is_a_value(element, plan.grammar):
            return False
        alone = Dataset()
        alone[tag] = element
        return self._operate(alone, element, (int(tag),), plan)[1] is element

    def _record_physics(self, tags: list[BaseTag]) -> None:
        for tag in tags if self._detail else ():
            if (element := self._dataset._dict.get(tag)) is not None:
                name, after = tag_name(tag), self._value(element)
                self._record(
                    name, (tag,), element.VR, Action.C, "beamstop:physics of a CSA header", None, after
                )

    def _element(
        self,
        dataset: Dataset,
        tag: BaseTag,
        path: tuple[int, ...],
        label: str,
        creator: str | None,
        content: Action | None = None,
    ) -> None:
        element: Element = dataset._dict[tag]
        raw_vr = element.VR
        _check_length(element)
        if raw_vr in UNKNOWN_VRS and hides_sequence(element):
            element = dataset._dict[tag] = as_sequence(element)
            raw_vr = "SQ"
        here = (*path, int(tag))
        key = (here, (*self._around, creator) if self._around else creator, raw_vr)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._planner.plan(here, creator, raw_vr, self._sop_class, self._around)
            self._plans[key] = plan
        if content is not None and tag in CONTENT_VALUES:
            plan = self._planner.content_plan(content)
        if plan.grammar is not None and element.value and not self._is_a_value(element, plan.grammar):
            plan = NOT_A_VALUE
        if plan.operator is None:
            self._report.kept += 1
        elif isinstance(plan.operator, Remove):
            self._remove(dataset, element, here, label, plan.origin)
        else:
            self._act(dataset, element, here, label, plan, creator)

    def _is_a_value(self, element: Element, grammar: re.Pattern[str]) -> bool:
        """Return whether a number, time or age is well-formed, and no identifier or date of the instance."""
        text = _plain_text(element)
        if len(text) <= _SHORT_LIST:
            long = _long_numbers(text, grammar)
        elif len(text) > _LONG_LIST and not text.translate(_WITHOUT_NUMERALS):
            return True  # contours and curves: checking a million coordinates one by one takes a second
        else:
            long = _long_numbers.__wrapped__(text, grammar)
        return long is not None and not self._are_own(long)

    def _are_own(self, numbers: Iterable[str]) -> bool:
        """Return whether one of some numbers is an identifier or a date of the instance."""
        own, padded = self._report.identifiers, self._own_numbers
        return any((it,) in own.ids or it.lstrip("0") in padded or _as_day(it) in own.dates for it in numbers)

    @cached_property
    def _own_numbers(self) -> frozenset[str]:
        """Identifiers without leading zeros; short ones would be found in counts that are padded."""
        numbers = (words[0].lstrip("0") for words in self._report.identifiers.ids if len(words) == 1)
        return frozenset(it for it in numbers if it.isdecimal() and len(it) >= _SHORTEST_PADDED)

    def _remove(
        self, dataset: Dataset, element: Element, path: tuple[int, ...], label: str, origin: str
    ) -> None:
        del dataset._dict[element.tag]
        self._report.removed += 1
        tag = path[-1]
        if self._detail and tag & 0x10000:  # until it is known whether its whole block is removed
            self._private[private_block_start(tag)].append((element, origin))
        elif self._detail:
            self._record_removal(path, element, origin, label)

    def _remove_blocks(
        self, dataset: Dataset, private: Iterable[BaseTag], creators: Container[int], origin: str
    ) -> None:
        """Remove all elements of private blocks, but not yet the creators."""
        elements = dataset._dict
        for tag in private:
            block = private_block_start(tag)
            if block in creators:
                element = elements.pop(tag)
                _check_length(element)
                self._report.removed += 1
                if self._detail:
                    self._private[block].append((element, origin))

    def _record_removal(self, path: tuple[int, ...], element: Element, origin: str, label: str) -> None:
        name, value = label + tag_name(path[-1]), self._value(element)
        self._record(name, path, element.VR, Action.X, origin, value)

    def _act(
        self,
        dataset: Dataset,
        element: Element,
        path: tuple[int, ...],
        label: str,
        plan: Plan,
        creator: str | None,
    ) -> None:
        check_time()  # keeping or removing an element takes a microsecond
        tag = element.tag
        # A kept sequence is no change, so its bytes are not needed. Raw ones exist anyway.
        stays = element.VR == "SQ" and plan.action in _VISITED and type(plan.operator) in _NEVER_IN_PLACE
        before = self._value(element) if self._detail and not stays else None
        if plan.vr is not None and element.is_raw:
            dataset._dict[tag] = element._replace(VR=plan.vr)
        action, result = self._operate(dataset, element, path, plan)
        if result is None:
            dataset._dict.pop(tag)
        else:
            dataset._dict[tag] = result
            if result.VR in _DATE_VRS:
                self._new_dates.update(_days(result))
        acted = action in _ALWAYS_A_CHANGE or (result is not element and not stays)
        self._count(action, acted, result)
        is_sequence = result is not None and result.VR == "SQ"
        name = label + tag_name(path[-1]) if self._detail or is_sequence else ""
        if is_sequence and action is not Action.Z:
            around = self._around
            if around or creator is not None:
                self._around = (*(around or (None,) * (len(path) - 1)), creator)
            self._visit_items(result, path, name)
            self._around = around
        if self._detail and acted:
            after = None if result is None else self._value(result)
            self._record(name, path, element.VR, action, plan.origin, before, after)

    def _operate(
        self, dataset: Dataset, element: Element, path: tuple[int, ...], plan: Plan
    ) -> tuple[Action, Element]:
        """Return the action carried out and its result; the fallback if a value cannot be processed."""
        if plan.operator is None:
            return plan.action, element
        if element.is_raw and element.value:
            shortcut = self._without_conversion(element, plan)
            if shortcut is not None:
                return plan.action, shortcut
            if type(plan.operator) is Clean and _is_beyond_cleaning(element):
                return self._fall_back(element, self._context(path, dataset), plan.fallback)
        is_old = type(plan.operator) is GuardBirthDate and self._is_old
        context = self._context(path, dataset, is_old)
        guarded = plan.operator.guarded if isinstance(plan.operator, GuardBirthDate) else plan.operator
        apply = partial(apply_foreign, plan.operator) if is_foreign(type(guarded)) else plan.operator.apply
        try:
            converted = dataset[element.tag]
            result: Element = apply(converted, context)
        except (CannotCleanError, *MALFORMED):
            return self._fall_back(element, context, plan.fallback)
        if result is converted and type(guarded) in _NEVER_IN_PLACE and converted.VR != "SQ":
            return plan.action, element  # as it was read
        return plan.action, as_read(result, dataset) if type(guarded) is Clean else result

    def _context(self, path: tuple[int, ...], dataset: Dataset, is_old: bool = False) -> Context:
        return Context(self._identity, dataset, path, self._days, self._clean_text, is_old, self._owner)

    def _without_conversion(self, element: Element, plan: Plan) -> Element:
        """Empty a value or remap a UID in raw bytes; None if the operator needs the value."""
        kind = type(plan.operator)
        if kind is Empty and element.VR != "SQ":
            return element._replace(value=b"", length=0)
        if kind is not HashUID or vr_of(element.tag, element.VR) != "UI" or not element.value.isascii():
            return None
        old = element.value.decode().rstrip(" \0")
        new = "\\".join(self._identity.uid(uid, int(element.tag)) for uid in old.split("\\"))
        if new == old:
            return element
        value = new.encode() + b"\0" * (len(new) % 2)
        return element._replace(value=value, length=len(value))

    def _fall_back(self, element: Element, context: Context, action: Action) -> tuple[Action, Element]:
        """Empty or remove an unreadable value; make a dummy without reading it."""
        vr = vr_of(element.tag, element.VR)
        if action is Action.Z:
            return action, Empty().apply(DataElement(element.tag, vr, None), context)
        if action is Action.D and vr != "SQ":
            token = DataElement(element.tag, vr, "", already_converted=True)
            token._value = "unreadable"
            return action, Replace().apply(token, context)
        return Action.X, None

    def _visit_items(self, element: DataElement, path: tuple[int, ...], name: str) -> None:
        kept = []
        for number, item in enumerate(element.value or ()):
            check_time()
            action = self._planner.content_action(item) if element.tag == _CONTENT_SEQUENCE else None
            if action is Action.X:
                self._report.removed += 1
                if self._detail:
                    self._record(f"{name}[{number}]", path, "SQ", action, "content item")
                continue
            self._visit(item, path, f"{name}[{number}].", action)
            kept.append(item)
        if element.value and len(kept) < len(element.value):
            element.value = Sequence(kept)

    def _drop_empty_blocks(
        self, dataset: Dataset, creators: dict[int, str], path: tuple[int, ...], label: str
    ) -> None:
        """Remove the private creators of empty blocks: a creator may identify somebody, too.

        Such a block is one row of the changes, whatever its size.
        """
        in_use = {
            private_block_start(tag) for tag in dataset._dict if tag & 0x10000 and not is_private_creator(tag)
        }
        for tag in creators:
            if tag in in_use:
                self._report.kept += 1
                continue
            element = dataset._dict.pop(BaseTag(tag))
            self._report.removed += 1
            if self._detail:
                self._record_block((*path, tag), element, self._private.pop(tag, []), label)

    def _record_block(
        self, path: tuple[int, ...], creator: Element, block: list[_Removal], label: str
    ) -> None:
        """Record a private block that was removed as a whole, under its creator, with all of its values."""
        origins = {origin for _, origin in block}
        elements = [creator, *(element for element, _ in block)]
        values = [(it.value if it.is_raw else _encoded_value(it)) or b"" for it in elements]
        self._report.changes.append(
            Change(
                label + tag_text(path[-1]),
                tag_text(path[-1]),
                "LO",
                str(Action.X),
                origins.pop() if len(origins) == 1 else "private",
                self._digests.digest(_place(path), *values).hex()[:16],
                why=block_size(len(block)),
            )
        )

    def _rebuild_file_meta(self, dataset: Dataset) -> None:
        """Keep only what is needed to read the file (PS3.10 7.1); pydicom can save it then."""
        old: Any = getattr(dataset, "file_meta", None)
        new = clean_file_meta(dataset)
        for tag in sorted(old._dict if old is not None else (), key=int):
            if tag == _MEDIA_STORAGE_SOP_INSTANCE_UID:
                if text_of(old, tag) != text_of(new, tag):
                    self._note_meta(Action.U, old._dict[tag], new._dict[tag])
            elif tag not in new._dict:
                self._note_meta(Action.X, old._dict[tag], None)
        dataset.file_meta = new
        dataset.preamble = BLANK_PREAMBLE

    def _note_meta(self, action: Action, old: Element, new: Element) -> None:
        self._count(action, True, new)
        if self._detail:
            before, after = (None if it is None else self._value(it) for it in (old, new))
            self._record(tag_name(old.tag), (old.tag,), old.VR, action, "file meta", before, after)

    def _count(self, action: Action, acted: bool, result: Element) -> None:
        report = self._report
        if result is None:
            report.removed += 1
        elif not acted:
            report.kept += 1
        elif action is Action.Z and not result.value:
            report.emptied += 1
        else:
            report.replaced += 1
            report.uids_remapped += action is Action.U or result.VR == "UI"
            report.dates_shifted += action is Action.C and result.VR in _DATE_VRS

    def _record(
        self,
        name: str,
        path: tuple[int, ...],
        vr: str | None,
        action: Action,
        origin: str,
        before: bytes | None = None,
        after: bytes | None = None,
    ) -> None:
        tag, old, new = path[-1], self._digest(path, before), self._digest(path, after)
        self._report.changes.append(
            Change(name, tag_text(tag), vr_of(tag, vr), str(action), origin, old, new)
        )

    def _value(self, element: Element) -> bytes | None:
        """Return the input of an element's digest."""
        value: bytes | None = element.value if element.is_raw else _encoded_value(element)
        return value

    def _digest(self, path: tuple[int, ...], value: bytes | None) -> str | None:
        """Return 16 hex digits bound to source and path, so that equal values cannot be matched."""
        return self._digests.digest(_place(path), value).hex()[:16] if value else None

    def _clean_text(self, text: str) -> str:
        planner = self._planner
        return clean_text(
            text,
            self._report.identifiers,
            planner.unknown_words,
            planner.extra_words,
            self._shift if planner.dates_stay else None,
            self._modality,
        )

    def _shift(self, day: date) -> date:
        """Shift a date in a kept text like the dates of this patient, or raise.

        Raises:
            OverflowError: it cannot be shifted, or is not a date of the instance: if it is publicly known, it
                would reveal the shift.
        """
        if self._planner.dates_move and day not in self._own_dates:
            raise OverflowError
        moved = day + timedelta(days=self._days if self._planner.dates_move else 0)
        self._new_dates.add(moved)
        return moved


def _check_length(element: Element) -> None:
    """Raise Failed if a raw element has fewer bytes than it says."""
    if element.is_raw and element.value is not None:
        length = element.length
        if length != len(element.value) and length != UNDEFINED_LENGTH:
            raise Failed("truncated", tag_text(element.tag))


def _is_beyond_cleaning(element: Element) -> bool:
    """Return whether a text is so long that decoding it would take long."""
    if len(element.value) <= MAX_ESCAPES or vr_of(element.tag, element.VR) not in CLEANED_VRS:
        return False
    return len(element.value) > _MAX_BYTES * MAX_CLEANED or element.value.count(b"\x1b") > MAX_ESCAPES


@lru_cache(maxsize=4096)
def _long_numbers(text: str, grammar: re.Pattern[str]) -> tuple[str, ...] | None:
    """Return the numbers with _LONG digits or more; none for times and ages, None for other text.

    Most instances of a series have the same numbers.
    """
    if not grammar.fullmatch(text):
        return None
    if grammar is not NUMBER:
        return ()
    if _EXPONENT.search(text):
        text = "\\".join(map(_without_exponent, text.split("\\")))
    return tuple(_LONG_NUMBER.findall(text))


def _without_exponent(number: str) -> str:
    """Return a number without an exponent, if it is whole and not too long for an identifier."""
    with suppress(InvalidOperation):
        value = Decimal(re.sub("[dD]", "e", number.strip(" \0")).replace(",", "."))
        if value.is_finite() and value.adjusted() < _LONGEST_NUMBER and value == value.to_integral_value():
            return f"{int(value)}"
    return number


def _plain_text(element: Element) -> str:
    """Return the value of a number, time or age as written; several are separated by backslashes."""
    value: Any = element.value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return "\\".join(map(str, value)) if isinstance(value, MultiValue | list) else str(value)


def _in_full(value: Any) -> str:
    """Return numbers as text, whole ones without point or exponent."""
    numbers = [float(number) for number in (value if isinstance(value, list) else [value])]
    return " ".join(f"{number:.0f}" if number.is_integer() else str(number) for number in numbers)


def _as_day(digits: str) -> date | None:
    with suppress(ValueError):
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) if len(digits) == 8 else None
    return None


def original_ids(dataset: Dataset) -> OriginalIds:
    """Return an original's identifiers for the crosswalk."""
    return OriginalIds(*(text_of(dataset, tag) or None for tag in _ORIGINAL_IDS))


def _days(element: Element) -> Iterator[date]:
    """Yield the days in a DA or DT; a partial date has none."""
    for year, month, day in re.findall(r"(?<!\d)(\d{4})(\d{2})(\d{2})", str(element.value)):
        with suppress(ValueError):
            yield date(int(year), int(month), int(day))


@lru_cache(maxsize=65536)
def _place(path: tuple[int, ...]) -> bytes:
    return ".".join(f"{tag:08x}" for tag in path).encode()


def _encoded_value(element: DataElement) -> bytes:
    """Return bytes that identify an element's value."""
    try:
        return value_bytes(element)
    except (CannotHoldError, *MALFORMED):
        return _UNWRITABLE
