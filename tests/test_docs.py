"""What the documentation says that can be checked."""

import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
import typer
from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage
from ruamel.yaml import YAML

from beamstop import Rejected, deidentify, load_recipe, load_subjects
from beamstop.audit import CHANGES, CROSSWALK, FINDINGS, INSTANCES, PRUNED_FILES
from beamstop.recipe.load import parse_recipe, recipe_names
from beamstop.recipe.model import Recipe, SubjectPart
from beamstop_pipeline.cli import app, main

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


@pytest.mark.parametrize(
    ("page", "schema"),
    [
        ("columns.md", INSTANCES),
        ("columns.md", CHANGES),
        ("columns.md", CROSSWALK),
        ("checks.md", FINDINGS),
        ("increments.md", PRUNED_FILES),
    ],
    ids=["instances", "changes", "crosswalk", "findings", "pruned"],
)
def test_every_column_is_described(page: str, schema: pa.Schema) -> None:
    lines = [f"| `{field.name}` | {field.type} | {field.metadata[b'comment'].decode()} |" for field in schema]
    table = "\n".join(["| column | type | what it says |", "|---|---|---|", *lines])
    assert table in (DOCS / page).read_text()


def test_recipe_names_every_recipe_that_ships() -> None:
    text = (DOCS / "recipe.md").read_text()
    assert [name for name in recipe_names() if f"| `{name}` |" not in text] == []


def test_reports_name_tests_that_exist() -> None:
    text = (DOCS / "reports.md").read_text()
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text))
    assert named
    assert [(path, test) for path, test in named if f"def {test}(" not in (ROOT / path).read_text()] == []


def test_reports_are_linked_under_their_names_and_counted() -> None:
    text = (DOCS / "reports.md").read_text()
    linked = re.findall(r"\[`([^`]+)#(\d+)`\]\(https://github\.com/([^)]+)/(?:issues|pull)/(\d+)\)", text)
    assert [each for each in linked if each[:2] != each[2:]] == []
    assert len(set(linked)) == len(linked) == text.count("https://github.com/")
    assert f"\n{len(linked)} public bug reports and questions" in text


_OTHER_PROGRAMS = (
    r"^ *(?:docker|gcloud|kubectl|systemctl|[\w/]*\bpip) (?:.*\\\n)*.*"
    r"|`(?:java|python (?:-m|benchmarks)) ?[^`]*`"
)


def test_options_named_exist() -> None:
    options = set(_options(typer.main.get_command(app)))
    texts = [(ROOT / "README.md").read_text(), *(path.read_text() for path in DOCS.glob("*.md"))]
    ours = [re.sub(_OTHER_PROGRAMS, "", text, flags=re.MULTILINE) for text in texts]
    named = {name for text in ours for name in re.findall(r"(?<![\w-])--[a-z][a-z_-]+", text)}
    assert named <= options | set(_beam_options())


def test_costs_of_a_million_images_are_computed_as_said() -> None:
    text = (DOCS / "costs.md").read_text()
    table = re.search(r"\| images \| CPU seconds each \| vCPU-hours \|\n.*\n((?:\|.*\n)+)", text)
    assert table
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]
    assert [round(1_000_000 * float(seconds) / 3600) for _, seconds, _ in rows] == [
        int(row[2]) for row in rows
    ]


def _beam_options() -> Iterator[str]:
    parser = _BeamArgumentParser()
    for kind in PipelineOptions.__subclasses__():
        kind._add_argparse_args(parser)
    for action in parser._actions:
        yield from action.option_strings


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from parameter.opts
    for below in getattr(command, "commands", {}).values():
        yield from _options(below)


