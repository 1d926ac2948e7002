"""Identifiers of rules: which attributes a rule is for.

The names are idiscore's. An identifier that matches fewer tags is more specific and wins.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

from pydicom.datadict import keyword_dict, tag_for_keyword
from pydicom.tag import Tag

from beamstop.dicom.tags import tag_name
from beamstop.errors import RecipeError, did_you_mean

_HEX_TAG = re.compile(r"\(?(?:0x)?([0-9a-f]{4})(?:, ?|[_ ])?([0-9a-f]{4})\)?\Z", re.IGNORECASE)
_GROUP = re.compile(r"\(?([0-9a-fx]{4})(?:, ?|[_ ])?([0-9a-fx]{4})\)?\Z", re.IGNORECASE)
_BLOCK = re.compile(r"\(?([0-9a-f]{4})(?:, ?|[_ ])?\[([^\]]+)\]([0-9a-f]{2})\)?\Z", re.IGNORECASE)
_PATH_PARTS = re.compile(r"(?:\[[^\]]*\]|[^.\[])+")  # creators have points, too
_WITHOUT_BLOCK = 0xFFFF00FF
_FIRST_BLOCK = 0x1000

PRIVATE = "private"


class Identifier(ABC):
    """Which attributes a rule is for."""

    @property
    @abstractmethod
    def matchable(self) -> float:
        """How many tags match; the fewer, the more specific is the identifier."""

    @property
    def names_creator(self) -> bool:
        """Whether it names the element's private creator, so that its author knows the content."""
        return False

    @property
    def may_be_private(self) -> bool:
        """Whether some private attribute may fit."""
        return True

    @abstractmethod
    def matches(self, tag: int, creator: str | None = None) -> bool:
        """Return whether an attribute fits; `creator` is the private creator of its block, if any."""


@dataclass(frozen=True)
class SingleTag(Identifier):
    """One attribute, by keyword or tag.

    >>> str(SingleTag("PatientName")), SingleTag("PatientName") == SingleTag((0x10, 0x10))
    ('PatientName', True)
    """

    tag: int

    def __init__(self, tag: str | int | tuple[int, int]) -> None:
        object.__setattr__(self, "tag", int(_to_tag(tag)))

    def __str__(self) -> str:
        return tag_name(self.tag)

    @property
    def matchable(self) -> float:
        return 1

    @property
    def may_be_private(self) -> bool:
        return bool(self.tag & 0x10000)

    def matches(self, tag: int, creator: str | None = None) -> bool:
        return tag == self.tag


@dataclass(frozen=True)
class RepeatingGroup(Identifier):
    """Attributes whose tag fits a pattern with `x` for any hexadecimal digit.

    Repeating groups are even (PS3.5 7.6): a pattern with an `x` in its group matches no private element.

    >>> RepeatingGroup("50xx,xxxx").matches(0x50020010), RepeatingGroup("50xx,xxxx").matches(0x50010010)
    (True, False)
    """

    pattern: str

    def __init__(self, tag: "str | RepeatingGroup") -> None:
        match = _GROUP.match(str(tag))
        if match is None:
            raise RecipeError(f"{tag!r}: not a repeating group; write it like 50xx,xxxx")
        object.__setattr__(self, "pattern", f"{match[1]},{match[2]}".lower())

    def __str__(self) -> str:
        return self.pattern

    @cached_property
    def _mask(self) -> tuple[int, int]:
        digits = self.pattern.replace(",", "")
        mask = int("".join("0" if digit == "x" else "f" for digit in digits), 16)
        return mask, int(digits.replace("x", "0"), 16)

    @property
    def matchable(self) -> float:
        return float(16 ** self.pattern.count("x"))

    @property
    def may_be_private(self) -> bool:
        _, wanted = self._mask
        return bool(wanted & 0x10000) and "x" not in self.pattern.partition(",")[0]

    def matches(self, tag: int, creator: str | None = None) -> bool:
        mask, wanted = self._mask
        return tag & mask == wanted and (self.may_be_private or not tag & 0x10000)


@dataclass(frozen=True)
class PrivateBlockTagIdentifier(Identifier):
    """A private attribute by group, creator and element in its block, as CTP and idiscore write it.

    The comma may be left out.

    >>> PrivateBlockTagIdentifier("0013,[CTP]10").matches(0x00131110, "CTP")
    True
    """

    group: int
    creator: str
    element: int

    def __init__(self, text: str) -> None:
        match = _BLOCK.match(text)
        if match is None or not int(match[1], 16) % 2:
            raise RecipeError(f"{text!r}: not a private element; write it like 0013,[CREATOR]10")
        object.__setattr__(self, "group", int(match[1], 16))
        object.__setattr__(self, "creator", match[2])
        object.__setattr__(self, "element", int(match[3], 16))

    @classmethod
    def init_explicit(cls, group: int, private_creator: str, element: int) -> "PrivateBlockTagIdentifier":
        """Return the identifier with these parts.

        >>> str(PrivateBlockTagIdentifier.init_explicit(0x0013, "CTP", 0x10))
        '0013,[CTP]10'
        """
        return cls(f"{group:04x},[{private_creator}]{element:02x}")

    def __str__(self) -> str:
        return f"{self.group:04X},[{self.creator}]{self.element:02X}"

    @property
    def matchable(self) -> float:
        return 240  # blocks 10 to FF

    @property
    def names_creator(self) -> bool:
        return True

    @property
    def tag(self) -> int:
        """The tag that the element has in the first block of its group."""
        return self.group << 16 | _FIRST_BLOCK | self.element

    def matches(self, tag: int, creator: str | None = None) -> bool:
        return tag >> 16 == self.group and tag & 0xFF == self.element and creator == self.creator


