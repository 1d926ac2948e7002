"""The job on gs://, against a server on loopback that speaks the protocol and enforces preconditions."""

import hashlib
import json
import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import Forbidden
from google.auth.exceptions import RefreshError
from google.cloud.storage import Blob, Client
from pydicom.data import get_testdata_file

from beamstop.identity import Identity
from beamstop_pipeline.cli import main
from beamstop_transforms import match
from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.ledger.claims import Claimant, Claims
from beamstop_transforms.stores import gcs, open_seekable, open_store

_PLACES = ("output", "audit", "crosswalk", "attributes", "png")


@pytest.fixture
def asked(server: Client, archive: Path, key_file: Path) -> Callable[..., int]:
    """Return a function that runs the job within one bucket and returns its exit code."""
    bucket = server.create_bucket("archive")
    for path in archive.rglob("*.dcm"):
        bucket.blob(f"in/{path.relative_to(archive)}").upload_from_filename(path)
    bucket.blob("in/copy.dcm").upload_from_filename(archive / "1.dcm")
    bucket.blob("in/picture.dcm").upload_from_filename(str(get_testdata_file("CT_small.dcm")))

    def _run(*more: str, workers: int = 1) -> int:
        places = {name: f"gs://archive/{name}" for name in _PLACES}
        options = [part for name, place in places.items() for part in (f"--{name}", place)]
        common = ["--key", str(key_file), "--recipe", "basic", "--workers", str(workers), "--json"]
        return main(["run", "--input", "gs://archive/in/**", *options, *common, *more])

    return _run


