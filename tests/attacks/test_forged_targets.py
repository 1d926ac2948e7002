"""A forger with the right to write to OUTPUT or AUDIT, but without the key: nothing outside them is lost."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sealing import seal

from beamstop.audit import INSTANCES
from beamstop.identity import Identity
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.running.suspects import read_suspects
from beamstop_pipeline.running.targets import sole_run
from beamstop_transforms.ledger.claims import Claimant, Claims, uid_key
from beamstop_transforms.ledger.history import Leftover
from beamstop_transforms.ledger.sealed import sealed_records
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.ledger.writers import Ledger
from beamstop_transforms.paths import is_clean_path, output_path
from beamstop_transforms.prune import _ours
from beamstop_transforms.release import _ReleaseFn
from beamstop_transforms.stores.local import LocalStore

DEAD, RUN = "20260101T000000Z-00000000001", "20260102T000000Z-00000000001"
UID, PATH = "1.2.3.4", "P/1.2/1.2.3/1.2.3.4.dcm"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Return OUTPUT, beside which a folder of the same user lies; it must be as it was."""
    victim = tmp_path / "victim"
    files = ("thesis.tex", "ab/abcd", "export-0.parquet", "1.2/1.2.3/1.2.3.4.dcm", f"{DEAD}-0.parquet")
    for name in files:
        (victim / name).parent.mkdir(parents=True, exist_ok=True)
        (victim / name).touch()
    (tmp_path / "out" / ".partial").mkdir(parents=True)
    yield tmp_path / "out"
    assert sorted(str(it.relative_to(victim)) for it in victim.rglob("*") if it.is_file()) == sorted(files)


@pytest.mark.parametrize(
    "content",
    [
        "../../victim",
        "..",
        ".",
        "/",
        "",
        "../../victim/export",
        "victim\n",
        f"{DEAD}/../../../victim",
        "\xff",
    ],
)
def test_what_the_lock_names_is_no_path(target: Path, content: str) -> None:
    (target / ".partial" / "run").write_bytes(content.encode("latin-1"))
    with sole_run(target, str(target), RUN):
        pass
    assert target.exists()


def test_partial_itself_is_no_link(target: Path) -> None:
    (target / ".partial").rmdir()
    (target / ".partial").symlink_to(target.parent / "victim")
    with pytest.raises(ConfigurationError, match="is a link"), sole_run(target, str(target), RUN):
        pass


@pytest.mark.parametrize(
    "link", ["suspects", "new", DEAD, f"{DEAD}/claims", f"{DEAD}/aside", f"{DEAD}/claims/ab"]
)
def test_links_in_partial_are_removed_and_not_followed(target: Path, link: str) -> None:
    (target / ".partial" / link).parent.mkdir(parents=True, exist_ok=True)
    (target / ".partial" / link).symlink_to(target.parent / "victim")
    with sole_run(target, str(target), RUN):
        assert not [it for it in target.rglob("*") if it.is_symlink()]


def test_tables_behind_a_link_are_not_the_runs(target: Path) -> None:
    (target / "more").symlink_to(target.parent / "victim")
    (target / ".partial" / "run").write_text(DEAD)
    with sole_run(target, str(target), RUN):
        pass


@pytest.mark.parametrize("link", [".partial", f".partial/{RUN}", f".partial/{RUN}/claims"])
def test_a_store_clears_nothing_behind_a_link(target: Path, link: str) -> None:
    """One may be made while a run is on."""
    if link == ".partial":
        (target / ".partial").rmdir()
    (target / link).parent.mkdir(parents=True, exist_ok=True)
    (target / link).symlink_to(target.parent / "victim")
    store = LocalStore(str(target))
    for name in (f"{link}/ab", link):
        store.clear(name)
    store.remove(f"{link}/thesis.tex")


