"""`beamstop verify` after whole runs: nothing where nothing is wrong, each wrong under its code."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from beamstop.audit import integrity, record_mac, sealed
from beamstop.identity import Identity
from beamstop_pipeline.cli import main

Run = Callable[..., Any]
Verify = Callable[..., tuple[int, Counter[str]]]
NOTHING: Counter[str] = Counter()


@pytest.fixture
def verify(tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Return a function that verifies the first run; it returns exit code and how often each check failed."""

    def _verify(*places: str, key: Path | None = key_file) -> tuple[int, Counter[str]]:
        keyed = [] if key is None else ["--key", str(key)]
        capsys.readouterr()
        code = main(["verify", "--audit", str(tmp_path / "audit1"), *keyed, *places, "--json"])
        said = json.loads(capsys.readouterr().out)
        rows = pq.read_table(said["file"]).to_pylist()
        assert said["findings"] == len(rows)
        return code, Counter(row["check"] for row in rows)

    return _verify


@pytest.fixture
def places(tmp_path: Path, archive: Path) -> tuple[str, ...]:
    more = ("--recipe", "basic", "--workers", "1")
    return ("--input", str(archive), "--output", str(tmp_path / "out1"), *more)


def change_rows(audit: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    (file,) = (audit / "instances").glob("*.parquet")
    pq.write_table(change(pq.read_table(file)), file)


def reseal(ran: Any, rows: list[dict[str, Any]], identity: Identity) -> None:
    """Write other rows of a run, and a record that fits them, under a key."""
    run_id = ran.record["run_id"]
    (file,) = (ran.audit / "instances").glob(f"{run_id}-*")
    fresh = [sealed(row, identity) for row in rows]
    pq.write_table(pa.Table.from_pylist(fresh, pq.read_schema(file)), file)
    name = f"instances/{file.name}"
    sha256 = {**ran.record["sha256"], name: hashlib.sha256(file.read_bytes()).hexdigest()}
    record = {**ran.record, "integrity": integrity(fresh, run_id, identity), "sha256": sha256}
    record["mac"] = record_mac(record, identity)
    (ran.audit / "runs" / f"{run_id}.json").write_text(json.dumps(record))


def with_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    column = pa.array(values, table.schema.field(name).type)
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


def test_the_recipe_is_that_of_the_newest_run_unless_it_was_a_file(
    run: Run,
    verify: Verify,
    archive: Path,
    places: tuple[str, ...],
    tmp_path: Path,
    key_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(archive)
    assert verify(*places[:4]) == (0, NOTHING)
    keyed = ("--key", str(key_file), "--audit", str(tmp_path / "audit1"))
    for name in ("own", "default"):  # the latter is another one than that which ships
        own = tmp_path / f"{name}.yaml"
        own.write_text("options: []")
        run(archive, recipe=str(own))
        assert main(["verify", *keyed, *places[:4]]) == 2
        assert f"--recipe: the newest run had a file of its own, {name}; name it" in capsys.readouterr().err


def test_a_run_that_nobody_touched_is_proved(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...]
) -> None:
    (archive / "broken.dcm").write_bytes((archive / "1.dcm").read_bytes()[:300])
    run(archive)
    assert verify(*places) == (0, NOTHING)
    assert verify() == (0, NOTHING)
    assert verify(key=None) == (0, NOTHING)


@pytest.mark.workers
def test_worker_processes_find_the_same(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...]
) -> None:
    ran = run(archive)
    next(ran.output.rglob("*.dcm")).write_bytes(b"other")
    assert verify(*places[:-1], "2") == verify(*places) == (1, Counter(file_changed=1))


def test_rows_of_the_newest_run_hold(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...]
) -> None:
    run(archive, recipe="strict")
    run(archive)
    assert verify(*places) == (0, NOTHING)


def test_a_row_changed_dropped_or_added_is_noticed(run: Run, verify: Verify, archive: Path) -> None:
    ran = run(archive)
    (file,) = (ran.audit / "instances").glob("*.parquet")
    before = file.read_bytes()
    change_rows(ran.audit, lambda rows: with_column(rows, "bytes_out", [1] * len(rows)))
    assert verify() == (1, Counter(row_changed=3, root=1, table_changed=1))
    file.write_bytes(before)
    change_rows(ran.audit, lambda rows: rows.slice(1))
    found = Counter(row_count=1, root=1, record_counts=1, table_changed=1)
    assert verify() == (1, found)
    assert verify(key=None) == (1, found)
    file.write_bytes(before)
    change_rows(ran.audit, lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))
    assert verify()[1] >= Counter(row_twice=1, row_count=1)
    file.write_bytes(before[:-100])
    assert verify()[1] >= Counter(rows_unreadable=1, row_count=1)
    file.unlink()
    assert verify()[1] >= Counter(row_count=1, root=1)


