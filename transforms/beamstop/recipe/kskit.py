"""kskit's and deidcm's JSON recipes: reading them, what their verbs do, and the rules they become.

A recipe is `{tag: [name, VR, verb]}` or `{"general_rules": {...}, "specific_rules": {tag: {"sequence": tag,
"rule": verb}}}`. What it does not list is removed. Where beamstop differs from kskit:

* hexadecimal digits match in either case; kskit lost every tag it read in upper case;
* a specific rule keeps nothing inside a sequence that is itself removed or emptied, since a rule on a
  sequence applies before its items are visited;
* an emptied sequence has no items; kskit kept items of empty elements;
* pseudonyms are keyed and not random, so that files of one patient stay together.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue

from beamstop.dicom.tags import tag_name
from beamstop.errors import RecipeError
from beamstop.identity import Identity
from beamstop.rules.operators import BY_ACTION, Context, Operator
from beamstop.rules.rules import Rule, RuleSet
from beamstop.rules.tag_identifiers import PrivateTags, RepeatingGroup, TagPath
from beamstop.standard.actions import Action

_TAG = re.compile(r"0x[0-9a-f]{8}\Z", re.IGNORECASE)
_PATTERN_STARTS = ("0x50xx", "0x60xx", "0xgggg")
_CURVES_AND_OVERLAYS = ("50xx,xxxx", "60xx,3000", "60xx,4000")
_PATIENT_ID, _PIXEL_DATA = 0x00100020, 0x7FE00010
_FRAME_ORIGIN_TIMESTAMP, _X_RAY_SOURCE_ID = 0x00340007, 0x00189367
_FLOW_IDENTIFIERS = (0x00340002, 0x00340005)
_FIRST_DATASET_TAG = 0x00080000  # groups below are the file meta, which beamstop writes anew
_PSEUDONYM_LENGTH = 16
_YEAR = re.compile(r"\d{4}")


class Verb(StrEnum):
    """kskit's four verbs, the mildest first."""

    CONSERVER = "CONSERVER"  # keep
    PSEUDONYMISER = "PSEUDONYMISER"  # replace by VR
    EFFACER = "EFFACER"  # empty
    RETIRER = "RETIRER"  # remove


_ACTIONS = {Verb.EFFACER: Action.Z, Verb.RETIRER: Action.X}
_STRICTNESS = {verb: number for number, verb in enumerate(Verb)}


@dataclass(frozen=True)
class KskitRecipe:
    """A recipe as kskit understands it.

    Attributes:
        general: tag → verb.
        specific: (tag of a sequence, tag of an attribute anywhere inside it) → verb.
    """

    general: dict[int, Verb]
    specific: dict[tuple[int, int], Verb] = field(default_factory=dict)


def is_kskit_recipe(document: Mapping[Any, Any]) -> bool:
    """Return whether a document looks like one of the two forms, right or wrong.

    >>> is_kskit_recipe({"0x00100010": ["PatientName", "PN", "EFFACER"]})
    True
    >>> is_kskit_recipe({"profile": "basic"})
    False
    """
    if "general_rules" in document or "specific_rules" in document:
        return True
    return any(isinstance(key, str) and key.lower().startswith("0x") for key in document)


def read_kskit_recipe(document: Mapping[str, Any]) -> KskitRecipe:
    """Read either form.

    Raises:
        RecipeError: an entry that cannot be understood; names it and says the remedy.

    >>> read_kskit_recipe({"0x00209161": ["ConcatenationUID", "UI", "PSEUDONYMISER"]}).general
    {2134369: <Verb.PSEUDONYMISER: 'PSEUDONYMISER'>}
    """
    if "general_rules" not in document and "specific_rules" not in document:
        return KskitRecipe(_read_general(document))
    extra = sorted(set(document) - {"general_rules", "specific_rules"})
    if extra:
        remedy = "a tag belongs into one of them, and no other field has this name: leave it out"
        raise RecipeError(f"{extra[0]!r}: beside general_rules and specific_rules; {remedy}")
    general, specific = (document.get(name, {}) for name in ("general_rules", "specific_rules"))
    for name, rules in (("general_rules", general), ("specific_rules", specific)):
        if not isinstance(rules, Mapping):
            raise RecipeError(f"{name}: not a mapping of tags to rules")
    return KskitRecipe(_read_general(general), _read_specific(specific))


