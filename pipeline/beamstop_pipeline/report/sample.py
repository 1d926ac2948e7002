"""Which clean instances a person should look at: the risky ones, one of each kind, and some at random."""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beamstop.audit import Outcome
from beamstop_transforms.stores import open_seekable

RESIDUE = "seen again inside hidden areas"
BOXES = "most boxes"
KEPT = "words kept"
KIND = "of each kind"
DEVICE = "of each device"
RANDOM = "at random"
_SHARES = {RESIDUE: 4, BOXES: 4, KEPT: 8}  # one in so many pictures
_POOL = 4  # times as many are drawn at random as are shown, to find devices among them
_COLUMNS = {
    "outcome": pa.string(),
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
    """A clean instance, as its row has it."""

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


@dataclass
class Draw:
    """What may be shown: each list the best first.

    Attributes:
        by_risk: why → instances.
        kinds: one instance of each modality, SOP class and transfer syntax.
        pool: drawn at random, more than are shown.
    """

    by_risk: dict[str, list[Written]] = field(default_factory=dict)
    kinds: list[Written] = field(default_factory=list)
    pool: list[Written] = field(default_factory=list)


def draw(paths: list[str], run_id: str, count: int) -> Draw:
    """Draw from the rows of a run; the same run always gives the same draw.

    Args:
        paths: the Parquet files of the run's instances.
        run_id: seeds the draw.
        count: how many pictures are shown in all.
    """
    risks: dict[str, list[tuple[int, str, Written]]] = {why: [] for why in _SHARES}
    pool: list[tuple[int, str, Written]] = []
    kinds: dict[tuple[str, ...], tuple[str, Written]] = {}
    for each in _written(paths):
        lot = hashlib.sha256(f"{run_id}\0{each.sop_instance_uid}".encode()).hexdigest()
        for why, number in ((RESIDUE, each.residue), (BOXES, each.hidden), (KEPT, each.kept)):
            if number:
                _keep(risks[why], (number, lot, each), -(-count // _SHARES[why]))
        _keep(pool, (int(each.frames > 0), lot, each), count * _POOL)
        kind = each[:3]
        if kind not in kinds or lot > kinds[kind][0]:
            kinds[kind] = lot, each
    return Draw(
        {why: [each for *_, each in sorted(heap, reverse=True)] for why, heap in risks.items()},
        [each for _, each in sorted(kinds.values(), reverse=True)],
        [each for *_, each in sorted(pool, reverse=True)],
    )


def _keep(heap: list[tuple[int, str, Written]], entry: tuple[int, str, Written], most: int) -> None:
    if len(heap) < most:
        heapq.heappush(heap, entry)
    else:
        heapq.heappushpop(heap, entry)


def _written(paths: list[str]) -> Iterator[Written]:
    for path in paths:
        with open_seekable(path) as file:
            for batch in pq.ParquetFile(file).iter_batches(columns=list(_COLUMNS)):
                rows = batch.filter(pc.equal(batch["outcome"], str(Outcome.WRITTEN)))
                values = [
                    pc.fill_null(rows[name], "" if kind == pa.string() else 0).to_pylist()
                    for name, kind in _COLUMNS.items()
                ]
                for _, *row in zip(*values, strict=True):
                    yield Written(*row)
