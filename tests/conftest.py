"""What every test may ask for: a key, a dataset made in one line, a small archive."""

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from hypothesis import settings
from pydicom.dataset import FileDataset
from tests import buckets
from tests.buckets import Bucket

from beamstop.testing import make_instance

ROOT = Path(__file__).resolve().parent.parent
MakeDataset = Callable[..., FileDataset]

# The same examples on every machine and day; `pytest --hypothesis-profile default` draws new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def key() -> bytes:
    """Return the key that all expected pseudonyms in the tests were made with."""
    return bytes(range(32))


@pytest.fixture
def key_file(tmp_path: Path, key: bytes) -> Path:
    """Return a key file that nobody else may read."""
    path = tmp_path / "key"
    path.write_bytes(key)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def make_dataset() -> MakeDataset:
    """Return a factory of CT instances without pixels that can be saved; keywords set, or None deletes."""
    return make_instance


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a folder with three instances of two patients, one of them in a sub-folder."""
    folder = tmp_path / "archive"
    (folder / "sub").mkdir(parents=True)
    people = [("Roe^Jane", "R-1001"), ("Roe^Jane", "R-1001"), ("Poe^Edgar", "P-2002")]
    for number, (name, patient_id) in enumerate(people, start=1):
        dataset = make_instance(
            PatientName=name,
            PatientID=patient_id,
            StudyInstanceUID=f"1.2.3.{patient_id[2:]}",
            SeriesInstanceUID=f"1.2.3.{patient_id[2:]}.1",
            SOPInstanceUID=f"1.2.3.{patient_id[2:]}.1.{number}",
        )
        place = folder / "sub" if number == 3 else folder
        dataset.save_as(place / f"{number}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return beamstop's wheel with the networks in it, which are exported where `make networks` did not."""
    if not (ROOT / "build" / "networks").is_dir():
        command = [sys.executable, "tools/export_networks.py"]
        subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300, check=True)
    (made,) = WheelBuilder(str(ROOT)).build(
        directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"]
    )
    return Path(made)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], buckets.Server]]:
    """Return a function that starts an object store of one kind, once for all tests."""
    started: dict[str, buckets.Server] = {}
    with ExitStack() as running:

        def _server(kind: str) -> buckets.Server:
            if kind not in started:
                folder = tmp_path_factory.mktemp(kind)
                started[kind] = running.enter_context(buckets.running(kind, folder))
            return started[kind]

        yield _server


@pytest.fixture
def make_bucket(
    servers: Callable[[str], buckets.Server], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Bucket]]:
    """Return a function that makes an empty bucket of one kind of object store."""

    def _make_bucket(kind: str) -> Bucket:
        server = servers(kind)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        buckets.forget_clients()
        return buckets.make_bucket(server, f"bucket-{secrets.token_hex(8)}")

    yield _make_bucket
    buckets.forget_clients()


@pytest.fixture(params=buckets.KINDS)
def bucket(request: pytest.FixtureRequest, make_bucket: Callable[[str], Bucket]) -> Bucket:
    """Return an empty bucket of each kind of object store."""
    return make_bucket(request.param)
