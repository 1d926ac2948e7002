"""Explains what a recipe does and why, in lines of text without values unless asked for."""

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset

from beamstop import chain
from beamstop.changes import Change
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.files import read_dicom
from beamstop.dicom.pydicom_guards import guarded
from beamstop.dicom.tags import is_private_creator, private_block_start, tag_name, tag_text, vr_of
from beamstop.dicom.walk import Place, is_readable, walk
from beamstop.errors import RecipeError, Refusal, Rejected
from beamstop.faces.headers import Kind, face_header, may_show_face
from beamstop.leaks.search import leak_paths
from beamstop.ocr import load_detector
from beamstop.pixels.codestreams import comments
from beamstop.pixels.layout import PIXEL_TAGS
from beamstop.recipe.model import CustomBouncer, Listed, Recipe, Reject
from beamstop.rules.operators import BY_ACTION, Operator
from beamstop.rules.plans import Planner
from beamstop.rules.profile import BASIC, METHOD_CODES, edition
from beamstop.rules.rules import Rule
from beamstop.rules.tag_identifiers import (
    PrivateBlockTagIdentifier,
    RepeatingGroup,
    SingleTag,
    TagPath,
    parse_identifier,
)
from beamstop.standard.actions import Action
from beamstop.standard.defined_terms import defined_modality
from beamstop.steps.insert import PATIENT_IDENTITY_REMOVED
from beamstop.subjects import Subjects
from beamstop.text.detector import DetectorLoader, TextPolicy
from beamstop.text.hiding import TEXT_REMAINS, TextRemainsError
from beamstop.text.regions import Region
from beamstop.text.where_text import why_no_text
from beamstop_pipeline.report.reasons import REMEDIES

_VALUE_LENGTH = 60
_LISTED = 20  # boxes in a line for a recipe
_LEAK = "leak"
_IN_WORDS = {
    "D": "gets a dummy value",
    "Z": "is emptied",
    "X": "is removed",
    "K": "is kept",
    "C": "is cleaned of identifiers",
    "U": "gets a new UID",
}
_REMOVED = {"X", "Z"}
_DATE_VRS = {"DA", "DT"}


def table(rows: Iterable[tuple[str, ...]], indent: str = "  ") -> Iterator[str]:
    """Yield rows as lines with aligned columns.

    >>> list(table([("a", "b"), ("ccc", "d")]))
    ['  a    b', '  ccc  d']
    """
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield (
            indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        ).rstrip()


# ---- a recipe -------------------------------------------------------------------------------------


def describe_recipe(recipe: Recipe) -> Iterator[str]:
    """Yield the effective recipe: settings, options with their codes, bouncers, insertions, all rules."""
    rules = recipe.rules.flatten()
    yield f"recipe {recipe.name}"
    yield from table(_settings(recipe))
    yield ""
    yield "options (CID 7050)"
    codes = [(METHOD_CODES[option], option) for option in recipe.options]
    yield from table([*([(METHOD_CODES[BASIC], BASIC)] if recipe.profile == BASIC else []), *codes])
    yield ""
    yield "bouncers"
    yield from (f"  {_bouncer(entry)}" for entry in recipe.bouncers)
    yield ""
    yield "insertions"
    yield from table(_insertions(recipe))
    yield ""
    sets = ", ".join(f"{rule_set.name} {len(rule_set)}" for rule_set in recipe.rules.rule_sets)
    yield f"{len(rules)} rules, from the rule sets {sets}; the most specific first"
    yield from table((str(rule.identifier), rule.code, _operator(rule), rule.origin) for rule in rules)
    conditional = recipe.rules.conditional
    if conditional:
        yield ""
        yield f"{len(conditional)} more, which come first in instances that fit their criterion"
        yield from table(
            (str(rule.identifier), rule.code, _operator(rule), rule.origin, f"when {rule.when}")
            for rule in conditional
        )


def _operator(rule: Rule) -> str:
    """Return the class of an operator that does not belong to an action code."""
    operation = rule.operation
    if isinstance(operation, Operator) and operation not in BY_ACTION.values():
        return type(operation).__name__
    return ""