def _read_general(entries: Mapping[str, Any]) -> dict[int, Verb]:
    general: dict[int, Verb] = {}
    for key, entry in entries.items():
        if isinstance(entry, str) or not isinstance(entry, Sequence) or len(entry) != 3:
            raise RecipeError(f'{key}: not three entries; write it like ["PatientName", "PN", "EFFACER"]')
        verb = _read_verb(key, entry[2])
        if str(key).lower().startswith(_PATTERN_STARTS):
            if verb is not Verb.RETIRER:
                raise RecipeError(
                    f"{key}: curves, overlays and private tags are always removed; write RETIRER"
                )
            continue
        tag = _read_tag(key, key)
        if general.get(tag, verb) is not verb:
            raise RecipeError(f"{key}: listed twice with different verbs; leave one")
        general[tag] = verb
    return general


def _read_specific(entries: Mapping[str, Any]) -> dict[tuple[int, int], Verb]:
    specific: dict[tuple[int, int], Verb] = {}
    for key, entry in entries.items():
        if not isinstance(entry, Mapping) or set(entry) != {"sequence", "rule"}:
            example = '{"sequence": "0x00540220", "rule": "CONSERVER"}'
            raise RecipeError(f"{key}: not a sequence and a rule; write it like {example}")
        tag = _read_tag(key, key)
        specific[_read_tag(key, entry["sequence"]), tag] = _read_verb(key, entry["rule"])
    return specific


def _read_tag(key: str, text: object) -> int:
    if not isinstance(text, str) or not _TAG.match(text):
        raise RecipeError(f"{key}: {text!r} is not a tag; write it like 0x00100010")
    return int(text, 16)


def _read_verb(key: str, text: object) -> Verb:
    try:
        return Verb(str(text))
    except ValueError:
        raise RecipeError(f"{key}: {text!r} is not a verb; write one of {', '.join(Verb)}") from None


def general_verb(tag: int, recipe: KskitRecipe) -> Verb:
    """Return the verb for an attribute by itself.

    Zero trust: curves, overlay data and comments, private attributes, and whatever the recipe does not list
    are removed.
    """
    if tag & 0x10000 or any(group.matches(tag) for group in _removed_groups()):
        return Verb.RETIRER
    return recipe.general.get(tag, Verb.RETIRER)


def specific_verb(tags: Sequence[int], recipe: KskitRecipe) -> Verb | None:
    """Return the verb for an attribute because of a sequence around it, or None.

    Args:
        tags: from top level to the attribute.
        recipe: from `read_kskit_recipe`.
    """
    *sequences, attribute = tags
    verbs = [
        recipe.specific[sequence, attribute]
        for sequence in sequences
        if (sequence, attribute) in recipe.specific
    ]
    return max(verbs, key=_STRICTNESS.__getitem__, default=None)


def resolve_chain(tags: Sequence[int], recipe: KskitRecipe) -> Verb:
    """Return the verb for an attribute inside sequences.

    A sequence that is removed or emptied takes along whatever is in it. Else a specific rule holds. Else
    the strictest verb of the chain does: RETIRER > EFFACER > PSEUDONYMISER > CONSERVER.

    Args:
        tags: from top level to the attribute.
        recipe: from `read_kskit_recipe`.
    """
    around = max(
        (general_verb(tag, recipe) for tag in tags[:-1]), key=_STRICTNESS.__getitem__, default=Verb.CONSERVER
    )
    if around in (Verb.RETIRER, Verb.EFFACER):
        return around
    specific = specific_verb(tags, recipe)
    if specific is not None:
        return specific
    return max(around, general_verb(tags[-1], recipe), key=_STRICTNESS.__getitem__)


def pseudonymise(vr: str, tag: int, value: str | bytes, identity: Identity) -> str | bytes | None:
    """Return what PSEUDONYMISER makes of one value, by VR; None where the element is to be removed.

    Dates become 1 January, times midnight, UIDs what the recipe says of UIDs, names, numbers and labels
    a pseudonym. kskit drops every other VR, and so does this. An empty value stays empty.

    Args:
        vr: value representation.
        tag: of the attribute.
        value: one value, text or bytes.
        identity: makes keyed stand-ins; kskit's were random.

    >>> pseudonymise("DA", 0x00100030, "19701224", Identity(b"k" * 32))
    '19700101'
    """
    if not value:
        return value
    if isinstance(value, bytes):
        return _pseudonymise_bytes(tag, value, identity)
    if vr in ("DA", "DT"):
        year = _YEAR.match(value)
        return f"{year[0]}0101" if year else ""
    if vr == "TM":
        return "000000"
    if tag == _PATIENT_ID:
        return identity.patient_id(value)
    if vr == "PN":
        return f"PATIENT^{identity.pseudonym('kskit', value, _PSEUDONYM_LENGTH)}"
    if vr in ("SH", "LO"):
        return identity.pseudonym("kskit", value, _PSEUDONYM_LENGTH)
    if vr == "UI":
        return identity.uid(value, tag)
    return identity.digest("kskit", value)[:16].hex() if tag == _X_RAY_SOURCE_ID else None


