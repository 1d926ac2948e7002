"""The page at the end of the demo: header and picture of an instance, before and after, side by side."""

import base64
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.dataset as ds
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_description
from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from beamstop.audit import Outcome
from beamstop.pixels.frames import open_frames
from beamstop.pixels.png import render
from beamstop_pipeline.demo import COPIES, PICTURES, PRIVATE, Picture

_SHOWN = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientAddress",
    "OtherPatientIDsSequence",
    "AccessionNumber",
    "InstitutionName",
    "ReferringPhysicianName",
    "StudyDescription",
    "StudyDate",
    "StudyInstanceUID",
    "SOPInstanceUID",
    "Modality",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
)
_LONGEST = 24  # letters of a value that are shown
_FATES = {
    "duplicate": "the same instance once more: one clean file is enough",
    "encapsulated_document": "a letter as PDF, which no recipe can clean",
    "not_dicom": "a text file",
    "pixels_undecodable": "pixels that no decoder reads, so nobody can search for text",
    "truncated": "a file that is cut off",
}


class Line(NamedTuple):
    """One attribute, before and after; an absent value is None."""

    name: str
    before: str | None
    after: str | None


class Pair(NamedTuple):
    """One instance: its pictures as data URLs, and its header."""

    modality: str
    hidden: int
    before: str
    after: str
    header: list[Line]


def write_page(page: Path, audit: Path, crosswalk: Path, output: Path) -> list[str]:
    """Write the page; return the unexpected reasons for which files were set aside.

    Args:
        page: the file.
        audit: AUDIT of the demo's run.
        crosswalk: its CROSSWALK, which leads from clean files to originals.
        output: OUTPUT of it.
    """
    rows = _rows(audit / "instances")
    originals = {row["output_path"]: Path(row["source_path"]) for row in _rows(crosswalk)}
    written: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["outcome"] == Outcome.WRITTEN:
            name = originals[row["output_path"]].name
            written[COPIES.get(name, name)] = row  # the key decides which of two equal files is written
    pairs = [
        _pair(originals[shown["output_path"]], output / shown["output_path"], shown)
        for picture in sorted(filter(_is_shown, PICTURES), key=lambda it: -it.drawn)
        if (shown := written.get(picture.source))
    ]
    html = render_page(
        pairs=pairs,
        sources=len(rows),
        written=len(written),
        hidden=sum(row["text_boxes_hidden"] or 0 for row in written.values()),
        aside=[
            (row["outcome"], row["reason"], _FATES.get(row["reason"], ""))
            for row in rows
            if row["outcome"] != Outcome.WRITTEN
        ],
    )
    page.write_text(html, encoding="utf-8")
    return sorted({row["reason"] for row in rows if row["outcome"] != Outcome.WRITTEN} - _FATES.keys())


def render_page(
    pairs: list[Pair], sources: int, written: int, hidden: int, aside: list[tuple[str, str, str]]
) -> str:
    """Return the page: HTML that loads nothing and runs no script.

    Args:
        pairs: the instances to show.
        sources: how many files there were.
        written: how many clean files were written.
        hidden: how many text boxes were hidden in these.
        aside: outcome, reason and description of each other file.
    """
    pages = Environment(
        loader=PackageLoader("beamstop_pipeline.report", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template("demo.html").render(
        pairs=pairs, sources=sources, written=written, hidden=hidden, aside=aside
    )


def _is_shown(picture: Picture) -> bool:
    return bool(picture.drawn)


def _rows(table: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ds.dataset(table, format="parquet").to_table().to_pylist()
    return sorted(found, key=lambda row: str(row.get("reason") or row["output_path"]))


def _pair(original: Path, clean: Path, row: Mapping[str, Any]) -> Pair:
    before, after = dcmread(original), dcmread(clean)
    return Pair(
        str(after.Modality),
        row["text_boxes_hidden"],
        *_pictures(before, after),
        list(_header(before, after)),
    )


def _header(before: Dataset, after: Dataset) -> Iterator[Line]:
    for keyword in _SHOWN:
        old, new = (_text(it.get(Tag(keyword))) for it in (before, after))
        if old is not None or new is not None:
            yield Line(dictionary_description(keyword), old, new)
    private = before.private_block(*PRIVATE).get_tag(1)
    yield Line("private, " + PRIVATE[1].title(), _text(before[private]), _text(after.get(private)))


def _text(element: DataElement | None) -> str | None:
    if element is None:
        return None
    if element.VR == "SQ":
        return ", ".join(str(item.get("PatientID", "")) for item in element.value)
    text = ", ".join(map(str, element.value)) if element.VM > 1 else str(element.value or "")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 7]}…{text[-6:]}"


def _pictures(before: Dataset, after: Dataset) -> tuple[str, str]:
    """Return the first frame of both with one grey scale, as data URLs."""
    values = [_first(it) for it in (before, after)]
    if values[0].dtype != np.uint8:
        low, high = np.percentile(values[0], (1, 99))
        values = [np.clip((it - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8) for it in values]
    old, new = map(_address, values)
    return old, new


def _first(dataset: Dataset) -> Any:
    frames = open_frames(dataset)
    if frames is None:
        raise ValueError("a picture of the demo has no pixels")
    return render(frames.decode(0), 0)


def _address(values: Any) -> str:
    from PIL import Image

    packed = io.BytesIO()
    Image.fromarray(values).save(packed, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
