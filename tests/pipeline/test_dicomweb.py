"""The job into and out of a real imaging server: Orthanc with its DICOMweb plugin, started here."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests
from pydicom.dataset import FileDataset

from beamstop_pipeline.cli import main
from beamstop_transforms.stores import open_store

_ORTHANC = shutil.which("Orthanc")
_PLUGINS = sorted(Path("/usr/lib/orthanc").glob("libOrthancDicomWeb.so*"))


@dataclass(frozen=True)
class Orthanc:
    """A server that holds nothing at first, and asks for user and password."""

    port: int

    @property
    def target(self) -> str:
        return f"dicomweb:http://127.0.0.1:{self.port}/dicom-web"

    def take(self, data: bytes) -> None:
        """Let the server have an instance, by its own means."""
        url = f"http://127.0.0.1:{self.port}/instances"
        requests.post(url, data, auth=("user", "password"), timeout=10).raise_for_status()

    def instances(self) -> int:
        url = f"http://127.0.0.1:{self.port}/statistics"
        count: int = requests.get(url, auth=("user", "password"), timeout=10).json()["CountInstances"]
        return count


@pytest.fixture
def orthanc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., bool], free_port: Callable[[], int]
) -> Orthanc:
    if _ORTHANC is None or not _PLUGINS:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed (Debian: orthanc, orthanc-dicomweb)")
    folder, port = tmp_path / "orthanc", free_port()
    folder.mkdir()
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "HttpBindAddresses": ["127.0.0.1"],
        "DicomServerEnabled": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"user": "password"},
        "Plugins": [str(_PLUGINS[0])],
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    netrc = folder / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password password\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert serve([_ORTHANC, str(folder / "settings.json")], port)
    return Orthanc(port)


@pytest.fixture
def told(
    orthanc: Orthanc, archive: Path, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Return a function that runs the job into Orthanc and returns what --json says."""

    def _run(*more: str, workers: int = 1, code: int = 0) -> dict[str, Any]:
        places = ["--input", str(archive), "--output", orthanc.target, "--audit", str(tmp_path / "audit")]
        common = ["--key", str(key_file), "--recipe", "basic", "--workers", str(workers), "--json"]
        assert main(["run", *places, *common, *more]) == code
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return _run


