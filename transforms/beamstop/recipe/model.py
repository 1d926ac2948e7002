"""Recipes: one file, YAML or JSON, that says what is done to an archive."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import cached_property
from itertools import chain, starmap
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydicom.datadict import keyword_dict, tag_for_keyword

from beamstop.dicom.character_sets import CHARACTER_SET_VRS
from beamstop.dicom.tags import vr_of
from beamstop.errors import RecipeError, SubjectsError, did_you_mean
from beamstop.faces.series import Action as FaceAction
from beamstop.identity import DEFAULT_SHIFT_RANGE, Identity, Lines
from beamstop.pixels.box import Box
from beamstop.recipe import kskit as kskit_recipe
from beamstop.recipe.classes import make_instance, public_path
from beamstop.rules import payloads
from beamstop.rules.bouncers import (
    Bouncer,
    CriterionBouncer,
    ListBouncer,
    RejectEncapsulatedImageStorage,
    RejectKeyObject,
    RejectNonStandardDicom,
    RejectPossibleFace,
    RejectPresentationState,
    RejectSlideLabel,
    RejectSubject,
)
from beamstop.rules.operators import (
    BY_ACTION,
    AgeBand,
    KeepYear,
    Operator,
    PseudonymisePatientID,
    SetFixedValue,
)
from beamstop.rules.plans import BIRTH_DATE, Planner
from beamstop.rules.profile import (
    BASIC,
    CLEAN_FACES,
    CLEAN_GRAPHICS,
    CLEAN_PIXEL_DATA,
    FULL_DATES,
    MODIFIED_DATES,
    OPTIONS,
    additions,
    basic_profile,
    dates_of_nobody,
    option,
)
from beamstop.rules.rules import Profile, Rule, RuleSet
from beamstop.rules.tag_identifiers import Identifier, TagPath, parse_identifier
from beamstop.standard.actions import Action
from beamstop.subjects import COLUMNS, Line, read_list, read_subjects
from beamstop.text.burned_words import word_test
from beamstop.text.detector import TextPolicy
from beamstop.text.judge import MARKERS
from beamstop.text.regions import Region
from beamstop.words.clean_text import UnknownWords
from beamstop.words.vocabulary import fold

_UID_ROOT = re.compile(r"[0-2](\.(0|[1-9]\d*))+\Z")
_KSKIT_ROOT = re.compile(r"\d+(\.\d+)*\Z")  # kskit takes any, and its own example is none of PS3.5 9.1
_GUESSABLE = "uids: method kskit has no key: whoever knows an original UID can compute the new one"
_PATIENT_ID = 0x00100020
_MAX_ROOT_LENGTH = 33  # leaves 30 digits and a dot of the 64 that a UID may have

_BOUNCERS: dict[str, type[Bouncer]] = {
    "non-standard-sop-class": RejectNonStandardDicom,
    "encapsulated-document": RejectEncapsulatedImageStorage,
    "key-object": RejectKeyObject,
    "presentation-state": RejectPresentationState,
    "slide-label": RejectSlideLabel,
    "possible-face": RejectPossibleFace,
}
Corner = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]
SubjectColumn = Literal[COLUMNS]  # type: ignore[valid-type]
OptionName = Literal[OPTIONS]  # type: ignore[valid-type]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Entry(_Part):
    """What is done to an attribute, and in which instances."""

    when: str | None = Field(default=None, description="a criterion: in instances that fit it alone")


class Code(_Entry):
    """An action code, in some instances."""

    action: Action


class Replacement(_Entry):
    """A fixed value in place of the original."""

    value: str | int | float | list[str]


class AgeBands(_Entry):
    """Ages in bands of years, each by its lowest; over 89 is one of them."""

    band: Annotated[int, Field(ge=2, le=45)]


class Year(_Entry):
    """Of a date the year stays."""

    keep: Literal["year"]


class CustomOperator(_Entry):
    """A custom operator: a class by its import path."""

    operator: str
    arguments: dict[str, Any] = {}

    @field_validator("operator")
    @classmethod
    def _public(cls, path: str) -> str:
        return public_path(path)


_FilterName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,39}$")]


class Reject(_Part):
    """Turn away what fits a criterion."""

    reject: str
    because: str = ""
    name: _FilterName | None = Field(
        default=None, description="the audit's reason is criterion_<name>, by which the report counts"
    )


class Listed(_Part):
    """Turn away by a list of values in a file."""

    listed: str = Field(description="a text file, one value a line; below the recipe's folder, or absolute")
    attribute: str
    reject: Literal["listed", "unlisted"] = "unlisted"
    because: str = ""
    name: _FilterName | None = None

    @field_validator("attribute")
    @classmethod
    def _known(cls, keyword: str) -> str:
        if tag_for_keyword(keyword) is None:
            raise ValueError(
                f"{keyword!r}: no attribute has this keyword{did_you_mean(keyword, keyword_dict)}"
            )
        return keyword


class CustomBouncer(_Part):
    """A custom bouncer: a class by its import path."""

    bouncer: str
    arguments: dict[str, Any] = {}

    @field_validator("bouncer")
    @classmethod
    def _public(cls, path: str) -> str:
        return public_path(path)


class Edges(_Part):
    """A box by its edges; all four belong to it."""

    left: int = Field(ge=0)
    top: int = Field(ge=0)
    right: int
    bottom: int

    @model_validator(mode="after")
    def _in_order(self) -> "Edges":
        if self.right < self.left or self.bottom < self.top:
            raise ValueError("left before right, top before bottom")
        return self

    @property
    def box(self) -> Box:
        """The same by corner and size."""
        return Box.of_edges(self.left, self.top, self.right + 1, self.bottom + 1)


_Areas = Annotated[list[Edges | tuple[Corner, Corner, Size, Size]], Field(min_length=1)]


def _region(when: str, areas: _Areas) -> Region:
    return Region(when, tuple(area.box if isinstance(area, Edges) else Box(*area) for area in areas))


class RegionPart(_Part):
    """Where a device writes text."""

    when: str
    areas: _Areas

    @property
    def region(self) -> Region:
        """What HideText needs to know."""
        return _region(self.when, self.areas)


class LeavePart(_Part):
    """What a person has seen to be no text."""

    when: str
    boxes: _Areas

    @property
    def region(self) -> Region:
        """What HideText needs to know."""
        return _region(self.when, self.boxes)


class TextPart(_Part):
    """What text in pixels is hidden."""

    hide: Literal["all", "identifying"] = "all"
    authorized_words: list[str] = []
    markers: list[str] = list(MARKERS)
    languages: list[str] = ["en"]
    recognizer: Literal["ppocr", "easyocr"] = "ppocr"
    regions: list[RegionPart] = []
    ultrasound_regions: Literal["search", "keep"] = "search"
    look_again: bool = True
    leave: list[LeavePart] = []

    @field_validator("authorized_words")
    @classmethod
    def _usable_words(cls, words: list[str]) -> list[str]:
        for word in words:
            word_test(word)
        return words


class FacesPart(_Part):
    """What becomes of series in which a face shows, or may."""

    action: FaceAction = "remove"


class UidPart(_Part):
    """How UIDs are made."""

    method: Literal["keyed", "kskit"] = "keyed"
    root: str | None = None

    @field_validator("root")
    @classmethod
    def _is_a_root(cls, root: str | None, info: ValidationInfo) -> str | None:
        form = _KSKIT_ROOT if info.data.get("method") == "kskit" else _UID_ROOT
        if root is not None and (not form.match(root) or len(root) > _MAX_ROOT_LENGTH):
            raise ValueError(f"not a UID root of at most {_MAX_ROOT_LENGTH} digits and dots")
        return root

    @model_validator(mode="after")
    def _kskit_needs_a_root(self) -> "UidPart":
        if self.method == "kskit" and self.root is None:
            raise ValueError("method kskit needs a root")
        return self


class DatePart(_Part):
    """How far the dates of a patient move back, in whole days."""

    shift_days: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=36500)]] = DEFAULT_SHIFT_RANGE

    @field_validator("shift_days")
    @classmethod
    def _in_order(cls, days: tuple[int, int]) -> tuple[int, int]:
        if days[0] > days[1]:
            raise ValueError("fewest days first")
        return days


class PseudonymPart(_Part):
    """How pseudonyms are made."""

    with_issuer: bool = Field(default=False, description="Issuer of Patient ID takes part")
    normalize: list[Literal["case", "leading-zeros"]] = Field(
        default=[], description="writings of one PatientID that are one patient: 0012a and 12A"
    )


class SubjectPart(_Part):
    """How a table of subjects is read, and what happens to patients that it does not list."""

    columns: dict[SubjectColumn, str] = Field(default={}, description="ours: what the table calls it")
    merge: bool = Field(default=False, description="several originals may have one pseudonym")
    absent: Literal["reject", "key"] = Field(
        default="reject",
        description="a patient in no line: reject the instance, or derive the pseudonym from the key",
    )


_ENTRIES = {"action": Code, "value": Replacement, "operator": CustomOperator, "band": AgeBands, "keep": Year}


def _kind_of_entry(entry: object) -> str | None:
    if isinstance(entry, list):
        return "several"
    if isinstance(entry, Mapping):
        return next((name for name in _ENTRIES if name in entry), None)
    return next((name for name, kind in _ENTRIES.items() if isinstance(entry, kind)), "code")


_BY_KIND = Discriminator(
    _kind_of_entry,
    custom_error_type="entry",
    custom_error_message="write an action code, or a mapping with action, value, operator, band or keep",
)
SingleEntry = (
    Annotated[Action, Tag("code")]
    | Annotated[Code, Tag("action")]
    | Annotated[Replacement, Tag("value")]
    | Annotated[CustomOperator, Tag("operator")]
    | Annotated[AgeBands, Tag("band")]
    | Annotated[Year, Tag("keep")]
)
_Several = Annotated[list[Annotated[SingleEntry, _BY_KIND]], Field(min_length=1)]
AttributeEntry = Annotated[SingleEntry | Annotated[_Several, Tag("several")], _BY_KIND]
KINDS_OF_ENTRIES = frozenset({"code", "several", *_ENTRIES, "shipped", "reject", "listed", "bouncer"})
BouncerName = Literal[
    "non-standard-sop-class",
    "encapsulated-document",
    "key-object",
    "presentation-state",
    "slide-label",
    "possible-face",
]


def _kind_of_bouncer(entry: object) -> str | None:
    if isinstance(entry, str):
        return "shipped"
    kinds = {"listed": Listed, "reject": Reject, "bouncer": CustomBouncer}
    if isinstance(entry, Mapping):
        return next((name for name in kinds if name in entry), None)
    return next((name for name, kind in kinds.items() if isinstance(entry, kind)), None)


BouncerEntry = Annotated[
    Annotated[BouncerName, Tag("shipped")]
    | Annotated[Listed, Tag("listed")]
    | Annotated[Reject, Tag("reject")]
    | Annotated[CustomBouncer, Tag("bouncer")],
    Discriminator(
        _kind_of_bouncer,
        custom_error_type="bouncer",
        custom_error_message=f"write one of {', '.join(_BOUNCERS)}, "
        "or a mapping with reject, listed or bouncer",
    ),
]


class Recipe(_Part):
    """What is done to every instance; see docs/recipe.md for each field."""

    name: str = "recipe"
    profile: Literal["basic", "none"] = "basic"
    options: list[OptionName] = []
    attributes: dict[str, AttributeEntry] = {}
    unlisted: Literal["keep", "remove"] = "keep"
    unknown: Literal["keep", "remove"] = "remove"
    safe_private: Literal["listed", "declared"] = Field(
        default="listed",
        description="under retain-safe-private: what the lists have, or what a file calls safe as well",
    )
    unknown_words: UnknownWords = "keep"
    vocabulary: list[str] = Field(default=[], description="words that stay where unknown words are removed")
    bouncers: list[BouncerEntry] = [
        "non-standard-sop-class",
        "encapsulated-document",
        "slide-label",
    ]
    encapsulated: Literal["reject", "clean"] = Field(
        default="reject",
        description="encapsulated CDA, STL, OBJ and MTL: turned away, or kept with a clean payload",
    )
    text: TextPart = TextPart()
    faces: FacesPart | None = Field(
        default=None,
        description="what is done about faces under clean-recognizable-visual-features, if not removed",
    )
    insert: dict[str, str | list[str]] = {}
    uids: UidPart = UidPart()
    dates: DatePart = DatePart()
    pseudonyms: PseudonymPart = PseudonymPart()
    subjects: SubjectPart | None = Field(default=None, description="of a table named with --subjects")
    kskit: dict[str, Any] | None = Field(default=None, description="a kskit recipe, as it was read")
    _renamed: tuple[str, ...] = PrivateAttr(default=())
    _given: str = PrivateAttr(default="")
    _folder: str = PrivateAttr(default="")

    @field_validator("options")
    @classmethod
    def _legal_options(cls, options: list[str]) -> list[str]:
        if FULL_DATES in options and MODIFIED_DATES in options:
            raise ValueError("full dates and modified dates exclude each other: name one")
        return [name for name in OPTIONS if name in options]

    @field_validator("attributes")
    @classmethod
    def _named_once(cls, attributes: dict[str, AttributeEntry]) -> dict[str, AttributeEntry]:
        named: dict[Identifier, str] = {}
        for key in attributes:
            before = named.setdefault(parse_identifier(key), key)
            if before != key:
                raise ValueError(f"{before} and {key} are one attribute: leave one entry, a list if need be")
        return attributes

    @field_validator("faces")
    @classmethod
    def _with_the_option(cls, faces: FacesPart | None, info: ValidationInfo) -> FacesPart | None:
        if faces is not None and CLEAN_FACES not in info.data.get("options", [CLEAN_FACES]):
            raise ValueError(f"says how the option {CLEAN_FACES} is carried out: name that in options, too")
        return faces

    @field_validator("insert")
    @classmethod
    def _known_keywords(cls, insert: dict[str, Any]) -> dict[str, Any]:
        for keyword in insert:
            tag = tag_for_keyword(keyword)
            if tag is None:
                near = did_you_mean(keyword, keyword_dict)
                raise ValueError(f"{keyword!r}: no attribute has this keyword{near}")
            _check_letters(keyword, tag, insert[keyword])
        return insert

    def model_post_init(self, _context: Any) -> None:
        """Build rules and bouncers now, so that a mistake shows before the first file is read."""
        _ = self.planner, self.bouncer_instances, self.text_policy

    def __getstate__(self) -> dict[Any, Any]:
        """Return what travels to workers: not the folder, which is the user's own."""
        state = super().__getstate__()
        private = state["__pydantic_private__"] or {}
        return {**state, "__pydantic_private__": {**private, "_folder": ""}}

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the validated recipe and the edition of its tables, in hex."""
        from beamstop.rules.profile import edition

        document = self.model_dump(mode="json", exclude={"name"})
        return hashlib.sha256(json.dumps([edition(), document], sort_keys=True).encode()).hexdigest()

    @property
    def given(self) -> str:
        """What stands for the recipe as the user gave it: the name of one that ships, else a digest.

        It stays when a newer beamstop reads more out of it, and says nothing of the file's own name.
        """
        return self._given or self.digest

    @cached_property
    def rules(self) -> Profile:
        """The rule sets in order: additions, Basic Profile, options, the recipe's own."""
        own = RuleSet(chain.from_iterable(starmap(self._own_rules, self.attributes.items())), self.name)
        return Profile([*self._official_rules(), *self._payload_rules(), own], self.name)

    def _official_rules(self) -> list[RuleSet]:
        if self.kskit is not None:
            ancestor = kskit_recipe.read_kskit_recipe(self.kskit)
            return [kskit_recipe.rule_set(ancestor)]
        if self.profile != BASIC:
            return []
        nobody = [dates_of_nobody()] if MODIFIED_DATES in self.options else []
        return [basic_profile(), additions(), *(option(name) for name in self.options), *nobody]

    def _payload_rules(self) -> list[RuleSet]:
        if self.encapsulated == "reject":
            return []
        dates: payloads.Dates = "remove"
        if FULL_DATES in self.options:
            dates = "keep"
        elif MODIFIED_DATES in self.options:
            dates = "move"
        return [payloads.rule_set(dates)]

    @cached_property
    def planner(self) -> Planner:
        """Decides what is done to each attribute."""
        return Planner(
            self.rules,
            frozenset(self.options),
            self.unlisted == "keep",
            self.unknown == "keep",
            self.unknown_words,
            frozenset(fold(word) for word in self.vocabulary),
            asks_iod=self.kskit is None,  # kskit removes what its recipe does not list
            trusts_declared=self.safe_private == "declared",
        )

    @cached_property
    def bouncer_instances(self) -> tuple[Bouncer, ...]:
        """The bouncers, one object each."""
        cleaned = payloads.CLEANABLE if self.encapsulated == "clean" else frozenset[str]()
        # A PDF is never cleaned, whichever bouncers a recipe names.
        first = (RejectEncapsulatedImageStorage(cleaned),) if cleaned else ()
        named = [entry for entry in self.bouncers if not (cleaned and entry == "encapsulated-document")]
        return (*first, *map(_bouncer, named))

    def bouncers_of(self, subjects: Lines | None) -> tuple[Bouncer, ...]:
        """Return the bouncers, a table of subjects before the others.

        Raises:
            SubjectsError: the recipe speaks of a table and there is none.
        """
        bouncers = self.bouncer_instances
        if subjects is None or not subjects.has_subjects:
            if self.subjects is not None:
                raise SubjectsError(
                    "recipe: it has subjects:, so that a table is needed; name it with --subjects"
                )
        else:
            absent = (self.subjects or SubjectPart()).absent == "reject"
            bouncers = (RejectSubject(subjects, absent), *bouncers)
        if subjects is None:
            return bouncers
        return tuple(it.of(subjects) if isinstance(it, ListBouncer) else it for it in bouncers)

    @cached_property
    def text_policy(self) -> TextPolicy:
        """What HideText needs to know."""
        text = self.text
        return TextPolicy(
            text.hide,
            tuple(text.authorized_words),
            tuple(text.markers),
            tuple(text.languages),
            tuple(part.region for part in text.regions),
            text.ultrasound_regions,
            text.look_again,
            tuple(part.region for part in text.leave),
            text.recognizer,
        )

    @property
    def hides_text(self) -> bool:
        """Whether text in the pixels is hidden."""
        return CLEAN_PIXEL_DATA in self.options

    @property
    def face_action(self) -> FaceAction | None:
        """What is done about faces; None leaves them alone."""
        return (self.faces or FacesPart()).action if CLEAN_FACES in self.options else None

    def check_alone(self) -> None:
        """Check that instances can be de-identified one by one.

        Raises:
            RecipeError: faces are judged by whole series.
        """
        if self.face_action is not None:
            raise RecipeError(
                f"recipe: {CLEAN_FACES} needs whole series, not single instances: use beamstop run "
                "or GroupSeries of beamstop_transforms, or leave the option out (docs/faces.md)"
            )

    @cached_property
    def keeps_years(self) -> bool:
        """Whether the year of a date other than that of birth stays."""
        return any(
            isinstance(it, Year)
            for key, entry in self.attributes.items()
            for it in (entry if isinstance(entry, list) else [entry])
            if _last_tag(parse_identifier(key)) != BIRTH_DATE
        )

    @property
    def needs_detector(self) -> bool:
        """Whether a text detector is needed: for the pixels, or for overlay planes that stay."""
        return self.hides_text or self.cleans_graphics

    @property
    def cleans_graphics(self) -> bool:
        """Whether overlay planes stay, cleared of text."""
        return CLEAN_GRAPHICS in self.options

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the person who runs this should know, a sentence each."""
        return (*self._renamed, *((_GUESSABLE,) if self.uids.method == "kskit" else ()))

    def identity(self, key: bytes, subjects: Lines | None = None) -> Identity:
        """Return what makes stand-ins under this recipe with the run's key, and a table of subjects."""
        return Identity(
            key,
            self.uids.root,
            self.uids.method == "kskit",
            self.dates.shift_days,
            self.pseudonyms.with_issuer,
            frozenset(self.pseudonyms.normalize),
            subjects,
        )

    @property
    def has_lists(self) -> bool:
        """Whether bouncers go by lists in files."""
        return any(isinstance(it, Listed) for it in self.bouncers)

    def read_lists(self, key: bytes) -> list[Line]:
        """Read the lists that the bouncers go by.

        Raises:
            SubjectsError: one cannot be used.
        """
        identity, entries = self.identity(key), [it for it in self.bouncers if isinstance(it, Listed)]
        named = {_name_of(it): Path(self._folder, it.listed) for it in entries}
        return [line for name, path in named.items() for line in read_list(path, name, identity)]

    def read_subjects(self, path: str | os.PathLike[str], key: bytes) -> list[Line]:
        """Read a table of subjects as this recipe says, and check it.

        Raises:
            SubjectsError: it cannot be used, or this recipe has no place for its pseudonyms.
        """
        how = self.subjects or SubjectPart()
        lines = read_subjects(path, self.identity(key), how.columns, how.merge)
        operator = self.planner.plan((_PATIENT_ID,), None, "LO", "").operator
        is_a_place = isinstance(operator, PseudonymisePatientID | kskit_recipe.PseudonymiseByVR)
        if not is_a_place and any(line.subject.pseudonym for line in lines if not line.subject.is_refused):
            raise SubjectsError(
                "--subjects: the recipe gives no pseudonym to PatientID, so that those of the table have no "
                "place; take PatientID out of attributes"
            )
        return lines

    def _own_rules(self, key: str, entry: AttributeEntry) -> list[Rule]:
        """Return the rules of one entry, the first of several last, so that it wins."""
        entries = entry if isinstance(entry, list) else [entry]
        for earlier in entries[:-1]:
            if isinstance(earlier, Action) or earlier.when is None:
                raise RecipeError(f"{key}: what stands behind an entry without when: never holds")
        return [self._own_rule(key, one) for one in reversed(entries)]

    def _own_rule(self, key: str, entry: Action | _Entry) -> Rule:
        origin = f"{self.name}:{key}"
        when = None if isinstance(entry, Action) else entry.when
        code = entry.action if isinstance(entry, Code) else entry
        if not isinstance(code, Action):
            rule = Rule(key, self._operator(entry), origin, when=when)
            _check_fit(key, rule.identifier, entry)
            return rule
        # A plain code is carried out to the letter; a compound still follows the IOD.
        operation = code if code is Action.K else BY_ACTION.get(code, code)
        fallback = Action.X_Z_D if code is Action.C else Action.X
        return Rule(key, operation, origin, fallback, when)

    def _operator(self, entry: Action | _Entry) -> Operator:
        if isinstance(entry, AgeBands):
            return AgeBand(entry.band)
        if isinstance(entry, Year):
            return KeepYear(MODIFIED_DATES in self.options)
        if isinstance(entry, CustomOperator):
            return make_instance(entry.operator, Operator, entry.arguments)
        return SetFixedValue(entry.value if isinstance(entry, Replacement) else None)


