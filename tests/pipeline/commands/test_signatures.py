"""What somebody without the run's key can prove of an audit, and what each kind of tampering looks like."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.pipeline.commands.test_verify import change_rows, reseal, with_column

from beamstop.identity import Identity
from beamstop.signing import generate_pair
from beamstop_pipeline.cli import main
from beamstop_transforms.stores import StoreError

Check = Callable[..., tuple[int, Counter[str]]]


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    assert main(["keygen", str(tmp_path / "pair"), "--signing"]) == 0
    return tmp_path / "pair"


@pytest.fixture
def signed(run: Any, archive: Path, pair: Path) -> Any:
    """Return a run with a signature."""
    return run(archive, more=("--signing-key", str(pair)))


@pytest.fixture
def check(tmp_path: Path, pair: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Return a function that verifies the first run by a public key alone; it returns code and checks."""

    def _check(public: Path | None = None) -> tuple[int, Counter[str]]:
        capsys.readouterr()
        key = str(public or f"{pair}.pub")
        code = main(["verify", "--audit", str(tmp_path / "audit1"), "--public-key", key, "--json"])
        return code, Counter(json.loads(capsys.readouterr().out)["checks"])

    return _check


def record_of(ran: Any) -> Path:
    return Path(ran.audit / "runs" / f"{ran.record['run_id']}.json")


def envelope_of(ran: Any) -> Path:
    return Path(ran.audit / "signatures" / f"{ran.record['run_id']}.dsse.json")


def test_a_signed_run_is_proved_without_its_key(
    signed: Any, check: Check, pair: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check() == (0, Counter())
    assert signed.record["options"]["signed"] is True
    both = ["--key", str(key_file), "--public-key", f"{pair}.pub", "--json"]
    assert main(["verify", "--audit", str(signed.audit), *both]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["seals"], said["signatures"]) == ("keyed", "1 of 1 records are signed")


def test_a_record_that_was_changed_is_seen(signed: Any, check: Check) -> None:
    record = record_of(signed)
    record.write_text(record.read_text() + " ")
    assert check() == (1, Counter({"signature": 1}))


def test_rows_that_were_changed_or_taken_out_are_seen(signed: Any, check: Check) -> None:
    whole = {path: path.read_bytes() for path in (signed.audit / "instances").glob("*.parquet")}
    change_rows(signed.audit, lambda table: with_column(table, "frames", [7] * len(table)))
    assert check() == (1, Counter({"root": 1, "table_changed": 1}))
    for path, content in whole.items():
        path.write_bytes(content)
    change_rows(signed.audit, lambda table: table.slice(1))
    assert check() == (1, Counter({"root": 1, "row_count": 1, "record_counts": 1, "table_changed": 1}))


def test_a_record_that_fits_other_rows_under_the_runs_key_is_not_the_signed_one(
    signed: Any, check: Check, key: bytes
) -> None:
    """Whoever has the run's key can seal anything; only the signer can sign it."""
    rows = [{**row, "text_boxes_hidden": 9} for row in signed.table("instances")]
    reseal(signed, rows, Identity(key))
    assert check() == (1, Counter({"signature": 1}))


def test_the_envelope_of_another_run_is_none_of_this(
    signed: Any, run: Any, archive: Path, pair: Path, check: Check
) -> None:
    second = run(archive, more=("--signing-key", str(pair)))
    assert check() == (0, Counter())
    shutil.copy(envelope_of(signed), envelope_of(second))
    assert check() == (1, Counter({"signature": 1}))


def test_another_key_did_not_sign(signed: Any, check: Check, tmp_path: Path) -> None:
    assert check(generate_pair(tmp_path / "other")) == (1, Counter({"signature": 1}))


def test_an_extra_run_without_a_signature_is_seen(signed: Any, run: Any, archive: Path, check: Check) -> None:
    run(archive)
    assert check() == (1, Counter({"no_signature": 1}))


def test_a_run_that_was_taken_out_whole_is_missed_by_the_next(
    signed: Any, run: Any, archive: Path, pair: Path, check: Check
) -> None:
    run(archive, more=("--signing-key", str(pair)))
    record_of(signed).unlink()
    assert check() == (1, Counter({"no_record": 2, "run_missing": 1}))  # its tables, and its envelope
    for path in signed.audit.rglob(f"{signed.record['run_id']}*"):
        path.unlink()
    assert check() == (1, Counter({"run_missing": 1}))


def test_a_record_without_its_envelope_is_unsigned(signed: Any, check: Check) -> None:
    envelope_of(signed).write_text("{}")
    assert check() == (1, Counter({"signature": 1}))
    envelope_of(signed).unlink()
    assert check() == (1, Counter({"no_signature": 1}))


def test_a_run_that_broke_is_signed_by_the_next(
    run: Any, archive: Path, pair: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise StoreError("the disk is full")

    more = ("--incremental", "--signing-key", str(pair))
    with monkeypatch.context() as patch:
        patch.setattr("beamstop_transforms.audit._WriteInstancesFn.process", broken)
        with pytest.raises(ValueError, match="empty"):  # it leaves no record
            run(archive, more=more)
    assert run(archive, more=more).record["counts"]["skipped"] == 3
    assert check() == (0, Counter())


def test_a_signing_key_that_cannot_be_used_is_said_before_anything_is_read(
    archive: Path, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--input", str(archive), "--output", str(tmp_path / "o"), "--audit", str(tmp_path / "a")]
    assert main(["run", *places, "--key", str(key_file), "--signing-key", str(key_file)]) == 2
    assert "--signing-key: not a private key of Ed25519" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_the_private_key_is_neither_in_the_audit_nor_in_the_record(signed: Any, pair: Path) -> None:
    secret = pair.read_text().splitlines()[1]
    for path in signed.audit.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()
            assert str(pair).encode() not in path.read_bytes()


def test_verify_leaves_nothing_but_its_findings(signed: Any, check: Check) -> None:
    before = {path.relative_to(signed.audit) for path in signed.audit.rglob("*")}
    assert check() == (0, Counter())
    (folder, table) = sorted({path.relative_to(signed.audit) for path in signed.audit.rglob("*")} - before)
    assert (str(folder), table.parent, table.suffix) == ("verify", folder, ".parquet")
    assert pq.read_table(signed.audit / table).num_rows == 0
