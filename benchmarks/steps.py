"""What the job's steps do to every file, without Beam around them: what Beam costs is what a job takes more.

python benchmarks/steps.py RECIPE KEY instances|changes ARCHIVE OUT
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.audit import INSTANCES
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop.recipe.load import load_recipe
from beamstop_transforms import Deidentify, ReadDicom, Source, Target
from beamstop_transforms.read import _BeginFn
from beamstop_transforms.record import columns_of, complete
from beamstop_transforms.step import attempt
from beamstop_transforms.write import _WriteDicomFn


def main(name: str, key: str, detail: str, archive: str, out: str) -> None:
    """De-identify an archive file by file, and write the audit's tables."""
    recipe, run_id = load_recipe(name), "steps"
    target, read = Target(f"{out}/o", f"{out}/a", key, run_id), ReadDicom(key)
    begin, write = _BeginFn(key, read.limits, None), _WriteDicomFn(target, False, False, False)
    steps = Deidentify(recipe, key, _no_detector, detail == "changes").steps().values()
    chain = [("ReadDicom", "ms_read", read.begin())]
    chain += [(type(step).__name__, step.column, step.begin()) for step in steps]
    for end in (begin, write):
        end.setup()

    def found() -> Iterator[Any]:
        write.start_bundle()
        for path in sorted(Path(archive).iterdir()):
            about = path.stat()
            for instance in begin.process(Source(str(path), about.st_size, str(about.st_mtime_ns))):
                refusals = (attempt(*step, instance) for step in chain)
                row = next((it for it in refusals if it is not None), None)
                yield from write.process(instance) if row is None else [row]
        yield from write.finish_bundle()

    rows, changes = [], []
    for it in found():
        value = it.value if isinstance(it, TaggedOutput) else it
        value = value.value if isinstance(value, WindowedValue) else value
        if isinstance(value, pa.RecordBatch):
            changes.append(value)
        elif "outcome" in value:
            rows.append(value)
    columns = {"run_id": run_id, "recipe_digest": recipe.digest, "beamstop_version": "0"}
    identity = Identity(resolve_key(key))
    sealed = [columns_of(complete(row, columns, identity)) for row in rows]
    pq.write_table(pa.Table.from_pylist(sealed, INSTANCES), f"{out}/instances.parquet", compression="zstd")
    if changes:
        pq.write_table(pa.Table.from_batches(changes), f"{out}/changes.parquet", compression="zstd")


def _no_detector(languages: tuple[str, ...]) -> Any:
    raise SystemExit("a recipe for headers alone, please")


if __name__ == "__main__":
    main(*sys.argv[1:])