def _check_fit(key: str, identifier: Identifier, entry: object) -> None:
    """Raise where an attribute cannot be what an entry makes of it."""
    tag = _last_tag(identifier)
    vr = vr_of(tag, None)
    if isinstance(entry, Replacement) and vr != "UN":
        _check_letters(key, tag, entry.value)
    if isinstance(entry, AgeBands) and vr != "AS":
        raise RecipeError(f"{key}: band is for ages (VR AS) alone, such as PatientAge")
    if isinstance(entry, Year) and vr not in ("DA", "DT"):
        raise RecipeError(f"{key}: keep: year is for dates (VR DA and DT) alone, such as PatientBirthDate")


def _last_tag(identifier: Identifier) -> int:
    """Return the tag of the attribute that an identifier names; 0 where it names several."""
    return identifier.last if isinstance(identifier, TagPath) else getattr(identifier, "tag", 0)


def _check_letters(name: str, tag: int, value: object) -> None:
    """Raise where a VR that has no character set but ASCII (PS3.5 6.1.2.2) cannot hold a value."""
    vr = vr_of(tag, None)
    if vr not in CHARACTER_SET_VRS and not str(value).isascii():
        raise RecipeError(f"{name}: a value of VR {vr} has letters of ASCII alone: write it in these")


def _name_of(entry: Listed) -> str:
    return f"{entry.attribute} {entry.listed}"


def _bouncer(entry: BouncerEntry) -> Bouncer:
    reason = f"criterion_{entry.name}" if isinstance(entry, Reject | Listed) and entry.name else ""
    if isinstance(entry, Listed):
        return ListBouncer(entry.attribute, _name_of(entry), entry.reject == "listed", reason)
    if isinstance(entry, Reject):
        return CriterionBouncer(entry.reject, entry.because, reason or "criterion")
    if isinstance(entry, CustomBouncer):
        return make_instance(entry.bouncer, Bouncer, entry.arguments)
    return _BOUNCERS[entry]()