def _settings(recipe: Recipe) -> Iterator[tuple[str, str]]:
    yield "digest", recipe.digest
    yield "profile", f"{recipe.profile} (PS3.15 {edition()})" if recipe.profile == BASIC else recipe.profile
    yield "unlisted", recipe.unlisted
    yield "unknown", recipe.unknown
    yield "unknown_words", recipe.unknown_words
    yield "encapsulated", recipe.encapsulated
    if recipe.hides_text:
        yield from _text_settings(recipe.text_policy)
    else:
        yield "text", "pixels are not searched"
    yield "faces", recipe.face_action or "left; headers tell which instances may show one"
    root = f", root {recipe.uids.root}" if recipe.uids.root else ""
    yield "uids", f"{recipe.uids.method}{root}"
    yield "dates", "shifted by {} to {} days if they are shifted".format(*recipe.dates.shift_days)
    alike = [f"; {it.replace('-', ' ')} of it ignored" for it in recipe.pseudonyms.normalize]
    issuer = " with its issuer" if recipe.pseudonyms.with_issuer else ""
    yield "pseudonyms", "".join(["of PatientID", issuer, *alike])
    yield from (("warning", it) for it in recipe.warnings)


def _text_settings(policy: TextPolicy) -> Iterator[tuple[str, str]]:
    words = f", {len(policy.authorized_words)} authorised words" if policy.authorized_words else ""
    again = "" if policy.look_again else ", without looking again"
    by = "" if policy.recognizer == "ppocr" else f" read by {policy.recognizer}"
    yield "text", f"hide {policy.hide}, languages {' '.join(policy.languages)}{by}{words}{again}"
    yield "markers", " ".join(policy.markers) or "none"
    if policy.ultrasound_regions == "keep":
        yield "ultrasound", "text found inside a scan is kept, unless it is the instance's own"
    for region in policy.regions:
        yield "region", _region(region)
    for region in policy.leave:
        yield "leave", f"{_region(region)}; 113101 is not claimed if text is found there"


def _region(region: Region) -> str:
    areas = "; ".join(_area(box.x, box.y, box.width, box.height) for box in region.boxes)
    return f"{areas}: where {region.when}"


def _area(x: int | None, y: int | None, width: int | None, height: int | None) -> str:
    return f"x {x} y {y} width {width} height {height}"


def _bouncer(entry: str | Listed | Reject | CustomBouncer) -> str:
    if isinstance(entry, Reject | Listed):
        named = f"{entry.name}: " if entry.name else ""
        what = entry.reject
        if isinstance(entry, Listed):
            what = f"{entry.attribute} {entry.reject} in {entry.listed}"
        return f"{named}reject {what}" + (f", because {entry.because}" if entry.because else "")
    return entry.bouncer if isinstance(entry, CustomBouncer) else entry


def _insertions(recipe: Recipe) -> Iterator[tuple[str, str]]:
    removed, yes = PATIENT_IDENTITY_REMOVED
    yield removed, f"{yes}, but NO if BurnedInAnnotation stays YES"
    yield "DeidentificationMethod", "beamstop and its version, after the existing value"
    yield "DeidentificationMethodCodeSequence", "the codes above that were really applied, in the same way"
    if recipe.hides_text:
        yield "BurnedInAnnotation", "NO if every frame was searched"
        yield "DerivationDescription", "if text was hidden, after any text that the recipe leaves there"
    if recipe.profile == BASIC:
        yield "LongitudinalTemporalInformationModified", "by what is done to dates"
    for keyword, value in recipe.insert.items():
        yield keyword, str(value)


# ---- one attribute --------------------------------------------------------------------------------


def explain_attribute(recipe: Recipe, text: str, sop_class: str | None = None) -> Iterator[str]:
    """Yield which rule applies to an attribute, what it does, and which rules it overrules.

    Args:
        recipe: to look into.
        text: a keyword, tag, path, private or repeating element, as a recipe writes it.
        sop_class: UID or keyword; without it a compound code is left as it is.

    Raises:
        RecipeError: no such attribute or SOP class.
    """
    path, creators = _place(text)
    *around, creator = creators
    uid = _sop_class(sop_class) if sop_class else ""
    tag = path[-1]
    vr = vr_of(tag, None)
    name = str(TagPath(path)) if not any(creators) and creator is None else text
    yield f"{name} {tag_text(tag)} {vr}"
    for depth in range(1, len(path)):
        sequence = recipe.planner.plan(path[:depth], creators[depth - 1], None, uid, creators[: depth - 1])
        if sequence.action.value in _REMOVED:
            called = tag_name(path[depth - 1])
            yield f"  is removed with {called}, which {_IN_WORDS[sequence.action]} ({sequence.origin})"
            return
    plan = recipe.planner.plan(path, creator, None, uid, tuple(around))
    rule = recipe.rules.rule_for(path, creator, tuple(around))
    code = rule.code if rule and not sop_class and creator is None else plan.action.value
    visited = "; its items are visited" if vr == "SQ" and code not in _REMOVED else ""
    yield f"  {code}: {_compound(code)}{visited}"
    if rule and _operator(rule):
        yield f"  operator {_operator(rule)}"
    yield f"  rule {plan.origin}"
    for number, candidate in _candidates(recipe, path, creators):
        if candidate.when is not None:
            yield f"  when {candidate.when}: {candidate.code} of {candidate.origin}, {number}"
        elif candidate is not rule:
            yield f"  overrules {candidate.code} of {candidate.origin}, {number}"


