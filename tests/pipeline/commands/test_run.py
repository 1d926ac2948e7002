"""What the options of a run add to it."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset

from beamstop.identity import Identity
from beamstop_pipeline.cli import main
from beamstop_transforms.stores import StoreError


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


ONLY_NEW = ("--incremental",)
REPEATED = (*ONLY_NEW, "--direct_runner_bundle_repeat=1")


def counted(ran: Any) -> dict[str, int]:
    """Return the counts of a run that are not 0, without bytes."""
    return {
        name: ran.record["counts"][name]
        for name in ("sources", "skipped", "written", "rejected", "quarantined", "failed", "unchanged")
        if ran.record["counts"][name]
    }


def test_an_incremental_run_works_on_what_is_new_or_changed(run: Any, archive: Path) -> None:
    (archive / "notes.txt").write_bytes(b"not DICOM")
    assert counted(run(archive, more=ONLY_NEW)) == {"sources": 4, "written": 3, "rejected": 1}
    nothing = run(archive, more=ONLY_NEW)
    assert (nothing.code, counted(nothing)) == (0, {"sources": 4, "skipped": 4})
    assert nothing.table("instances") == []
    dataset = dcmread(archive / "1.dcm")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.99"
    dataset.save_as(archive / "new.dcm", enforce_file_format=True)
    os.utime(archive / "2.dcm", ns=(1, 1))
    more = run(archive, more=ONLY_NEW)
    assert counted(more) == {"sources": 5, "skipped": 3, "written": 2, "unchanged": 1}
    assert counted(run(archive, more=ONLY_NEW)) == {"sources": 5, "skipped": 5}
    assert len(more.tree) == 4


def test_an_incremental_run_tries_again_what_failed(run: Any, archive: Path) -> None:
    data = (archive / "1.dcm").read_bytes()
    (archive / "1.dcm").write_bytes(data[:-7])
    assert run(archive, more=ONLY_NEW).code == 1
    again = run(archive, more=ONLY_NEW)
    assert (again.code, counted(again)) == (0, {"sources": 3, "skipped": 2, "failed": 1})


def test_an_incremental_run_tries_again_where_the_place_was_occupied(run: Any, archive: Path) -> None:
    first = run(archive)
    victim = first.output / min(first.tree)
    clean = victim.read_bytes()
    victim.write_bytes(b"theirs")
    run(archive)
    victim.write_bytes(clean)
    assert counted(run(archive, more=ONLY_NEW)) == {"sources": 3, "skipped": 2, "written": 1, "unchanged": 1}


def test_another_recipe_decides_again(run: Any, archive: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("profile: basic\noptions: [retain-patient-characteristics]\n")
    run(archive)
    assert counted(run(archive, recipe=str(recipe), more=ONLY_NEW)) == {"sources": 3, "written": 3}
    # The newest row was another's.
    assert counted(run(archive, more=ONLY_NEW)) == {
        "sources": 3,
        "written": 3,
    }


def test_a_first_look_takes_some_sources_and_a_later_run_the_others(
    run: Any, archive: Path, key_file: Path
) -> None:
    look = run(archive, more=("--limit", "2", *ONLY_NEW))
    assert (look.code, counted(look)) == (0, {"sources": 2, "written": 2})
    assert look.record["options"]["limit"] == 2
    places = ["--input", str(archive), "--output", str(look.output), "--audit", str(look.audit)]
    verify = ["verify", *places, "--key", str(key_file), "--recipe", "basic", "--workers", "1"]
    assert main(verify) == 0
    again = run(archive, more=("--limit", "2", *ONLY_NEW))
    assert counted(again) == {"sources": 2, "skipped": 2}
    rest = run(archive, more=(*ONLY_NEW, "--prune"))
    assert counted(rest) == {"sources": 3, "skipped": 2, "written": 1}
    assert len(rest.tree) == 3
    assert main(verify) == 0


def test_what_a_first_look_leaves_out_is_not_gone(run: Any, archive: Path) -> None:
    whole = run(archive, more=ONLY_NEW)
    look = run(archive, more=("--limit", "1", *ONLY_NEW))
    assert "since" not in look.record
    assert look.tree == whole.tree


def test_a_run_that_left_no_record_decides_nothing(run: Any, archive: Path) -> None:
    first = run(archive)
    (first.audit / "runs" / f"{first.record['run_id']}.json").unlink()
    assert counted(run(archive, more=ONLY_NEW)) == {"sources": 3, "written": 3, "unchanged": 3}


def test_json_tells_what_was_skipped(
    tmp_path: Path, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit"), "--key", str(key_file)]
    command = [
        "run",
        "--input",
        str(archive),
        *places,
        "--recipe",
        "basic",
        "--workers",
        "1",
        "--incremental",
    ]
    assert main([*command, "--quiet"]) == 0
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["sources"], told["skipped"], told["written"]) == (3, 3, 0)
    assert main(command) == 0
    assert "3 that an earlier run decided" in capsys.readouterr().out


@pytest.mark.parametrize("is_late", [True, False])
def test_an_equal_instance_may_take_the_place_of_a_skipped_one(
    run: Any, tmp_path: Path, make_dataset: Callable[..., FileDataset], key: bytes, is_late: bool
) -> None:
    """The ledger's row is a claimant: the lowest digest wins, and the audit shows who lost."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("one", "two"):
        make_dataset(PatientAddress=name).save_as(folder / name, enforce_file_format=True)
    files = sorted(folder.iterdir(), key=lambda it: Identity(key).digest("source", it.read_bytes()))
    winner, loser = files
    late = loser if is_late else winner
    waiting = late.rename(tmp_path / "late")
    before = run(folder, more=ONLY_NEW)
    waiting.rename(late)
    after = run(folder, more=REPEATED)
    rows = {row["outcome"]: row for row in after.table("instances")}
    assert after.tree == before.tree
    if is_late:
        assert counted(after) == {"sources": 2, "skipped": 1, "rejected": 1}
    else:
        assert counted(after) == {"sources": 2, "written": 1, "rejected": 1, "unchanged": 1}
        (earlier,) = before.table("instances")
        assert rows["rejected"]["source_id"] == earlier["source_id"]
        assert rows["rejected"]["source_digest"] == earlier["source_digest"]
    assert rows["rejected"]["reason"] == "duplicate"
    assert counted(run(folder, more=ONLY_NEW)) == {"sources": 2, "skipped": 2}
    full = run(folder)
    assert full.tree == after.tree
    assert counted(full) == {"sources": 2, "written": 1, "rejected": 1, "unchanged": 1}


