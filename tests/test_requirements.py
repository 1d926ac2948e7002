"""Lock and pyproject.toml together: everything pinned, hashed, within its bounds, in one version."""

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
FILES = sorted(FOLDER.glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REMEDY = "make lock"
# What each file brings together with what is installed before it.
USES = {
    ("run", "laptop", "torch"): [*PROJECT["dependencies"], *EXTRAS["gcp"], *EXTRAS["weights"]],
    ("dev", "torch"): [*PROJECT["dependencies"], *EXTRAS["dev"], *EXTRAS["weights"]],
    ("dev", "fuzz"): EXTRAS["fuzz"],
    ("dev", "bench"): EXTRAS["bench"],
    ("dev", "tools"): EXTRAS["tools"],
    ("build",): tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"],
}


def locked(name: str) -> dict[str, str]:
    """Return package → version of one file."""
    lines = re.findall(r"^([^#\s]\S*)==([^\s;]+)", (FOLDER / f"{name}.txt").read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in lines}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_line_is_pinned_and_hashed(file: Path) -> None:
    """Nothing else stands there: no option, no index, no address."""
    text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE)
    block = r"[a-z0-9][a-z0-9._-]*==[^\s;]+(?: ; [^\\\n]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    assert re.fullmatch(rf"\n*(?:{block})+", text), REMEDY
    assert "://" not in text


@pytest.mark.parametrize("use", USES, ids="-".join)
def test_what_pyproject_asks_for_is_locked_within_its_bounds(use: tuple[str, ...]) -> None:
    versions = {package: version for name in use for package, version in locked(name).items()}
    wanted = [Requirement(text) for text in USES[use]]
    missing = [it.name for it in wanted if canonicalize_name(it.name) not in versions]
    assert missing == [], REMEDY
    outside = [it for it in wanted if not it.specifier.contains(versions[canonicalize_name(it.name)], True)]
    assert list(map(str, outside)) == [], REMEDY


def test_what_any_extra_asks_for_is_locked_somewhere() -> None:
    known = {package for file in FILES for package in locked(file.stem)}
    wanted = {canonicalize_name(Requirement(it).name) for extra in EXTRAS.values() for it in extra}
    assert wanted - known == set(), REMEDY


def test_a_package_has_one_version_everywhere() -> None:
    versions = defaultdict[str, set[str]](set)
    for file in FILES:
        for package, version in locked(file.stem).items():
            versions[package].add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}, REMEDY


def test_what_the_image_has_needs_no_torch() -> None:
    """Nor anything that only EasyOCR and the charts of reports need, some 5 GB."""
    heavy = {"easyocr", "matplotlib", "pandas", "scikit-image", "sympy", "torch", "torchvision"}
    assert heavy & set(locked("run")) == set()
    assert heavy - {"pandas"} <= set(locked("laptop")) | set(locked("torch"))


def test_torch_is_locked_as_pinned() -> None:
    pins = dict(re.findall(r"^(\w+)==(\S+)$", (FOLDER / "torch.in").read_text(), re.MULTILINE))
    assert list(pins) == ["torch", "torchvision"]
    assert pins.items() <= locked("torch").items(), REMEDY


def test_what_is_installed_by_make_is_locked_but_for_the_cpu_build_of_torch() -> None:
    installs = re.findall(r"-?m? ?pip\)? install (.+)", (ROOT / "Makefile").read_text())
    unlocked = [it for it in installs if "$(LOCKED)" not in it]
    assert [it.split(" ||")[0] for it in unlocked] == [
        "--no-deps --index-url $(CPU_WHEELS) --retries 1 --timeout 15 $(TORCH:%=%+cpu)",
        "--no-deps --no-build-isolation --editable .",
    ]
    (options,) = re.findall(r"^LOCKED := (.+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert options.startswith("--require-hashes --no-deps --only-binary :all: ")