def _pseudonymise_bytes(tag: int, value: bytes, identity: Identity) -> bytes | None:
    if tag == _FRAME_ORIGIN_TIMESTAMP:
        return b"2022-01-01T00:00:00\0"
    return identity.digest("kskit", value)[:16] if tag in _FLOW_IDENTIFIERS else None


class PseudonymiseByVR(Operator):
    """PSEUDONYMISER: a stand-in by VR, see `pseudonymise`; the items of a sequence are visited."""

    action = Action.D

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        """Return the element with every value replaced; None where its VR has no stand-in."""
        if element.VR == "SQ" or element.is_empty:
            return element
        several = isinstance(element.value, MultiValue | list | tuple)
        old = [_plain(value) for value in (element.value if several else [element.value])]
        new = [pseudonymise(element.VR, element.tag, value, context.identity) for value in old]
        if None in new:
            return None
        if new == old:  # a date that was 1 January before
            return element
        return DataElement(element.tag, element.VR, new if several else new[0], validation_mode=config.IGNORE)


def _plain(value: object) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class _Inside(TagPath):
    """An attribute at any depth inside one of some sequences."""

    sequences: frozenset[int]

    def __init__(self, sequences: frozenset[int], tag: int) -> None:
        super().__init__((tag,))
        object.__setattr__(self, "sequences", sequences)

    def __str__(self) -> str:
        around = tag_name(*self.sequences) if len(self.sequences) == 1 else ""
        return f"{around}..{tag_name(self.tags[-1])}"

    def fits(
        self, path: tuple[int, ...], creator: str | None = None, around: tuple[str | None, ...] = ()
    ) -> bool:
        return path[-1] == self.tags[-1] and not self.sequences.isdisjoint(path[:-1])


def rule_set(recipe: KskitRecipe) -> RuleSet:
    """Return the rules that make a walk from the top level do what `resolve_chain` says.

    Pixel data under PSEUDONYMISER is left to HideText.
    """
    listed = {tag: general_verb(tag, recipe) for tag in recipe.general if tag >= _FIRST_DATASET_TAG}
    rules = [Rule(PrivateTags(), Action.X), *(Rule(group, Action.X) for group in _removed_groups())]
    rules += [Rule(tag, _operation(tag, verb)) for tag, verb in listed.items()]
    pseudonymised = frozenset(
        tag for tag, verb in listed.items() if verb is Verb.PSEUDONYMISER and _vr(tag) == "SQ"
    )
    rules += [
        Rule(_Inside(pseudonymised, tag), _operation(tag, Verb.PSEUDONYMISER))
        for tag, verb in listed.items()
        if verb is Verb.CONSERVER
    ]
    rules += [
        Rule(_Inside(frozenset({sequence}), tag), _operation(tag, verb))
        for (sequence, tag), verb in recipe.specific.items()
    ]
    return RuleSet((Rule(rule.identifier, rule.operation, f"kskit:{rule.origin}") for rule in rules), "kskit")


def _operation(tag: int, verb: Verb) -> Action | Operator:
    if verb is Verb.PSEUDONYMISER:
        kept = tag == _PIXEL_DATA or _vr(tag) == "SQ"  # the items of a sequence have verbs of their own
        return Action.K if kept else Action.U if _vr(tag) == "UI" else PseudonymiseByVR()
    # To the letter, whatever the IOD asks for, as kskit does.
    return Action.K if verb is Verb.CONSERVER else BY_ACTION[_ACTIONS[verb]]


def _vr(tag: int) -> str:
    """Return the dictionary's VR; the recipe's own is a comment, and often wrong."""
    return dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"


@cache
def _removed_groups() -> tuple[RepeatingGroup, ...]:
    return tuple(RepeatingGroup(pattern) for pattern in _CURVES_AND_OVERLAYS)
