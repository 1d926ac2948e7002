"""The audit's tables: their schemas, and the seal over a run's rows."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, AnyStr

import pyarrow as pa

from beamstop.errors import DeidError, PixelError, Quarantined, Rejected
from beamstop.identity import Identity
from beamstop.outcome import Outcome as Outcome
from beamstop.standard.uids import is_registered

Row = dict[str, Any]


def _schema(*fields: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"comment": comment}) for name, kind, comment in fields])


_TEXT, _WHOLE, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()

INSTANCES = _schema(
    ("run_id", _TEXT, "the run; sorts by time"),
    ("source_id", _TEXT, "keyed digest of the source path"),
    ("source_digest", _TEXT, "keyed digest of the source's bytes; null where they could not be read"),
    ("source_size", _WHOLE, "bytes, as listed"),
    (
        "source_version",
        _TEXT,
        "keyed digest of the source's path and its generation on gs://, ETag on s3:// and az://, "
        "or time of modification locally; empty where neither is known",
    ),
    ("outcome", _TEXT, "written, rejected (by policy), quarantined (not proved clean) or failed"),
    ("step", _TEXT, "the step that decided"),
    ("reason", _TEXT, "a code; null where written"),
    ("detail", _TEXT, "more for a person: keywords, tags, classes of exceptions, decoders; never a value"),
    ("sop_class_uid", _TEXT, "null unless registered in PS3.6"),
    ("modality", _TEXT, "null unless a defined term of PS3.3 C.7.3.1.1.1"),
    ("transfer_syntax_uid", _TEXT, "of the source, of the clean file where written; null unless registered"),
    ("patient_id", _TEXT, "of the clean file; null unless written"),
    ("study_uid", _TEXT, "of the clean file; null unless written"),
    ("series_uid", _TEXT, "of the clean file; null unless written"),
    ("sop_instance_uid", _TEXT, "of the clean file; null unless written"),
    ("output_path", _TEXT, "below OUTPUT; null unless written"),
    ("output_sha256", _TEXT, "of the clean file; null unless written"),
    ("bytes_in", _WHOLE, "bytes read"),
    ("bytes_out", _WHOLE, "bytes of the clean file; 0 unless written"),
    ("elements_removed", _WHOLE, "elements taken out, at every depth"),
    ("elements_emptied", _WHOLE, "elements left without a value"),
    ("elements_replaced", _WHOLE, "elements given another value, UIDs and dates included"),
    ("elements_kept", _WHOLE, "elements left as they were: every element is one of these four"),
    ("uids_remapped", _WHOLE, "those replaced that are UIDs"),
    ("dates_shifted", _WHOLE, "those replaced that are dates, moved by the patient's shift"),
    ("frames", _WHOLE, "frames of the instance; 0 without pixel data"),
    ("frames_examined", _WHOLE, "frames searched for text"),
    ("frames_cleaned", _WHOLE, "frames that carried something beside their pictures, which was cut"),
    ("text_boxes_hidden", _WHOLE, "text boxes blanked"),
    ("text_boxes_kept", _WHOLE, "text boxes of authorised words, left"),
    ("text_residue", _WHOLE, "boxes found again inside hidden areas: a flag, not a verdict"),
    ("pixels_changed", _FLAG, "the pixel data differ from the source's"),
    ("identifiers_checked", _WHOLE, "identifying values searched for in the finished bytes"),
    ("leaks_found", _WHOLE, "elements in which one was found: the instance is quarantined"),
    ("methods", pa.list_(_TEXT), "codes of CID 7050 really applied"),
    ("recipe_digest", _TEXT, "SHA-256 of the effective recipe"),
    ("engine", _TEXT, "fingerprint of the text detector; null where none looked"),
    ("beamstop_version", _TEXT, "version of beamstop"),
    ("ms_read", _REAL, "milliseconds to read and parse"),
    ("ms_pixels", _REAL, "milliseconds to hide text"),
    ("ms_attributes", _REAL, "milliseconds to apply the recipe and insert what it calls for"),
    ("ms_check", _REAL, "milliseconds to encode and to search for leaks"),
    ("ms_write", _REAL, "milliseconds to write"),
    ("mac", _TEXT, "keyed digest of every other column of this row"),
)

CHANGES = _schema(
    ("run_id", _TEXT, "the run"),
    ("source_id", _TEXT, "keyed digest of the source path"),
    ("sop_instance_uid", _TEXT, "of the clean file"),
    ("path", _TEXT, "keywords through sequences; tag numbers for private elements; empty for a text box"),
    ("tag", _TEXT, "(gggg,eeee)"),
    ("vr", _TEXT, "value representation"),
    ("action", _TEXT, "D Z X K C U, as carried out"),
    ("rule", _TEXT, "rule set and line that decided"),
    ("before_digest", _TEXT, "truncated HMAC bound to source and path; null for empty"),
    ("after_digest", _TEXT, "truncated HMAC bound to source and path; null for empty or removed"),
    ("frame", _WHOLE, "of a text box: the frame, from 0"),
    ("x", _WHOLE, "of a text box: first column, in stored pixels"),
    ("y", _WHOLE, "of a text box: first row, in stored pixels"),
    ("width", _WHOLE, "of a text box, in stored pixels"),
    ("height", _WHOLE, "of a text box, in stored pixels"),
    ("why", _TEXT, "of a text box: why it was hidden or kept, a code; of a private block: how many elements"),
)

CROSSWALK = _schema(
    ("source_path", _TEXT, "where the source was read; bytes that are not UTF-8 appear as \\xNN"),
    ("original_patient_id", _TEXT, "of the source"),
    ("original_study_uid", _TEXT, "of the source"),
    ("original_series_uid", _TEXT, "of the source"),
    ("original_sop_instance_uid", _TEXT, "of the source"),
    ("patient_id", _TEXT, "of the clean file"),
    ("study_uid", _TEXT, "of the clean file"),
    ("series_uid", _TEXT, "of the clean file"),
    ("sop_instance_uid", _TEXT, "of the clean file"),
    ("output_path", _TEXT, "below OUTPUT"),
)

PRUNED_FILES = _schema(
    ("run_id", _TEXT, "the run that removed it"),
    ("source_id", _TEXT, "keyed digest of the path of the source that it was made of"),
    ("output_path", _TEXT, "below OUTPUT"),
    ("output_sha256", _TEXT, "of the clean file"),
    ("why", _TEXT, "gone, rejected, quarantined or moved: what became of the source"),
)

FINDINGS = _schema(
    ("verify_id", _TEXT, "the look; sorts by time"),
    ("run_id", _TEXT, "the run that the row or record is of; null where none is"),
    ("source_id", _TEXT, "keyed digest of the source path; null where it is about a file or a run"),
    ("output_path", _TEXT, "below OUTPUT, as a row has it; null where none has"),
    ("check", _TEXT, "what does not hold, a code"),
    ("element", _TEXT, "keywords through sequences, tags of private elements, or a column; null for a whole"),
    ("detail", _TEXT, "more for a person: codes and classes of exceptions; never a value"),
)

# Columns about the clean file; null in rows that are not `written`.
OF_THE_CLEAN_FILE = (
    "patient_id",
    "study_uid",
    "series_uid",
    "sop_instance_uid",
    "output_path",
    "output_sha256",
)


def registered_uid(value: object) -> str | None:
    """Return the UID if PS3.6 registers it, otherwise None, because it may identify."""
    uid = str(value or "")
    return uid if is_registered(uid) else None


def outcome_of(refusal: DeidError) -> Outcome:
    """Return the outcome for a `Refusal` or a `PixelError`."""
    if isinstance(refusal, Rejected):
        return Outcome.REJECTED
    return Outcome.QUARANTINED if isinstance(refusal, Quarantined | PixelError) else Outcome.FAILED


def refused(row: Mapping[str, Any], outcome: Outcome, step: str, reason: str, detail: str = "") -> Row:
    """Return the row of a source that is not written, without any trace of the clean file."""
    nothing = dict.fromkeys(OF_THE_CLEAN_FILE)
    return {
        **row,
        **nothing,
        "bytes_out": 0,
        "outcome": str(outcome),
        "step": step,
        "reason": reason,
        "detail": detail or None,
    }


def sealed(row: Mapping[str, Any], identity: Identity) -> Row:
    """Return the row with every column of INSTANCES, in order, and its `mac`."""
    complete = {name: row.get(name) for name in INSTANCES.names}
    complete["mac"] = row_mac(complete, identity)
    return complete


def row_mac(row: Mapping[str, Any], identity: Identity) -> str:
    """Return the keyed digest, in hex, of every column of INSTANCES but `mac`."""
    return identity.digest("audit-row", _canonical(row, _UNDER_MAC)).hex()


def leaf(row: Mapping[str, Any]) -> bytes:
    """Return the 32-byte leaf of a sealed row in the Merkle tree."""
    return hashlib.sha256(b"\0" + _canonical(row, INSTANCES.names)).digest()


_UNDER_MAC = tuple(name for name in INSTANCES.names if name != "mac")


def is_row(names: Iterable[str]) -> bool:
    """Return whether columns are those of INSTANCES, or of an earlier version's audit."""
    return set(names) in (_OF_0_2_0, _OF_0_1_0)


