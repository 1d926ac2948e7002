"""The whole job: every source ends in exactly one row, and nothing else is left."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from apache_beam.coders.typecoders import registry
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset

from beamstop.audit import integrity, row_mac
from beamstop.identity import Identity
from beamstop_transforms.instance import Instance, Source

SENTINEL = "Zzyzxqua"


@pytest.fixture
def mixed(archive: Path) -> Path:
    """Return the archive with a file of every kind that is not written."""
    data = (archive / "1.dcm").read_bytes()
    (archive / "truncated.dcm").write_bytes(data[:-7])
    (archive / "notes.txt").write_bytes(b"not DICOM")
    (archive / "empty.dcm").write_bytes(b"")
    (archive / "gone.dcm").symlink_to(archive / "nowhere")
    (archive / "same.dcm").write_bytes(data)
    os.mkfifo(archive / "pipe")
    Path(os.fsdecode(os.fsencode(archive) + b"/\xff\n.dcm")).write_bytes(data)
    return archive


def test_every_source_ends_in_exactly_one_row(run: Any, mixed: Path) -> None:
    ran = run(mixed)
    assert ran.code == 1
    assert ran.outcomes == {
        ("written", None): 3,
        ("failed", "truncated"): 1,
        ("failed", "source_unreadable"): 2,
        ("rejected", "not_dicom"): 2,
        ("rejected", "duplicate"): 2,
    }
    assert len({row["source_id"] for row in ran.table("instances")}) == 10
    assert ran.record["counts"]["sources"] == 10


def test_what_is_written_stands_where_its_row_says_and_nothing_else_does(run: Any, mixed: Path) -> None:
    ran = run(mixed)
    written = [row for row in ran.table("instances") if row["outcome"] == "written"]
    assert ran.tree == {row["output_path"]: row["output_sha256"] for row in written}
    for row in written:
        clean = dcmread(ran.output / row["output_path"])
        parts = (clean.PatientID, clean.StudyInstanceUID, clean.SeriesInstanceUID, clean.SOPInstanceUID)
        assert row["output_path"] == "/".join(parts) + ".dcm"
        assert (row["patient_id"], row["study_uid"], row["series_uid"], row["sop_instance_uid"]) == parts
        assert row["bytes_out"] == (ran.output / row["output_path"]).stat().st_size


def test_beam_never_encodes_an_instance_not_even_to_know_its_size(
    run: Any, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(instance: Instance, protocol: int) -> str:
        raise TypeError

    monkeypatch.setattr(Instance, "__reduce_ex__", refuse)
    assert run(archive).code == 0


def test_an_instance_that_an_engine_sends_elsewhere_arrives(make_dataset: Callable[..., FileDataset]) -> None:
    instance = Instance(Source("a.dcm", 5, "v"), "ab", dataset=make_dataset(), bytes_in=5)
    coder = registry.get_coder(Instance)
    assert vars(coder.decode(coder.encode(instance))) == vars(instance)
    assert coder.estimate_size(instance) == 5


def test_beam_is_told_of_no_size_that_it_cannot_count() -> None:
    """It counts in 32 bits with a sign, and a whole slide takes more bytes."""
    instance = Instance(Source("a.dcm", 3 << 30, "v"), "ab", bytes_in=3 << 30)
    size = registry.get_coder(Instance).get_impl().estimate_size(instance, nested=True)
    assert 1 << 29 < size < 1 << 31


def test_an_archive_without_trouble_ends_in_0(run: Any, archive: Path) -> None:
    assert run(archive).code == 0


def test_a_large_source_is_not_read(run: Any, archive: Path) -> None:
    assert run(archive, more=("--max-bytes", "100")).outcomes == {("failed", "too_large"): 3}


def test_all_files_of_pydicom_get_one_row_each(run: Any) -> None:
    folder = Path(str(get_testdata_file("CT_small.dcm"))).parent
    sources = [path for path in folder.rglob("*") if path.is_file()]
    ran = run(folder, to="pydicom")
    assert len(ran.table("instances")) == ran.record["counts"]["sources"] == len(sources)
    assert ran.code == int(ran.record["counts"]["quarantined"] + ran.record["counts"]["failed"] > 0)
    assert len(ran.tree) == ran.record["counts"]["written"]
    before = {path: path.stat().st_mtime_ns for path in ran.output.rglob("*.dcm")}
    again = run(folder, to="pydicom")
    assert again.record["counts"]["unchanged"] == ran.record["counts"]["written"]
    assert again.outcomes == ran.outcomes
    assert {path: path.stat().st_mtime_ns for path in ran.output.rglob("*.dcm")} == before


def test_a_bundle_that_is_repeated_changes_nothing(run: Any, mixed: Path) -> None:
    once = run(mixed, to="once", more=("--crosswalk", str(mixed.parent / "cross1")))
    thrice = run(
        mixed,
        to="thrice",
        more=("--crosswalk", str(mixed.parent / "cross2"), "--direct_runner_bundle_repeat=2"),
    )
    assert thrice.tree == once.tree
    assert thrice.outcomes == once.outcomes
    assert thrice.record["counts"] == once.record["counts"]
    assert len(thrice.table("changes")) == len(once.table("changes"))


def test_a_second_run_leaves_the_same_bytes_alone(run: Any, archive: Path) -> None:
    first = run(archive)
    before = {path: path.stat().st_mtime_ns for path in first.output.rglob("*.dcm")}
    second = run(archive)
    assert {path: path.stat().st_mtime_ns for path in second.output.rglob("*.dcm")} == before
    assert (first.record["counts"]["unchanged"], second.record["counts"]["unchanged"]) == (0, 3)
    assert second.record["counts"]["written"] == 3


def test_another_recipe_replaces_what_the_ledger_says_is_ours(
    run: Any, archive: Path, tmp_path: Path
) -> None:
    first = run(archive).tree
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("profile: basic\noptions: [retain-patient-characteristics]\n")
    second = run(archive, recipe=str(recipe))
    assert second.code == 0
    assert set(second.tree) == set(first)
    assert not set(second.tree.values()) & set(first.values())


def test_what_is_not_ours_is_quarantined_and_stays(run: Any, archive: Path) -> None:
    first = run(archive)
    victim = first.output / min(first.tree)
    victim.write_bytes(b"theirs")
    second = run(archive)
    assert second.code == 1
    assert second.outcomes == {("written", None): 2, ("quarantined", "occupied"): 1}
    assert victim.read_bytes() == b"theirs"


@pytest.mark.parametrize("workers", [1, 2])
def test_of_unequal_instances_with_one_uid_none_is_written(run: Any, archive: Path, workers: int) -> None:
    forged = dcmread(archive / "1.dcm")
    forged.KVP = "120"
    forged.save_as(archive / "forged.dcm", enforce_file_format=True)
    ran = run(archive, workers=workers, more=("--crosswalk", str(archive.parent / "crosswalk")))
    assert ran.code == 1
    assert ran.outcomes == {("written", None): 2, ("quarantined", "duplicate_conflict"): 2}
    rows = {it["source_id"]: it for it in ran.table("instances")}
    disputed = {source_id for source_id, it in rows.items() if it["outcome"] == "quarantined"}
    assert {rows[it]["detail"] for it in disputed} == disputed
    assert len(ran.tree) == 2
    assert {it["source_id"] for it in ran.table("changes")} == rows.keys() - disputed
    tied = pq.read_table(archive.parent / "crosswalk")["source_path"].to_pylist()
    assert sorted(tied) == sorted(str(it) for it in (archive / "2.dcm", archive / "sub" / "3.dcm"))


@pytest.mark.parametrize("first", ["a", "z"])
def test_of_equal_instances_the_same_one_is_written_whatever_its_name(
    run: Any, tmp_path: Path, make_dataset: Callable[..., FileDataset], first: str
) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    for name, street in ((first, "Elm Street"), ("m", "Oak Street")):
        dataset = make_dataset(Modality="CT", PatientAddress=street)
        dataset.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    ran = run(folder)
    assert ran.code == 0
    assert ran.outcomes == {("written", None): 1, ("rejected", "duplicate"): 1}
    (path,) = ran.output.rglob("*.dcm")
    digests = {row["source_digest"]: row["outcome"] for row in ran.table("instances")}
    assert digests[min(digests)] == "written"
    winner = next(row for row in ran.table("instances") if row["outcome"] == "written")
    assert str(path.relative_to(ran.output)) == winner["output_path"]
    assert {row["source_id"] for row in ran.table("changes")} == {winner["source_id"]}


def test_the_crosswalk_ties_sources_to_clean_files(run: Any, mixed: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    ran = run(mixed, more=("--crosswalk", str(tmp_path / "cross")))
    (file,) = (tmp_path / "cross").iterdir()
    assert file.name.startswith(ran.record["run_id"])
    rows = pq.read_table(file).to_pylist()
    assert {row["output_path"] for row in rows} == set(ran.tree)
    assert {row["original_patient_id"] for row in rows} == {"R-1001", "P-2002"}
    sub = next(row for row in rows if row["original_patient_id"] == "P-2002")
    assert sub["source_path"] == str(mixed / "sub" / "3.dcm")


def test_the_audit_can_be_proved(run: Any, mixed: Path, key: bytes) -> None:
    ran = run(mixed)
    rows, identity = ran.table("instances"), Identity(key)
    assert [row["mac"] for row in rows] == [row_mac(row, identity) for row in rows]
    assert integrity(rows, ran.record["run_id"], identity) == ran.record["integrity"]


def test_the_record_names_devices_as_clean_files_do(
    run: Any, tmp_path: Path, make_dataset: Callable[..., FileDataset]
) -> None:
    folder = tmp_path / "devices"
    folder.mkdir()
    models = ["Sono 7", "Sono 7", "Wright^Oliver"]
    for number, model in enumerate(models):
        made = {"SOPInstanceUID": f"1.2.3.{number}", "Manufacturer": "Acme", "ManufacturerModelName": model}
        make_dataset(**made).save_as(folder / f"{number}.dcm", enforce_file_format=True)
    without = tmp_path / "without.yaml"
    without.write_text("profile: basic\nattributes: {Manufacturer: X, ManufacturerModelName: X}\n")
    told = [
        [(it["manufacturer"], it["model"], it["written"]) for it in run(folder, recipe=it).record["devices"]]
        for it in ("basic", str(without))
    ]
    assert told == [[("Acme", "Sono 7", 2), ("Acme", None, 1)], [(None, None, 3)]]


def test_changes_are_left_out_when_not_wanted(run: Any, archive: Path) -> None:
    ran = run(archive, more=("--audit-detail", "instances"))
    assert sorted(os.listdir(ran.audit)) == ["instances", "runs"]


def test_no_value_and_no_source_path_is_in_audit_or_stderr(
    run: Any,
    tmp_path: Path,
    make_dataset: Callable[..., FileDataset],
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / SENTINEL
    folder.mkdir()
    dataset = make_dataset(PatientName=f"{SENTINEL}^A", PatientID=SENTINEL, InstitutionName=SENTINEL)
    dataset.save_as(folder / "whole.dcm", enforce_file_format=True)
    data = (folder / "whole.dcm").read_bytes()
    (folder / "truncated.dcm").write_bytes(data[:-5])
    broken = data.replace(b"DA\x08\x00" + b"19610317", b"DA\x08\x00" + SENTINEL.encode())
    (folder / "broken.dcm").write_bytes(broken.replace(b"1.2.3.4.5.6\0", b"1.2.3.4.5.7\0"))
    dataset.Modality, dataset.SOPInstanceUID = SENTINEL, f"1.2.{SENTINEL}"
    dataset.save_as(folder / "odd.dcm", enforce_file_format=True)
    ran = run(folder, more=("--crosswalk", str(tmp_path / "cross")))
    assert ran.record["counts"]["sources"] == 4
    assert SENTINEL not in "".join(capfd.readouterr())
    for place in (ran.output, ran.audit):
        for path in place.rglob("*"):
            assert SENTINEL not in str(path.relative_to(tmp_path))
    for name in ("instances", "changes"):
        assert SENTINEL not in str(ran.table(name))
    assert SENTINEL not in str(ran.record)


@pytest.mark.workers
def test_any_number_of_workers_and_tries_gives_the_same_files_and_rows(run: Any, mixed: Path) -> None:
    one, two = run(mixed, to="one"), run(mixed, to="two", workers=2)
    four = run(mixed, to="four", workers=4, more=("--direct_runner_bundle_repeat=2",))
    assert one.tree == two.tree == four.tree
    assert one.record["devices"] == two.record["devices"] == four.record["devices"]
    assert timeless(one) == timeless(two) == timeless(four)


def timeless(ran: Any) -> dict[str, list[str]]:
    """Return the rows of a run, sorted, without what times and its own name make of them."""
    own = {"run_id", "mac"}
    return {
        table: sorted(
            str({name: row[name] for name in row if name not in own and not name.startswith("ms_")})
            for row in ran.table(table)
        )
        for table in ("instances", "changes")
    }
