"""The job on each kind of object store, against servers on loopback that enforce preconditions."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from tests.buckets import KINDS, Bucket
from tests.pipeline.conftest import Run

from beamstop.identity import Identity
from beamstop_pipeline.cli import main
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.job import check_places
from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.ledger.claims import Claimant, Claims
from beamstop_transforms.stores import gcs, open_seekable, open_store

_PLACES = ("output", "audit", "crosswalk", "attributes", "png")


@pytest.fixture
def told(
    bucket: Bucket, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Return a function that runs the job within one bucket and returns what --json says."""
    for path in archive.rglob("*.dcm"):
        bucket.put(f"in/{path.relative_to(archive)}", path.read_bytes())
    bucket.put("in/copy.dcm", (archive / "1.dcm").read_bytes())
    bucket.put("in/picture.dcm", Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())

    def _run(*more: str, workers: int = 1) -> dict[str, Any]:
        places = {name: f"{bucket.root}/{name}" for name in _PLACES}
        options = [part for name, place in places.items() for part in (f"--{name}", place)]
        common = ["--key", str(key_file), "--recipe", "basic", "--workers", str(workers), "--json"]
        assert main(["run", "--input", f"{bucket.root}/in/**", *options, *common, *more]) == 0
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return _run


def clean_files(bucket: Bucket) -> dict[str, str]:
    """Return name → version of every clean file."""
    return bucket.versions("output/")


@pytest.mark.workers
def test_worker_processes_share_a_bucket(bucket: Bucket, told: Callable[..., dict[str, Any]]) -> None:
    first = told(workers=2)
    assert (first["sources"], first["written"], first["rejected"], first["unchanged"]) == (5, 4, 1, 0)
    names = bucket.versions()
    clean = clean_files(bucket)
    assert len(clean) == 4
    assert all(name.endswith(".dcm") for name in clean)
    assert f"audit/runs/{first['run_id']}.json" in names
    for table in ("audit/instances/", "audit/changes/", "crosswalk/", "attributes/"):
        assert any(name.startswith(f"{table}{first['run_id']}-") for name in names)
    (picture,) = (name for name in names if name.startswith("png/"))
    assert picture.replace("png/", "output/").replace(".png", ".dcm") in clean
    assert not [name for name in names if ".partial" in name]

    second = told()
    assert (second["written"], second["rejected"], second["unchanged"]) == (4, 1, 4)
    assert clean_files(bucket) == clean

    third = told("--incremental")
    assert (third["sources"], third["skipped"], third["written"]) == (5, 5, 0)


def test_a_clean_object_goes_with_its_source_when_asked(
    bucket: Bucket, told: Callable[..., dict[str, Any]]
) -> None:
    told("--incremental")
    before = clean_files(bucket)
    bucket.delete("in/picture.dcm")
    kept = told("--incremental")
    assert (kept["gone"], kept["left"], kept["pruned"]) == (1, 1, 0)
    assert clean_files(bucket) == before
    pruned = told("--incremental", "--prune")
    assert (pruned["gone"], pruned["left"], pruned["pruned"]) == (1, 0, 1)
    (gone,) = before.keys() - clean_files(bucket).keys()
    assert clean_files(bucket) == {name: it for name, it in before.items() if name != gone}
    (listed,) = bucket.versions("audit/pruned/")
    (row,) = pq.read_table(BytesIO(bucket.get(listed))).to_pylist()
    assert (row["why"], f"output/{row['output_path']}") == ("gone", gone)
    assert told("--incremental", "--prune")["pruned"] == 0


def test_an_object_that_was_replaced_is_not_pruned(
    bucket: Bucket, told: Callable[..., dict[str, Any]]
) -> None:
    told("--incremental")
    for name in clean_files(bucket):
        bucket.put(name, b"theirs")
    before = clean_files(bucket)
    bucket.delete("in/picture.dcm")
    assert told("--incremental", "--prune")["pruned"] == 0
    assert clean_files(bucket) == before