def test_changes_that_are_not_what_the_run_wrote_are_noticed(run: Run, verify: Verify, archive: Path) -> None:
    ran = run(archive)
    (file,) = (ran.audit / "changes").glob("*.parquet")
    rows, before = pq.read_table(file), file.read_bytes()
    assert verify() == (0, NOTHING)
    changed = with_column(rows, "action", ["K"] * len(rows))
    for other in (changed, rows.slice(1), pa.concat_tables([rows, rows.slice(0, 1)])):
        pq.write_table(other, file)
        assert verify() == verify(key=None) == (1, Counter(table_changed=1))
    file.write_bytes(b"no table")
    assert verify() == (1, Counter(table_changed=1))
    file.unlink()
    assert verify() == (1, Counter(table_changed=1))
    file.write_bytes(before)
    added = file.with_name(file.name.replace("-00000-of-", "-00001-of-"))
    added.write_bytes(before)
    assert verify() == (1, Counter(table_changed=1))


def test_text_that_no_row_shows_is_noticed(run: Run, verify: Verify, archive: Path) -> None:
    """Parquet has room for text beside its rows: of the file, of the schema, of a column."""
    ran = run(archive)
    name = {"name": "Roe^Jane"}
    for folder in ("instances", "changes"):
        (file,) = (ran.audit / folder).glob("*.parquet")
        table, before = pq.read_table(file), file.read_bytes()
        field = table.schema.field(0)
        column = table.schema.set(0, field.with_metadata({**field.metadata, **name}))
        for other in (table.replace_schema_metadata(name), table.cast(column)):
            pq.write_table(other, file)
            assert verify() == verify(key=None) == (1, Counter(table_changed=1))
        file.write_bytes(before + b"Roe^Jane")
        assert "table_changed" in verify()[1]
        file.write_bytes(before)
    assert verify() == (0, NOTHING)


def test_tables_of_an_unknown_run_are_noticed(run: Run, verify: Verify, archive: Path) -> None:
    ran = run(archive)
    for folder in ("changes", "pruned"):
        (ran.audit / folder).mkdir(exist_ok=True)
        (changes,) = (ran.audit / "changes").glob(f"{ran.record['run_id']}-*")
        forged = ran.audit / folder / "20260101T000000Z-00000000001-00000-of-00001.parquet"
        shutil.copy(changes, forged)
        assert verify() == verify(key=None) == (1, Counter(no_record=1))
        forged.unlink()


def test_a_name_that_stands_twice_in_a_record_is_noticed(run: Run, verify: Verify, archive: Path) -> None:
    """Whoever reads the record by eye sees the first one, the seal is over the last."""
    ran = run(archive)
    (file,) = (ran.audit / "runs").glob("*.json")
    text = file.read_text()
    for old, new in (
        ('"standard"', '"recipe": {"name": "strict"},\n "standard"'),
        ('"written": ', '"written": 7, "written": '),
    ):
        assert old in text
        file.write_text(text.replace(old, new, 1))
        assert verify()[1] == verify(key=None)[1] == Counter(record_changed=1)
    file.write_text(text)
    assert verify() == (0, NOTHING)


