"""One run of the command line over an archive of invented people."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from pydicom.dataset import FileDataset
from tests.attacks.hidden_people import AT_DEBUG, HEADERS, Attacked, command_lines, plant

MakeDataset = Callable[..., FileDataset]


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory, make_dataset: MakeDataset, key: bytes) -> Attacked:
    """Return one run with worker processes over the archive, every logger at DEBUG."""
    home = tmp_path_factory.mktemp("attacked")
    originals = home / "Wodehurst originals"
    plant(originals, make_dataset)
    key_file = home / "key"
    key_file.write_bytes(key)
    key_file.chmod(0o600)
    (home / "sitecustomize.py").write_text(AT_DEBUG)
    (home / "headers.yaml").write_text(HEADERS)
    (home / "tmp").mkdir()
    command = [sys.executable, "-m", "beamstop_pipeline", "run", "--input", str(originals)]
    command += ["--output", str(home / "out"), "--audit", str(home / "audit"), "--key", str(key_file)]
    command += ["--recipe", "headers.yaml", "--workers", "2"]
    paths = os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(home / "tmp")}
    process = subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    seen: set[str] = set()
    while process.poll() is None:
        seen |= command_lines(process.pid)
        time.sleep(0.05)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr  # broken files are set aside
    return Attacked(originals, home / "out", home / "audit", stdout, stderr, "\n".join(seen), key)
