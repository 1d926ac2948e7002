"""A forger with the right to write to OUTPUT or AUDIT, but without the key: nothing outside them is lost."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamstop.audit import INSTANCES
from beamstop.identity import Identity
from beamstop_pipeline.job import ConfigurationError
from beamstop_pipeline.running.suspects import read_suspects
from beamstop_pipeline.running.targets import sole_run
from beamstop_transforms.ledger.claims import Claims, uid_key
from beamstop_transforms.ledger.history import Leftover
from beamstop_transforms.ledger.target import Target
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


def forged_claim(path: str) -> bytes:
    return json.dumps(
        {"claimants": {"s": ["d", path, EMPTY]}, "before": {path: None}, "earlier": []}
    ).encode()


def forge(target: Path, content: bytes) -> Claims:
    """Leave a claim of a dead run."""
    digest = uid_key(UID).hex()
    claim = target / ".partial" / DEAD / "claims" / digest[:2] / digest
    claim.parent.mkdir(parents=True)
    claim.write_bytes(content)
    return Claims(LocalStore(str(target)), RUN)


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_forged_claim_leads_to_no_other_folder(target: Path, path: str) -> None:
    claims = forge(target, forged_claim(path))
    for field in ("claimants", "before", "earlier"):
        document = json.loads(forged_claim(PATH))
        document[field] = {
            "claimants": {"s": ["d", path, EMPTY]},
            "before": {path: None},
            "earlier": [[path, EMPTY]],
        }[field]
        assert not claims._parsed(json.dumps(document).encode()).claimants
    audit = target.parent / "audit"
    (audit / "instances").mkdir(parents=True)
    rows = pa.Table.from_pylist([{"source_id": "0" * 64}], INSTANCES)
    pq.write_table(rows, audit / "instances" / f"{RUN}-0.parquet")
    release = _ReleaseFn(Target(str(target), str(audit), RUN))
    release.setup()
    list(release.process(uid_key(UID).hex()[:2], b""))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"claimants": 1}', b"\xff" * 9, b"[" * 100_000]
)
def test_a_malformed_claim_says_nothing(target: Path, content: bytes) -> None:
    claims = forge(target, content)
    assert not claims.made_before(UID, PATH, EMPTY)


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_forged_row_removes_nothing_elsewhere(target: Path, path: str) -> None:
    here = Target(str(target), str(target.parent / "audit"), RUN)
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