def _compound(code: str) -> str:
    if code in _IN_WORDS:
        return _IN_WORDS[code]
    return "what the IOD allows of " + ", ".join(_IN_WORDS[part.rstrip("*")] for part in code.split("/"))


def _place(text: str) -> tuple[tuple[int, ...], tuple[str | None, ...]]:
    """Return the path of an identifier's attribute, and the private creators on it."""
    match parse_identifier(text):
        case SingleTag(tag=tag):
            return (tag,), ("" if tag & 0x10000 else None,)
        case TagPath(tags=tags, creators=creators):
            return tags, creators
        case PrivateBlockTagIdentifier() as block:
            return (block.tag,), (block.creator,)
        case RepeatingGroup(pattern=pattern):
            return (int(pattern.replace(",", "").replace("x", "0"), 16),), (None,)
    raise RecipeError(f"{text!r}: no single attribute; name one by keyword, tag or path")


def _sop_class(text: str) -> str:
    if text[0].isdecimal():
        return text
    for uid, entry in UID_dictionary.items():
        if entry[4] == text:
            return uid
    raise RecipeError(f"--sop-class {text}: no SOP class has this UID or keyword, such as CTImageStorage")


def _candidates(
    recipe: Recipe, path: tuple[int, ...], creators: tuple[str | None, ...]
) -> Iterator[tuple[str, Rule]]:
    """Yield the rules that match, the later rule set first, each with its position."""
    for rule_set in reversed(recipe.rules.rule_sets):
        for number, rule in enumerate(rule_set, start=1):
            identifier = rule.identifier
            fits = (
                identifier.fits(path, creators[-1], creators[:-1])
                if isinstance(identifier, TagPath)
                else identifier.matches(path[-1], creators[-1])
            )
            if fits:
                yield f"rule {number} of {len(rule_set)} in {rule_set.name}", rule


# ---- one instance ---------------------------------------------------------------------------------


class Line(NamedTuple):
    """What would happen to one element: path, tag, VR, code, description, rule; and its original value."""

    path: str
    tag: str
    vr: str
    action: str
    happens: str
    rule: str
    value: str


@dataclass
class Explanation:
    """What would happen to one instance.

    Attributes:
        outcome: `written`, or the class of the refusal in small letters.
        why: reason and detail of a refusal.
        remedy: the remedy, if the instance is set aside.
        recipe: recipe lines that would let it pass.
        leaks: paths of the elements that still have an identifier.
        elements: one line each; none if the instance was rejected before.
        boxes: changes in pixels, overlay planes and icons.
        unexamined: why the pixels were not searched, although the recipe asks for it.
        face: whether a face may show, by the header, and what is done about it; empty if none can show.
        methods: the CID 7050 codes.
    """

    outcome: str = "written"
    why: str = ""
    remedy: str = ""
    recipe: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    elements: list[Line] = field(default_factory=list)
    boxes: list[Change] = field(default_factory=list)
    unexamined: str = ""
    face: str = ""
    methods: tuple[str, ...] = ()


