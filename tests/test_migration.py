"""The migration tables of docs/kskit.md and docs/idiscore.md: every line of them runs."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import DataElement

import beamstop
import beamstop.idiscore
import beamstop.kskit
from beamstop.rules.operators import Context
from beamstop.testing import as_bytes, make_image, make_instance
from beamstop.verify import verify_pair

DOCS = Path(__file__).resolve().parent.parent / "docs"
KEY = bytes(range(32))
DOCUMENT = """{
"general_rules": {"0x00100010": ["PatientName", "PN", "EFFACER"],
                  "0x00080018": ["SOPInstanceUID", "UI", "PSEUDONYMISER"],
                  "0x00080016": ["SOPClassUID", "UI", "CONSERVER"]},
"specific_rules": {"0x00080100": {"sequence": "0x00540220", "rule": "CONSERVER"}}
}"""


def calls(page: str) -> Iterator[str]:
    """Yield the calls in the second column of a page's table of names."""
    table = (DOCS / page).read_text(encoding="utf-8").partition(" Migration\n")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| `.*\|$", table, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", row.split(" | ")[1])


@pytest.fixture
def names(tmp_path: Path) -> dict[str, Any]:
    """Return what the calls speak of."""
    indir, outdir = tmp_path / "in", tmp_path / "out"
    indir.mkdir()
    outdir.mkdir()
    frames = np.zeros((1, 64, 64), np.uint8)
    frames[0, 20, 20] = 255
    ds = make_image(frames, BurnedInAnnotation="NO")
    file = indir / "1.dcm"
    file.write_bytes(as_bytes(ds))
    recipe_path, words_path = tmp_path / "recipe.json", tmp_path / "words.txt"
    recipe_path.write_text(DOCUMENT)
    words_path.write_text("RCC\nlcc\n")
    identity = beamstop.Identity(KEY)
    recipe, data = beamstop.load_recipe("basic"), as_bytes(make_instance())
    element = DataElement("PatientID", "LO", "R-1001")
    return {
        "areas": [([[4, 2], [9, 2], [9, 5], [4, 5]], "DOE", 0.9)],
        "clean": beamstop.deidentify_bytes(data, recipe, KEY),
        "context": Context(identity, ds, (0x00100020,), 0, str),
        "copied": make_instance(),
        "data": data,
        "document": {"0x00100010": ["PatientName", "PN", "EFFACER"]},
        "ds": ds,
        "element": element,
        "file": file,
        "identity": identity,
        "indir": indir,
        "key": KEY,
        "make_instance": make_instance,
        "outdir": outdir,
        "pixels": frames[0],
        "recipe": recipe,
        "recipe_path": recipe_path,
        "verify_pair": verify_pair,
        "words_path": words_path,
    }


KSKIT, IDISCORE = list(calls("kskit.md")), list(calls("idiscore.md"))


def test_the_tables_are_there() -> None:
    assert (len(KSKIT) > 30, len(IDISCORE) > 50) == (True, True)


def run(call: str, names: dict[str, Any], package: Any) -> None:
    there = {name: getattr(beamstop, name) for name in beamstop.__all__}
    there |= {name: getattr(package, name) for name in package.__all__}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert eval(call, {**there, **names}) is not NotImplemented  # noqa: S307  our own documentation


@pytest.mark.parametrize(
    "call", [call for call in KSKIT if "text_areas" not in call and "image_" not in call]
)
def test_a_call_of_kskit_runs(call: str, names: dict[str, Any]) -> None:
    run(call, names, beamstop.kskit)


@pytest.mark.ocr
@pytest.mark.parametrize("call", [call for call in KSKIT if "text_areas" in call or "image_" in call])
def test_a_call_of_kskit_that_looks_for_text_runs(call: str, names: dict[str, Any]) -> None:
    run(call, names, beamstop.kskit)


@pytest.mark.parametrize("call", IDISCORE)
def test_a_call_of_idiscore_runs(call: str, names: dict[str, Any]) -> None:
    module = beamstop.idiscore
    names["safe"] = module.SafePrivateDefinition([module.SafePrivateBlock(["0023[X]10"])])
    names["places"] = module.PIILocationList([module.PIILocation([module.SquareArea(5, 10, 4, 12)])])
    names["sets"] = module.get_dicom_rule_sets()
    names["core"] = module.create_default_core(key=KEY)
    run(call, names, module)
