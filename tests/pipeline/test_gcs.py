"""The job on gs://, against a server on loopback that speaks the protocol and enforces preconditions."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden
from google.auth.exceptions import RefreshError
from google.cloud.storage import Blob, Client
from pydicom.data import get_testdata_file

from beamstop_pipeline.cli import main
from beamstop_transforms import match
from beamstop_transforms.stores import gcs

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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Forbidden("Doe^Jane"), "no longer permitted; grant it to these credentials"),
        (RefreshError("Doe^Jane"), f"the credentials are no longer valid (RefreshError); {gcs._SIGN_IN}"),
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
    upload, before = Blob.upload_from_string, count()

    def refuse(blob: Blob, *arguments: object, **named: object) -> None:
        if blob.name.startswith("output/") and blob.name.endswith(".dcm") and next(before) > 0:
            raise error
        upload(blob, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Blob, "upload_from_string", refuse)
        assert asked() == 3
    told = capsys.readouterr()
    sentence = f"the run broke: gs://archive: {said}; run it again; written files are kept"
    assert (told.out, told.err) == ("", f"beamstop: {sentence}\n")
    assert asked() == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["written"], result["rejected"]) == (4, 1)
    assert not [name for name in clean_files(server) if ".partial" in name]


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
