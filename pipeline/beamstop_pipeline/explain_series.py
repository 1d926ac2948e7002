"""Explain what a recipe does to faces in the series of a folder, in text and as renderings."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from beamstop.dicom.files import read_dicom
from beamstop.dicom.limits import DEFAULT_LIMITS
from beamstop.errors import DeidError, Refusal
from beamstop.faces.series import Action, FaceFinding
from beamstop.faces.slices import NoPlaceError
from beamstop.identity import Identity
from beamstop.pixels.decoder_child import DECODER_ERRORS
from beamstop.standard.defined_terms import defined_modality
from beamstop.steps.judge_face import FaceNote, judge_face
from beamstop_pipeline.report.heads import render
from beamstop_transforms.group_series import FRAME, Series, load_look, place_of
from beamstop_transforms.instance import Source
from beamstop_transforms.match import find_sources

_SAID = {
    "face_removed": "the face is removed from {}",
    "face_may_show": "{} are written although a face may show",
    "": "{} show no face",
}
Views = dict[str, NDArray[np.uint8]]


@dataclass
class Looked:
    """The result that a run would have for one series.

    Attributes:
        modality: a defined term of Modality, such as CT, or `not known`.
        instances: number of its instances.
        done: description, with a place for the number → number of instances.
        before, after: view → rendering, uint8; empty if the series cannot be rendered, or if none of it is
            written.
    """

    modality: str
    instances: int
    done: Counter[str] = field(default_factory=Counter)
    before: Views = field(default_factory=dict)
    after: Views = field(default_factory=dict)

    def line(self) -> str:
        """Return the result as one line, without any value from the series."""
        done = "; ".join(said.format(number) for said, number in self.done.most_common())
        return f"{self.modality}, {self.instances} instance{'s' * (self.instances > 1)}: {done}"


@dataclass(frozen=True)
class Looks:
    """The result for a folder: its series that may show a face, and the number of its other sources."""

    series: list[Looked]
    alone: int


def explain_series(folder: str, action: Action, key: bytes) -> Looks:
    """Search every series of a folder as a run would.

    Args:
        folder: a folder or pattern, as `beamstop run --input` takes it.
        action: of the recipe.
        key: any key: it only groups sources.

    Raises:
        DeidError: scipy is not installed.
    """
    identity, groups, alone = Identity(key), defaultdict[bytes, list[Source]](list), 0
    for source in find_sources(folder):
        place = place_of(source, identity, DEFAULT_LIMITS).key
        if place is None or place[:1] == FRAME:
            alone += 1
        else:
            groups[place].append(source)
    ordered = sorted(groups.values(), key=lambda it: min(source.raw_path for source in it))
    return Looks([_looked_at(sorted(it, key=lambda one: one.raw_path), action) for it in ordered], alone)


def _looked_at(sources: list[Source], action: Action) -> Looked:
    series = Series(sources, DEFAULT_LIMITS)
    findings = series.findings(load_look(), action, list)
    datasets = [_read(data) for data in series.data]
    known = [it for it in datasets if it is not None]
    modality = next((defined_modality(str(it.get("Modality") or "")) for it in known), None)
    found = Looked(modality or "not known", len(sources))
    found.before = _rendered(known, found.modality)
    clean = []
    for dataset, finding in zip(datasets, findings, strict=True):
        if dataset is None:
            found.done[f"{{}} are not searched ({finding.reason if finding else 'cannot be read'})"] += 1
        elif (note := _judged(dataset, action, finding, found)) is not None:
            clean.append(dataset)
            found.done[_SAID[note.code]] += 1
    found.after = _rendered(clean, found.modality)
    return found


def _read(data: bytes | None) -> FileDataset | None:
    return None if data is None else read_dicom(data)


def _judged(
    dataset: FileDataset, action: Action, finding: FaceFinding | None, found: Looked
) -> FaceNote | None:
    try:
        return judge_face(dataset, action, finding)
    except Refusal as refusal:
        found.done[f"{{}} would be {type(refusal).__name__.lower()}: {refusal}"] += 1
        return None


def _rendered(datasets: list[FileDataset], modality: str) -> Views:
    try:
        return render(datasets, modality)
    except (DeidError, NoPlaceError, *DECODER_ERRORS):  # the text line still reports such a series
        return {}


def lines_of(looks: Looks) -> Iterator[str]:
    """Yield one line per series, and one for the other sources."""
    yield from (it.line() for it in looks.series)
    yield f"{looks.alone} other sources, which are judged without their series"


def render_looks(looks: Looks) -> str:
    """Return an HTML page of renderings before and after; it shows faces.

    Raises:
        DeidError: matplotlib is not installed; the image for workers leaves it out.
    """
    if find_spec("matplotlib") is None:
        raise DeidError("--heads: pages are made with matplotlib: pip install matplotlib")
    from beamstop_pipeline.report.page import environment
    from beamstop_pipeline.report.review import picture_address

    pairs: Iterable[Any] = (
        {
            "line": it.line(),
            "sides": {
                side: {name: picture_address(view) for name, view in views.items()}
                for side, views in (("before", it.before), ("after", it.after))
            },
        }
        for it in looks.series
    )
    return environment().get_template("heads.html").render(pairs=list(pairs))