def rows_of(tmp_path: Path, run_id: str) -> list[dict[str, Any]]:
    files = sorted((tmp_path / "audit" / "instances").glob(f"{run_id}-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


@pytest.mark.workers
def test_clean_instances_stand_in_the_server_and_are_verified(
    orthanc: Orthanc,
    told: Callable[..., dict[str, Any]],
    archive: Path,
    tmp_path: Path,
    key_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(archive / "1.dcm", archive / "copy.dcm")
    first = told(workers=2)
    assert (first["written"], first["rejected"], first["unchanged"], orthanc.instances()) == (3, 1, 0, 3)
    written = [row for row in rows_of(tmp_path, first["run_id"]) if row["outcome"] == "written"]
    for row in written:
        uids = (row["study_uid"], row["series_uid"], row["sop_instance_uid"])
        assert row["output_path"] == "studies/{}/series/{}/instances/{}".format(*uids)
        assert open_store(orthanc.target).find(row["output_path"]).sha256 == row["output_sha256"]
    assert [path.name for path in (tmp_path / "audit").glob(".partial/*")] == []

    second = told("--direct_runner_bundle_repeat=1")
    assert (second["written"], second["rejected"], second["unchanged"], orthanc.instances()) == (3, 1, 3, 3)

    places = ["--input", str(archive), "--output", orthanc.target, "--audit", str(tmp_path / "audit")]
    look = ["verify", *places, "--key", str(key_file), "--recipe", "basic", "--workers", "1", "--json"]
    assert main(look) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 3


def test_what_the_server_has_stays_and_what_it_cannot_take_has_a_row(
    orthanc: Orthanc,
    told: Callable[..., dict[str, Any]],
    archive: Path,
    tmp_path: Path,
    make_dataset: Callable[..., FileDataset],
) -> None:
    told()
    study = {"PatientID": "R-1001", "StudyInstanceUID": "1.2.3.1001", "SeriesInstanceUID": "1.2.3.1001.1"}
    other = make_dataset(**study, SOPInstanceUID="1.2.3.1001.1.1", KVP="100")
    other.save_as(archive / "0.dcm", enforce_file_format=True)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("profile: basic\noptions: [retain-patient-characteristics]\n")
    run_id = told("--recipe", str(recipe), "--accept-changed-recipe", code=1)["run_id"]
    found = Counter((row["outcome"], row["reason"], row["detail"]) for row in rows_of(tmp_path, run_id))
    assert found == {("failed", "not_stored", "kept"): 3, ("quarantined", "duplicate_conflict", None): 1}
    assert orthanc.instances() == 3


def test_a_server_that_asks_for_a_password_is_said_before_anything_is_read(
    orthanc: Orthanc,
    archive: Path,
    tmp_path: Path,
    key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    places = ["--input", str(archive), "--output", orthanc.target, "--audit", str(tmp_path / "audit")]
    assert main(["run", *places, "--key", str(key_file), "--recipe", "basic"]) == 2
    assert "not authenticated" in capsys.readouterr().err
    assert not (tmp_path / "audit").exists()


@pytest.fixture
def asked(
    orthanc: Orthanc, archive: Path, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Return a function that runs the job from an Orthanc with the archive and returns what --json says."""
    for path in archive.rglob("*.dcm"):
        orthanc.take(path.read_bytes())

    def _run(*more: str, query: str = "", workers: int = 1, code: int = 0) -> dict[str, Any]:
        places = ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit")]
        common = ["--key", str(key_file), "--recipe", "basic", "--workers", str(workers), "--json"]
        assert main(["run", "--input", orthanc.target + query, *places, *common, *more]) == code
        said = capsys.readouterr()
        return json.loads(said.out) if code < 2 else {"error": said.err}

    return _run


@pytest.mark.workers
def test_a_server_gives_what_a_folder_gives(
    asked: Callable[..., dict[str, Any]], run: Callable[..., Any], archive: Path, tmp_path: Path
) -> None:
    assert asked(workers=2)["written"] == 3
    served = {it.relative_to(tmp_path / "out") for it in (tmp_path / "out").rglob("*.dcm")}
    local = run(archive, to="-local")
    assert {str(it) for it in served} == {it for it in local.tree if it.endswith(".dcm")}


def test_an_instance_of_a_server_is_decided_by_its_url(
    orthanc: Orthanc,
    asked: Callable[..., dict[str, Any]],
    archive: Path,
    make_dataset: Callable[..., FileDataset],
) -> None:
    first = asked("--incremental")
    assert (first["sources"], first["written"]) == (3, 3)
    dataset = make_dataset(PatientID="P-2002", StudyDate="20260201", SOPInstanceUID="1.2.3.2002.1.9")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.2002.9", "1.2.3.2002.9.1"
    dataset.save_as(archive / "new.dcm", enforce_file_format=True)
    orthanc.take((archive / "new.dcm").read_bytes())
    second = asked("--incremental")
    assert (second["sources"], second["skipped"], second["written"], second["gone"]) == (4, 3, 1, 0)
    since = asked("--incremental", "--since", "2026-02-01")
    assert (since["sources"], since["skipped"], since["written"], since["gone"]) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?PatientID=P-2002", 1),
        ("?StudyInstanceUID=1.2.3.1001,1.2.3.2002", 3),
        ("?ModalitiesInStudy=CT", 3),
        ("?ModalitiesInStudy=CT&PatientID=R-1001", 2),
        ("?StudyDate=19000101-19000102", 0),
    ],
)
def test_a_server_is_asked_with_filters(asked: Callable[..., dict[str, Any]], query: str, found: int) -> None:
    if found:
        assert asked(query=query)["sources"] == found
    else:
        assert "nothing matches" in asked(query=query, code=2)["error"]


def test_sources_of_a_server_are_listed_again_and_verified(
    orthanc: Orthanc,
    asked: Callable[..., dict[str, Any]],
    tmp_path: Path,
    key_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked()
    common = ["--input", orthanc.target, "--key", str(key_file)]
    assert main(["sources", str(tmp_path / "audit"), *common, "--outcome", "written"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    named = f"{orthanc.target}/studies/1.2.3.2002/series/1.2.3.2002.1/instances/1.2.3.2002.1.3"
    assert named in {line.rpartition("\t")[2] for line in lines}
    places = ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit"), "--workers", "1"]
    assert main(["verify", *common, *places, "--recipe", "basic", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 3


def test_input_and_output_on_one_server_are_refused(
    orthanc: Orthanc, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--input", orthanc.target, "--output", orthanc.target, "--audit", str(tmp_path / "audit")]
    assert main(["run", *places, "--key", str(key_file), "--recipe", "basic"]) == 2
    assert "--input and --output are on one imaging server" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--since", "yesterday"], "--since: name a day"),
        (["--since", "2026-01-31", "--incremental", "--prune"], "leave out --since"),
        (["--audit", "dicomweb:http://127.0.0.1/x"], "--audit: takes no imaging server"),
    ],
)
def test_what_does_not_go_with_a_server_is_refused(
    more: list[str], said: str, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--input", "dicomweb:http://127.0.0.1:9/x", "--output", str(tmp_path / "out")]
    audit = [] if "--audit" in more else ["--audit", str(tmp_path / "audit")]
    assert main(["run", *places, *audit, "--key", str(key_file), *more]) == 2
    assert said in capsys.readouterr().err


def test_since_needs_a_server(
    archive: Path, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--input", str(archive), "--output", str(tmp_path / "o"), "--audit", str(tmp_path / "a")]
    assert main(["run", *places, "--key", str(key_file), "--since", "2026-01-31"]) == 2
    assert "--since is for imaging servers" in capsys.readouterr().err