BAD_PATHS = [
    "../victim/1.2/1.2.3/1.2.3.4.dcm",
    "..//1.2/1.2.3.4.dcm",
    "P/../../victim/thesis.tex",
    "/etc/1.2/1.2.3/1.dcm",
    ".partial/1/2/3.dcm",
    "P/1.2/1.2.3/..dcm",
    "victim/thesis.tex",
    "",
    "studies/../series/1/instances/2",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_no_run_makes_is_known(path: str) -> None:
    assert not is_clean_path(path)


@pytest.mark.parametrize("patient", ["P", "Łódź 7", "NONE", "a.b"])
def test_a_path_that_a_run_makes_is_known(patient: str) -> None:
    from beamstop.testing import make_instance

    assert is_clean_path(output_path(make_instance(PatientID=patient)))


CLAIM = "{0:.2}/{0}".format(uid_key(UID).hex())


def forge(target: Path, key: bytes, content: bytes) -> Claims:
    """Leave a claim of a dead run."""
    claim = target / ".partial" / DEAD / "claims" / CLAIM
    claim.parent.mkdir(parents=True)
    claim.write_bytes(content)
    return Claims(LocalStore(str(target)), Identity(key), RUN)


def said(path: str, **more: Any) -> dict[str, Any]:
    return {
        "claimants": {"s": ["d", path, EMPTY]},
        "before": {path: None},
        "earlier": [],
        "agreed": None,
        **more,
    }


def sealed(claims: Claims, document: dict[str, Any]) -> bytes:
    """Return a claim with the mac that only who has the key can make."""
    mac = claims._mac(f".partial/{DEAD}/claims/{CLAIM}", document)
    return json.dumps({**document, "mac": mac}).encode()


def test_a_claim_that_the_key_did_not_seal_says_nothing(target: Path, key: bytes) -> None:
    claims = forge(target, key, json.dumps(said(PATH)).encode())
    place = target / ".partial" / DEAD / "claims" / CLAIM
    assert not claims.made_before(UID, PATH, EMPTY)
    place.write_bytes(sealed(claims, said(PATH)))
    assert claims.made_before(UID, PATH, EMPTY)
    other = Claims(LocalStore(str(target)), Identity(bytes(range(1, 33))), RUN)
    assert not other.made_before(UID, PATH, EMPTY)
    for name, value in {
        "claimants": {},
        "before": {PATH: EMPTY},
        "agreed": True,
        "earlier": [[PATH, ""]],
    }.items():
        changed = {**json.loads(sealed(claims, said(PATH))), name: value}
        place.write_bytes(json.dumps(changed).encode())
        assert not claims.made_before(UID, PATH, EMPTY)


def test_a_sealed_claim_says_nothing_under_another_name(target: Path, key: bytes) -> None:
    store = LocalStore(str(target))
    Claims(store, Identity(key), DEAD).join("1.2.3.5", "s", Claimant("d", PATH, EMPTY))
    (name,) = store.names(f".partial/{DEAD}")
    claims = forge(target, key, (target / name).read_bytes())
    assert claims.made_before("1.2.3.5", PATH, EMPTY)
    assert not claims.made_before(UID, PATH, EMPTY)


def test_a_table_that_no_sealed_record_names_says_nothing(target: Path, key: bytes) -> None:
    audit = target.parent / "audit"
    (audit / "instances").mkdir(parents=True)
    table = audit / "instances" / f"{DEAD}-00000-of-00001.parquet"
    rows = [{"source_id": "0" * 64, "output_path": PATH, "output_sha256": EMPTY}]
    pq.write_table(pa.Table.from_pylist(rows, INSTANCES), table)
    assert not Ledger(str(audit), Identity(key)).wrote(PATH, EMPTY)
    seal(audit, DEAD, bytes(range(1, 33)))
    assert not Ledger(str(audit), Identity(key)).wrote(PATH, EMPTY)
    seal(audit, DEAD, key)
    assert Ledger(str(audit), Identity(key)).wrote(PATH, EMPTY)
    assert Ledger(str(audit), Identity(key)).source_of(PATH, EMPTY) == "0" * 64
    rows[0]["output_path"] = "Q/1.2/1.2.3/1.2.3.4.dcm"
    pq.write_table(pa.Table.from_pylist(rows, INSTANCES), table)
    assert not Ledger(str(audit), Identity(key)).wrote("Q/1.2/1.2.3/1.2.3.4.dcm", EMPTY)
    pq.write_table(pa.Table.from_pylist(rows, INSTANCES), table.with_name(f"{DEAD}-00001-of-00001.parquet"))
    assert not Ledger(str(audit), Identity(key)).wrote("Q/1.2/1.2.3/1.2.3.4.dcm", EMPTY)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"run_id": 1, "mac": []}'])
