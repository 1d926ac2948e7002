"""Which clean instances a person should review: risky ones, some of each kind, and some at random."""

import hashlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from beamstop.audit import Outcome
from beamstop_pipeline.report.figures import DeviceSeen, Faint
from beamstop_transforms.parquet_files import batches_of, open_parquet
from beamstop_transforms.stores import open_seekable
from beamstop_transforms.tables import run_of

NEW = "of each new device"
RESIDUE = "seen again inside hidden areas"
BOXES = "most boxes"
FAINT = "most faint text"
KEPT = "words kept"
KIND = "of each kind"
DEVICE = "of each device"
RANDOM = "at random"
_SHARES = {RESIDUE: 6, FAINT: 6, BOXES: 6, KEPT: 12}  # one in this many pictures
_LEFT = {NEW: 3 / 4, KIND: 1 / 4, DEVICE: 1 / 8}  # share of the page that stays for later reasons
_POOL = 4  # times as many are drawn at random as shown, because some have no picture
_COLUMNS = {
    "outcome": pa.string(),
    "source_id": pa.string(),
    "modality": pa.string(),
    "sop_class_uid": pa.string(),
    "transfer_syntax_uid": pa.string(),
    "sop_instance_uid": pa.string(),
    "output_path": pa.string(),
    "output_sha256": pa.string(),
    "frames": pa.int64(),
    "text_boxes_hidden": pa.int64(),
    "text_boxes_kept": pa.int64(),
    "text_residue": pa.int64(),
}


class Written(NamedTuple):
    """A clean instance, from its audit row."""

    modality: str
    sop_class_uid: str
    transfer_syntax_uid: str
    sop_instance_uid: str
    output_path: str
    output_sha256: str
    frames: int
    hidden: int
    kept: int
    residue: int
    faint: int
    run_id: str


def draw(
    newest: Mapping[str, Any], run_id: str, count: int, faint: Faint, devices: Sequence[DeviceSeen]
) -> dict[str, list[Written]]:
    """Draw from the newest rows; as long as the newest run is the same, so is the draw.

    Args:
        newest: file of instances → mask of its rows that are the newest of their source.
        run_id: of the newest run, seeds the draw.
        count: how many pictures are shown in all.
        faint: how many boxes of faint text there are.
        devices: one instance of each is drawn.

    Returns:
        reason → candidates, the best first; more than are shown.
    """
    risks: dict[str, list[tuple[int, str, Written]]] = {why: [] for why in _SHARES}
    pool: list[tuple[int, str, Written]] = []
    kinds: dict[tuple[str, ...], tuple[str, Written]] = {}
    examples = {it.example: it for it in devices}
    of_device: dict[str, Written] = {}
    for each in _written(newest, faint):
        lot = hashlib.sha256(f"{run_id}\0{each.sop_instance_uid}".encode()).hexdigest()
        for why, number in zip(_SHARES, (each.residue, each.faint, each.hidden, each.kept), strict=True):
            if number:
                _keep(risks[why], (number, lot, each), -(-count // _SHARES[why]))
        if each.sop_instance_uid in examples:
            of_device[each.sop_instance_uid] = each
        _keep(pool, (int(each.frames > 0), lot, each), count * _POOL)
        kind = each[:3]
        if kind not in kinds or lot > kinds[kind][0]:
            kinds[kind] = lot, each
    known = [of_device[uid] for uid in examples if uid in of_device]
    return {
        NEW: [each for each in known if examples[each.sop_instance_uid].is_new],
        **{why: [each for *_, each in sorted(heap, reverse=True)] for why, heap in risks.items()},
        KIND: [each for _, each in sorted(kinds.values(), reverse=True)],
        DEVICE: [each for each in known if not examples[each.sop_instance_uid].is_new],
        RANDOM: [each for *_, each in sorted(pool, reverse=True)],
    }


def room(why: str, count: int, shown: int) -> int:
    """Return how many more pictures may be shown for one reason.

    >>> room(KIND, 60, 20), room(RANDOM, 60, 20)
    (25, 40)
    """
    return count - shown - int(count * _LEFT.get(why, 0))


def _keep(heap: list[tuple[int, str, Written]], entry: tuple[int, str, Written], most: int) -> None:
    if len(heap) < most:
        heapq.heappush(heap, entry)
    else:
        heapq.heappushpop(heap, entry)


def _written(newest: Mapping[str, Any], faint: Faint) -> Iterator[Written]:
    for path, mask in newest.items():
        with open_seekable(path) as file:
            at, run_id = 0, run_of(path)
            for batch in batches_of(open_parquet(file), list(_COLUMNS)):
                stands, at = pa.array(mask[at : at + len(batch)]), at + len(batch)
                rows = batch.filter(pc.and_(stands, pc.equal(batch["outcome"], str(Outcome.WRITTEN))))
                values = [
                    pc.fill_null(rows[name], "" if kind == pa.string() else 0).to_pylist()
                    for name, kind in _COLUMNS.items()
                ]
                boxes = faint.of(rows["source_id"], run_id).tolist()
                for _, _, *row in zip(*values, boxes, strict=True):
                    yield Written(*[*row, run_id])
