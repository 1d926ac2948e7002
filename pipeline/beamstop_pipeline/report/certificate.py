"""The page that is signed: sentences about the archive as it is now, open decisions first."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamstop.rules.profile import CLEAN_FACES, CLEAN_PIXEL_DATA, METHOD_CODES
from beamstop.text.where_text import NO_TEXT
from beamstop_pipeline.lacking import lacks_of
from beamstop_pipeline.report.about import About
from beamstop_pipeline.report.cells import Cells
from beamstop_pipeline.report.figures import Figures
from beamstop_pipeline.report.recipe_sentences import recipe_sentences
from beamstop_pipeline.report.verdicts import Verdicts

_SEARCHED, _FACELESS = METHOD_CODES[CLEAN_PIXEL_DATA], METHOD_CODES[CLEAN_FACES]
_FACTS = ("data_set", "recipient", "purpose", "responsible", "legal_basis")
_ALWAYS = _FACTS[:3]  # without --about, to be filled in by hand
_NAMED = 6  # modalities in a sentence
_ROOMY = 15  # facts and sentences that fit page 1 in normal size


@dataclass(frozen=True)
class Certificate:
    """The contents of page 1.

    Attributes:
        facts: name → text from `--about`; empty for a line to be filled in by hand.
        warnings: sentences about open decisions, the gravest first.
        done: sentences about the work that was done.
        recipe: sentences about the recipe.
        review: sentences about reviewed pictures.
        not_promised: sentences about the limits of all this.
        counts: name → number.
    """

    facts: dict[str, str]
    warnings: list[str]
    done: list[str]
    recipe: list[str]
    review: list[str]
    not_promised: list[str]
    counts: dict[str, int]

    @property
    def is_full(self) -> bool:
        """Whether there is so much text that it fits one sheet only in small letters."""
        return len(self.facts) + len(self.warnings) + len(self.done) + len(self.not_promised) > _ROOMY


def certify(figures: Figures, about: About, reviews: Sequence[Verdicts], risk: Sequence[str]) -> Certificate:
    """Return page 1.

    Args:
        figures: of the audit.
        about: of `--about`.
        reviews: of `--verdicts`.
        risk: sentences about the risk of the data that stay; empty if it was not measured.
    """
    images = Images.of(figures.standing.cells)
    review = _Review(figures, reviews)
    said, has_subjects = about.model_dump(), bool(figures.record.get("options", {}).get("subjects"))
    return Certificate(
        facts={name.replace("_", " "): said[name] or "" for name in _FACTS if said[name] or name in _ALWAYS},
        warnings=[
            *_found(figures),
            *images.warnings(),
            *_faces_left(figures),
            *_lacks(figures),
            *review.warnings(),
            *_warnings(figures),
        ],
        done=[*images.done(figures), *_faces_done(figures), *_done(figures)],
        recipe=list(recipe_sentences(figures.record.get("recipe", {}), has_subjects)),
        review=list(review.sentences()),
        not_promised=[*_not_promised(figures), *risk],
        counts=_counts(figures),
    )


@dataclass(frozen=True)
class Images:
    """Numbers of clean files with pixels, by what was done about text in them.

    Attributes:
        all: of all.
        searched: of those that claim Clean Pixel Data (113101).
        left: of those that were searched, but in which boxes stay that a person called no text.
        computed: of those not searched because every pixel is a computed number.
        unsearched: modality → number of all others, the commonest first.
    """

    all: int
    searched: int
    left: int
    computed: int
    unsearched: dict[str, int]

    @classmethod
    def of(cls, cells: Cells) -> "Images":
        """Return the images among the clean files of a report."""
        written = cells.where(outcome="written")
        searched = written.that(lambda cell: _SEARCHED in cell["methods"].split())
        others = written.that(lambda cell: _SEARCHED not in cell["methods"].split())
        computed = others.that(lambda cell: cell["sop_class_uid"] in NO_TEXT)
        rest = others.that(lambda cell: cell["sop_class_uid"] not in NO_TEXT)
        unsearched = {name: _unsearched(kind) for name, kind in rest.by("modality").items()}
        return cls(
            written.total("images"),
            searched.total("images"),
            others.total("looked_at"),
            _unsearched(computed),
            {
                name or "without modality": number
                for name, number in sorted(unsearched.items(), key=lambda kind: -kind[1])
                if number
            },
        )

    def warnings(self) -> Iterator[str]:
        """Yield a sentence about pictures that may have text and were not searched."""
        if self.unsearched:
            named = [f"{name} {number:,}" for name, number in self.unsearched.items()][:_NAMED]
            more = ", …" if len(self.unsearched) > _NAMED else ""
            number = sum(self.unsearched.values())
            yield (
                f"Text in pixels was NOT searched in {number:,} of {self.all:,} images "
                f"({', '.join(named)}{more}): names that are burned into them are still there."
            )

    def done(self, figures: Figures) -> Iterator[str]:
        """Yield sentences about pictures that were searched."""
        standing = figures.standing
        if not self.all:
            yield "No clean file has pixels."
        elif self.searched + self.left:
            boxes, instances = standing.total("text_boxes_hidden"), standing.total("with_text")
            yield (
                f"Text in pixels was searched in {self.searched + self.left:,} of {self.all:,} images; "
                f"{_number(boxes, 'place')} in {_number(instances, 'image')} "
                f"{_was(boxes)} blanked."
            )
        if self.left:
            yield f"In {_number(self.left, 'image')} boxes stayed that a person had found to be no text."
        if self.computed:
            holds = (
                "holds a mask, a dose or a map: its"
                if self.computed == 1
                else "hold masks, doses or maps: their"
            )
            images = _number(self.computed, "image")
            yield f"{images} {holds} pixels are computed numbers and were not searched."


def _unsearched(cells: Cells) -> int:
    return int(cells.total("images") - cells.total("looked_at"))


def _faces_left(figures: Figures) -> Iterator[str]:
    """Yield sentences about clean files that may show a face."""
    written = figures.standing.cells.where(outcome="written")
    if left := int(written.total("face_may_show")):
        by_modality = written.sums("modality", "face_may_show").items()
        named = ", ".join(f"{name or 'without modality'} {n:,}" for name, n in by_modality if n)
        them = "it" if left == 1 else "them"
        yield (
            f"A face may show in {_number(left, 'clean file')} ({named}): anybody who renders the series "
            f"of {them} may see a face. The option clean-recognizable-visual-features removes it."
        )
    if written.total("n") and "face_may_show" not in figures.record.get("counts", {}):
        yield "The newest run's version of beamstop does not tell which files may show a face: run again."


def _faces_done(figures: Figures) -> Iterator[str]:
    """Yield a sentence about searched and removed faces."""
    written = figures.standing.cells.where(outcome="written")
    proved = int(written.that(lambda cell: _FACELESS in cell["methods"].split()).total("n"))
    if proved:
        removed = int(written.total("face_removed"))
        yield (
            f"Whole series of CT, MR and PT were searched for a face, {_number(proved, 'file')} in all: "
            f"it was removed from {removed:,}, and the others show none."
        )


def _done(figures: Figures) -> Iterator[str]:
    standing = figures.standing
    values = standing.cells.where(outcome="written").total("identifiers_checked")
    stopped = standing.cells.where(reason="leak").total("n")
    found = f"{_number(stopped, 'file')} in which one was found {_was(stopped)} not written"
    yield (
        f"Each file's own identifying values ({values:,} in all) were searched for in the finished file; "
        + (found if stopped else "none was found")
        + "."
    )
    if rejected := standing.outcomes["rejected"]:
        reasons = standing.cells.where(outcome="rejected").sums("reason")
        named = list(reasons.items())[:_NAMED]
        listed = ", ".join(f"{code.replace('_', ' ')} {number:,}" for code, number in named)
        yield f"{_number(rejected, 'source')} {_was(rejected)} turned away by policy ({listed})."
    if figures.pruned:
        removed = _number(figures.pruned, "clean file")
        yield f"{removed} {_was(figures.pruned)} removed since, because the source was gone or changed."


def _found(figures: Figures) -> Iterator[str]:
    if figures.found:
        each = ", ".join(f"{check} {number:,}" for check, number in sorted(figures.found.items()))
        changed = "The archive or the audit was changed since that run."
        yield f"beamstop verify found since the newest run: {each}. {changed}"


def _warnings(figures: Figures) -> Iterator[str]:
    outcomes = figures.standing.outcomes
    if disputed := len(figures.disputed):
        it_is = "1 clean file is" if disputed == 1 else f"{disputed:,} clean files are"
        yield f"{it_is} disputed: another source has the same number (SOP Instance UID) and other content."
    if others := _by_other_recipes(figures):
        yield (
            f"{_number(others, 'clean file')} {_was(others)} made by another recipe than the newest run's: "
            "the sentences about the recipe do not apply to them."
        )
    if left := _left(figures.record):
        stands = "1 clean file has" if left == 1 else f"{left:,} clean files have"
        yield f"{stands} no source any more (gone, moved or set aside): --prune removes such files."
    if aside := outcomes["quarantined"] + outcomes["failed"]:
        was = "1 source was" if aside == 1 else f"{aside:,} sources were"
        yield f"{was} quarantined or failed: nothing of {_them(aside)} is in the archive."
    standing = figures.standing
    if closed := standing.cells.where(reason="archive").total("n"):
        archives = "1 archive (zip, tar) was" if closed == 1 else f"{closed:,} archives (zip, tar) were"
        yield f"{archives} found in a folder and not opened: name {_them(closed)} with --input."
    if seen := standing.total("with_residue"):
        images = _number(seen, "image")
        yield f"In {images} something was seen again inside blanked areas: a person should look."
    if faint := standing.total("with_faint"):
        yield f"In {_number(faint, 'image')} faint text was blanked; what is fainter may have been missed."
    if new := sum(it.is_new for it in figures.devices):
        names = "1 device is new" if new == 1 else f"{new:,} devices are new"
        it_burns = "it burns" if new == 1 else "they burn"
        yield f"{names} in the newest run: nobody has checked yet what {it_burns} into pictures."


def _lacks(figures: Figures) -> Iterator[str]:
    """Yield which networks were missing in runs: their results stay until the sources are processed again."""
    engines = {engine for record in figures.records for engine in record.get("engines") or ()}
    for lack in lacks_of(sorted(engines)):
        yield f"Text was searched for without all of beamstop's networks: {lack}."


def _by_other_recipes(figures: Figures) -> int:
    digest = figures.record.get("recipe", {}).get("digest")
    written = figures.standing.cells.where(outcome="written")
    return int(written.that(lambda cell: cell["recipe_digest"] != digest).total("n"))


def _left(record: Mapping[str, Any]) -> int:
    since = record.get("since")
    return sum(since["left"].values()) - int(since["pruned"]) if since else 0


class _Review:
    """The verdicts of reviewers about pictures that the present recipe made."""

    def __init__(self, figures: Figures, reviews: Sequence[Verdicts]) -> None:
        digest = figures.record.get("recipe", {}).get("digest")
        self._clean = figures.standing.outcomes["written"]
        self._files = len(reviews)
        self._older = sum(it.recipe_digest != digest for it in reviews)
        # A picture with two verdicts counts once, with the graver one.
        newest: dict[str, str] = {}
        for it in (
            verdict for review in reviews if review.recipe_digest == digest for verdict in review.verdicts
        ):
            former = newest.get(it.sop_instance_uid, it.verdict)
            newest[it.sop_instance_uid] = min(former, it.verdict, key=_GRAVEST.index)
        self._counts = Counter(newest.values())

    def sentences(self) -> Iterator[str]:
        """Yield sentences about the verdicts."""
        if not self._files:
            yield "No review of pictures was given to this report (--verdicts)."
            return
        if looked := self._counts.total():
            found = [f"{number:,} {_WORDS[verdict]}" for verdict, number in self._counts.most_common()]
            yield f"A person looked at {looked:,} of {self._clean:,} clean files: {', '.join(found)}."
        else:
            yield "No review is about the recipe that made this archive."

    def warnings(self) -> Iterator[str]:
        """Yield sentences about verdicts that speak against handing the archive over."""
        if missed := self._counts["missed_text"]:
            yield (
                f"Reviewers found text that was missed in {_number(missed, 'picture')}: amend the recipe, "
                "run again and look again before anything is handed over."
            )
        if self._older:
            was = "1 file of verdicts is" if self._older == 1 else f"{self._older} files of verdicts are"
            yield f"{was} about another recipe, and not counted: review pictures of this one."


_WORDS = {
    "fine": "fine",
    "missed_text": "with text that was missed",
    "hidden_too_much": "with too much blanked",
    "anatomy": "with anatomy blanked that is not text",
    "no_text": "without text where some was blanked",
}
_GRAVEST = ("missed_text", "hidden_too_much", "anatomy", "no_text", "fine")


def _not_promised(figures: Figures) -> Iterator[str]:
    yield "No program can promise that no identity is left: text that nobody found is not counted here."
    if figures.record.get("recipe", {}).get("faces") == "remove":
        yield (
            "Faces were removed only from volumes of CT, MR and PT: a program can invent a face in "
            "their place. Bodies and other recognisable features in pictures were not altered."
        )
    else:
        yield (
            "Faces, bodies and other recognisable features in pictures were not altered; heads in thin "
            "slices can be rendered as faces."
        )
    yield "The data that stay can single out a patient for somebody who knows enough about them."


def _counts(figures: Figures) -> dict[str, int]:
    outcomes = figures.standing.outcomes
    return {
        "clean files": outcomes["written"],
        "patients": figures.patients,
        "studies": figures.studies,
        "sources": sum(outcomes.values()),
        **{name: outcomes[name] for name in ("rejected", "quarantined", "failed")},
        "places blanked": figures.standing.total("text_boxes_hidden"),
    }


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _number(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> _number(1, "image"), _number(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