@dataclass(frozen=True)
class PrivateTags(Identifier):
    """Every private attribute: odd groups."""

    def __str__(self) -> str:
        return PRIVATE

    @property
    def matchable(self) -> float:
        return float(2**31)

    def matches(self, tag: int, creator: str | None = None) -> bool:
        return bool(tag & 0x10000)


@dataclass(frozen=True)
class TagPath(Identifier):
    """An attribute inside sequences, by the end of its path; any part may be an element of a private block.

    >>> str(TagPath("RequestAttributesSequence.ScheduledProcedureStepID"))
    'RequestAttributesSequence.ScheduledProcedureStepID'
    >>> str(TagPath("0019,[ACME 1.1]10.CodeMeaning"))
    '0019,[ACME 1.1]10.CodeMeaning'

    Attributes:
        tags: from the outermost sequence named to the attribute; private ones as in the first block.
        creators: private creators of these; None for parts not named by creator.
    """

    tags: tuple[int, ...]
    creators: tuple[str | None, ...]

    def __init__(self, path: str | tuple[int, ...]) -> None:
        parts = _PATH_PARTS.findall(path) if isinstance(path, str) else path
        pairs = [_path_part(part) for part in parts]
        object.__setattr__(self, "tags", tuple(tag for tag, _ in pairs))
        object.__setattr__(self, "creators", tuple(creator for _, creator in pairs))

    def __str__(self) -> str:
        return ".".join(
            tag_name(tag) if creator is None else f"{tag >> 16:04X},[{creator}]{tag & 0xFF:02X}"
            for tag, creator in zip(self.tags, self.creators, strict=True)
        )

    @property
    def matchable(self) -> float:
        return 1 / len(self.tags)  # the longer the path, the more specific

    @property
    def names_creator(self) -> bool:
        return self.creators[-1] is not None

    @property
    def may_be_private(self) -> bool:
        return bool(self.tags[-1] & 0x10000)

    @property
    def last(self) -> int:
        """The tag of the attribute, without its block if that may be any."""
        return without_block(self.tags[-1]) if self.names_creator else self.tags[-1]

    def matches(self, tag: int, creator: str | None = None) -> bool:
        return _fits_part(self.tags[-1], self.creators[-1], tag, creator)

    def fits(
        self, path: tuple[int, ...], creator: str | None = None, around: tuple[str | None, ...] = ()
    ) -> bool:
        """Return whether a path from the top level ends like this one.

        Args:
            path: tags from the top level to an attribute.
            creator: private creator of its block.
            around: those of the sequences around it; empty if none of them is private.
        """
        count = len(self.tags)
        if len(path) < count:
            return False
        if not any(self.creators):
            return path[-count:] == self.tags
        creators = (*(around or (None,) * (len(path) - 1)), creator)
        return all(map(_fits_part, self.tags, self.creators, path[-count:], creators[-count:]))


def without_block(tag: int) -> int:
    """Return a private tag without its block number, which differs from file to file.

    >>> hex(without_block(0x00191008))
    '0x190008'
    """
    return tag & _WITHOUT_BLOCK


def _path_part(part: str | int) -> tuple[int, str | None]:
    if isinstance(part, str) and "[" in part:
        block = PrivateBlockTagIdentifier(part)
        return block.tag, block.creator
    return int(_to_tag(part)), None


def _fits_part(wanted: int, wanted_creator: str | None, tag: int, creator: str | None) -> bool:
    if wanted_creator is None:
        return tag == wanted
    return without_block(tag) == without_block(wanted) and creator == wanted_creator


def parse_identifier(text: str) -> Identifier:
    """Parse an identifier in a recipe.

    Args:
        text: a keyword, a tag, a repeating group `50xx,xxxx`, a private element `0013,[CTP]10`,
            a path of these `ReferencedStudySequence.ReferencedSOPInstanceUID`, or `private`.

    Raises:
        RecipeError: it has another form, or there is no such keyword.
    """
    if text == PRIVATE:
        return PrivateTags()
    if len(_PATH_PARTS.findall(text)) > 1:
        return TagPath(text)
    if "[" in text:
        return PrivateBlockTagIdentifier(text)
    if _HEX_TAG.match(text):
        return SingleTag(text)
    if _GROUP.match(text) and "x" in text.lower():
        return RepeatingGroup(text)
    return SingleTag(text)


def _to_tag(tag: str | int | tuple[int, int]) -> int:
    if isinstance(tag, int):
        return tag
    if isinstance(tag, tuple):
        return Tag(tag)
    match = _HEX_TAG.match(tag)
    if match is not None:
        return int(match[1] + match[2], 16)
    found = tag_for_keyword(tag)
    if found is None:
        remedy = "; see the DICOM data dictionary, or write the tag as (gggg,eeee)"
        raise RecipeError(f"{tag!r}: no such keyword{did_you_mean(tag, keyword_dict) or remedy}")
    return found
