"""A subject is withdrawn: nothing is left of it in the archive, nor beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydicom import dcmread

from beamstop.identity import Identity
from beamstop_pipeline.cli import main

LINES = "patient_id,pseudonym,action\nR-1001,{},\nP-2002,STUDY-B,\n"
REFUSED = "patient_id,pseudonym,action\nR-1001,STUDY-A,refuse\nP-2002,STUDY-B,\n"


@pytest.fixture
def pictured(archive: Path) -> Path:
    """Return the archive with a picture in every instance, one of them with three frames."""
    for path in archive.rglob("*.dcm"):
        dataset = dcmread(path)
        frames = 3 if path.name == "1.dcm" else 1
        dataset.Rows = dataset.Columns = 4
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        dataset.NumberOfFrames = frames
        dataset.add_new("PixelData", "OB", np.arange(16 * frames, dtype=np.uint8).tobytes())
        dataset.save_as(path, enforce_file_format=True)
    return archive


@pytest.fixture
def night(run: Any, pictured: Path, tmp_path: Path) -> Any:
    """Return a function that runs the job with all tables, as a hospital does every night."""
    beside = [it for name in ("crosswalk", "attributes", "png") for it in (f"--{name}", str(tmp_path / name))]

    def _night(table: str, *more: str) -> Any:
        (tmp_path / "subjects.csv").write_text(table)
        return run(
            pictured,
            more=("--subjects", str(tmp_path / "subjects.csv"), *beside, "--incremental", *more),
        )

    return _night


def everything(tmp_path: Path, *places: str) -> bytes:
    """Return names and contents of all files in some folders, tables as text."""
    found = []
    for place in places:
        for path in sorted((tmp_path / place).rglob("*")):
            found.append(str(path.relative_to(tmp_path)).encode())
            if path.suffix == ".parquet":
                found.append(repr(pq.read_table(path).to_pylist()).encode())
            if path.is_file():
                found.append(path.read_bytes())
    return b"\n".join(found)


def test_nothing_is_left_anywhere_of_a_subject_that_is_withdrawn(
    night: Any, tmp_path: Path, key: bytes, key_file: Path, pictured: Path
) -> None:
    places = ("out1", "png", "attributes", "crosswalk")
    first = night(LINES.format("STUDY-A"))
    assert first.record["counts"]["written"] == 3
    # Renamed once, and not pruned then: two folders and two rows for each file.
    night(LINES.format("STUDY-C"))
    identity = Identity(key)
    uids = [identity.uid(f"1.2.3.1001{tail}") for tail in ("", ".1", ".1.1", ".1.2")]
    needles = [b"R-1001", b"STUDY-A", b"STUDY-C", b"1.2.3.1001", *(uid.encode() for uid in uids)]
    before = everything(tmp_path, *places)
    assert [needle for needle in needles if needle not in before] == []
    withdrawn = night(REFUSED, "--prune", "--direct_runner_bundle_repeat=1")
    assert withdrawn.outcomes == {("rejected", "refused"): 2}
    after = everything(tmp_path, *places)
    assert [needle for needle in needles if needle in after] == []
    assert after.count(b"STUDY-B") > 3
    since = withdrawn.record["since"]
    assert (since["left"], since["pruned"]) == ({"rejected": 4}, 4)
    assert since["pruned_beside"] == {"attributes": 4, "crosswalk": 4, "pictures": 8}
    assert {row["why"] for row in withdrawn.table("pruned")} == {"rejected"}
    verify = ["verify", "--input", str(pictured), "--output", str(withdrawn.output), "--recipe", "basic"]
    verify += ["--audit", str(withdrawn.audit), "--key", str(key_file), "--workers", "1"]
    assert main([*verify, "--subjects", str(tmp_path / "subjects.csv")]) == 0
    again = night(REFUSED, "--prune")
    assert again.record["since"]["pruned"] == 0
    assert everything(tmp_path, *places).count(b"STUDY-B") == after.count(b"STUDY-B")


def test_what_another_program_drew_stays(night: Any, tmp_path: Path) -> None:
    first = night(LINES.format("STUDY-A"))
    theirs = sorted((tmp_path / "png" / "STUDY-A").rglob("*.png"))[0]
    theirs.write_bytes(b"theirs")
    assert night(REFUSED, "--prune").record["since"]["pruned_beside"]["pictures"] == 3
    assert list((tmp_path / "png" / "STUDY-A").rglob("*.png")) == [theirs]
    assert first.code == 0


def test_a_renamed_subject_keeps_the_rows_under_the_new_name(night: Any, tmp_path: Path) -> None:
    night(LINES.format("STUDY-A"))
    renamed = night(LINES.format("STUDY-C"), "--prune")
    assert renamed.record["since"]["pruned_beside"] == {"attributes": 2, "crosswalk": 2, "pictures": 4}
    rows = [
        row for path in (tmp_path / "attributes").glob("*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    assert sorted(row["PatientID"] for row in rows) == ["STUDY-B", "STUDY-C", "STUDY-C"]


def test_a_table_that_is_not_named_is_said_to_keep_its_rows(
    night: Any, run: Any, pictured: Path, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = night(LINES.format("STUDY-A"))
    (tmp_path / "subjects.csv").write_text(REFUSED)
    places = [
        "--output",
        str(ran.output),
        "--audit",
        str(ran.audit),
        "--key",
        str(key_file),
        "--recipe",
        "basic",
    ]
    command = ["run", "--input", str(pictured), *places, "--subjects", str(tmp_path / "subjects.csv")]
    assert main([*command, "--incremental", "--prune", "--json", "--workers", "1"]) == 0
    said = capsys.readouterr().err
    for name in ("crosswalk", "attributes", "png"):
        assert f"--{name}: the newest run in AUDIT had it" in said
    assert said.count("rows about clean files that --prune removes stay in it: name it") == 3
