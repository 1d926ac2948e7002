"""The job where what is written has to stay: retention, a hold, or no permission to delete."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from tests import buckets
from tests.between import Between, between
from tests.buckets import Bucket

from beamstop.dicom.files import Encoded
from beamstop.errors import Failed
from beamstop_pipeline.cli import main
from beamstop_transforms.instance import Instance, Source
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.placing import Placing
from beamstop_transforms.stores import open_store
from beamstop_transforms.stores.base import KeptError

DENIED = (403, "<Error><Code>AccessDenied</Code></Error>")


@pytest.fixture
def way(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """Return what stands before a bucket and lets nothing be removed."""
    with between(bucket.server.url) as way:
        for name, value in bucket.server.environment.items():
            monkeypatch.setenv(name, value.replace(bucket.server.url, way.url))
        buckets.forget_clients()
        way.answers = {"DELETE": DENIED, "POST delete": DENIED, "POST comp=batch": DENIED}
        yield way
        buckets.forget_clients()


@pytest.fixture
def told(
    bucket: Bucket, way: Between, archive: Path, tmp_path: Path, key_file: Path, capsys: Any
) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """Return a function that runs the job into the bucket: exit code, what --json says, warnings."""

    def _run(*more: str, audit: str = str(tmp_path / "audit")) -> tuple[int, dict[str, Any], str]:
        places = ["--input", str(archive), "--output", f"{bucket.root}/out", "--audit", audit]
        common = ["--key", str(key_file), "--workers", "1", "--json", "--accept-changed-recipe"]
        code = main(["run", *places, *common, *(more or ("--recipe", "basic"))])
        said = capsys.readouterr()
        return code, json.loads(said.out or "{}"), said.err

    return _run


def test_what_has_to_stay_is_said(bucket: Bucket, way: Between) -> None:
    store = open_store(f"{bucket.root}/out")
    store.write("a.dcm", b"data", None)
    with pytest.raises(KeptError, match="cannot be removed: retention, a hold, or no permission to delete"):
        store.remove("a.dcm")
    store.clear("")
    assert store.read("a.dcm")[1] == b"data"


def test_written_is_written_and_tidying_warns(
    bucket: Bucket, archive: Path, told: Callable[..., tuple[int, dict[str, Any], str]]
) -> None:
    (archive / "copy.dcm").write_bytes((archive / "1.dcm").read_bytes())
    code, counts, warned = told()
    assert (code, counts["written"], counts["rejected"]) == (0, 3, 1)
    assert "--output: files there cannot be removed; .partial stays, too" in warned
    clean = [name for name in bucket.versions("out/") if name.endswith(".dcm")]
    assert len(clean) == 3
    code, counts, _ = told()
    assert (code, counts["written"], counts["unchanged"]) == (0, 3, 3)
    assert [name for name in bucket.versions("out/") if name.endswith(".dcm")] == clean


def test_what_would_have_to_be_replaced_fails(
    told: Callable[..., tuple[int, dict[str, Any], str]],
) -> None:
    told()
    code, counts, _ = told("--recipe", "research")
    assert (code, counts["written"], counts["failed"]) == (1, 0, 3)


def test_of_two_instances_with_one_uid_the_first_stays(
    bucket: Bucket, way: Between, tmp_path: Path, key_file: Path
) -> None:
    dataset = Dataset()
    dataset.PatientID, dataset.SOPInstanceUID = "P", "1.2.3"
    audit = str(tmp_path)
    target = Target(f"{bucket.root}/out", audit, str(key_file), first_wins=True, keeps=True)
    placing = Placing(target, lambda data: data.hex())
    one, two = (
        placing.place(Instance(Source(name, 1, ""), name, name, dataset, encoded=Encoded(data, data)))
        for name, data in (("z", b"1"), ("a", b"2"))
    )
    assert one.lost is None
    assert two.lost is not None
    assert two.lost.reason == "duplicate_conflict"
    assert bucket.get(f"out/{one.path}") == b"1"
    assert list((tmp_path / ".partial").rglob("claims"))


def test_a_target_that_keeps_all_replaces_nothing(
    bucket: Bucket, way: Between, tmp_path: Path, key_file: Path
) -> None:
    dataset = Dataset()
    dataset.PatientID, dataset.SOPInstanceUID = "P", "1.2.3"
    target = Target(f"{bucket.root}/out", str(tmp_path), str(key_file), "r1", first_wins=True, keeps=True)
    placing = Placing(target)
    placing.place(Instance(Source("s", 1, ""), "s", "d", dataset, encoded=Encoded(b"1", b"1")))
    with pytest.raises(Failed, match="not_stored: kept"):
        placing.place(Instance(Source("s", 1, ""), "s", "e", dataset, encoded=Encoded(b"2", b"2")))


def test_audit_and_prune_need_a_store_that_lets_go(
    bucket: Bucket, told: Callable[..., tuple[int, dict[str, Any], str]]
) -> None:
    code, _, said = told(audit=f"{bucket.root}/audit")
    assert (code, bucket.versions("out/P")) == (2, {})
    assert "name another bucket, and lock a copy of it" in said
    code, _, said = told("--recipe", "basic", "--incremental", "--prune")
    assert code == 2
    assert "--prune removes files, but files in OUTPUT cannot be removed" in said
