"""Which original each clean file was made from: found after the run, from audit, originals and key."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydicom.dataset import Dataset

from beamstop.audit import CROSSWALK, Outcome, Row
from beamstop.dicom.elements import text_of
from beamstop.dicom.files import read_dicom
from beamstop.dicom.limits import DEFAULT_LIMITS
from beamstop.dicom.pydicom_guards import guarded
from beamstop.dicom.walk import Place, is_readable, walk
from beamstop.errors import Refusal
from beamstop.identity import Identity
from beamstop.recipe.model import Recipe
from beamstop.rules.operators import HashUID
from beamstop.standard.actions import Action
from beamstop.steps.apply_recipe import original_ids
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.originals import originals
from beamstop_transforms.ledger.numbers import digest_number, digest_numbers
from beamstop_transforms.ledger.sealed import INSTANCES, rows_of, sealed_records, sealed_tables
from beamstop_transforms.read import read_source
from beamstop_transforms.record import Recorded

_SOP_CLASS_UID = 0x00080016
_CLEAN_IDS = ("patient_id", "study_uid", "series_uid", "sop_instance_uid")
_CLEAN = (*_CLEAN_IDS, "output_path")


class Tie(NamedTuple):
    """A clean file and its original.

    Attributes:
        row: of the crosswalk, see `beamstop.audit.CROSSWALK`.
        uids: original UID → new UID, for all that the recipe remaps; empty without a recipe.
    """

    row: Row
    uids: dict[str, str]


class Crosswalk:
    """Ties the clean files that an audit names to their originals.

    It holds the newest row of each source, about 200 bytes, and one original at a time.

    Args:
        audit: the AUDIT folder or prefix.
        inputs: patterns of the originals.
        identity: of the runs' key.
        recipe: of the runs, to find the other UIDs as well.
        find: only the clean files that have this PatientID or UID.

    Attributes:
        missing: clean files whose originals are not among the inputs.
        changed: clean files whose originals have changed since.

    Raises:
        ConfigurationError: the recipe is not that of the newest run.
    """

    def __init__(
        self,
        audit: str,
        inputs: Sequence[str],
        identity: Identity,
        recipe: Recipe | None = None,
        find: str | None = None,
    ) -> None:
        self._inputs, self._identity, self._recipe = inputs, identity, recipe
        if recipe is not None:
            _check_recipe(audit, identity, recipe)
        self._rows = _Rows(audit, identity, find)
        self.missing, self.changed = 0, 0

    def ties(self) -> Iterator[Tie]:
        """Yield a tie for each clean file whose original is there and unchanged."""
        found = 0
        for source_id, source in originals(self._inputs, self._identity):
            row = self._rows.written(source_id)
            if row is None:
                continue
            found += 1
            tie = self._tie(source, row)
            if tie is None:
                self.changed += 1
            else:
                yield tie
        self.missing = self._rows.count - found

    def _tie(self, source: Any, row: Row) -> Tie | None:
        try:
            data = read_source(source, DEFAULT_LIMITS.bytes)
            if self._identity.digest("source", data).hex() != row["source_digest"]:
                return None
            dataset = read_dicom(data)
        except Refusal:
            return None
        ids = original_ids(dataset)._asdict()
        tie = {
            "source_path": source.raw_path.decode(errors="backslashreplace"),
            **{f"original_{name}": value for name, value in ids.items()},
            **{name: row[name] for name in _CLEAN},
        }
        uids = dict(_remapped(dataset, self._recipe, self._identity.key)) if self._recipe else {}
        return Tie({name: tie[name] for name in CROSSWALK.names}, uids)


class _Rows:
    """The newest rows of an audit's sources."""

    def __init__(self, audit: str, identity: Identity, find: str | None) -> None:
        columns = ["source_id", "outcome", "source_digest", *_CLEAN]
        tables = [
            pa.Table.from_batches([batch]).select(columns)
            for sealed in sealed_tables(audit, identity, [INSTANCES])  # the oldest run first
            for batch in rows_of(audit, sealed, columns)
        ]
        if not tables:
            raise ConfigurationError(f"AUDIT {audit}: no sealed table of instances is there; check the path")
        self._table = pa.concat_tables(tables).combine_chunks()
        numbers = digest_numbers(self._table["source_id"])
        order = np.argsort(numbers, kind="stable")  # the last row of a source is its newest
        is_last = np.append(numbers[order][1:] != numbers[order][:-1], True)
        self._order, self._numbers = order[is_last], numbers[order][is_last]
        self._find = find
        self.count = sum(1 for at in self._order if self._is_wanted(int(at)))

    def written(self, source_id: str) -> Row | None:
        """Return the row of a source if it was written and is wanted."""
        number = np.uint64(digest_number(source_id))
        place = int(np.searchsorted(self._numbers, number))
        if place == len(self._numbers) or self._numbers[place] != number:
            return None
        at = int(self._order[place])
        if not self._is_wanted(at):
            return None
        row: Row = self._table.slice(at, 1).to_pylist()[0]
        return row

    def _is_wanted(self, at: int) -> bool:
        if self._table["outcome"][at].as_py() != Outcome.WRITTEN:
            return False
        return self._find is None or any(self._table[name][at].as_py() == self._find for name in _CLEAN_IDS)


def _check_recipe(audit: str, identity: Identity, recipe: Recipe) -> None:
    *_, newest = sealed_records(audit, identity)
    recorded = Recorded.of(newest)
    if not recorded.is_what_was_given(recipe):
        raise ConfigurationError(
            f"--recipe {recipe.name}: the newest run had {recorded.name}; name that one, or leave it out"
        )


@guarded()
def _remapped(dataset: Dataset, recipe: Recipe, key: bytes) -> list[tuple[str, str]]:
    """Return the UIDs of an instance that a recipe remaps, each with its new UID."""
    planner, identity = recipe.planner.for_instance(dataset), recipe.identity(key)
    sop_class = text_of(dataset, _SOP_CLASS_UID)

    def plan(place: Place) -> Any:
        return planner.plan(place.path, place.creator, place.element.VR, sop_class, place.around)

    def stays(place: Place) -> bool:
        return is_readable(place) and plan(place).action not in (Action.X, Action.Z)

    pairs = [
        (uid, identity.uid(uid, int(place.tag)))
        for place in walk(dataset, stays)
        if place.vr == "UI" and isinstance(plan(place).operator, HashUID)
        for uid in text_of(place.dataset, place.tag).split("\\")
    ]
    return [(uid, other) for uid, other in pairs if uid != other]
