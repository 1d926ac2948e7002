"""Every command and snippet of README and tutorial, run from top to bottom."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(document: str) -> Iterator[tuple[str, str]]:
    """Yield language and text of every fenced block."""
    for match in _BLOCK.finditer((ROOT / document).read_text()):
        yield match[1], match[2]


def run(language: str, text: str, folder: Path) -> int:
    """Run a block in a folder, with the commands of this environment first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-c", text] if language == "python" else ["bash", "-ec", text]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, check=False
    )
    return done.returncode


def targets(text: str) -> list[str]:
    """Return the goals of a block of nothing but `make`."""
    lines = [line.partition("#")[0].split() for line in text.splitlines() if line.strip()]
    return [line[1] for line in lines] if all(line[:1] == ["make"] for line in lines) else []


def test_every_block_says_what_it_is_in() -> None:
    known = {"sh", "python", "text"}
    for document in ("README.md", "docs/tutorial.md"):
        assert [text for language, text in blocks(document) if language not in known] == []


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_every_make_goal_exists(document: str) -> None:
    goals = [goal for language, text in blocks(document) if language == "sh" for goal in targets(text)]
    assert goals
    makefile = (ROOT / "Makefile").read_text()
    assert [goal for goal in goals if not re.search(rf"^{goal}:", makefile, re.MULTILINE)] == []


@pytest.mark.ocr
def test_readme_can_be_followed(archive: Path, tmp_path: Path) -> None:
    shutil.copy(archive / "1.dcm", tmp_path / "in.dcm")
    steps = [(kind, text) for kind, text in blocks("README.md") if kind != "text" and not targets(text)]
    assert [run(kind, text, tmp_path) for kind, text in steps] == [0] * len(steps)
    assert len(list((tmp_path / "clean").rglob("*.dcm"))) == 3


@pytest.mark.ocr
@pytest.mark.workers
def test_tutorial_can_be_followed(tmp_path: Path) -> None:
    steps = [(kind, text) for kind, text in blocks("docs/tutorial.md") if not targets(text)]
    codes = {text: run(kind, text, tmp_path) for kind, text in steps}
    # As the tutorial says: a file that is cut off, and one with spoilt pixels; the second night knows them.
    first, _, night, _ = (text for _, text in steps if text.startswith("beamstop run"))
    assert {text: code for text, code in codes.items() if code} == {first: 1, night: 1}
    assert sorted(path.name for path in (tmp_path / "night" / "clean").iterdir()) == ["STUDY-01"]
    crosswalk = pq.read_table(tmp_path / "night" / "crosswalk").to_pylist()
    assert {row["patient_id"] for row in crosswalk} == {"STUDY-01"}
