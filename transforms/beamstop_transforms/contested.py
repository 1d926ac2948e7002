"""FindContested: find the SOP Instance UIDs that several sources of a run have, with 16 bytes per source."""

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import PCollection

from beamstop_transforms.instance import Seen
from beamstop_transforms.ledger.claims import uid_key
from beamstop_transforms.ledger.numbers import number_of
from beamstop_transforms.step import Transform

Pack = tuple[int, bytes]  # a share of all UIDs, and lines about some of them

_MOST = 100_000  # lines that wait
_SHARES = (
    16  # fewer would leave workers without one; with more, lines about a series hardly ever meet in a pack
)


class SeenPacks:
    """Packs lines, so that an instance takes some 50 bytes in a shuffle, not several hundred."""

    def __init__(self) -> None:
        self._lines: dict[int, list[tuple[str, Seen]]] = defaultdict(list)
        self._many = 0

    def add(self, sop_instance_uid: str, seen: Seen) -> Iterator[Pack]:
        """Add a line; yield packs if many are waiting."""
        self._lines[uid_key(sop_instance_uid)[0] % _SHARES].append((sop_instance_uid, seen))
        self._many += 1
        if self._many == _MOST:
            yield from self.rest()

    def rest(self) -> Iterator[Pack]:
        """Yield the lines that are still waiting."""
        waiting, self._lines, self._many = self._lines, defaultdict(list), 0
        for share, lines in waiting.items():
            yield share, zlib.compress(json.dumps(sorted(lines)).encode())


@dataclass(eq=False)
class FindContested(Transform):
    """Find the UIDs that must be resolved when everything is written.

    Attributes:
        everything: pass on every UID, because a skipped source may have it.
    """

    everything: bool = False

    def expand(self, packs: PCollection[Pack]) -> PCollection[tuple[str, Seen]]:
        """Take packs of `SeenPacks`; return contested UIDs, each with all sources that have it.

        A UID is contested if several sources have it, or a source's line says so.
        """
        return packs | "ByShare" >> beam.GroupByKey() | "Several" >> beam.FlatMap(_several, self.everything)


def _several(share: tuple[int, Iterable[bytes]], everything: bool) -> Iterator[Any]:
    contested = _contested_in(share[1])
    for uid, seen in _lines_in(share[1]):
        is_contested = number_of(uid) in contested
        if everything or is_contested:
            yield uid, seen._replace(contested=is_contested)


def _contested_in(packs: Iterable[bytes]) -> frozenset[int]:
    """Return the numbers of the contested UIDs in some packs, with 16 bytes per line."""
    lines, waiting = [np.empty((0, 2), np.uint64)], set[int]()
    for pack in packs:
        found = list(_lines_in([pack]))
        numbers = [(number_of(uid), number_of(seen.source)) for uid, seen in found]
        lines.append(np.array(numbers, np.uint64).reshape(-1, 2))
        waiting.update(number_of(uid) for uid, seen in found if seen.contested)
    uids, many = np.unique(np.unique(np.concatenate(lines), axis=0)[:, 0], return_counts=True)
    return frozenset(waiting.union(uids[many > 1].tolist()))


def _lines_in(packs: Iterable[bytes]) -> Iterator[tuple[str, Seen]]:
    for pack in packs:
        for uid, seen in json.loads(zlib.decompress(pack)):
            yield uid, Seen(*seen)
