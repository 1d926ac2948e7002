"""Checks signatures of records with the public key alone."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from beamstop.audit import Row
from beamstop.signing import SignatureError, open_envelope
from beamstop_pipeline.verify.audit import finding
from beamstop_transforms.ledger.sealed import RUNS, SIGNATURES
from beamstop_transforms.ledger.target import is_run_id
from beamstop_transforms.record import record_name, signature_name
from beamstop_transforms.stores import Store, open_store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_ENVELOPE = ".dsse.json"


class Signatures:
    """An audit's signatures, checked with one public key.

    Checks: `no_signature`, `signature`, `run_missing`, `no_record`.

    Args:
        audit: the AUDIT folder or prefix.
        key: public key of the person who claims to have run the job.

    Attributes:
        findings: rows of `FINDINGS`, without `verify_id`.
        fits: how many records have a right signature with this key.
        records: how many there are.
    """

    def __init__(self, audit: str, key: "Ed25519PublicKey") -> None:
        store = open_store(audit)
        runs = {_run_named(name, RUNS, ".json") for name in store.names(RUNS)} - {""}
        signed = {_run_named(name, SIGNATURES, _ENVELOPE) for name in store.names(SIGNATURES)} - {""}
        self.records = len(runs)
        self.findings = [finding("no_record", run_id=run_id) for run_id in sorted(signed - runs)]
        self.findings += [finding("no_signature", run_id=run_id) for run_id in sorted(runs - signed)]
        self.fits = 0
        for run_id in sorted(runs & signed):
            found = list(_wrong(store, run_id, runs, key))
            self.fits += not found
            self.findings += found


def _run_named(name: str, folder: str, ending: str) -> str:
    run_id = name.removeprefix(f"{folder}/").removesuffix(ending)
    return run_id if name.endswith(ending) and is_run_id(run_id) else ""


def _wrong(store: Store, run_id: str, runs: set[str], key: "Ed25519PublicKey") -> Iterator[Row]:
    record, envelope = store.read(record_name(run_id)), store.read(signature_name(run_id))
    if record is None or envelope is None:
        yield finding("signature", run_id=run_id, detail="gone while it was read")
        return
    try:
        said = open_envelope(envelope[1], key)
    except SignatureError as error:
        yield finding("signature", run_id=run_id, detail=str(error))
        return
    about = {"name": record_name(run_id), "digest": {"sha256": hashlib.sha256(record[1]).hexdigest()}}
    if said.get("subject") != [about]:
        yield finding("signature", run_id=run_id, detail="about another record, or about this one as it was")
        return
    before = _previous(said)
    if before is not None and before not in runs:
        yield finding("run_missing", run_id=before if is_run_id(before) else None)


def _previous(said: dict[str, Any]) -> str | None:
    predicate = said.get("predicate")
    before = predicate.get("previous") if isinstance(predicate, dict) else None
    return None if before is None else _run_named(str(before), RUNS, ".json")