@pytest.fixture
def our_hospital(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the classes that recipe.md shows importable under the names it gives them."""
    for name, code in zip(["operators", "bouncers"], _blocks("recipe.md", "python"), strict=True):
        module = ModuleType(f"ourhospital.{name}")
        exec(code, module.__dict__)  # noqa: S102 - our own documentation
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "ourhospital", ModuleType("ourhospital"))


@pytest.mark.usefixtures("our_hospital")
def test_recipes_shown_can_be_read() -> None:
    recipes = [parse_recipe(block) for block in _blocks("recipe.md", "yaml")]
    assert [recipe.name for recipe in recipes] == ["mammography", "recipe", "recipe"]


def test_the_recipe_that_the_walk_through_writes_does_what_it_says() -> None:
    (block,) = _blocks("write-recipe.md", "yaml")
    recipe = parse_recipe(block)
    assert recipe.text_policy.authorized_words == ("left breast", "/[lr]?xcc/")
    sexed = deidentify(_dataset(PatientSex="F", PatientID="1"), recipe, bytes(32)).dataset
    assert sexed.PatientSex == "F"


@pytest.mark.usefixtures("our_hospital")
def test_first_recipe_shows_every_field() -> None:
    shown = set(YAML(typ="safe").load(next(_blocks("recipe.md", "yaml"))))
    assert shown == set(Recipe.model_fields) - {"kskit"}


@pytest.mark.usefixtures("our_hospital")
def test_the_operator_and_the_bouncer_shown_do_what_is_said() -> None:
    *_, text = _blocks("recipe.md", "yaml")
    recipe = parse_recipe(text)
    film, room = _dataset(ConversionType="DF"), _dataset(StationName="WARD7-ROOM3")
    with pytest.raises(Rejected, match="scanned"):
        deidentify(film, recipe, bytes(32))
    assert deidentify(room, recipe, bytes(32)).dataset.StationName == "WARD7"


def test_the_core_shown_does_what_its_rules_say() -> None:
    (code,) = _blocks("idiscore.md", "python")
    example: dict[str, Any] = {}
    exec(code, example)  # noqa: S102 - our own documentation
    before, after = example["dataset"], example["clean"]
    assert (after.PatientSex, after.PatientIdentityRemoved) == ("F", "YES")
    assert "InstitutionName" not in after
    assert re.fullmatch("[A-Z2-7]{16}", after.PatientID)
    assert before.PatientID == "12345678"


def test_the_table_of_subjects_shown_does_what_is_said(
    tmp_path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (table,), (python,) = _blocks("subjects.md", "csv"), _blocks("subjects.md", "python")
    (tmp_path / "subjects.csv").write_text(table)
    monkeypatch.chdir(tmp_path)
    example: dict[str, Any] = {"key": key, "dataset": _dataset(PatientID="R-1001", StudyDate="20240131")}
    exec(python, example)  # noqa: S102 - our own documentation
    assert (example["clean"].PatientID, example["clean"].StudyDate) == ("STUDY-A", "20240101")
    with pytest.raises(Rejected, match="refused"):
        deidentify(_dataset(PatientID="Q-3003"), example["recipe"], key, subjects=example["subjects"])
    (block,) = _blocks("subjects.md", "yaml")
    assert YAML(typ="safe").load(block)["subjects"].keys() == SubjectPart.model_fields.keys()
    parse_recipe(block)


def test_the_filters_of_a_cohort_shown_turn_away_what_is_said(tmp_path: Path, key: bytes) -> None:
    (block,) = _blocks("cohort.md", "yaml")
    (tmp_path / "ours.yaml").write_text(block)
    (tmp_path / "wanted.txt").write_text("ACC-1\n")
    recipe = load_recipe(tmp_path / "ours.yaml")
    lists = load_subjects(None, recipe, key)
    fits = {"StudyDate": "20210101", "PatientBirthDate": "20041231", "AccessionNumber": "ACC-1"}
    assert deidentify(_dataset(**fits), recipe, key, subjects=lists).methods
    for other, reason in [
        ({"StudyDate": "20191231"}, "period"),
        ({"PatientBirthDate": "20050101"}, "adults"),
        ({"SeriesDescription": "3-Plane Localizer"}, "localizers"),
        ({"AccessionNumber": "ACC-2"}, "consent"),
    ]:
        with pytest.raises(Rejected, match=f"criterion_{reason}"):
            deidentify(_dataset(**{**fits, **other}), recipe, key, subjects=lists)


def _dataset(**attributes: str) -> Dataset:
    dataset = Dataset()
    values = {"SOPClassUID": CTImageStorage, "SOPInstanceUID": "1.2.3.4.5.6.7", **attributes}
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def _own_pipeline(number: int) -> dict[str, Any]:
    """Return what a code block of docs/own-pipeline.md defines; it has 20 lines at most, imports aside."""
    code = list(_blocks("own-pipeline.md", "python"))[number]
    assert len(code.partition("def ")[2].splitlines()) <= 20
    example: dict[str, Any] = {}
    exec(code, example)  # noqa: S102 - our own documentation
    return example


def test_a_pipeline_of_ones_own_gets_the_bytes_of_clean_files(archive: Path, key_file: Path) -> None:
    with TestPipeline(runner="FnApiRunner") as pipeline:
        clean = _own_pipeline(0)["clean_files"](pipeline, str(archive), str(key_file))
        uids = clean | beam.MapTuple(lambda uid, data: dcmread(BytesIO(data)).SOPInstanceUID == uid)
        assert_that(uids, equal_to([True] * 3))


def test_a_pipeline_of_ones_own_writes_an_archive_with_an_audit_that_verifies(
    archive: Path, key_file: Path, tmp_path: Path
) -> None:
    (archive / "notes.txt").write_text("no DICOM")
    (archive / "again.dcm").write_bytes((archive / "1.dcm").read_bytes())
    output, audit = str(tmp_path / "clean"), str(tmp_path / "audit")
    with TestPipeline(runner="FnApiRunner") as pipeline:
        example = _own_pipeline(1)["archive_to_archive"]
        counts = example(pipeline, str(archive), output, audit, str(key_file))
        told = counts | beam.Map(lambda it: (it["sources"], it["written"], it["reasons"]))
        expected = (5, 3, {"rejected/duplicate": 1, "rejected/not_dicom": 1})
        assert_that(told, equal_to([expected]))
    assert len(list((tmp_path / "clean").rglob("*.dcm"))) == 3
    places = ["--input", str(archive), "--output", output, "--audit", audit]
    assert main(["verify", *places, "--recipe", "basic", "--key", str(key_file)]) == 0
    assert main(["report", audit, "-o", str(tmp_path / "report.html")]) == 0


def _blocks(document: str, language: str) -> Iterator[str]:
    return iter(
        re.findall(rf"^```{language}\n(.*?)^```", (DOCS / document).read_text(), re.DOTALL | re.MULTILINE)
    )
