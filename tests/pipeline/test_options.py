"""What the options of a run add to it."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydicom import dcmread


def rows(folder: Path, run_id: str) -> list[dict[str, Any]]:
    """Return the rows that a run wrote to a folder of Parquet files."""
    return [row for file in sorted(folder.glob(f"{run_id}-*")) for row in pq.read_table(file).to_pylist()]


def test_the_table_of_attributes_has_a_row_for_each_clean_file(
    run: Any, archive: Path, tmp_path: Path
) -> None:
    (archive / "same.dcm").write_bytes((archive / "1.dcm").read_bytes())
    (archive / "notes.txt").write_bytes(b"not DICOM")
    ran = run(
        archive,
        more=("--attributes", str(tmp_path / "table"), "--direct_runner_bundle_repeat=1"),
    )
    table = {row["SOPInstanceUID"]: row for row in rows(tmp_path / "table", ran.record["run_id"])}
    clean = [dcmread(ran.output / path) for path in ran.tree]
    assert set(table) == {dataset.SOPInstanceUID for dataset in clean}
    assert len(table) == 3
    for dataset in clean:
        row = table[dataset.SOPInstanceUID]
        assert (row["PatientID"], row["Modality"]) == (dataset.PatientID, "CT")
        assert row["PatientBirthDate"] == ""
    assert sorted(path.name for path in (tmp_path / "table").iterdir()) == [
        name for name in ran.record["files"] if "/" not in name
    ]


def test_without_the_option_there_is_no_table(run: Any, archive: Path) -> None:
    ran = run(archive)
    assert ran.record["options"]["attributes"] is False
    assert all(name.startswith(("instances/", "changes/")) for name in ran.record["files"])
