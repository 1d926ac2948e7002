"""What a changed table of subjects means for earlier rows.

AUDIT/subjects has keyed digests of each run's table. With the key, and without any value, they show whose
line was added, removed or changed since, and under which clean PatientID the ledger lists that subject's
files.
"""

import hmac
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from beamstop.identity import Identity
from beamstop.subjects import Kind, Line, line_key, table_digest
from beamstop_transforms.stores import open_store

SUBJECTS = "subjects"  # the folder of AUDIT
_UNTRACEABLE = (Kind.ACCESSION, Kind.LISTED)  # nothing in the ledger shows whose lines these are
_MAC_LENGTH = 32
# One line of the table in 41 bytes.
_ENTRY = np.dtype(
    [
        ("line", "u8"),  # digest of the original
        ("check", "u8"),  # another digest of it, which tells two originals with the same first digest apart
        ("patient", "u8"),  # digest of the PatientID alone, without issuer
        ("said", "u8"),  # digest of the rest of the line
        ("clean", "u8"),  # digest of its pseudonym; 0 if it has none
        ("keyed", "u8"),  # digest of the pseudonym that the key gives; 0 if unknown
        ("kind", "u1"),
    ]
)
_STORED = _ENTRY.newbyteorder("<")


class Changes(NamedTuple):
    """The differences between a table and the one that a run had.

    Attributes:
        patients: `patient_numbers` of the clean PatientIDs whose line changed, sorted.
        reasons: rows with these reasons have no clean PatientID and may have another outcome now.
        untraceable: how many changed lines cannot be found in the ledger, such as those by accession number.
        everything: any row may be about somebody whose line changed.
    """

    patients: Any
    reasons: tuple[str, ...] = ()
    untraceable: int = 0
    everything: bool = False


def put_lines(audit: str, lines: Iterable[Line], identity: Identity) -> str:
    """Write the digests of a table to AUDIT, unless they are there; return the digest of the table, in hex.

    Args:
        audit: the AUDIT folder or prefix.
        lines: of the table.
        identity: `recipe.identity(key)`.
    """
    lines = list(lines)
    digest = table_digest(lines, identity).hex()
    data = _entries(lines, identity).astype(_STORED).tobytes()
    store, name = open_store(audit), lines_name(digest)
    sealed = _mac(digest, data, identity) + data
    found = store.read(name)
    if found is None or found[1] != sealed:
        store.write(name, sealed, found and found[0])
    return digest


def lines_name(digest: str) -> str:
    """Return the name below AUDIT of the file with the digests of a table."""
    return f"{SUBJECTS}/{digest}"


def patient_numbers(patient_ids: Iterable[str], identity: Identity) -> Any:
    """Return a keyed number for each clean PatientID."""
    return np.array([_patient_number(it, identity) for it in patient_ids], np.uint64)


def _patient_number(patient_id: str, identity: Identity) -> int:
    return _number(identity.digest("clean-patient", patient_id))


def changes(
    audit: str,
    identity: Identity,
    before: str | None,
    now: str | None,
    absent: str,
    lines: Iterable[Line] | None = None,
) -> Changes | None:
    """Return the differences between a table and the one that a run had; None if there are none.

    Args:
        audit: the AUDIT folder or prefix.
        identity: of the run's key; with lines, `recipe.identity(key)`.
        before: the digest of the run's table; None if it had none.
        now: the digest of the new table; None if there is none.
        absent: what the recipe does with somebody who has no line: `reject` or `key`.
        lines: of that table, if it is not in AUDIT yet.
    """
    if before == now:
        return None
    everything = Changes(np.empty(0, np.uint64), everything=True)
    old = _read(audit, before, identity)
    new = _read(audit, now, identity) if lines is None else _entries(lines, identity)
    if old is None or new is None:
        return everything
    had, has = ((it["kind"] != Kind.LISTED).any() for it in (old, new))
    if has and not had and absent == "reject":
        return everything  # somebody without a line may have been written before
    gone, came = ~_are_in(old, new), ~_are_in(new, old)
    is_new = came & ~np.isin(new["line"], old["line"])
    was_by_key = is_new & (absent == "key" or before is None)
    # A line by issuer and PatientID now wins over the line by PatientID alone that was used so far.
    by_patient = np.isin(old["line"], new["patient"][came & (new["kind"] == Kind.ISSUED)])
    found = np.concatenate([old["clean"][gone | by_patient], new["keyed"][was_by_key]]).astype(np.uint64)
    untraceable = np.union1d(
        old["line"][gone & np.isin(old["kind"], _UNTRACEABLE)],
        new["line"][(came & np.isin(new["kind"], _UNTRACEABLE)) | (was_by_key & (new["keyed"] == 0))],
    )
    is_readmitted = bool((gone & (old["clean"] == 0)).any())
    reasons = ("duplicate", *["not_in_table"] * bool(is_new.any()), *["refused"] * is_readmitted)
    count = len(untraceable)
    return Changes(np.unique(found[found > 0]), reasons, count, everything=count > 0)


def are_lines(audit: str, digest: str, identity: Identity) -> bool:
    """Return whether the digests of a table are in AUDIT, unchanged."""
    return _read(audit, digest, identity) is not None


def _entries(lines: Iterable[Line], identity: Identity) -> Any:
    entries = np.array([_entry(it, identity) for it in lines], _ENTRY)
    return entries[np.argsort(entries["line"], kind="stable")]


def _entry(line: Line, identity: Identity) -> tuple[int, ...]:
    pseudonym, key = line.subject.pseudonym, line.key
    by_patient, keyed = line.kind not in _UNTRACEABLE, 0
    if by_patient and not (identity.with_issuer and line.kind is Kind.PATIENT):
        keyed = _patient_number(identity.patient_id(line.original, line.issuer), identity)
    patient = _number(line_key(identity, Kind.PATIENT, line.original)) if by_patient else 0
    is_kept = bool(pseudonym) and not line.subject.is_refused
    clean = _patient_number(pseudonym, identity) if is_kept else 0
    return _number(key), _number(key[8:]), patient, _number(line.said(identity)), clean, keyed, int(line.kind)


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")


def _are_in(some: Any, others: Any) -> Any:
    """Return a mask of bool: which of these lines are, unchanged, among the others."""
    if not len(others):
        return np.zeros(len(some), bool)
    at = np.minimum(np.searchsorted(others["line"], some["line"]), len(others) - 1)
    there = others[at]
    return np.logical_and.reduce([there[name] == some[name] for name in ("line", "check", "said", "kind")])


def _read(audit: str, digest: str | None, identity: Identity) -> Any:
    """Return the digests of a table, sorted; empty without a table, None if they are gone or changed."""
    if digest is None:
        return np.empty(0, _ENTRY)
    found = open_store(audit).read(lines_name(digest))
    if found is None:
        return None
    data = found[1][_MAC_LENGTH:]
    if not hmac.compare_digest(found[1][:_MAC_LENGTH], _mac(digest, data, identity)):
        return None
    return np.frombuffer(data, _STORED).astype(_ENTRY)


def _mac(digest: str, data: bytes, identity: Identity) -> bytes:
    return identity.digest("subject-lines", digest, data)