def test_a_bucket_is_reported_on_and_verified(
    bucket: Bucket,
    told: Callable[..., dict[str, Any]],
    key_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told()
    places = [
        "--input",
        f"{bucket.root}/in/**",
        "--output",
        f"{bucket.root}/output",
        "--workers",
        "1",
        "--json",
    ]
    report = ["report", f"{bucket.root}/audit", "-o", str(key_file.parent / "report.html")]
    assert main([*report, "--review", f"{bucket.root}/output"]) == 0
    assert "4 clean files of 5 sources" in (key_file.parent / "report.html").read_text()
    review = (key_file.parent / "report-review.html").read_text()
    assert "1 of 4 clean instances" in review
    assert review.count("data:image/webp;base64,") == 1
    assert main([*report, "--review", f"{bucket.root}/png"]) == 2
    assert "name the OUTPUT of run" in capsys.readouterr().err
    capsys.readouterr()
    look = ["verify", *places, "--audit", f"{bucket.root}/audit", "--key", str(key_file), "--recipe", "basic"]
    assert main(look) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 4
    bucket.put("output/other.dcm", b"other")
    assert main(look) == 1
    assert json.loads(capsys.readouterr().out)["checks"] == {"unexplained_file": 1}
    assert main(["verify", "--audit", f"{bucket.server.kind}://nowhere/audit"]) == 2
    assert "://nowhere: no such" in capsys.readouterr().err


def test_what_a_dead_run_made_of_a_source_that_is_another_by_now_goes(
    bucket: Bucket, told: Callable[..., dict[str, Any]], key: bytes
) -> None:
    store, path, data = open_store(f"{bucket.root}/output"), "P/1.2/1.2.1/1.2.3.dcm", b"of a dead run"
    source_id = source_id_of(Source(f"{bucket.root}/in/1.dcm", 0, ""), Identity(key))
    claimant = Claimant("digest", path, hashlib.sha256(data).hexdigest())
    Claims(store, Identity(key), "20200101T000000Z-00000000000").join("1.2.3", source_id, claimant)
    store.write(path, data, None)
    assert told()["written"] == 4
    assert store.find(path) is None
    assert not [name for name in clean_files(bucket) if ".partial" in name]


@pytest.mark.parametrize("size", [0, 10, gcs._SMALL - 1, gcs._SMALL, gcs._SMALL + 10])
def test_an_object_of_any_size_is_read_in_parts(bucket: Bucket, size: int) -> None:
    content = random.Random(size).randbytes(size)
    bucket.put("some/name", content)
    with open_seekable(f"{bucket.root}/some/name") as file:
        file.seek(max(size - 5, 0))
        assert file.read() == content[-5:]
        file.seek(0)
        assert file.read(size) == content


def test_a_bucket_gives_what_a_folder_gives(
    bucket: Bucket, told: Callable[..., dict[str, Any]], archive: Path, run: Run
) -> None:
    """Also where several sources have one UID, all of which are put in their places side by side."""
    for number in range(20):
        dataset = dcmread(archive / "1.dcm")
        dataset.SeriesDescription = str(number // 2)
        dataset.save_as(archive / f"one-uid-{number}.dcm")
        bucket.put(f"in/one-uid-{number}.dcm", (archive / f"one-uid-{number}.dcm").read_bytes())
        dataset.SOPInstanceUID = f"1.2.3.{number // 2}"
        dataset.save_as(archive / f"two-{number}.dcm")
        bucket.put(f"in/two-{number}.dcm", (archive / f"two-{number}.dcm").read_bytes())
    told()
    (archive / "copy.dcm").write_bytes((archive / "1.dcm").read_bytes())
    (archive / "picture.dcm").write_bytes(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    local = run(archive)
    assert {
        name.removeprefix("output/"): hashlib.sha256(bucket.get(name)).hexdigest()
        for name in clean_files(bucket)
    } == local.tree
    (tables,) = (name for name in bucket.versions("audit/instances/"))
    rows = pq.read_table(BytesIO(bucket.get(tables))).to_pylist()
    assert Counter((row["outcome"], row["reason"]) for row in rows) == local.outcomes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("inputs", "audit"), [("b/in", "b/out/audit"), ("b/out/**", "b/audit"), ("b", "c")])
def test_no_target_in_a_bucket_may_lie_in_another_or_the_input(kind: str, inputs: str, audit: str) -> None:
    targets = {"--output": f"{kind}://b/out", "--audit": f"{kind}://{audit}"}
    with pytest.raises(ConfigurationError, match="lie inside one another"):
        check_places([f"{kind}://{inputs}"], targets)
    other = next(it for it in KINDS if it != kind)
    check_places([f"{other}://{inputs}"], {**targets, "--audit": f"{other}://elsewhere"})