FOREIGN = (
    "Roe_Jane.txt",
    "instances/Roe_Jane.parquet",
    "instances/notes.txt",
    "changes/20260101T000000Z-00000000001.txt",
    "runs/Roe_Jane.json",
    "runs/20260101T000000Z-00000000001.txt",
    "verify/20260101T000000Z-00000000001-00000-of-00001.parquet",
    "more/20260101T000000Z-00000000001-00000-of-00001.parquet",
    ".partial/Roe_Jane",
    ".partial/suspects/Roe_Jane",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_no_record_names_is_noticed(run: Run, verify: Verify, archive: Path, name: str) -> None:
    ran = run(archive)
    assert verify() == (0, NOTHING)
    (ran.audit / name).parent.mkdir(parents=True, exist_ok=True)
    (ran.audit / name).write_bytes(b"{}")
    found = Counter(foreign_file=1)
    assert verify() == verify(key=None) == (1, found)
    for table in (ran.audit / "verify").glob(f"{ran.record['run_id'][:2]}*.parquet"):
        assert b"Roe" not in table.read_bytes()


def test_what_runs_and_verify_leave_is_not_foreign(run: Run, verify: Verify, archive: Path) -> None:
    ran = run(archive)
    left = ran.audit / ".partial"
    for name in (
        "run",
        f"suspects/{'a' * 64}",
        f"new/{'b' * 32}",
        f"{ran.record['run_id']}/instances/c.parquet",
    ):
        (left / name).parent.mkdir(parents=True, exist_ok=True)
        (left / name).touch()
    assert verify() == verify() == (0, NOTHING)


def test_the_only_record_dropped_is_noticed(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...]
) -> None:
    ran = run(archive)
    (file,) = (ran.audit / "runs").glob("*.json")
    file.unlink()
    assert verify() == (1, Counter(no_record=1))
    assert verify(*places) == (1, Counter(no_record=1))


def test_a_record_changed_or_dropped_is_noticed(run: Run, verify: Verify, archive: Path) -> None:
    ran = run(archive)
    (file,) = (ran.audit / "runs").glob("*.json")
    record = {**ran.record, "seconds": 1}
    file.write_text(json.dumps(record))
    assert verify() == (1, Counter(record_changed=1))
    counts = {**ran.record["counts"], "written": 2}
    file.write_text(json.dumps({**ran.record, "counts": counts}))
    assert verify() == (1, Counter(record_changed=1, record_counts=1))
    file.write_text(json.dumps(ran.record))
    run(archive)
    file.unlink()
    assert verify() == (1, Counter(no_record=1))


def test_who_forges_rows_and_record_without_the_key_is_noticed(
    run: Run, verify: Verify, archive: Path, tmp_path: Path
) -> None:
    """Count and root can be made to fit by whoever can write; the keyed digests cannot."""
    ran, forger = run(archive), Identity(b"a key that the forger made himself")
    run(archive)
    reseal(ran, [{**row, "bytes_out": 7} for row in ran.table("instances")], forger)
    assert verify(key=None) == (0, NOTHING)
    assert verify() == (1, Counter(row_changed=3, record_changed=1))


def test_files_that_went_or_came_are_noticed(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...]
) -> None:
    ran = run(archive)
    first, second, _ = sorted(ran.output.rglob("*.dcm"))
    (ran.output / "Smith_John.dcm").write_bytes(b"")
    shutil.copy(second, second.with_name("Smithers.dcm"))
    first.unlink()
    assert verify(*places) == (1, Counter(no_file=1, unexplained_file=2))
    (table,) = (ran.audit / "verify").glob("*.parquet")
    assert "Smith" not in str(pq.read_table(table).to_pylist())


def test_a_clean_file_that_came_from_elsewhere_is_noticed(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...], key: bytes
) -> None:
    """Somebody with the key writes other bytes and a row that fits them: the file itself tells."""
    ran, identity = run(archive), Identity(key)
    spoilt = sorted(ran.output.rglob("*.dcm"))[0]
    dataset = dcmread(spoilt)
    dataset.StudyDescription = "of Roe^Jane"
    dataset.PatientSex = "X"
    dataset.PatientID = "OTHER"
    dataset.save_as(spoilt)
    name = str(spoilt.relative_to(ran.output))
    new = {"output_sha256": hashlib.sha256(spoilt.read_bytes()).hexdigest()}
    rows = [{**row, **(new if row["output_path"] == name else {})} for row in ran.table("instances")]
    reseal(ran, rows, identity)
    code, found = verify(*places)
    assert code == 1
    assert found >= Counter(leak=1, pseudonym=1, row=1, path=1)


def test_a_row_that_leads_elsewhere_is_not_followed(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...], tmp_path: Path
) -> None:
    ran = run(archive)
    victim = sorted(ran.output.rglob("*.dcm"))[0]
    name = str(victim.relative_to(ran.output))
    victim.rename(tmp_path / "victim.dcm")
    paths = {name: "../victim.dcm"}
    rows = [
        {**it, "output_path": paths.get(it["output_path"], it["output_path"])}
        for it in ran.table("instances")
    ]
    change_rows(ran.audit, lambda table: pa.Table.from_pylist(rows, table.schema))
    assert verify(*places) == (1, Counter(root=1, row_changed=1, table_changed=1, path=1))


