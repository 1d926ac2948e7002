"""What the tests on Flink need from package registries: fetched into a cache folder, and looked for there.

python -m tests.pipeline.engines.distribution flink|prism
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("BEAMSTOP_FLINK_CACHE", Path.home() / ".cache" / "beamstop" / "flink"))
PRISM = CACHE / "go" / "prism"

# Of each line of Flink the newest release whose job server Beam has; 2.x and 1.x translate a job differently.
RELEASES = {"2.2": "2.2.1", "2.1": "2.1.3", "2.0": "2.0.2", "1.20": "1.20.5", "1.19": "1.19.3"}
# Beam's job server of this version can be put together from the parts that Beam publishes (pom.xml).
PARTS = ("1.19", "2.62.0")


@dataclass(frozen=True)
class Distribution:
    """One Flink and Beam's job server for it.

    Attributes:
        flink: its version without the patch, as Beam names it.
        release: its version.
        beam: the version of Beam that the job server is of.
        home: where its `bin`, `conf` and `lib` are.
        jar: the job server.
    """

    flink: str
    release: str
    beam: str
    home: Path
    jar: Path


def installed() -> list[Distribution]:
    """Return what the cache has, newest first; nothing is fetched."""
    found = []
    for flink, release in RELEASES.items():
        jars = sorted((CACHE / "jars").glob(f"beam-runners-flink-{flink}-job-server-*.jar"), key=_beam_of)
        home = _home(release)
        if jars and home:
            jar = jars[-1]
            found.append(Distribution(flink, release, jar.stem.rpartition("-")[2], home, jar))
    return found


def _beam_of(jar: Path) -> list[int]:
    return [int(part) for part in jar.stem.rpartition("-")[2].split(".")]


def fetch() -> None:
    """Fetch a job server for a Flink 2.x and one for a 1.x, as new as there are, and those Flinks."""
    (CACHE / "jars").mkdir(parents=True, exist_ok=True)
    for line in ("2.", "1."):
        if not any(it.flink.startswith(line) for it in installed()):
            _fetch_newest([flink for flink in RELEASES if flink.startswith(line)])
    if not installed():
        sys.exit("no job server for any Flink is to be had: is mvn installed, and a repository in reach?")


def _fetch_newest(flinks: list[str]) -> None:
    beam = _pinned_beam()
    # As published in one piece: of the pinned Beam alone, since none promises to work with a newer SDK.
    flink = next((it for it in flinks if _copy_job_server(it, beam)), None)
    if flink is None and PARTS[0] in flinks and _assemble(*PARTS):
        flink = PARTS[0]
    if flink is None:
        sys.stdout.write(f"Flink {flinks[-1]} to {flinks[0]}: no job server of Beam {beam}, nor its parts\n")
    else:
        _install(RELEASES[flink])


def _pinned_beam() -> str:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (beam,) = (it.partition("==")[2] for it in dependencies if it.startswith("apache-beam=="))
    return beam


def _copy_job_server(flink: str, beam: str) -> bool:
    artifact = f"org.apache.beam:beam-runners-flink-{flink}-job-server:{beam}"
    return _maven("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE / 'jars'}")


def _assemble(flink: str, beam: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(Path(__file__).with_name("pom.xml"), folder)
        done = _maven("package", f"-Dflink={flink}", f"-Dbeam={beam}", f"--file={folder}/pom.xml")
        if done:
            jar = f"beam-runners-flink-{flink}-job-server-{beam}.jar"
            shutil.move(Path(folder, "target", jar), CACHE / "jars" / jar)
    return done


def _maven(*arguments: str) -> bool:
    command = ["mvn", "--quiet", "--batch-mode", *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _install(release: str) -> None:
    """Install PyPI's Flink apart: with its dependencies it would demand an older Beam."""
    place = CACHE / release
    venv.EnvBuilder(symlinks=True, with_pip=False).create(place)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    packages = [f"apache-flink=={release}", f"apache-flink-libraries=={release}"]
    subprocess.run([*pip, "--no-deps", "--no-compile", *packages], check=True)


def _home(release: str) -> Path | None:
    return next((CACHE / release).glob("lib/python*/site-packages/pyflink"), None)


def fetch_prism() -> None:
    """Let Go build the Prism of the pinned Beam."""
    package = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{_pinned_beam()}"
    environment = {**os.environ, "GOBIN": str(PRISM.parent)}
    try:
        subprocess.run(["go", "install", package], env=environment, check=True)  # noqa: S607  wherever it is
    except FileNotFoundError:
        sys.exit("no Go to build Prism with")


def main() -> None:
    """Fetch what the command line names."""
    if sys.argv[1:] == ["prism"]:
        fetch_prism()
        return
    fetch()
    for it in installed():
        sys.stdout.write(f"Flink {it.release} with the job server of Beam {it.beam}: {it.jar}\n")


if __name__ == "__main__":
    main()
