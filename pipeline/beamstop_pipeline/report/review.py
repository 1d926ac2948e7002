"""The page for reviewing clean pictures, with their text boxes."""

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup
from pydicom.dataset import Dataset

from beamstop.audit import Outcome, Row
from beamstop.dicom.files import read_dicom
from beamstop.errors import DeidError
from beamstop.pixels.decoder_child import DECODER_ERRORS
from beamstop.pixels.frame import Frames
from beamstop.pixels.frames import open_frames
from beamstop.pixels.png import render
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.report import sample
from beamstop_pipeline.report.figures import Figures
from beamstop_pipeline.report.heads import render_heads
from beamstop_pipeline.report.page import Table, environment
from beamstop_pipeline.report.sample import Written
from beamstop_pipeline.report.verdicts import CRITERIA, FORMAT, VERDICTS
from beamstop_transforms.parquet_files import batches_of, open_parquet
from beamstop_transforms.paths import is_clean_path
from beamstop_transforms.stores import Store, open_seekable, open_store, paths_in
from beamstop_transforms.tables import run_of

_IN_EVERY_CLEAN_FILE = ("Modality", "Rows", "Columns")  # unchanged by every recipe
_FRAMES = 6  # of one instance
_LONGEST = 2048  # pixels on a side of what is shown
_QUALITY = 90
_PIXELS = "(7FE0,"


class Box(NamedTuple):
    """A text box of one frame, in stored pixels: hidden, or kept."""

    frame: int
    x: int
    y: int
    width: int
    height: int
    kept: bool
    why: str


@dataclass(frozen=True)
class Shot:
    """One frame, as shown on the page."""

    index: int
    source: str
    boxes: list[Box]


@dataclass(frozen=True)
class Picture:
    """One clean instance on the page.

    Attributes:
        uid: SOP Instance UID of the clean file.
        why: why it is shown.
        modality: from its audit row.
        device: manufacturer and model, if the clean file keeps them.
        when: keyword → value; a recipe's region for such instances has these criteria.
        rows, columns: of a stored frame.
        frames: how many it has; `shots` are the frames shown.
        scale: stored pixels per pixel shown.
    """

    uid: str
    why: str
    modality: str
    device: str
    when: dict[str, str]
    rows: int
    columns: int
    frames: int
    scale: float
    shots: list[Shot]
    hidden: int
    kept: int
    residue: int
    faint: int


def render_review(figures: Figures, audit: str, clean: str, count: int) -> str:
    """Return the page: HTML with embedded pictures, which loads nothing.

    Args:
        figures: of the audit.
        audit: the AUDIT folder or prefix.
        clean: OUTPUT of the runs, a folder or prefix.
        count: how many instances to show.

    Raises:
        ConfigurationError: there is no picture to show.
    """
    run_id = str(figures.record["run_id"])
    drawn = sample.draw(figures.newest, run_id, count, figures.faint, figures.devices)
    gallery = _Gallery(open_store(clean), _changes(audit, _all(drawn)), figures.has_changes)
    pictures = gallery.hang(drawn, count)
    if not pictures:
        raise ConfigurationError(
            f"--review {clean}: no picture of these runs is there ({gallery.missing} files missing or "
            f"changed, {gallery.unseen} without a picture); name the OUTPUT of run {run_id}"
        )
    script = files("beamstop_pipeline.report").joinpath("pages", "review.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    said = {
        "format": FORMAT,
        "run_id": run_id,
        "recipe_digest": figures.record.get("recipe", {}).get("digest"),
    }
    return (
        environment()
        .get_template("review.html")
        .render(
            record=figures.record,
            clean=figures.standing.outcomes[Outcome.WRITTEN],
            pictures=pictures,
            verdicts=VERDICTS,
            devices=_devices(pictures),
            heads=_heads(figures, run_id, open_store(clean)),
            reasons=list(dict.fromkeys(it.why for it in pictures)),
            modalities=sorted({it.modality for it in pictures}),
            has_changes=figures.has_changes,
            missing=gallery.missing,
            script=Markup(script),  # noqa: S704  ours; the page's policy names its digest
            digest=digest,
            said=json.dumps(said),
        )
    )


class _Shown(NamedTuple):
    """Renderings of a series, as shown on the page: view → data URL."""

    why: str
    modality: str
    files: int
    views: dict[str, str]


def _heads(figures: Figures, run_id: str, clean: Store) -> list[_Shown]:
    heads = render_heads(figures.newest, run_id, clean)
    return [
        _Shown(
            it.why, it.modality, it.files, {name: picture_address(view) for name, view in it.views.items()}
        )
        for it in heads
    ]


def _all(drawn: dict[str, list[Written]]) -> list[Written]:
    return list(dict.fromkeys(each for found in drawn.values() for each in found))


class _Changes(NamedTuple):
    """By SOP Instance UID: text boxes in the pixel data, and which criteria attributes were changed."""

    boxes: dict[str, list[Box]]
    touched: dict[str, set[str]]


def _changes(audit: str, wanted: list[Written]) -> _Changes:
    found = _Changes({}, {})
    of_run: dict[str, list[str]] = {}
    for each in wanted:
        of_run.setdefault(each.run_id, []).append(each.sop_instance_uid)
    names = ["sop_instance_uid", "path", "tag", "action", "frame", "x", "y", "width", "height", "why"]
    for path in paths_in(audit, "changes", ".parquet"):
        if run_of(path) not in of_run:
            continue
        uids = pa.array(of_run[run_of(path)], pa.string())
        with open_seekable(path) as file:
            for batch in batches_of(open_parquet(file), names):
                is_box = pc.and_(pc.is_valid(batch["frame"]), pc.starts_with(batch["tag"], _PIXELS))
                is_device = pc.is_in(batch["path"], pa.array(CRITERIA))
                ours = pc.and_(pc.is_in(batch["sop_instance_uid"], uids), pc.or_(is_box, is_device))
                for row in batch.filter(ours).to_pylist():
                    uid = row["sop_instance_uid"]
                    if row["frame"] is None:
                        found.touched.setdefault(uid, set()).add(row["path"])
                    else:
                        found.boxes.setdefault(uid, []).append(_box(row))
    return found


