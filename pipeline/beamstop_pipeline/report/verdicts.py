"""Verdicts of reviewers on clean pictures, and how they become regions, boxes and words of a recipe."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from beamstop.errors import RecipeError
from beamstop.given_files import read_given
from beamstop.recipe.load import parse_recipe, read_recipe
from beamstop.recipe.model import Recipe
from beamstop.text.burned_words import is_pattern

FORMAT = "beamstop-verdicts-1"
_LARGEST = 64 << 20  # bytes of verdicts
CRITERIA = ("Modality", "Manufacturer", "ManufacturerModelName", "Rows", "Columns")
VERDICTS = {  # in the order of the page's number keys
    "fine": "fine",
    "missed_text": "missed text",
    "hidden_too_much": "hidden too much",
    "anatomy": "anatomy, no text",
    "no_text": "no text here",
}
Criterion = Literal[CRITERIA]  # type: ignore[valid-type]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MarkedBox(_Part):
    """A box with missed text, or a hidden box without text; in stored pixels."""

    frame: Annotated[int, Field(ge=0)]
    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class Verdict(_Part):
    """A reviewer's verdict on one instance."""

    sop_instance_uid: str
    verdict: Literal[tuple(VERDICTS)]  # type: ignore[valid-type]
    when: dict[Criterion, Annotated[str, Field(max_length=128)]]
    boxes: list[MarkedBox] = []
    leave: list[MarkedBox] = []
    words: list[Annotated[str, Field(min_length=1, max_length=200)]] = []


class Verdicts(_Part):
    """The file that a reviewer downloads from the review page."""

    format: Literal[FORMAT]  # type: ignore[valid-type]
    run_id: str
    recipe_digest: str | None
    verdicts: list[Verdict]


class Amended(NamedTuple):
    """A recipe with reviewers' verdicts.

    Attributes:
        text: YAML, with the comments of the original recipe.
        recipe: the same, parsed.
        areas, left, words: how many were added: missed boxes, boxes that are no text, words.
        verdicts: how many of each kind.
        unmarked: how many report missed text without a box.
    """

    text: str
    recipe: Recipe
    areas: int
    left: int
    words: int
    verdicts: Counter[str]
    unmarked: int


def read_verdicts(path: Path, name: str = "VERDICTS") -> Verdicts:
    """Read a file of verdicts; `name` is what messages call it.

    Raises:
        RecipeError: it cannot be read, or is not a file of verdicts.
    """
    try:
        return Verdicts.model_validate(json.loads(read_given(path, _LARGEST)))
    except OSError as error:
        raise RecipeError(
            f"{name} {path}: cannot be read, {error.strerror}; name the file that the page downloaded"
        ) from None
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise RecipeError(f"{name} {path}: not verdicts of a review page: {where or 'the whole'}") from None
    except (ValueError, RecursionError):
        raise RecipeError(f"{name} {path}: not JSON; name the file that the page downloaded") from None


def amend(recipe: str, files: Iterable[Verdicts], name: str) -> Amended:
    """Add reviewers' verdicts to a recipe: regions, boxes that are no text, authorised words.

    Words are added as words, never as patterns. A region has criteria from the clean file, with its device if
    that is kept, and is blanked in every frame of every instance that fits. Nothing is added twice.

    Args:
        recipe: a file, or the name of a recipe that ships.
        files: the verdicts.
        name: of the new recipe.

    Raises:
        RecipeError: the recipe cannot be amended, or would not be valid; a box is not inside its picture.
    """
    text, file, former = read_recipe(recipe)
    before = parse_recipe(text, file, former)
    if before.kskit is not None:
        raise RecipeError(f"{file}: a kskit recipe has no text regions; write one in beamstop's format first")
    if not before.hides_text:
        raise RecipeError(f"{file}: it does not look at pixels; add clean-pixel-data to its options first")
    yaml = YAML()  # keeps comments, quotes and order
    yaml.width = 110
    document = yaml.load(text)
    document["name"] = name
    part = document.setdefault("text", CommentedMap())
    verdicts = [verdict for each in files for verdict in each.verdicts]
    areas = _add_boxes(part, "regions", "areas", [(it.when, it.boxes) for it in verdicts])
    left = _add_boxes(part, "leave", "boxes", [(it.when, it.leave) for it in verdicts])
    words = _add_words(part, verdicts)
    if not areas and not left and not words and not part:
        del document["text"]
    written = io.StringIO()
    yaml.dump(document, written)
    return Amended(
        written.getvalue(),
        parse_recipe(written.getvalue(), name, name),
        areas,
        left,
        words,
        Counter(verdict.verdict for verdict in verdicts),
        sum(verdict.verdict == "missed_text" and not verdict.boxes for verdict in verdicts),
    )


def _add_boxes(part: Any, field: str, name: str, marked: list[tuple[dict[str, str], list[MarkedBox]]]) -> int:
    """Add boxes to a list of `{when: …, <name>: [boxes]}`; return how many were not there yet."""
    entries = part.get(field) or []
    by_criterion = {entry["when"]: entry[name] for entry in entries}
    added = 0
    for fits, boxes in marked:
        for box in boxes:
            when = criterion(fits)
            _check_inside(box, fits)
            area = [box.x, box.y, box.width, box.height]
            if when not in by_criterion:
                by_criterion[when] = CommentedSeq()
                entries.append(CommentedMap([("when", when), (name, by_criterion[when])]))
            if area not in by_criterion[when]:
                row = CommentedSeq(area)
                row.fa.set_flow_style()
                by_criterion[when].append(row)
                added += 1
    if added:
        part[field] = entries
    return added


def _add_words(part: Any, verdicts: list[Verdict]) -> int:
    known = part.get("authorized_words") or []
    fresh = [_as_word(word) for verdict in verdicts for word in verdict.words]
    fresh = [word for word in dict.fromkeys(fresh) if word not in known]
    if fresh:
        known.extend(fresh)
        part["authorized_words"] = known
    return len(fresh)


def _as_word(word: str) -> str:
    r"""Return the recipe's entry for a word, escaped if it looks like a pattern.

    >>> _as_word("LEFT BREAST"), _as_word("/.*/")
    ('LEFT BREAST', '/\\/\\.\\*\\//')
    """
    return f"/{re.escape(' '.join(word.split())).replace('/', chr(92) + '/')}/" if is_pattern(word) else word


def _check_inside(box: MarkedBox, when: dict[str, str]) -> None:
    """Refuse a box that is not inside its picture, or whose picture has no known size.

    Raises:
        RecipeError: the box is refused.
    """
    sides = (("Columns", box.x + box.width), ("Rows", box.y + box.height))
    for keyword, end in sides:
        size = when.get(keyword, "")
        if not (size.isascii() and size.isdecimal() and end <= int(size)):
            raise RecipeError(
                f"VERDICTS: a box that does not lie inside its picture, by {keyword}; remove it"
            )


def criterion(when: dict[str, str]) -> str:
    r"""Return the criterion of a region for instances like one that was reviewed.

    >>> criterion({"Modality": "US", "Manufacturer": "O'Hara", "Rows": "480"})
    'Modality.equals(\'US\') and Manufacturer.equals("O\'Hara") and Rows.equals(\'480\')'

    Raises:
        RecipeError: the instance has no value for a criterion.
    """
    tests = [f"{keyword}.equals({when[keyword]!r})" for keyword in CRITERIA if keyword in when]
    if not tests:
        raise RecipeError("VERDICTS: an instance without modality, size and device; remove its boxes")
    return " and ".join(tests)
