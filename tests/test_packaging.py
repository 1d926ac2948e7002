"""The three packages as others get them."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from ruamel.yaml import YAML

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


def test_wheel_holds_the_three_packages_with_their_data_and_nothing_else(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to((ROOT / source).parent))
        for source in SOURCES
        for path in (ROOT / source).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


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
