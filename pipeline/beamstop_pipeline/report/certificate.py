"""The page that is signed: sentences about the archive as it is now, what wants a decision first."""

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
_ALWAYS = _FACTS[:3]  # to be filled in by hand where nobody said it
_NAMED = 6  # modalities in a sentence
_ROOMY = 15  # facts and sentences


@dataclass(frozen=True)
class Certificate:
    """What page 1 says.

    Attributes:
        facts: name → what `--about` says; empty for a line to be filled in by hand.
        warnings: what speaks against handing the archive over, the gravest first.
        done: what was done.
        recipe: what the recipe does.
        review: what people found in pictures.
        not_promised: what nothing here says.
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
        """Whether there is so much to say that a sheet takes it in small letters only."""
        return len(self.facts) + len(self.warnings) + len(self.done) + len(self.not_promised) > _ROOMY


def certify(figures: Figures, about: About, reviews: Sequence[Verdicts], risk: Sequence[str]) -> Certificate:
    """Return page 1.

    Args:
        figures: of the audit.
        about: of `--about`.
        reviews: of `--verdicts`.
        risk: sentences about what is kept, where it was looked at.
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
    """Clean files with pixels, by what was done about text in them.

    Attributes:
        all: how many there are.
        searched: those that claim Clean Pixel Data (113101).
        left: searched, with boxes left that a person had found to be no text.
        computed: not searched, as every pixel is a computed number.
        unsearched: modality → all others, the commonest first.
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
        """Yield what was not searched though it may hold text."""
        if self.unsearched:
            named = [f"{name} {number:,}" for name, number in self.unsearched.items()][:_NAMED]
            more = ", …" if len(self.unsearched) > _NAMED else ""
            number = sum(self.unsearched.values())
            yield (
                f"Text in pixels was NOT searched in {number:,} of {self.all:,} images "
                f"({', '.join(named)}{more}): names that are burned into them are still there."
            )

    def done(self, figures: Figures) -> Iterator[str]:
        """Yield what was searched."""
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
    """Yield in how many clean files a face may show, and whether the newest run told."""
    written = figures.standing.cells.where(outcome="written")
    if left := int(written.total("face_may_show")):
        by_modality = written.sums("modality", "face_may_show").items()
        named = ", ".join(f"{name or 'without modality'} {n:,}" for name, n in by_modality if n)
        them = "it" if left == 1 else "them"
        yield (
            f"A face may show in {_number(left, 'clean file')} ({named}): who renders the series of "
            f"{them} may see a face. The option clean-recognizable-visual-features removes it."
        )
    if written.total("n") and "face_may_show" not in figures.record.get("counts", {}):
        yield "The newest run is of a version that does not tell in which files a face may show: run again."


def _faces_done(figures: Figures) -> Iterator[str]:
    """Yield what was done about faces."""
    written = figures.standing.cells.where(outcome="written")
    proved = int(written.that(lambda cell: _FACELESS in cell["methods"].split()).total("n"))
    if proved:
        removed = int(written.total("face_removed"))
        yield (
            f"Whole series of CT, MR and PT were looked at for a face, {_number(proved, 'file')} in all: "
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
        yield f"{removed} {_was(figures.pruned)} removed since, as no source stood for it any more."


def _found(figures: Figures) -> Iterator[str]:
    if figures.found:
        each = ", ".join(f"{check} {number:,}" for check, number in sorted(figures.found.items()))
        yield f"beamstop verify found since the newest run: {each}. Archive or audit are not as it left them."


def _warnings(figures: Figures) -> Iterator[str]:
    outcomes = figures.standing.outcomes
    if disputed := len(figures.disputed):
        it_is = "1 clean file is" if disputed == 1 else f"{disputed:,} clean files are"
        yield f"{it_is} disputed: another source has the same number (SOP Instance UID) and another content."
    if others := _by_other_recipes(figures):
        yield (
            f"{_number(others, 'clean file')} {_was(others)} made by another recipe than the newest run's: "
            "the sentences about the recipe are not about them."
        )
    if left := _left(figures.record):
        stands = "1 clean file stands" if left == 1 else f"{left:,} clean files stand"
        yield f"{stands} for no source any more (gone, moved or set aside): --prune removes such files."
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
        yield f"{names} in the newest run: nobody has seen yet what {it_burns} into pictures."


def _lacks(figures: Figures) -> Iterator[str]:
    """Yield which networks runs did without: what they found stands until it is done again."""
    engines = {engine for record in figures.records for engine in record.get("engines") or ()}
    for lack in lacks_of(sorted(engines)):
        yield f"Text was searched with less than beamstop has: {lack}."


def _by_other_recipes(figures: Figures) -> int:
    digest = figures.record.get("recipe", {}).get("digest")
    written = figures.standing.cells.where(outcome="written")
    return int(written.that(lambda cell: cell["recipe_digest"] != digest).total("n"))


def _left(record: Mapping[str, Any]) -> int:
    since = record.get("since")
    return sum(since["left"].values()) - int(since["pruned"]) if since else 0


class _Review:
    """What people said of pictures, as far as it is about the recipe that made the archive."""

    def __init__(self, figures: Figures, reviews: Sequence[Verdicts]) -> None:
        digest = figures.record.get("recipe", {}).get("digest")
        self._clean = figures.standing.outcomes["written"]
        self._files = len(reviews)
        self._older = sum(it.recipe_digest != digest for it in reviews)
        # A picture of which two reviewers spoke counts once, by the graver word.
        newest: dict[str, str] = {}
        for it in (
            verdict for review in reviews if review.recipe_digest == digest for verdict in review.verdicts
        ):
            former = newest.get(it.sop_instance_uid, it.verdict)
            newest[it.sop_instance_uid] = min(former, it.verdict, key=_GRAVEST.index)
        self._counts = Counter(newest.values())

    def sentences(self) -> Iterator[str]:
        """Yield what was found."""
        if not self._files:
            yield "Nobody's review of pictures was given to this report (--verdicts)."
            return
        if looked := self._counts.total():
            found = [f"{number:,} {_WORDS[verdict]}" for verdict, number in self._counts.most_common()]
            yield f"A person looked at {looked:,} of {self._clean:,} clean files: {', '.join(found)}."
        else:
            yield "No review is about the recipe that made this archive."

    def warnings(self) -> Iterator[str]:
        """Yield what speaks against the archive."""
        if missed := self._counts["missed_text"]:
            yield (
                f"Reviewers found text that was missed in {_number(missed, 'picture')}: amend the recipe, "
                "run again and look again before anything is handed over."
            )
        if self._older:
            was = "1 file of verdicts is" if self._older == 1 else f"{self._older} files of verdicts are"
            yield f"{was} about another recipe, and counted nowhere: look at pictures of this one."


_WORDS = {
    "fine": "fine",
    "missed_text": "with text that was missed",
    "hidden_too_much": "with too much blanked",
    "anatomy": "with anatomy blanked that is no text",
    "no_text": "without text where some was blanked",
}
_GRAVEST = ("missed_text", "hidden_too_much", "anatomy", "no_text", "fine")


def _not_promised(figures: Figures) -> Iterator[str]:
    yield "No program can promise that no identity is left: text that nobody found is in no number here."
    if figures.record.get("recipe", {}).get("faces") == "remove":
        yield (
            "Faces were removed from CT, MR and PT alone, as volume: a program can invent a face in "
            "their place. Bodies and other recognisable features in pictures were not altered."
        )
    else:
        yield (
            "Faces, bodies and other recognisable features in pictures were not altered; heads in thin "
            "slices can be rendered as faces."
        )
    yield "What is kept can single out a patient for somebody who knows enough of them."


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
