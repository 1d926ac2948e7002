"""Renderings of heads in clean series, for a person to check whether a face is left."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from beamstop.audit import Outcome
from beamstop.dicom.files import read_dicom
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import DeidError
from beamstop.faces.outline import threshold_of
from beamstop.faces.slices import NoPlaceError, Slice, slices_of, stacks_of
from beamstop.faces.volume import Grid, Volume, volume_of
from beamstop.pixels.decoder_child import DECODER_ERRORS
from beamstop.pixels.frames import open_frames
from beamstop.rules.profile import CLEAN_FACES, METHOD_CODES
from beamstop.steps.judge_face import MAY_SHOW, REMOVED
from beamstop_transforms.parquet_files import batches_of, open_parquet
from beamstop_transforms.paths import is_clean_path
from beamstop_transforms.stores import Store, open_seekable
from beamstop_transforms.tables import run_of

VIEWS = {"from the front": 0, "from the left and front": -45, "from the left": -90}  # degrees of turn
_KINDS = {"its face was removed": 3, "a face may show, and was left": 2, "no face was seen in it": 1}
_FILES, _BYTES = 1_000, 1 << 30  # the most that a rendered series may have
_STEP = 1.5  # mm
_HIGHEST = 320.0  # mm that are rendered, from the top of the body down
_ASKED = (
    "outcome",
    "detail",
    "methods",
    "modality",
    "series_uid",
    "output_path",
    "output_sha256",
    "bytes_out",
)


@dataclass
class Series:
    """A clean series.

    Attributes:
        why: what the audit says about a face in it.
        modality: as in the audit.
        lot: a digest; series are drawn at random in its order.
        files: path below OUTPUT → SHA-256.
        size: of the files together, in bytes.
    """

    why: str
    modality: str
    lot: str
    files: dict[str, str] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True)
class Head:
    """Renderings of one series: view → picture, uint8 (rows, columns)."""

    why: str
    modality: str
    files: int
    views: dict[str, NDArray[np.uint8]]


def render_heads(newest: Mapping[str, Any], run_id: str, clean: Store) -> list[Head]:
    """Return renderings of some series that may show, or showed, a face.

    Args:
        newest: file of instances → mask of its rows that are the newest of their source.
        run_id: of the newest run, seeds the draw.
        clean: OUTPUT.
    """
    if find_spec("scipy") is None:  # of the extra `faces`
        return []
    heads: list[Head] = []
    series = sorted(_series(newest, run_id), key=lambda it: it.lot)
    for why, most in _KINDS.items():
        of_kind = (head for it in series if it.why == why and (head := _head(it, clean)) is not None)
        heads += [head for head, _ in zip(of_kind, range(most), strict=False)]
    return heads


def _series(newest: Mapping[str, Any], run_id: str) -> Iterator[Series]:
    found: dict[str, Series] = {}
    for path, mask in newest.items():
        with open_seekable(path) as file:
            at = 0
            for batch in batches_of(open_parquet(file), list(_ASKED)):
                stands, at = pa.array(mask[at : at + len(batch)]), at + len(batch)
                rows = batch.filter(pc.and_(stands, pc.equal(batch["outcome"], str(Outcome.WRITTEN))))
                for row in rows.to_pylist():
                    if why := _why(row):
                        lot = hashlib.sha256(f"{run_of(path)}\0{run_id}\0{row['series_uid']}".encode())
                        one = found.setdefault(
                            row["series_uid"], Series(why, row["modality"] or "not known", lot.hexdigest())
                        )
                        one.files[row["output_path"]] = row["output_sha256"]
                        one.size += row["bytes_out"]
    return iter(found.values())


def _why(row: Mapping[str, Any]) -> str:
    removed, left, none = _KINDS
    codes = (row["detail"] or "").split("; ")
    if REMOVED in codes:
        return removed
    if MAY_SHOW in codes:
        return left
    return none if METHOD_CODES[CLEAN_FACES] in (row["methods"] or ()) else ""


def _head(series: Series, clean: Store) -> Head | None:
    """Return renderings of a series; None if it is no volume, or its files are not as the run wrote them."""
    if len(series.files) > _FILES or series.size > _BYTES:
        return None
    datasets = []
    for path, sha256 in sorted(series.files.items()):
        found = clean.read(path) if is_clean_path(path) else None
        if found is None or hashlib.sha256(found[1]).hexdigest() != sha256:
            return None
        datasets.append(found[1])
    try:
        views = render([read_dicom(it) for it in datasets], series.modality)
    except (DeidError, NoPlaceError, *DECODER_ERRORS):  # a series that cannot be rendered is left out
        return None
    return Head(series.why, series.modality, len(series.files), views) if views else None


@guarded()
def render(datasets: Sequence[FileDataset], modality: str) -> dict[str, NDArray[np.uint8]]:
    """Return view → rendering of the skin; empty if the series is no volume.

    Args:
        datasets: of one series.
        modality: CT, MR or PT.

    Raises:
        NoPlaceError: an instance has no position.
        PixelError: a frame cannot be decoded.
    """
    pieces = [piece for number, it in enumerate(datasets) for piece in slices_of(number, it)]
    stack = max(stacks_of(pieces), key=lambda it: len(it.places), default=None)
    if stack is None or len(stack.places) < 4:
        return {}

    def values_of(piece: Slice) -> NDArray[Any]:
        frames = open_frames(datasets[piece.instance])
        if frames is None:
            raise NoPlaceError
        values: NDArray[Any] = frames.decode(piece.frame).values()
        return values * np.float32(piece.slope) + np.float32(piece.intercept)

    volume = volume_of(stack, values_of)
    kind: Any = modality if modality in ("CT", "MR", "PT") else "MR"
    skin = _tissue(volume, threshold_of(volume, kind))
    return {name: _view(skin, degrees) for name, degrees in VIEWS.items()} if skin.any() else {}


def _tissue(volume: Volume, threshold: float) -> NDArray[np.float32]:
    """Return the tissue of each voxel, 0 to 1; axes left, posterior, superior."""
    low, high = volume.box()
    low[2] = max(low[2], high[2] - _HIGHEST)
    values, inside = volume.sampled(Grid.around(low, high, _STEP))
    span = max(abs(threshold), 1.0) * np.float32(0.5)
    shown: NDArray[np.float32] = np.clip((values - np.float32(threshold)) / span + 0.5, 0, 1) * inside
    return shown


def _view(skin: NDArray[np.float32], degrees: int) -> NDArray[np.uint8]:
    """Return the first surface seen from the front of the turned body, lit from the front."""
    from scipy import ndimage

    turned = skin if not degrees else ndimage.rotate(skin, degrees, (0, 1), order=1, mode="constant")
    hit = turned > 0.5
    is_seen = hit.any(axis=1)
    first = hit.argmax(axis=1)
    at = np.ogrid[: turned.shape[0], : turned.shape[2]]
    before = np.maximum(first - 1, 0)
    near, far = turned[at[0], before, at[1]], turned[at[0], first, at[1]]
    depth = np.where(is_seen, before + (0.5 - near) / np.maximum(far - near, 1e-3), turned.shape[1])
    down, across = np.gradient(ndimage.gaussian_filter(depth, 0.7))
    light = 1 / np.sqrt(1 + np.square(down) + np.square(across))
    shade = np.where(is_seen, 40 + 215 * light, 0).astype(np.uint8)
    picture: NDArray[np.uint8] = shade.T[::-1]  # superior up
    return picture
