"""CheckLeaks over every DICOM file that pydicom, pydicom-data and deid-data carry."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import DeidError, Failed, Quarantined, Rejected
from beamstop.recipe.load import load_recipe, recipe_names
from beamstop.recipe.model import Recipe
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.steps.bounce import bounce
from beamstop.steps.check_leaks import check_leaks
from beamstop.steps.insert import insert

PACKAGES = ("pydicom", "data_store", "deid_data")


def files() -> Iterator[Path]:
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        assert found is not None
        (home,) = found.submodule_search_locations or ()
        yield from (path for path in sorted(Path(home).rglob("*")) if path.suffix in {".dcm", ".DCM", ""})


def outcome(data: bytes, recipe: Recipe, key: bytes) -> str:
    """Return `proved`, or the reason and detail of what ended it; pixels are left alone."""
    try:
        dataset = read_dicom(data)
        bounce(dataset, recipe.bouncer_instances)
        report = apply_recipe(dataset, recipe, recipe.identity(key), detail=False)
        insert(dataset, recipe, pixels_examined=False)
        check_leaks(encode(dataset), report)
    except (Rejected, Failed):
        return "refused"
    except Quarantined as error:
        return f"{error.reason} {error.detail}"
    except DeidError as error:
        return type(error).__name__
    return "proved"


@pytest.mark.parametrize("recipe", recipe_names())
def test_no_file_is_quarantined_by_a_false_alarm(recipe: str, key: bytes) -> None:
    loaded = load_recipe(recipe)
    sources = [path for path in files() if path.is_file()]
    found = [outcome(path.read_bytes(), loaded, key) for path in sources]
    assert set(found) == {"proved", "refused"}
    assert found.count("proved") > 200