_OF_0_2_0 = frozenset(INSTANCES.names)
_OF_0_1_0 = _OF_0_2_0 - {"frames_cleaned"}


def _canonical(row: Mapping[str, Any], names: Iterable[str]) -> bytes:
    # JSON of a list in the schema's order: the same for a row in memory and one read back from Parquet. A row
    # of an earlier version lacks columns that came since.
    return json.dumps([row[name] for name in names if name in row], separators=(",", ":")).encode()


BUCKETS = 256


def bucket_of(source_id: str) -> int:
    """Return a row's bucket in the Merkle tree, 0 to 255."""
    return int(source_id[:2], 16)


def bucket_digest(leaves: Mapping[AnyStr, bytes]) -> bytes:
    """Return the inner node over one bucket's leaves, sorted by source_id.

    Args:
        leaves: source_id, in hex or as bytes → leaf of every row of the bucket.
    """
    return hashlib.sha256(b"\1" + b"".join(leaves[key] for key in sorted(leaves))).digest()


def merkle_root(buckets: Mapping[int, bytes]) -> str:
    """Return the root, in hex, of the two-level tree over all rows.

    Two levels of fan-out 256, so that no worker ever has to hold all rows of a large run.

    Args:
        buckets: number → inner node; buckets without rows are absent.
    """
    empty = bucket_digest({})
    return hashlib.sha256(b"\2" + b"".join(buckets.get(i, empty) for i in range(BUCKETS))).hexdigest()


