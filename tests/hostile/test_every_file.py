"""The job over every file that pydicom, pydicom-data and deid-data carry: a row each, no value in it."""

import importlib.util
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.datadict import keyword_dict

from beamstop.dicom.files import read_dicom
from beamstop.errors import Refusal
from beamstop.leaks.needles import Needles
from beamstop.words.identifiers import harvest

Run = Callable[..., Any]
SHORTEST, LONGEST_CHANCE = 6, 10
_KEYWORDS = " ".join(keyword_dict).lower()


def homes() -> Iterator[Path]:
    for package in ("pydicom", "data_store", "deid_data"):
        found = importlib.util.find_spec(package)
        assert found is not None
        (home,) = found.submodule_search_locations or ()
        yield Path(home) / "data" if package == "pydicom" else Path(home)


def secrets_of(data: bytes) -> set[bytes]:
    """Return the words, numbers and UIDs that identify somebody in one file.

    Without what the audit says of its own: keywords, and few digits, which digests have by chance.
    """
    try:
        identifiers = harvest(read_dicom(data), lambda path: False)
    except Refusal:
        return set()
    needles = Needles(identifiers)
    joined = {"".join(phrase) for phrase in needles.phrases}
    words = needles.words | joined | identifiers.uids | needles.numbers
    telling = {word for word in words if len(word) >= (LONGEST_CHANCE if word.isdecimal() else SHORTEST)}
    return {word.encode() for word in telling if word not in _KEYWORDS}


@pytest.mark.workers
def test_every_file_ends_in_a_row_that_tells_nothing(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    files = [path for home in homes() for path in home.rglob("*") if path.is_file()]
    warnings.simplefilter("ignore")
    secrets = set().union(*(secrets_of(path.read_bytes()) for path in files))
    assert len(secrets) > 300
    ran = run(*homes())
    rows = ran.table("instances")
    assert len(rows) == len({row["source_id"] for row in rows}) == len(files)
    outcomes = Counter(row["outcome"] for row in rows)
    assert outcomes["written"] > 150
    said = capfd.readouterr()
    left = b"".join(path.read_bytes().lower() for path in ran.audit.rglob("*") if path.is_file())
    left += str(rows).lower().encode() + str(ran.table("changes")).lower().encode()
    left += said.out.lower().encode() + said.err.lower().encode()
    assert {secret for secret in secrets if secret in left} == set()