def explain_instance(
    data: bytes,
    recipe: Recipe,
    key: bytes,
    load_detector: DetectorLoader = load_detector,
    subjects: Subjects | None = None,
) -> Explanation:
    """Run the whole chain for one instance in memory and explain what it did.

    Args:
        data: one DICOM file.
        recipe: to apply.
        key: any key, because no pseudonym is shown.
        load_detector: makes the text detector, if the recipe needs one.
        subjects: a table of subjects, made with this key; None if there is none.

    Raises:
        DeidError: any except a refusal, such as missing weights.
    """
    found, finished = Explanation(), chain.Finished()
    detector = chain.detector_for(recipe, load_detector)
    original = None
    try:
        dataset = read_dicom(data)
        original = copy.deepcopy(dataset)
        identity = recipe.identity(key, subjects)
        chain.run(dataset, recipe, identity, detector, detail=True, finished=finished)
    except Refusal as refusal:
        found.outcome = type(refusal).__name__.lower()
        found.why = str(refusal)
        if is_set_aside(found):
            found.remedy = REMEDIES.get(refusal.reason, "")
        if isinstance(refusal.__cause__, TextRemainsError):
            found.boxes = refusal.__cause__.changes
        if refusal.reason == _LEAK:
            found.leaks = _leaks(finished)
    if original is not None:
        _describe(found, original, recipe, finished)
    return found


@guarded()
def _describe(found: Explanation, original: Dataset, recipe: Recipe, finished: chain.Finished) -> None:
    """Add what the chain did to an instance, as far as it got."""
    found.boxes = list(finished.pixels.changes) or found.boxes
    found.recipe = [*_against_boxes(original, found.boxes), *_against_leaks(found.leaks)]
    found.methods = finished.methods
    found.face = _face(original, recipe)
    changes = {change.path: change for change in finished.attributes.changes}
    if changes:
        found.unexamined = (why_no_text(original) or "") if recipe.hides_text else ""
        found.elements = list(_lines(original, recipe, changes))


def _face(original: Dataset, recipe: Recipe) -> str:
    header = face_header(original)
    if not may_show_face(header):
        return ""
    action = recipe.face_action
    if action is None:
        return "a face may show, judging by the header; the recipe leaves it (face_may_show)"
    if header.kind is Kind.SAME_FACE:
        return f"it shows what slices of a head show: a run {_SAME_FACE[action]}"
    return f"a face may show, judging by the header: a run searches the whole series and {_ACTIONS[action]}"


_SAME_FACE = {
    "remove": "quarantines it (face_may_show)",
    "reject": "turns it away (face)",
    "tell": "writes it, and says so",
}
_ACTIONS = {
    "remove": "removes the face if there is one",
    "reject": "turns it away if there is one (face)",
    "tell": "says so if there is one",
}


@guarded()
def _leaks(finished: chain.Finished) -> list[str]:
    """Return the paths of all leaks, each once."""
    encoded, report = finished.encoded, finished.attributes
    found = leak_paths(encoded.header, report.identifiers, comments(encoded.encapsulated))
    return list(dict.fromkeys(found))


def _against_boxes(original: Dataset, boxes: list[Change]) -> Iterator[str]:
    """Yield recipe lines for boxes in which text is still detected."""
    still = [_sides(it) for it in boxes if it.why == TEXT_REMAINS and it.tag in PIXEL_TAGS.values()]
    if still:
        listed = ", ".join(f"[{', '.join(map(str, sides))}]" for sides in still[:_LISTED])
        for field_name, boxes_name, if_so in (("regions", "areas", "text"), ("leave", "boxes", "no text")):
            yield f"  {field_name}:   # in text, if the box shows {if_so}"
            yield f'    - when: "{_kind(original)}"'
            yield f"      {boxes_name}: [{listed}]"


def _kind(original: Dataset) -> str:
    """Return a criterion for such instances, by modality and size, because these identify nobody."""
    modality = defined_modality(original.get("Modality"))
    tests = [f"Modality.equals('{modality}')"] if modality else []
    for keyword in ("Rows", "Columns"):
        value = original.get(keyword)
        tests += [f"{keyword}.equals('{value}')"] if isinstance(value, int) else []
    return " and ".join(tests)


def _sides(change: Change) -> tuple[int | None, ...]:
    return change.x, change.y, change.width, change.height


def _against_leaks(paths: list[str]) -> Iterator[str]:
    """Yield recipe lines for elements that have an identifier, if a recipe can name them."""
    named = {_INDEX.sub("", path) for path in paths}
    rules = sorted(path for path in named if _NAMEABLE.fullmatch(path))
    if rules:
        yield "  attributes:"
        yield from (f"    {path}: X" for path in rules)


