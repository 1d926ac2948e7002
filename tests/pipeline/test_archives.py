"""The job on archives: those that an input names, and those that lie in a folder."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from beamstop_pipeline.cli import main

from .conftest import Run


def pack(folder: Path, kind: str) -> Path:
    """Put a folder's files into a zip or tar beside it."""
    path = folder.parent / f"{folder.name}.{kind}"
    files = sorted(it for it in folder.rglob("*") if it.is_file())
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for it in files:
                archive.write(it, it.relative_to(folder))
    else:
        with tarfile.open(path, "w") as archive:
            for it in files:
                archive.add(it, it.relative_to(folder))
    return path


@pytest.mark.workers
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_gives_what_its_folder_gives(run: Run, archive: Path, kind: str) -> None:
    (archive / "notes.txt").write_text("none")
    plain = run(archive, to="1")
    packed = run(pack(archive, kind), to="2", workers=2)
    assert plain.outcomes == packed.outcomes == Counter({("written", None): 3, ("rejected", "not_dicom"): 1})
    assert packed.tree == plain.tree


def test_members_are_named_by_crosswalk_sources_and_explain(
    run: Run, archive: Path, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / "broken.dcm").write_bytes((archive / "1.dcm").read_bytes()[:-3])
    path = pack(archive, "zip")
    crosswalk = tmp_path / "crosswalk"
    ran = run(path, more=("--crosswalk", str(crosswalk)))
    assert ran.code == 1
    rows = [row for file in crosswalk.glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    named = [f"zip:{path}!/{name}" for name in ("1.dcm", "2.dcm", "sub/3.dcm")]
    assert sorted(row["source_path"] for row in rows) == named
    capsys.readouterr()
    assert main(["sources", str(ran.audit), "--input", str(path), "--key", str(key_file)]) == 0
    assert capsys.readouterr().out.rpartition("\t")[2] == f"zip:{path}!/broken.dcm\n"
    assert main(["explain", named[2], "--recipe", "basic"]) == 0
    assert main(["explain", f"zip:{path}!/none.dcm", "--recipe", "basic"]) == 2
    assert "no such member" in capsys.readouterr().err


def test_of_an_archive_that_was_made_anew_new_members_alone_are_done(run: Run, archive: Path) -> None:
    pack(archive, "zip")
    assert run(archive.with_suffix(".zip"), more=("--incremental",)).record["counts"]["written"] == 3
    (archive / "sub" / "note.txt").write_text("new")
    again = run(pack(archive, "zip"), more=("--incremental",)).record["counts"]
    assert (again["sources"], again["skipped"], again["rejected"]) == (4, 3, 1)


def test_an_archive_in_a_folder_is_one_row_with_the_remedy(run: Run, archive: Path) -> None:
    (archive / "sub" / "3.dcm").unlink()
    within = pack(archive / "sub", "zip").read_bytes() + b""
    (archive / "sub.zip").unlink()
    data = pack(archive, "zip").read_bytes()
    (archive / "a.dcm").write_bytes(data)
    (archive / "b.tar").write_bytes(pack(archive, "tar").read_bytes())
    (archive / "c.tar.gz").write_bytes(gzip.compress(data))
    (archive / "d.tbz").write_bytes(bz2.compress(data))
    (archive / "e.xz").write_bytes(lzma.compress(data))
    (archive / "f.zip").write_bytes(within)
    ran = run(archive)
    assert ran.outcomes == Counter({("written", None): 2, ("rejected", "archive"): 6})
    details = sorted(row["detail"] for row in ran.table("instances") if row["reason"] == "archive")
    assert details == ["bzip2", "gzip", "tar", "xz", "zip", "zip"]


def test_an_archive_in_an_archive_is_not_opened(run: Run, archive: Path) -> None:
    (archive / "inner.zip").write_bytes(pack(archive, "zip").read_bytes())
    ran = run(pack(archive, "tar"))
    assert ran.outcomes == Counter({("written", None): 3, ("rejected", "archive"): 1})


def test_an_archive_in_a_folder_that_is_larger_than_a_source_may_be_is_one_too(
    run: Run, archive: Path
) -> None:
    (archive / "large.zip").write_bytes(pack(archive, "zip").read_bytes())
    (archive / "large.bin").write_bytes(bytes(2000))
    ran = run(archive, more=("--max-bytes", "1500"))
    assert ran.outcomes[("rejected", "archive")] == 1
    assert ran.outcomes[("failed", "too_large")] >= 1


def test_a_broken_archive_fails(run: Run, archive: Path) -> None:
    path = pack(archive, "zip")
    path.write_bytes(path.read_bytes()[:-30])
    ran = run(path)
    assert (ran.code, ran.outcomes) == (1, Counter({("failed", "archive_unreadable"): 1}))