def test_a_malformed_record_says_nothing(tmp_path: Path, key: bytes, content: bytes) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{DEAD}.json").write_bytes(content)
    assert list(sealed_records(str(tmp_path), Identity(key))) == []


def test_a_sealed_record_says_nothing_under_another_name(tmp_path: Path, key: bytes) -> None:
    seal(tmp_path, DEAD, key)
    (tmp_path / "runs" / f"{DEAD}.json").rename(tmp_path / "runs" / f"{RUN}.json")
    assert list(sealed_records(str(tmp_path), Identity(key))) == []


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_forged_claim_leads_to_no_other_folder(target: Path, key: bytes, key_file: Path, path: str) -> None:
    """Not even one that whoever has the key forged."""
    claims = forge(target, key, b"")
    for change in (said(path), {"before": {path: None}}, {"earlier": [[path, EMPTY]]}):
        content = sealed(claims, said(PATH, **change))
        assert not claims._parsed(f".partial/{DEAD}/claims/{CLAIM}", content).claimants
    (target / ".partial" / DEAD / "claims" / CLAIM).write_bytes(sealed(claims, said(path)))
    audit = target.parent / "audit"
    (audit / "instances").mkdir(parents=True)
    rows = pa.Table.from_pylist([{"source_id": "0" * 64}], INSTANCES)
    pq.write_table(rows, audit / "instances" / f"{RUN}-00000-of-00001.parquet")
    seal(audit, RUN, key)
    release = _ReleaseFn(Target(str(target), str(audit), str(key_file), RUN))
    release.setup()
    list(release.process(uid_key(UID).hex()[:2], b""))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"claimants": 1}', b"\xff" * 9, b"[" * 100_000]
)
def test_a_malformed_claim_says_nothing(target: Path, key: bytes, content: bytes) -> None:
    claims = forge(target, key, content)
    assert not claims.made_before(UID, PATH, EMPTY)


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_forged_row_removes_nothing_elsewhere(target: Path, path: str) -> None:
    here = Target(str(target), str(target.parent / "audit"), "key", RUN)
    assert list(_ours(Leftover("s", path, EMPTY, "gone"), here)) == []
    assert len(list(_ours(Leftover("s", PATH, EMPTY, "gone"), here))) == 1


def test_a_clean_file_behind_a_link_is_not_the_runs_to_remove(target: Path) -> None:
    (target / "P").symlink_to(target.parent / "victim")
    LocalStore(str(target)).remove(PATH)


def test_suspects_are_names_and_codes_of_ours(target: Path) -> None:
    source_id = Identity(bytes(32)).digest("source-path", b"x").hex()
    folder = target / ".partial" / "suspects"
    folder.mkdir()
    forged: dict[str, Any] = {
        source_id: "killed_worker",
        source_id[::-1]: "Roe^Jane",
        "Roe^Jane": "killed_worker",
        "f" * 64: "killed_worker\nRoe",
    }
    for name, reason in forged.items():
        (folder / name).write_text(reason)
    assert read_suspects(str(target)) == {source_id: "killed_worker"}
