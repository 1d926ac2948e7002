"""Under `python -OO`, which drops asserts and docstrings, what protects still does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from beamstop import deidentify_bytes, load_recipe
from beamstop.dicom.files import encode
from beamstop.testing import load_no_text_detector, make_instance

SOURCES = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import sys
from beamstop import deidentify_bytes, load_recipe
from beamstop.errors import Refusal
from beamstop.testing import load_no_text_detector
assert False  # to see that asserts are gone
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        data = file.read()
    try:
        clean = deidentify_bytes(data, load_recipe("basic"), bytes(range(32)), load_no_text_detector)
        print(clean.hex())
    except Refusal as refusal:
        print(type(refusal).__name__, refusal)
for wrong in ({"key": b""}, {"key": bytes(32), "recipe": "profile: none\\nattributes: {PatientName: Q}"}):
    try:
        with open(sys.argv[1], "rb") as file:
            data = file.read()
        from beamstop import parse_recipe
        recipe = parse_recipe(wrong.get("recipe", "profile: basic"))
        deidentify_bytes(data, recipe, wrong["key"], load_no_text_detector)
    except Exception as error:
        print(type(error).__name__)
"""


def test_no_source_asserts_anything() -> None:
    for folder in ("transforms", "pipeline"):
        for path in (SOURCES / folder).rglob("*.py"):
            tree = ast.parse(path.read_bytes())
            assert not [it.lineno for it in ast.walk(tree) if isinstance(it, ast.Assert)], path


def test_the_same_is_written_and_refused(tmp_path: Path, key: bytes) -> None:
    clean = make_instance(PatientName="Grabowski^Jan", PatientID="471902")
    leak = make_instance(PatientName="Grabowski^Jan", SourceDescription="of Grabowski")
    document = make_instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1")
    files = []
    for number, dataset in enumerate((clean, leak, document)):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(encode(dataset).data)
    files.append(tmp_path / "cut.dcm")
    files[-1].write_bytes(files[0].read_bytes()[:-7])
    command = [sys.executable, "-OO", "-c", PROGRAM, *map(str, files)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = deidentify_bytes(files[0].read_bytes(), load_recipe("basic"), key, load_no_text_detector)
    assert ran.stdout.split("\n")[0] == expected.hex()
    assert ran.stdout.split("\n")[1:] == [
        "Quarantined leak: SourceDescription",
        "Rejected encapsulated_document",
        "Failed truncated",
        "KeyReferenceError",
        "RecipeError",
        "",
    ]


@pytest.mark.workers
def test_a_run_of_the_command_line_is_the_same(tmp_path: Path, archive: Path, key_file: Path) -> None:
    def run(flag: str) -> tuple[subprocess.CompletedProcess[str], Path]:
        out = tmp_path / f"out{flag}"
        places = ["--output", str(out), "--audit", str(tmp_path / f"audit{flag}")]
        command = [sys.executable, flag, "-m", "beamstop_pipeline", "run", "--input", str(archive), *places]
        command += ["--key", str(key_file), "--recipe", "basic", "--workers", "2"]
        return subprocess.run(command, capture_output=True, text=True, check=False), out

    trees = []
    for flag in ("-B", "-O"):
        ran, out = run(flag)
        assert ran.returncode == 0, ran.stderr
        trees.append({str(it.relative_to(out)): it.read_bytes() for it in out.rglob("*.dcm")})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 3
    ran, out = run("-OO")  # Apache Beam cannot be imported
    assert (ran.returncode, out.exists()) == (2, False)
    assert "-O at most" in ran.stderr
