"""Where a clean instance belongs below OUTPUT."""

from pydicom.dataset import Dataset
from pydicom.uid import UID

from beamstop.dicom.elements import text_of
from beamstop.dicom.tags import tag_name
from beamstop.errors import Quarantined
from beamstop_transforms.stores import is_dicomweb

PATIENT_ID, STUDY, SERIES, INSTANCE = 0x00100020, 0x0020000D, 0x0020000E, 0x00080018
NONE = "NONE"  # stands for an absent value in a path
_LONGEST_COMPONENT = 128


def output_path(dataset: Dataset) -> str:
    """Return the path of a clean instance below OUTPUT.

    Raises:
        Quarantined: `no_sop_instance_uid`, or `unsafe_path` with the keyword of the culprit.
    """
    if not text_of(dataset, INSTANCE):
        raise Quarantined("no_sop_instance_uid")
    return "/".join(_component(dataset, tag) for tag in (PATIENT_ID, STUDY, SERIES, INSTANCE)) + ".dcm"


def instance_path(dataset: Dataset) -> str:
    """Return the path of a clean instance below an imaging server's URL (PS3.18 10.1.1).

    Raises:
        Quarantined: `no_sop_instance_uid`, or `unsafe_path` with the keyword of the culprit.
    """
    if not text_of(dataset, INSTANCE):
        raise Quarantined("no_sop_instance_uid")
    levels = {"studies": STUDY, "series": SERIES, "instances": INSTANCE}
    for tag in levels.values():
        if not UID(text_of(dataset, tag)).is_valid:
            raise Quarantined("unsafe_path", tag_name(tag))
    return "/".join(f"{level}/{text_of(dataset, tag)}" for level, tag in levels.items())


def clean_path(dataset: Dataset, output: str) -> str:
    """Return the path of a clean instance below OUTPUT, for any kind of OUTPUT."""
    return instance_path(dataset) if is_dicomweb(output) else output_path(dataset)


def is_clean_path(path: str) -> bool:
    """Return whether `clean_path` could have returned this path; a path read back from a store may be forged.

    >>> is_clean_path("P/1.2/1.2.1/1.2.3.dcm"), is_clean_path("../../1.2.1/1.2.3.dcm")
    (True, False)
    """
    parts = path.split("/")
    if len(parts) == 6:
        levels, uids = parts[::2], parts[1::2]
        return levels == ["studies", "series", "instances"] and all(UID(it).is_valid for it in uids)
    return len(parts) == 4 and path.endswith(".dcm") and all(map(_is_plain, [*parts[:3], parts[3][:-4]]))


def uid_in(path: str) -> str:
    """Return the SOP Instance UID in a path below a folder or bucket.

    >>> uid_in("P/1.2/1.2.1/1.2.3.dcm")
    '1.2.3'
    """
    return path.rpartition("/")[2].removesuffix(".dcm")


def _is_plain(value: str) -> bool:
    """Return whether a value is a plain component of a path."""
    plain = bool(value) and value.isprintable() and not value.startswith(".") and not {"/", "\\"} & set(value)
    return plain and len(value.encode()) <= _LONGEST_COMPONENT


def _component(dataset: Dataset, tag: int) -> str:
    value = text_of(dataset, tag).strip()
    if not value:
        return NONE
    if not _is_plain(value):
        raise Quarantined("unsafe_path", tag_name(tag))
    return value