@pytest.fixture
def told(asked: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Return a function that runs the job within one bucket and returns what --json says."""

    def _run(*more: str, workers: int = 1) -> dict[str, Any]:
        assert asked(*more, workers=workers) == 0
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return _run


def clean_files(server: Client) -> dict[str, int]:
    """Return name → generation of every clean file."""
    return {blob.name: blob.generation for blob in server.list_blobs("archive", prefix="output/")}


@pytest.mark.workers
def test_worker_processes_share_a_bucket(server: Client, told: Callable[..., dict[str, Any]]) -> None:
    first = told(workers=2)
    assert (first["sources"], first["written"], first["rejected"], first["unchanged"]) == (5, 4, 1, 0)
    names = {blob.name: blob.generation for blob in server.list_blobs("archive")}
    clean = clean_files(server)
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
    assert clean_files(server) == clean

    third = told("--incremental")
    assert (third["sources"], third["skipped"], third["written"]) == (5, 5, 0)


def test_a_clean_object_goes_with_its_source_when_asked(
    server: Client, told: Callable[..., dict[str, Any]]
) -> None:
    told("--incremental")
    before = clean_files(server)
    server.bucket("archive").blob("in/picture.dcm").delete()
    kept = told("--incremental")
    assert (kept["gone"], kept["left"], kept["pruned"]) == (1, 1, 0)
    assert clean_files(server) == before
    pruned = told("--incremental", "--prune")
    assert (pruned["gone"], pruned["left"], pruned["pruned"]) == (1, 0, 1)
    (gone,) = before.keys() - clean_files(server).keys()
    assert clean_files(server) == {name: it for name, it in before.items() if name != gone}
    (listed,) = server.list_blobs("archive", prefix="audit/pruned/")
    (row,) = pq.read_table(BytesIO(listed.download_as_bytes())).to_pylist()
    assert (row["why"], f"output/{row['output_path']}") == ("gone", gone)
    assert told("--incremental", "--prune")["pruned"] == 0


def test_an_object_that_was_replaced_is_not_pruned(
    server: Client, told: Callable[..., dict[str, Any]]
) -> None:
    told("--incremental")
    for name in clean_files(server):
        server.bucket("archive").blob(name).upload_from_string(b"theirs")
    before = clean_files(server)
    server.bucket("archive").blob("in/picture.dcm").delete()
    assert told("--incremental", "--prune")["pruned"] == 0
    assert clean_files(server) == before


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Forbidden("Doe^Jane"), "no longer permitted; grant it to these credentials"),
        (RefreshError("Doe^Jane"), f"the credentials hold no longer (RefreshError); {gcs._SIGN_IN}"),
    ],
)
def test_what_is_refused_in_the_middle_of_a_run_breaks_it_and_the_next_goes_on(
    server: Client,
    asked: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
) -> None:
    upload = Blob.upload_from_string

    def refuse(blob: Blob, *arguments: object, **named: object) -> None:
        if blob.name.startswith("output/") and len(clean_files(server)) == 1 and blob.name.endswith(".dcm"):
            raise error
        upload(blob, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Blob, "upload_from_string", refuse)
        assert asked() == 3
    told = capsys.readouterr()
    sentence = f"the run broke: gs://archive: {said}; run it again, what is written is kept"
    assert (told.out, told.err) == ("", f"beamstop: {sentence}\n")
    assert asked() == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["written"], result["rejected"]) == (4, 1)
    assert not [name for name in clean_files(server) if ".partial" in name]


def test_a_bucket_is_reported_on_and_verified(
    server: Client,
    told: Callable[..., dict[str, Any]],
    key_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told()
    places = ["--input", "gs://archive/in/**", "--output", "gs://archive/output", "--workers", "1", "--json"]
    report = ["report", "gs://archive/audit", "-o", str(key_file.parent / "report.html")]
    assert main([*report, "--review", "gs://archive/output"]) == 0
    assert "5 sources, 4 clean files" in (key_file.parent / "report.html").read_text()
    review = (key_file.parent / "report-review.html").read_text()
    assert "1 of 4 clean instances" in review
    assert review.count("data:image/webp;base64,") == 1
    assert main([*report, "--review", "gs://archive/png"]) == 2
    assert "name the OUTPUT of run" in capsys.readouterr().err
    capsys.readouterr()
    look = ["verify", *places, "--audit", "gs://archive/audit", "--key", str(key_file), "--recipe", "basic"]
    assert main(look) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 4
    server.bucket("archive").blob("output/other.dcm").upload_from_string(b"other")
    assert main(look) == 1
    assert json.loads(capsys.readouterr().out)["checks"] == {"unexplained_file": 1}
    assert main(["verify", "--audit", "gs://nowhere/audit"]) == 2
    assert "gs://nowhere: no such bucket" in capsys.readouterr().err


@pytest.mark.parametrize("pattern", ["gs://flat/in", "gs://flat/in/**", "gs://flat/in/1.2*"])
def test_many_objects_side_by_side_are_divided_by_their_names(
    server: Client, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    bucket = server.create_bucket("flat")
    names = [f"1.2.840.{number}.dcm" for number in (1, 2, 21, 22, 213, 3)]
    names += ["1.2.840.2", "1.2.840.\ud7ff", "1.2.840.\U0010ffff", "1.2.840.4/deep/5.dcm", ".partial/1"]
    for name in names:
        bucket.blob(f"in/{name}").upload_from_string(b"x")
    monkeypatch.setattr(match, "_LARGEST_LEVEL", 3)
    monkeypatch.setattr(match, "_BRANCHES", 3)
    list_blobs = Client.list_blobs
    monkeypatch.setattr(Client, "list_blobs", lambda *it, **more: list_blobs(*it, page_size=2, **more))
    found = list(match.branch(pattern))
    branches = [it for it in found if isinstance(it, match.Branch)]
    assert len(branches) >= 3
    every = [it.path for it in found if isinstance(it, match.Source)]
    every += [it.path for branch in branches for it in match.list_branch(branch)]
    wanted = [f"gs://flat/in/{name}" for name in names if not name.startswith(".")]
    assert sorted(every) == sorted(
        wanted if "1.2*" not in pattern else [it for it in wanted if "deep" not in it]
    )


@pytest.mark.parametrize("size", [0, 10, gcs._SMALL - 1, gcs._SMALL, gcs._SMALL + 10])
def test_an_object_of_any_size_is_read_in_parts(server: Client, size: int) -> None:
    content = random.Random(size).randbytes(size)
    server.create_bucket("bucket").blob("some/name").upload_from_string(content)
    with open_seekable("gs://bucket/some/name") as file:
        file.seek(max(size - 5, 0))
        assert file.read() == content[-5:]
        file.seek(0)
        assert file.read(size) == content


def test_what_a_dead_run_made_of_a_source_that_is_another_by_now_goes(
    server: Client, told: Callable[..., dict[str, Any]], key: bytes
) -> None:
    store, path, data = open_store("gs://archive/output"), "P/1.2/1.2.1/1.2.3.dcm", b"of a dead run"
    source_id = source_id_of(Source("gs://archive/in/1.dcm", 0, ""), Identity(key))
    claimant = Claimant("digest", path, hashlib.sha256(data).hexdigest())
    Claims(store, Identity(key), "20200101T000000Z-00000000000").join("1.2.3", source_id, claimant)
    store.write(path, data, None)
    assert told()["written"] == 4
    assert store.find(path) is None
    assert not [name for name in clean_files(server) if ".partial" in name]