@pytest.mark.parametrize("patient", ["R-1001", "P-2002"])
def test_a_forged_instance_never_displaces_one_of_an_earlier_run(
    run: Any,
    archive: Path,
    key_file: Path,
    capsys: pytest.CaptureFixture[str],
    patient: str,
) -> None:
    before = run(archive, more=ONLY_NEW)
    forged = dcmread(archive / "1.dcm")
    forged.KVP, forged.PatientID = "120", patient
    forged.save_as(archive / "forged.dcm", enforce_file_format=True)
    for code in (1, 0):  # it decides nothing, and is tried again; by then it is known
        after = run(archive, more=(*REPEATED, "--prune"))
        assert after.code == code
        assert counted(after) == {"sources": 4, "skipped": 3, "quarantined": 1}
        assert after.tree == before.tree
    full = run(archive)
    assert full.code == 1
    assert counted(full) == {"sources": 4, "written": 2, "unchanged": 2, "quarantined": 2}
    assert full.tree == before.tree
    assert run(archive, more=(*ONLY_NEW, "--prune")).tree == before.tree

    places = ["--input", str(archive), "--output", str(full.output), "--audit", str(full.audit)]
    look = ["verify", *places, "--key", str(key_file), "--recipe", "basic", "--workers", "1", "--json"]
    assert main(look) == 0
    page = archive.parent / "report.html"
    assert main(["report", str(full.audit), "-o", str(page)]) == 0
    disputed = {row["output_path"] for row in before.table("instances")} - {
        row["output_path"] for row in full.table("instances")
    }
    assert len(disputed) == 1
    assert f"<code>{disputed.pop()}</code>" in page.read_text()
    capsys.readouterr()
    (victim,) = [it for it in full.output.rglob("*.dcm") if sha256(it) not in written_now(full)]
    victim.write_bytes(b"theirs")
    assert main(look) == 1
    assert json.loads(capsys.readouterr().out)["checks"] == {"file_changed": 1}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written_now(ran: Any) -> set[str]:
    return {row["output_sha256"] for row in ran.table("instances")}


def test_a_forged_instance_of_a_source_that_is_gone_displaces_nothing(run: Any, archive: Path) -> None:
    before = run(archive)
    forged = dcmread(archive / "1.dcm")
    forged.KVP = "120"
    (archive / "1.dcm").unlink()
    forged.save_as(archive / "forged.dcm", enforce_file_format=True)
    after = run(archive)
    assert after.tree == before.tree
    (row,) = [it for it in after.table("instances") if it["outcome"] == "quarantined"]
    assert row["reason"] == "duplicate_conflict"
    assert row["detail"] in {it["source_id"] for it in before.table("instances")}


