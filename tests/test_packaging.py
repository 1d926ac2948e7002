"""The three packages as others get them."""

import ast
import importlib
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from beamstop.ocr.weights import CRAFT, DIGESTS, export_digests

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("transforms/beamstop", "transforms/beamstop_transforms", "pipeline/beamstop_pipeline")
PACKAGES = ("beamstop", "beamstop_transforms", "beamstop_pipeline")


def test_importing_the_core_leaves_the_heavy_libraries_alone() -> None:
    code = """
import importlib, pkgutil, sys
import beamstop
for module in pkgutil.walk_packages(beamstop.__path__, "beamstop."):
    importlib.import_module(module.name)
print(*{"apache_beam", "easyocr", "pandas", "torch"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_a_worker_imports_leaves_out_what_its_environment_has_not() -> None:
    """Reports alone draw, the export of the networks alone needs torch, kskit's table alone pandas."""
    code = """
import importlib, pkgutil, sys
class Away:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"easyocr", "matplotlib", "pandas", "torch", "torchvision"}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Away())
for package in ("beamstop", "beamstop_transforms", "beamstop_pipeline"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                print(module.name, error.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    without = [line.split() for line in done.stdout.splitlines()]
    assert ["beamstop_pipeline.report.charts", "matplotlib"] in without
    reports = [
        it for it in without if it[0].startswith("beamstop_pipeline.report.") and it[1] == "matplotlib"
    ]
    assert without == reports


@pytest.mark.parametrize("module", ["beamstop", "beamstop.kskit", "beamstop_pipeline.cli"])
def test_a_folder_named_dl_does_no_harm(module: str, tmp_path: Path) -> None:
    """gdcm takes it for a module of Python 2."""
    (tmp_path / "dl").mkdir()
    code = f"""
import {module}, sys
print("dl" in sys.modules)
import beamstop.pixels.png, pydicom.pixels.decoders.gdcm
print(pydicom.pixels.decoders.gdcm.HAVE_GDCM)
import dl
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


GOOGLE = {
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.cloud.dataflow_v1beta3": "google-cloud-dataflow-client",
    "google.cloud.pubsub": "google-cloud-pubsub",
    "google.cloud.secretmanager": "google-cloud-secret-manager",
    "google.cloud.storage": "google-cloud-storage",
    "google.protobuf": "protobuf",
}


def test_what_is_imported_is_declared() -> None:
    """Not only brought by something else, which may stop doing so."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [
        project["optional-dependencies"][it] for it in ("conformance", "faces", "gcp", "kskit", "weights")
    ]
    wanted = [*project["dependencies"], *(it for extra in extras for it in extra)]
    declared = {canonicalize_name(Requirement(it).name) for it in wanted}
    makers = packages_distributions()
    undeclared = set()
    for name in {
        name for source in SOURCES for path in (ROOT / source).rglob("*.py") for name in _imports(path)
    }:
        top = name.partition(".")[0]
        if top == "google":
            found = {maker for module, maker in GOOGLE.items() if f"{name}.".startswith(f"{module}.")}
        else:
            found = {canonicalize_name(it) for it in makers.get(top, [])}
        if top not in sys.stdlib_module_names and top not in PACKAGES and not found & declared:
            undeclared.add(name)
    assert undeclared == set()


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module in ("google", "google.cloud"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_are_there_once(name: str) -> None:
    package = importlib.import_module(name)
    public = getattr(package, "__all__", [])
    assert [each for each in public if not hasattr(package, each)] == []
    assert len(set(public)) == len(public)


@pytest.mark.parametrize("folder", ["transforms", "pipeline"])
def test_ruff_forbids_to_import_the_source_roots(folder: str) -> None:
    done = _ruff(f"import {folder}\n")
    assert f"`{folder}` is banned" in done.stdout
    assert done.returncode == 1


def test_ruff_allows_to_import_the_packages() -> None:
    done = _ruff("import beamstop\nimport beamstop_pipeline\nimport beamstop_transforms\n")
    assert done.stdout == "All checks passed!\n"


def test_wheel_holds_the_three_packages_with_their_data_the_networks_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to((ROOT / source).parent))
        for source in SOURCES
        for path in (ROOT / source).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    networks = {f"beamstop/networks/{it}{suffix}" for it in DIGESTS for suffix in (".xml", ".bin")}
    assert names == expected | networks
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_the_networks_in_a_wheel_are_those_that_are_pinned_and_their_licences_lie_beside_them(
    wheel: Path,
) -> None:
    with ZipFile(wheel) as archive:
        found = {
            name: {
                suffix: sha256(archive.read(f"beamstop/networks/{name}{suffix}")).hexdigest()
                for suffix in (".xml", ".bin")
            }
            for name in DIGESTS
        }
        licences = {Path(it).name for it in archive.namelist() if ".dist-info/licenses/" in it}
    assert found == export_digests()
    assert licences == {"LICENSE", "CRAFT.txt", "networks.md", "deepbet.txt", "head.md", "pydeface.txt"}
    told = (ROOT / "licences" / "networks.md").read_text()
    assert [name for name in DIGESTS if f"| `{name}.*` |" not in told] == []


def test_a_wheel_without_networks_is_refused_in_one_sentence(tmp_path: Path) -> None:
    tree = _tree_without_networks(tmp_path)
    done = _build(tree, "wheel", tmp_path)
    assert done.returncode == 1
    said = f"build/networks/{CRAFT}.xml is missing or another one: run make networks first\n"
    assert done.stdout + done.stderr == said


def test_a_wheel_with_another_network_is_refused(tmp_path: Path) -> None:
    tree = _tree_without_networks(tmp_path)
    (tree / "build" / "networks").mkdir(parents=True)
    (tree / "build" / "networks" / f"{CRAFT}.xml").write_bytes(b"another")
    assert _build(tree, "wheel", tmp_path).returncode == 1


def test_a_source_distribution_and_an_editable_install_need_no_networks(tmp_path: Path) -> None:
    tree = _tree_without_networks(tmp_path)
    assert _build(tree, "sdist", tmp_path).returncode == 0
    (made,) = WheelBuilder(str(tree)).build(directory=str(tmp_path), versions=["editable"])
    with ZipFile(made) as archive:
        assert [name for name in archive.namelist() if name.endswith(".bin")] == []


def _tree_without_networks(place: Path) -> Path:
    """Return a folder with what the build reads."""
    tree = place / "tree"
    tree.mkdir()
    for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("licences", "transforms", "pipeline"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


def _build(tree: Path, target: str, place: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(place)]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=120)


def test_easyocr_and_the_torchvision_it_uses_fit_the_torch_that_is_installed() -> None:
    """A torchvision of another build ends in: operator torchvision::nms does not exist."""
    code = "import easyocr, torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.ones(1), 0.5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _ruff(code: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--select",
        "TID251",
        "--stdin-filename",
        "snippet.py",
        "-",
    ]
    return subprocess.run(command, input=code, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_citation_names_the_version_that_the_package_has() -> None:
    citation = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["title"], citation["version"]) == (project["name"], project["version"])