_INDEX = re.compile(r"\[[0-9]+\]")
_NAMEABLE = re.compile(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*")


def _lines(original: Dataset, recipe: Recipe, changes: dict[str, Change]) -> Iterator[Line]:
    sop_class = str(original.get("SOPClassUID") or "")
    planner = recipe.planner.for_instance(original)
    meta = getattr(original, "file_meta", None) or Dataset()
    for element in meta:
        name = tag_name(element.tag)
        line = _line(name, element.tag, element.VR, changes.get(name), "file meta", element.value)
        yield line if name in changes else line._replace(happens="is written anew")
    items = [change for change in changes.values() if change.path.endswith("]")]  # removed as a whole
    inside_items = tuple(f"{change.path}." for change in items)

    def stays(place: Place) -> bool:
        change = _change_of(place, changes)
        return is_readable(place) and (change is None or change.action not in _REMOVED)

    for place in walk(original, stays):
        if place.label.startswith(inside_items):
            continue
        yield _element_line(place, planner, sop_class, _change_of(place, changes))
        for change in items:
            if change.path.rpartition("[")[0] == place.label:
                yield _line(change.path, place.tag, "SQ", change, change.rule, "")


def _change_of(place: Place, changes: dict[str, Change]) -> Change | None:
    """Return the change of an element, made on its own or with its private block."""
    if not place.tag & 0x10000 or is_private_creator(place.tag) or place.label in changes:
        return changes.get(place.label)
    around = place.label.removesuffix(tag_name(place.tag))
    block = changes.get(around + tag_text(private_block_start(place.tag)))
    return block if block is not None and block.why else None


def _element_line(place: Place, planner: Planner, sop_class: str, change: Change | None) -> Line:
    plan = planner.plan(place.path, place.creator, place.element.VR, sop_class, place.around)
    try:
        element = place.dataset[place.tag]
    except MALFORMED:
        return _line(place.label, place.tag, place.element.VR or "UN", change, plan.origin, "cannot be read")
    origin = "private" if is_private_creator(place.tag) else plan.origin
    return _line(
        place.label, place.tag, element.VR, change, origin, "" if element.VR == "SQ" else element.value
    )


def _line(name: str, tag: int, vr: str, change: Change | None, origin: str, value: object) -> Line:
    shown = repr(value)[:_VALUE_LENGTH] if value not in ("", None) else ""
    if change is None:
        return Line(name, tag_text(tag), vr, Action.K.value, "is kept", origin, shown)
    happens = "is shifted" if change.action == Action.C and vr in _DATE_VRS else _IN_WORDS[change.action]
    if change.action == Action.Z and change.after_digest is not None:
        happens = "gets a pseudonym"
    return Line(name, tag_text(tag), vr, change.action, happens, change.rule, shown)


def describe_instance(found: Explanation, values: bool) -> Iterator[str]:
    """Yield an explanation as lines; values of the dataset only if asked for."""
    if found.elements:
        shown = len(Line._fields) if values else len(Line._fields) - 1
        yield from table((tuple(line[:shown]) for line in found.elements), indent="")
        yield ""
    if found.boxes:
        yield from table((_box(change) for change in found.boxes), indent="")
        yield ""
    if found.unexamined:
        yield f"pixels are not searched for text; {found.unexamined}"
    if found.face:
        yield found.face
    if found.methods:
        yield f"methods {' '.join(found.methods)}"
    if found.leaks:
        yield "an identifier of the instance is still in"
        yield from (f"  {path}" for path in found.leaks)
        yield ""
    if found.outcome == "written":
        yield "judged on its own: other sources with its SOP Instance UID and files in OUTPUT are ignored"
    yield f"would be {found.outcome}" + (f": {found.why}" if found.why else "")
    if found.remedy:
        yield found.remedy
    if found.recipe:
        yield "recipe lines that would let it pass; look at the original first:"
        yield from found.recipe


def _box(change: Change) -> tuple[str, ...]:
    in_frame = change.frame is not None
    return (
        change.tag,
        f"frame {change.frame}" if in_frame else change.path,
        _area(change.x, change.y, change.width, change.height) if in_frame else "",
        {"X": "hidden", "": "still seen"}.get(change.action, "kept"),
        change.why or "",
    )


def is_set_aside(found: Explanation) -> bool:
    """Return whether the instance would be quarantined or failed.

    >>> is_set_aside(Explanation("rejected"))
    False
    """
    return found.outcome not in {"written", Rejected.__name__.lower()}