def _box(row: Row) -> Box:
    frame, x, y, width, height = (row[name] for name in ("frame", "x", "y", "width", "height"))
    return Box(frame, x, y, width, height, row["action"] == "K", row["why"])


class _Gallery:
    """Reads clean files and makes the pictures of the page."""

    def __init__(self, clean: Store, changes: _Changes, has_changes: bool) -> None:
        self._clean = clean
        self._changes = changes
        self._has_changes = has_changes
        self._seen: set[str] = set()
        self.missing = 0  # files that are gone, or not as the run wrote them
        self.unseen = 0  # files without pixels that can be shown

    def hang(self, drawn: dict[str, list[Written]], count: int) -> list[Picture]:
        """Return at most `count` pictures, each with the first reason for which it was drawn."""
        pictures: list[Picture] = []
        for why, found in drawn.items():
            pictures += self._several(found, why, sample.room(why, count, len(pictures)))
        return pictures

    def _several(self, found: list[Written], why: str, room: int) -> list[Picture]:
        shown: list[Picture] = []
        for each in found:
            if len(shown) >= room:
                break
            picture = self._picture(each, why)
            if picture is not None:
                shown.append(picture)
        return shown

    def _picture(self, each: Written, why: str) -> Picture | None:
        if each.sop_instance_uid in self._seen:
            return None
        self._seen.add(each.sop_instance_uid)
        found = self._clean.read(each.output_path) if is_clean_path(each.output_path) else None
        if found is None or hashlib.sha256(found[1]).hexdigest() != each.output_sha256:
            self.missing += 1
            return None
        try:
            dataset = read_dicom(found[1])
            frames = open_frames(dataset)
            picture = None if frames is None else self._drawn(each, why, dataset, frames)
        except (DeidError, *DECODER_ERRORS):  # a picture that cannot be decoded is left out
            picture = None
        if picture is None:
            self.unseen += 1
            return None
        return picture

    def _drawn(self, each: Written, why: str, dataset: Dataset, frames: Frames) -> Picture:
        boxes = self._changes.boxes.get(each.sop_instance_uid, [])
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        scale = max(1.0, max(rows, columns) / _LONGEST)
        shots = [
            Shot(
                index,
                picture_address(in_eight_bits(render(frames.decode(index), index)), scale),
                [it for it in boxes if it.frame == index],
            )
            for index in _chosen(len(frames), boxes)
        ]
        when = self._when(each.sop_instance_uid, dataset)
        device = " ".join(filter(None, (when.get(name) for name in CRITERIA[1:3])))
        return Picture(
            each.sop_instance_uid, why, each.modality or "not known", device or "not in the clean file", when,
            rows, columns, len(frames), scale, shots, each.hidden, each.kept, each.residue, each.faint,
        )  # fmt: skip

    def _when(self, uid: str, dataset: Dataset) -> dict[str, str]:
        """Return keyword → value for a criterion: values that the recipe left as in the original."""
        touched = self._changes.touched.get(uid, set())
        names = CRITERIA if self._has_changes else _IN_EVERY_CLEAN_FILE
        told = {name: str(dataset.get(name, "") or "") for name in names if name not in touched}
        return {name: value for name, value in told.items() if value.isprintable() and value}


def _chosen(count: int, boxes: list[Box]) -> list[int]:
    """Return the frames to show: all if there are few, else those with most boxes and some at even steps.

    >>> _chosen(3, []), _chosen(60, [Box(17, 0, 0, 1, 1, False, "text")])
    ([0, 1, 2], [0, 14, 17, 29, 44, 59])
    """
    if count <= _FRAMES:
        return list(range(count))
    busiest = Counter(box.frame for box in boxes if box.frame < count).most_common(_FRAMES // 2)
    chosen = {frame for frame, _ in busiest}
    chosen |= set(np.linspace(0, count - 1, _FRAMES - len(chosen)).astype(int).tolist())
    return sorted(chosen)


def in_eight_bits(pixels: Any) -> Any:
    """Return a picture in 8 bits: 16 bits are stretched between the 0.1 and 99.9 percentiles."""
    if pixels.dtype == np.uint8:
        return pixels
    low, high = np.percentile(pixels, (0.1, 99.9))
    return np.interp(pixels, (low, max(high, low + 1)), (0, 255)).astype(np.uint8)


def picture_address(pixels: Any, scale: float = 1) -> str:
    """Return a picture as a data URL."""
    from PIL import Image

    image, file = Image.fromarray(np.ascontiguousarray(pixels)), io.BytesIO()
    if scale > 1:
        image = image.resize(
            (round(image.width / scale), round(image.height / scale)), Image.Resampling.LANCZOS
        )
    image.save(file, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _devices(pictures: list[Picture]) -> Table:
    def rows() -> Iterator[tuple[str, int, int, int, int]]:
        for device, number in Counter(picture.device for picture in pictures).most_common():
            ours = [picture for picture in pictures if picture.device == device]
            yield device, number, *(sum(getattr(it, name) for it in ours) for name in _SUMMED)

    head = ["device", "shown", "boxes hidden in these", "of these faint", "seen again"]
    return Table("Devices, where the clean files keep manufacturer or model", head, list(rows()))


_SUMMED = ("hidden", "faint", "residue")