def test_an_equal_copy_of_a_skipped_source_is_a_duplicate(run: Any, archive: Path) -> None:
    before = run(archive)
    (archive / "copy.dcm").write_bytes((archive / "1.dcm").read_bytes())
    after = run(archive, more=ONLY_NEW)
    assert after.tree == before.tree
    assert after.record["counts"]["reasons"] == {"rejected/duplicate": 1}


def test_a_skipped_source_whose_clean_file_is_gone_defends_nothing(run: Any, archive: Path) -> None:
    before = run(archive)
    for path in before.output.rglob("*.dcm"):
        path.unlink()
    dataset = dcmread(archive / "1.dcm")
    dataset.KVP = "120"
    dataset.save_as(archive / "copy.dcm", enforce_file_format=True)
    after = run(archive, more=ONLY_NEW)
    assert counted(after) == {"sources": 4, "skipped": 3, "written": 1}
    assert len(after.tree) == 1


def with_pixels(dataset: FileDataset, frames: int, grey: int) -> FileDataset:
    """Return the dataset with 8-bit frames of one grey each."""
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 7, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames = frames
    dataset.PixelData = b"".join(bytes([grey + number]) * 16 for number in range(frames))
    return dataset


def pictures(folder: Path) -> dict[str, int]:
    """Return the grey of each picture, by its path."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with Image.open(path) as picture:
                found[str(path.relative_to(folder))] = int(np.asarray(picture)[0, 0])
    return found


def test_every_frame_of_a_clean_file_has_a_picture(
    run: Any, tmp_path: Path, make_dataset: Callable[..., FileDataset]
) -> None:
    folder, png = tmp_path / "in", tmp_path / "png"
    folder.mkdir()
    datasets = {
        "one": with_pixels(make_dataset(SOPInstanceUID="1.2.1"), 1, 50),
        "cine": with_pixels(make_dataset(SOPInstanceUID="1.2.2"), 2, 100),
        "report": make_dataset(SOPInstanceUID="1.2.3"),
        "again": with_pixels(make_dataset(SOPInstanceUID="1.2.1", KVP="100"), 1, 50),
        "broken": with_pixels(make_dataset(SOPInstanceUID="1.2.4"), 1, 0),
    }
    datasets["broken"].Columns = 1000  # more than there is
    for name, dataset in datasets.items():
        dataset.save_as(folder / name, enforce_file_format=True)
    more = ("--png", str(png), "--direct_runner_bundle_repeat=1")
    ran = run(folder, more=more)
    assert counted(ran) == {"sources": 5, "written": 4, "rejected": 1}
    stems = {
        dataset.get("NumberOfFrames", 0): path.removesuffix(".dcm")
        for path in ran.tree
        if (dataset := dcmread(ran.output / path)).get("Columns", 0) < 1000
    }
    grey = dcmread(ran.output / f"{stems[1]}.dcm").PixelData[0]
    assert pictures(png) == {
        f"{stems[1]}.png": grey,
        f"{stems[2]}-0001.png": 100,
        f"{stems[2]}-0002.png": 101,
    }
    assert ran.record["png"] == {"pictures": 3, "not_rendered": 1, "occupied": 0}

    (png / f"{stems[1]}.png").write_bytes(b"theirs")
    before = {path: path.stat().st_mtime_ns for path in png.rglob("*.png")}
    again = run(folder, more=more)
    assert {path: path.stat().st_mtime_ns for path in png.rglob("*.png")} == before
    assert again.record["png"] == {"pictures": 2, "not_rendered": 1, "occupied": 1}


def test_a_picture_that_we_made_is_replaced(
    run: Any, tmp_path: Path, make_dataset: Callable[..., FileDataset]
) -> None:
    folder, png = tmp_path / "in", tmp_path / "png"
    folder.mkdir()
    for grey in (50, 60):
        with_pixels(make_dataset(), 1, grey).save_as(folder / "one", enforce_file_format=True)
        run(folder, more=("--png", str(png)))
        assert list(pictures(png).values()) == [grey]


def broken_run(run: Any, archive: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """Let a run break when all is written and sealed but nothing of it published."""
    with monkeypatch.context() as patch:
        patch.setattr("beamstop_transforms.audit._WriteInstancesFn.process", broken)
        with pytest.raises(ValueError, match="empty"):  # it leaves no record
            run(archive, more=(*ONLY_NEW, *more))


def broken(*_: Any) -> Any:
    raise StoreError("the disk is full")


def test_what_a_run_that_broke_had_sealed_is_skipped_by_the_next(
    run: Any, archive: Path, monkeypatch: pytest.MonkeyPatch, key_file: Path, capsys: Any
) -> None:
    (archive / "notes.txt").write_bytes(b"not DICOM")
    more = ("--crosswalk", str(archive.parent / "cross"), "--attributes", str(archive.parent / "attributes"))
    broken_run(run, archive, monkeypatch, *more)
    output, audit = archive.parent / "out1", archive.parent / "audit1"
    assert not list(audit.glob("runs/*"))
    dataset = dcmread(archive / "1.dcm")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.99"
    dataset.save_as(archive / "new.dcm", enforce_file_format=True)
    places = ["--input", str(archive), "--output", str(output), "--audit", str(audit)]
    common = [*places, "--key", str(key_file), "--recipe", "basic", "--workers", "1"]
    capsys.readouterr()
    assert main(["run", *common, *ONLY_NEW, *more, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [told[name] for name in ("sources", "skipped", "written", "unchanged")] == [5, 4, 1, 0]
    (former, newest) = sorted((audit / "runs").glob("*.json"))
    record = json.loads(former.read_text())
    assert (record["broken"], record["ended"], record["integrity"]["rows"]) == (True, None, 4)
    assert record["counts"]["reasons"] == {"rejected/not_dicom": 1}
    assert {row["run_id"] for row in rows(audit / "instances", former.stem)} == {former.stem}
    assert len(rows(audit / "changes", former.stem)) == 30
    assert len(rows(archive.parent / "cross", former.stem)) == 3
    assert {row["Modality"] for row in rows(archive.parent / "attributes", former.stem)} == {"CT"}
    assert not list(output.rglob(".partial")) + list(audit.rglob(".partial"))
    assert main(["verify", *common]) == 0
    assert newest.stem == told["run_id"]


def test_pictures_of_what_a_run_that_broke_had_done_are_made_by_the_next(
    run: Any, tmp_path: Path, make_dataset: Callable[..., FileDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, png = tmp_path / "in", tmp_path / "png"
    folder.mkdir()
    with_pixels(make_dataset(), 1, 50).save_as(folder / "one", enforce_file_format=True)
    broken_run(run, folder, monkeypatch, "--png", str(png))
    after = run(folder, more=(*ONLY_NEW, "--png", str(png)))
    assert counted(after) == {"sources": 1, "skipped": 1}
    assert list(pictures(png).values()) == [50]


def test_an_unequal_instance_that_comes_after_a_run_broke_leaves_neither(
    run: Any, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the run had not broken: nobody had resolved its duplicates."""
    for name in ("2.dcm", "sub/3.dcm"):
        (archive / name).unlink()
    broken_run(run, archive, monkeypatch)
    forged = dcmread(archive / "1.dcm")
    forged.KVP = "120"
    forged.save_as(archive / "forged.dcm", enforce_file_format=True)
    after = run(archive, more=ONLY_NEW)
    assert (after.code, counted(after)) == (1, {"sources": 2, "quarantined": 2})
    assert after.tree == {}


def test_a_row_counts_only_if_its_part_is_sealed_with_the_key_and_whole(
    run: Any, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_run(run, archive, monkeypatch)
    for part in (archive.parent / "audit1" / ".partial").glob("*/parts/*.json"):
        said = json.loads(part.read_text())
        said["head"]["started"] = "2026-01-01T00:00:00+00:00"
        part.write_text(json.dumps(said))
    assert counted(run(archive, more=ONLY_NEW)) == {"sources": 3, "written": 3, "unchanged": 3}


def test_what_went_to_another_output_does_not_count(
    run: Any, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_run(run, archive, monkeypatch)
    (archive.parent / "out1").rename(archive.parent / "out2")
    after = run(archive, more=(*ONLY_NEW, "--output", str(archive.parent / "out2")))
    assert counted(after) == {"sources": 3, "written": 3, "unchanged": 3}


def test_a_run_that_is_not_incremental_does_all_again(
    run: Any, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_run(run, archive, monkeypatch)
    after = run(archive)
    assert counted(after) == {"sources": 3, "written": 3, "unchanged": 3}
    assert len(list(after.audit.glob("runs/*"))) == 1