def test_sources_that_came_went_or_changed_are_noticed(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...]
) -> None:
    run(archive)
    shutil.copy(archive / "1.dcm", archive / "new.dcm")
    (archive / "1.dcm").unlink()
    with open(archive / "2.dcm", "ab") as file:
        file.write(bytes(8))
    assert verify(*places) == (1, Counter(no_row=1, no_source=1, source_changed=1))


PLACES = "--audit {audit} --input {archive} --output {out}"
BAD = [
    ("--audit {home}/nowhere", "check the path"),
    ("--audit {audit} --input {archive}", "belong together"),
    (PLACES, "no key"),
    ("--audit {audit} --key {other}", "name the key of the run"),
    (f"{PLACES} --key {{key}} --recipe strict", "(basic)"),
    (f"{PLACES}/none --input {{archive}}/none --key {{key}} --recipe basic", "nothing matches"),
]


def test_bad_configuration_is_said_with_its_remedy(
    run: Run, archive: Path, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run(archive)
    other = tmp_path / "other"
    other.write_bytes(bytes(range(32, 64)))
    other.chmod(0o600)
    places = {"home": tmp_path, "archive": archive, "audit": ran.audit, "out": ran.output}
    for arguments, remedy in BAD:
        capsys.readouterr()
        given = [it.format(**places, key=key_file, other=other) for it in arguments.split()]
        assert main(["verify", *given]) == 2
        assert remedy in capsys.readouterr().err
    assert not (ran.audit / "verify").exists()


def test_rows_of_another_recipe_are_counted_and_not_judged(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...]
) -> None:
    run(archive / "sub", recipe="strict")
    run(archive / "1.dcm")
    (archive / "2.dcm").unlink()
    assert verify(*places) == (0, NOTHING)


def test_references_lead_to_clean_files(
    run: Run, verify: Verify, archive: Path, places: tuple[str, ...], key: bytes
) -> None:
    """The row of what is referred to says another UID than the reference, with seals that fit."""
    uid = str(dcmread(archive / "1.dcm").SOPInstanceUID)
    dataset = dcmread(archive / "2.dcm")
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, uid
    dataset.ReferencedRTPlanSequence = Sequence([item])
    dataset.save_as(archive / "2.dcm")
    ran = run(archive)
    assert verify(*places) == (0, NOTHING)
    identity = Identity(key)
    rows = ran.table("instances")
    (target,) = (row for row in rows if row["sop_instance_uid"] == identity.uid(uid))
    target["sop_instance_uid"] = "2.25.1"
    reseal(ran, rows, identity)
    assert verify(*places) == (1, Counter(row=1, reference=1))


def test_a_record_of_many_files_has_its_list_beside_it(
    run: Run,
    verify: Verify,
    archive: Path,
    places: tuple[str, ...],
    key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("beamstop_transforms.record._MOST_NAMED", 1)
    first = run(archive, more=("--incremental",))
    assert "sha256" not in first.record
    path = first.audit / "lists" / f"{first.record['run_id']}.json"
    assert first.record["list"] == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "files": 2}
    assert sorted(json.loads(path.read_text())["sha256"]) == json.loads(path.read_text())["files"]
    assert verify(*places) == (0, NOTHING)
    assert run(archive, more=("--incremental",)).record["counts"]["skipped"] == 3
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    assert verify() == verify(key=None) == (1, Counter(table_changed=1))
    again = ["run", *places, "--audit", str(first.audit), "--key", str(key_file), "--incremental"]
    capsys.readouterr()
    assert main(again) == 2
    assert f"lists/{path.name} is gone, or is not what its run sealed" in capsys.readouterr().err
    path.unlink()
    assert main(again) == 2
    assert verify() == (1, Counter(table_changed=1))


def test_what_somebody_did_to_the_ledger_is_found_and_the_next_run_makes_it_anew(
    run: Run, verify: Verify, archive: Path
) -> None:
    first = run(archive, more=("--incremental",))
    (file,) = (first.audit / "ledger").glob("*-sources-00000")
    data = file.read_bytes()
    assert verify() == (0, NOTHING)
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert verify() == (1, Counter(foreign_file=7))  # all of that segment
    assert verify(key=None) == (0, NOTHING)  # who has no key cannot tell
    assert run(archive, more=("--incremental",)).record["counts"]["skipped"] == 3
    assert verify() == (0, NOTHING)
