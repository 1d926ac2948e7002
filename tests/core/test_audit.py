"""The audit's tables and the seal over a run's rows."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamstop.audit import (
    CHANGES,
    CROSSWALK,
    FINDINGS,
    INSTANCES,
    Outcome,
    integrity,
    leaf,
    outcome_of,
    record_mac,
    refused,
    registered_uid,
    row_mac,
    sealed,
)
from beamstop.errors import Failed, PixelError, Quarantined, Rejected
from beamstop.identity import Identity
from beamstop.standard.defined_terms import defined_modality

WRITTEN = {
    "run_id": "r1",
    "source_id": "ab" * 32,
    "outcome": "written",
    "patient_id": "P",
    "output_path": "P/1/2/3.dcm",
    "output_sha256": "00" * 32,
    "bytes_in": 12,
    "bytes_out": 10,
    "pixels_changed": False,
    "methods": ["113100"],
    "ms_read": 0.125,
}


@pytest.fixture
def identity(key: bytes) -> Identity:
    return Identity(key)


def rows(identity: Identity, count: int = 3) -> list[dict[str, object]]:
    return [sealed({**WRITTEN, "source_id": f"{n:02x}" * 32}, identity) for n in range(count)]


@pytest.mark.parametrize("schema", [INSTANCES, CHANGES, CROSSWALK, FINDINGS])
def test_every_field_has_a_comment(schema: pa.Schema) -> None:
    assert all(field.metadata[b"comment"] for field in schema)


def test_columns_are_those_of_the_design() -> None:
    assert " ".join(INSTANCES.names) == (
        "run_id source_id source_digest source_size source_version outcome step reason detail sop_class_uid"
        " modality transfer_syntax_uid patient_id study_uid series_uid sop_instance_uid output_path"
        " output_sha256 bytes_in bytes_out elements_removed elements_emptied elements_replaced elements_kept"
        " uids_remapped dates_shifted frames frames_examined frames_cleaned text_boxes_hidden"
        " text_boxes_kept text_residue pixels_changed identifiers_checked leaks_found methods"
        " recipe_digest engine beamstop_version ms_read ms_pixels ms_attributes ms_check ms_write mac"
    )
    assert " ".join(CHANGES.names) == (
        "run_id source_id sop_instance_uid path tag vr action rule before_digest after_digest"
        " frame x y width height why"
    )
    assert " ".join(CROSSWALK.names) == (
        "source_path original_patient_id original_study_uid original_series_uid original_sop_instance_uid"
        " patient_id study_uid series_uid sop_instance_uid output_path"
    )


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [
        (Rejected("x"), Outcome.REJECTED),
        (Quarantined("x"), Outcome.QUARANTINED),
        (PixelError("x"), Outcome.QUARANTINED),
        (Failed("x"), Outcome.FAILED),
    ],
)
def test_the_class_of_a_refusal_is_its_outcome(refusal: Exception, outcome: Outcome) -> None:
    assert outcome_of(refusal) is outcome


def test_a_refused_row_keeps_nothing_of_the_clean_file() -> None:
    row = refused(WRITTEN, Outcome.REJECTED, "WriteDicom", "duplicate")
    assert (row["outcome"], row["step"], row["reason"], row["detail"]) == (
        "rejected",
        "WriteDicom",
        "duplicate",
        None,
    )
    assert (row["patient_id"], row["output_path"], row["output_sha256"], row["bytes_out"]) == (
        None,
        None,
        None,
        0,
    )
    assert row["bytes_in"] == 12


def test_free_text_is_no_modality_and_no_uid() -> None:
    assert defined_modality("Roe^Jane") is None
    assert registered_uid("1.2.3.4") is None
    assert registered_uid("1.2.840.10008.1.2.1") == "1.2.840.10008.1.2.1"


def test_a_row_read_back_from_parquet_has_the_same_mac_and_leaf(identity: Identity) -> None:
    row = sealed(WRITTEN, identity)
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row], INSTANCES), file)
    (again,) = pq.read_table(file).to_pylist()
    assert row_mac(again, identity) == row["mac"]
    assert leaf(again) == leaf(row)


@pytest.mark.parametrize("column", [name for name in INSTANCES.names if name != "mac"])
def test_the_mac_covers_every_column(identity: Identity, column: str) -> None:
    row = sealed(WRITTEN, identity)
    assert row_mac({**row, column: "changed"}, identity) != row["mac"]


def test_the_mac_needs_the_key(identity: Identity) -> None:
    assert sealed(WRITTEN, Identity(bytes(32)))["mac"] != sealed(WRITTEN, identity)["mac"]


def test_the_seal_does_not_depend_on_the_order_of_rows(identity: Identity) -> None:
    listed = rows(identity)
    assert integrity(listed, "r1", identity) == integrity(reversed(listed), "r1", identity)


def test_the_seal_notices_a_row_changed_dropped_or_added(identity: Identity) -> None:
    listed = rows(identity)
    seal = integrity(listed, "r1", identity)
    changed = [{**listed[0], "outcome": "rejected"}, *listed[1:]]
    assert seal["rows"] == 3
    for other in (changed, listed[1:], rows(identity, 4)):
        assert integrity(other, "r1", identity)["root"] != seal["root"]
    assert integrity(listed, "r2", identity)["mac"] != seal["mac"]


def test_every_change_of_a_record_changes_its_mac(identity: Identity) -> None:
    record = {"run_id": "r1", "counts": {"written": 3}, "seconds": 1.5}
    mac = record_mac(record, identity)
    assert record_mac({**record, "mac": mac}, identity) == mac
    assert record_mac({**record, "seconds": 1.6}, identity) != mac
    assert record_mac({**record, "counts": {"written": 2}}, identity) != mac
    assert record_mac(record, Identity(b"another key, of 32 bytes or more")) != mac