def integrity(rows: Iterable[Mapping[str, Any]], run_id: str, identity: Identity) -> dict[str, Any]:
    """Return the seal of these rows for the run's JSON: see `seal`."""
    buckets: dict[int, dict[str, bytes]] = {}
    count = 0
    for row in rows:
        count += 1
        buckets.setdefault(bucket_of(row["source_id"]), {})[row["source_id"]] = leaf(row)
    nodes = {number: bucket_digest(leaves) for number, leaves in buckets.items()}
    return seal(nodes, count, run_id, identity)


def seal(buckets: Mapping[int, bytes], count: int, run_id: str, identity: Identity) -> dict[str, Any]:
    """Return the count of a run's rows, their Merkle root, and a keyed digest of the two."""
    root = merkle_root(buckets)
    mac = identity.digest("audit-root", run_id, str(count), root).hex()
    return {"rows": count, "root": root, "mac": mac}


def record_mac(record: Mapping[str, Any], identity: Identity) -> str:
    """Return the keyed digest, in hex, of a run's JSON without `mac`."""
    said = {name: value for name, value in record.items() if name != "mac"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return identity.digest("audit-record", text).hex()


def part_mac(part: Mapping[str, Any], identity: Identity) -> str:
    """Return the keyed digest, in hex, of the record of a run's part without `mac`."""
    said = {name: value for name, value in part.items() if name != "mac"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return identity.digest("audit-part", text).hex()
