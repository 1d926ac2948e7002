"""UIDs that the standard lists: PS3.6 Annex A and the coding schemes of PS3.16 section 8."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from pydicom._dicom_dict import DicomDictionary

_ROOT = "1.2.840.10008."
_NAMES_A_CLASS = re.compile("SOPClass|TransferSyntax")
# Storage SOP classes and transfer syntaxes newer than the table: numbers as short as theirs, so that no other
# hides there.
_NEWER_STORAGE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.[0-9]{1,3}(\.[0-9]{1,2}){0,3}")
_NEWER_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2(\.[0-9]{1,3}){1,3}")


@cache
def _document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files("beamstop") / "data" / "uids.json").read_text(encoding="utf-8"))
    return found


@cache
def _listed() -> frozenset[str]:
    document = _document()
    listed = {uid for uids in document["uids"].values() for uid in uids}
    for root, ranges in document["ranges"].items():
        listed.update(f"{root}.{number}" for first, last in ranges for number in range(first, last + 1))
    return frozenset(listed)


@cache
def sop_classes() -> frozenset[str]:
    """Return the UIDs of the SOP classes that PS3.6 registers, those retired among them."""
    return frozenset(_document()["uids"]["SOP Class"])


@cache
def _class_tags() -> frozenset[int]:
    return frozenset(
        tag
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items()
        if vr == "UI" and _NAMES_A_CLASS.search(keyword)
    )


def is_registered(uid: str) -> bool:
    """Return whether the standard lists a UID: a SOP class, a coding scheme, a context group and so on.

    >>> [is_registered(uid) for uid in ("1.2.840.10008.1.2.4.112", "1.2.840.10008.6.1.308", "1.2.3")]
    [True, True, False]
    """
    return uid in _listed()


def is_well_known_uid(uid: str, tag: int = 0) -> bool:
    """Return whether a UID is the standard's and hence nobody's.

    Args:
        uid: without padding.
        tag: of the attribute that it stands in. One that holds SOP classes or transfer syntaxes may hold
            one that is newer than the table.

    >>> [is_well_known_uid(f"1.2.840.10008.{end}") for end in ("1.2.1", "5.1.4.1.1.999", "1.2.7734.501")]
    [True, False, False]
    >>> is_well_known_uid("1.2.840.10008.5.1.4.1.1.999", 0x00080016)
    True
    """
    if uid in _listed():
        return True
    if not uid.startswith(_ROOT) or tag not in _class_tags():
        return False
    return any(form.fullmatch(uid) for form in (_NEWER_STORAGE, _NEWER_SYNTAX))


def is_standard_sop_class(uid: str) -> bool:
    """Return whether PS3.4 defines a SOP class, or may do so in a newer edition.

    >>> [is_standard_sop_class(f"1.2.840.10008.{end}") for end in ("5.1.4.1.1.2", "5.1.4.1.1.999.2", "1.2.1")]
    [True, True, False]
    """
    return uid in sop_classes() or _NEWER_STORAGE.fullmatch(uid) is not None
