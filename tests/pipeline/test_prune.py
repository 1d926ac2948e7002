"""Clean files that no source stands for any more: said by every increment, removed when asked."""

import os
from pathlib import Path
from typing import Any

import pytest

from beamstop.identity import Identity
from beamstop_pipeline.cli import main

AGAIN = ("--incremental",)
PRUNE = (*AGAIN, "--prune")


def since(ran: Any) -> tuple[int, int, dict[str, int], int]:
    """Return what a run says: gone, changed, left, pruned."""
    told = ran.record["since"]
    return told["gone"], told["changed"], told["left"], told["pruned"]


def look(archive: Path, ran: Any, key_file: Path) -> list[str]:
    """Return how `beamstop verify` is asked about all of a run."""
    places = ["--input", str(archive), "--output", str(ran.output), "--key", str(key_file)]
    return [*places, "--recipe", "basic", "--workers", "1", "--quiet"]


def test_a_clean_file_goes_with_its_source_when_asked(run: Any, archive: Path, key_file: Path) -> None:
    first = run(archive, more=AGAIN)
    before = first.tree
    assert since(first) == (0, 0, {}, 0)
    source = archive / "sub" / "3.dcm"
    data, times = source.read_bytes(), source.stat().st_mtime_ns
    source.unlink()
    os.utime(archive / "2.dcm", ns=(1, 1))
    kept = run(archive, more=AGAIN)
    assert (kept.code, since(kept)) == (0, (1, 1, {"gone": 1}, 0))
    assert kept.tree == before
    pruned = run(archive, more=(*PRUNE, "--direct_runner_bundle_repeat=1"))
    assert (pruned.code, since(pruned)) == (0, (1, 0, {"gone": 1}, 1))
    (row,) = pruned.table("pruned")
    assert (row["why"], before[row["output_path"]]) == ("gone", row["output_sha256"])
    assert pruned.tree == {path: sha for path, sha in before.items() if path != row["output_path"]}
    assert len(list(pruned.output.iterdir())) == 1  # the patient's folder went along
    assert main(["verify", "--audit", str(pruned.audit), *look(archive, pruned, key_file)]) == 0
    assert since(run(archive, more=PRUNE)) == (0, 0, {}, 0)
    source.write_bytes(data)
    os.utime(source, ns=(times, times))
    assert run(archive, more=PRUNE).tree == before


def test_what_a_duplicate_lost_to_is_written_from_the_duplicate_when_that_is_gone(
    run: Any, archive: Path, key: bytes
) -> None:
    (archive / "same.dcm").write_bytes((archive / "1.dcm").read_bytes())
    first = run(archive, more=AGAIN)
    before = first.tree
    written = {row["source_id"] for row in first.table("instances") if row["outcome"] == "written"}
    digest = Identity(key).digest
    winners = [archive / name for name in ("1.dcm", "same.dcm")]
    (winner,) = [it for it in winners if digest("source-path", os.fsencode(it)).hex() in written]
    winner.unlink()
    assert since(run(archive, more=PRUNE)) == (1, 0, {"gone": 1}, 1)
    assert run(archive, more=PRUNE).tree == before


def test_a_file_that_was_changed_is_not_pruned(run: Any, archive: Path) -> None:
    first = run(archive, more=AGAIN)
    for path in first.output.rglob("*.dcm"):
        path.write_bytes(b"theirs")
    for path in (archive / "1.dcm", archive / "2.dcm"):
        path.unlink()
    pruned = run(archive, more=PRUNE)
    assert since(pruned) == (2, 0, {"gone": 2}, 0)
    assert len(pruned.tree) == 3


def test_a_file_whose_source_is_rejected_by_now_goes(run: Any, archive: Path, tmp_path: Path) -> None:
    assert len(run(archive, more=AGAIN).tree) == 3
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("profile: basic\nbouncers:\n  - reject: \"Modality.equals('CT')\"\n")
    pruned = run(archive, recipe=str(recipe), more=PRUNE)
    assert since(pruned) == (0, 0, {"rejected": 3}, 3)
    assert pruned.tree == {}


def test_the_summary_tells_what_is_left(
    tmp_path: Path, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit"), "--key", str(key_file)]
    command = ["run", "--input", str(archive), *places, "--recipe", "basic", "--workers", "1", *AGAIN]
    assert main([*command, "--quiet"]) == 0
    (archive / "1.dcm").unlink()
    assert main(command) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "sources since 1 gone, 0 changed" in told
    assert "clean files left 1 without a source (gone 1): it stays; --prune removes it" in told
    assert main([*command, "--json"]) == 0
    assert '"gone": 1, "changed": 0, "left": 1, "pruned": 0' in capsys.readouterr().out
