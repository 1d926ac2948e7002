"""What a recipe does, told without a run: recipe show, check, explain, schema; explain FILE."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from tests.core.pixel_fixtures import ground

from beamstop.recipe.load import load_recipe, parse_recipe, recipe_names, recipe_schema
from beamstop.rules.profile import OPTIONS
from beamstop.testing import as_bytes, make_image, make_instance
from beamstop.text.boxes import TextBox
from beamstop_pipeline.cli import main
from beamstop_pipeline.explain import describe_instance, explain_instance


@pytest.fixture
def told(capsys):
    """Return a function that gives exit code, lines and error of a command."""

    def _told(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.strip()

    return _told


@pytest.fixture
def saved(tmp_path, make_dataset):
    """Return a function that saves a dataset and gives its path."""

    def _saved(**attributes):
        dataset = make_dataset(**attributes)
        path = tmp_path / "one.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return path

    return _saved


def cells(lines):
    """Return path → (action, what happens, rule) of the elements that were told."""
    told = {}
    for line in lines:
        found = [cell.strip() for cell in line.split("  ") if cell.strip()]
        if len(found) == len(("path", "tag", "vr", "action", "happens", "rule")):
            told[found[0]] = tuple(found[3:])
    return told


@pytest.mark.parametrize("name", recipe_names())
def test_show_tells_every_rule_and_the_codes_of_the_options(name, told):
    code, lines, err = told("recipe", "show", name)
    recipe = load_recipe(name)
    rules = recipe.rules.flatten()
    place = lines.index(
        next(line for line in lines if line.startswith(f"{len(rules)} rules, from the rule sets"))
    )
    conditional = len(recipe.rules.conditional)
    more = conditional + 2 if conditional else 0  # behind an empty line and one that says how many
    assert (code, err, len(lines) - place - 1) == (0, "", len(rules) + more)
    shown = {line.split()[1]: line.split()[0] for line in lines if line.startswith("  113")}
    assert set(shown) - {"basic"} == set(recipe.options) <= set(OPTIONS)
    assert shown.get("clean-pixel-data", "113101") == "113101"


def test_show_tells_bouncers_and_insertions(tmp_path, told):
    path = tmp_path / "r.yaml"
    path.write_text(
        "bouncers: [key-object, {reject: \"Modality.equals('US')\", because: speckle}]\n"
        "insert: {ClinicalTrialProtocolID: T-1}\n"
    )
    _, lines, _ = told("recipe", "show", path)
    assert "  key-object" in lines
    assert "  reject Modality.equals('US'), because speckle" in lines
    assert "  ClinicalTrialProtocolID                  T-1" in lines


def test_check_says_valid_or_one_clear_error(tmp_path, told):
    assert told("recipe", "check", "default")[0] == 0
    path = tmp_path / "bad.yaml"
    path.write_text("options:\n  - clean-pixel-dta\n")
    code, lines, err = told("recipe", "check", path)
    assert (code, lines) == (2, [])
    assert err.startswith("beamstop: bad.yaml, line 2: options.0: ")


def test_explain_names_the_rule_and_what_it_overrules(told):
    code, lines, _ = told("recipe", "explain", "research", "PatientAge", "(0010,0010)")
    assert code == 0
    assert lines == [
        "PatientAge (0010,1010) AS",
        "  K: is kept",
        "  rule retain-patient-characteristics:00101010",
        "  overrules X of basic:00101010, rule 98 of 657 in basic",
        "PatientName (0010,0010) PN",
        "  Z: is emptied",
        "  rule basic:00100010",
    ]


CONDITIONAL = """
attributes:
  StationName: [{action: K, when: "Modality.equals('CT')"}, D]
  "0019,[ACME 1.1]10": K
  "0019,[ACME 1.1]10.StationName": X
"""


def test_explain_names_rules_for_some_instances_and_paths_through_private_blocks(tmp_path, told):
    path = tmp_path / "ours.yaml"
    path.write_text(CONDITIONAL)
    block = "0019,[ACME 1.1]10"
    code, lines, _ = told("recipe", "explain", path, "StationName", block, f"{block}.StationName")
    assert code == 0
    assert lines[:4] == [
        "StationName (0008,1010) SH",
        "  D: gets a dummy value",
        "  rule ours:StationName",
        "  when Modality.equals('CT'): K of ours:StationName, rule 2 of 4 in ours",
    ]
    assert f"{block} (0019,1010) UN" in lines
    inside = lines.index(f"{block}.StationName (0008,1010) SH")
    assert lines[inside + 1] == "  X: is removed"
    assert f"  rule ours:{block}.StationName" in lines[inside:]
    shown = told("recipe", "show", path)[1]
    assert "1 more, which come first in instances that fit their criterion" in shown
    assert any("when Modality.equals('CT')" in line for line in shown)


def test_explain_of_a_file_says_what_happens_to_this_one(tmp_path, told):
    recipe = tmp_path / "ours.yaml"
    recipe.write_text(CONDITIONAL)
    for modality, action in (("CT", "K"), ("MR", "D")):
        file = tmp_path / f"{modality}.dcm"
        file.write_bytes(as_bytes(make_instance(Modality=modality, StationName="ROOM7")))
        lines = told("explain", file, "--recipe", recipe)[1]
        (line,) = [line for line in lines if line.strip().startswith("StationName")]
        assert f" {action} " in line


def test_explain_leaves_a_compound_or_resolves_it_in_an_iod(told):
    assert told("recipe", "explain", "basic", "StationName")[1][1].startswith("  X/Z/D: what the IOD allows")
    resolved = told("recipe", "explain", "basic", "StationName", "--sop-class", "CTImageStorage")[1]
    assert resolved[1] == "  X: is removed"
    assert told("recipe", "explain", "basic", "StationName", "--sop-class", "NoStorage")[0] == 2


def test_explain_knows_paths_private_and_repeating_elements(told):
    inside, safe = "ReferencedPatientSequence.ReferencedSOPInstanceUID", "0019,[GEMS_ACQU_01]23"
    _, lines, _ = told("recipe", "explain", "research", inside, safe, "60xx,3000", "Rows")
    assert lines[:2] == [
        f"{inside} (0008,1155) UI",
        "  is removed with ReferencedPatientSequence, which is removed (basic:00081120)",
    ]
    assert lines[lines.index(f"{safe} (0019,1023) UN") + 1] == "  K: is kept"
    assert "  rule clean-graphics:60xx3000" in lines
    assert lines[-1] == "  rule unlisted"


def test_an_attribute_that_does_not_exist_is_refused(told):
    code, lines, err = told("recipe", "explain", "basic", "PatientNmae")
    assert (code, lines) == (2, [])
    assert "no such keyword" in err


def test_schema_is_the_json_schema(told):
    code, lines, _ = told("recipe", "schema")
    assert code == 0
    assert json.loads("\n".join(lines)) == recipe_schema()


def test_every_element_is_told_with_rule_and_action_and_no_value(saved, told):
    step = Dataset()
    step.CodeMeaning = "Chest"
    path = saved(
        InstitutionName="Clinic", OtherPatientIDsSequence=[step], AnatomicRegionSequence=[step], Rows=4
    )
    code, lines, _ = told("explain", path, "--recipe", "basic")
    elements = cells(lines)
    assert code == 0
    assert lines[-1] == "would be written"
    assert "methods 113100" in lines
    assert elements["InstitutionName"] == ("X", "is removed", "basic:00080080")
    assert elements["PatientName"] == ("Z", "is emptied", "basic:00100010")
    assert elements["PatientID"] == ("Z", "gets a pseudonym", "identity:PatientID")
    assert elements["SOPInstanceUID"] == ("U", "gets a new UID", "basic:00080018")
    assert elements["Rows"] == ("K", "is kept", "unlisted")
    assert elements["OtherPatientIDsSequence"] == ("X", "is removed", "basic:00101002")
    assert elements["AnatomicRegionSequence[0].CodeMeaning"] == ("K", "is kept", "unlisted")
    assert "OtherPatientIDsSequence[0].CodeMeaning" not in elements
    assert not any(value in "\n".join(lines) for value in ("Roe", "R-1001", "Clinic", "1.2.3.4", "19610317"))


def test_nothing_is_written(saved, told, tmp_path):
    path = saved()
    before = path.read_bytes()
    told("explain", path, "--recipe", "basic")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_values_are_shown_on_a_terminal_only(saved, told, monkeypatch):
    path = saved(StudyDescription="\x1b[31mChest")
    code, lines, err = told("explain", path, "--recipe", "basic", "--show-values")
    assert (code, lines) == (2, [])
    assert err == "beamstop: --show-values: values of a patient are printed on a terminal only"

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["explain", str(path), "--recipe", "basic", "--show-values"]) == 0
    assert "Roe^Jane" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


def test_exit_codes_say_rejected_quarantined_or_no_file(tmp_path, saved, told):
    text = tmp_path / "notes.dcm"
    text.write_text("not DICOM " * 50)
    assert told("explain", text, "--recipe", "basic")[:2] == (0, ["would be rejected: not_dicom"])
    leak = saved(Rows=4, PatientName="Roe^Wubbleford", Modality="WUBBLEFORD")
    code, lines, _ = told("explain", leak, "--recipe", "basic")
    assert code == 1
    assert "would be quarantined: leak: Modality" in lines
    assert "Name the element in attributes of the recipe (X removes it), and run again." in lines
    code, lines, err = told("explain", tmp_path / "none.dcm", "--recipe", "basic")
    assert (code, lines) == (2, [])
    assert err == "beamstop: FILE: no such file or directory; name one DICOM file"
    assert told("explain", leak, "--recipe", "none")[0] == 2


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 1 << 40)]
)
def test_explain_reads_no_file_without_an_end(tmp_path, capsys, make):
    make(tmp_path / "x.dcm")
    assert main(["explain", str(tmp_path / "x.dcm"), "--recipe", "basic"]) == 2
    assert "not a regular file, or larger than 4 GiB" in capsys.readouterr().err


def test_every_file_of_pydicom_can_be_told():
    """Content items, private elements, unknown VRs: a line for each element of what is not removed."""
    for name in ("test-SR.dcm", "CT_small.dcm", "waveform_ecg.dcm", "badVR.dcm"):
        assert main(["explain", get_testdata_file(name), "--recipe", "basic"]) == 0


def test_looking_into_a_recipe_imports_no_beam_and_no_networks():
    code = (
        "import sys; from beamstop_pipeline.cli import main;"
        "assert main(['recipe', 'check', 'basic']) == 0;"
        "assert not {'apache_beam', 'torch', 'easyocr'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


TEXT_RECIPE = """
options: [clean-pixel-data]
text:
  markers: [R]
  regions:
    - {when: "Modality.equals('CT')", areas: [[0, 0, 20, 8]]}
"""


def test_every_leak_is_told_with_what_removes_it(saved, told, tmp_path):
    item = Dataset()
    item.CodeValue = "WUBBLEFORD"
    path = saved(PatientName="Roe^Wubbleford", Modality="WUBBLEFORD", AnatomicRegionSequence=[item])
    code, lines, _ = told("explain", path, "--recipe", "basic")
    at = lines.index("an identifier of the instance is still in")
    assert (code, lines[at + 1 : at + 3]) == (1, ["  Modality", "  AnatomicRegionSequence[0].CodeValue"])
    assert lines[-3:] == ["  attributes:", "    AnatomicRegionSequence.CodeValue: X", "    Modality: X"]
    (tmp_path / "mine.yaml").write_text("profile: basic\n" + "\n".join(line[2:] for line in lines[-3:]))
    assert told("explain", path, "--recipe", tmp_path / "mine.yaml")[0] == 0


class RestlessDetector:
    """Sees a box further down at every look, so that there is always something new."""

    fingerprint = "restless"

    def __init__(self):
        self.looks = 0

    def find(self, picture):
        self.looks += 1
        return [TextBox(4, 12 * self.looks - 8, 20, 8)]

    def read(self, picture, boxes):
        return boxes


def test_boxes_are_told_where_text_remains_with_what_a_recipe_says_of_them(told, tmp_path):
    recipe = parse_recipe("options: [clean-pixel-data]")
    found = explain_instance(pixels(), recipe, bytes(32), lambda *_: RestlessDetector())
    assert (found.outcome, found.why.partition(":")[0]) == ("quarantined", "text_remains")
    assert [(change.action, change.why) for change in found.boxes][-1] == ("", "text_remains")
    assert [change.action for change in found.boxes][:-1] == ["X", "X"]
    lines = list(describe_instance(found, values=False))
    seen = found.boxes[-1]
    box = f"[[{seen.x}, {seen.y}, {seen.width}, {seen.height}]]"
    assert "still seen" in next(line for line in lines if "text_remains" in line)
    kind = "Modality.equals('CT') and Rows.equals('64') and Columns.equals('64')"
    assert lines[-6:] == [
        "  regions:   # in text, if the box shows text",
        f'    - when: "{kind}"',
        f"      areas: {box}",
        "  leave:   # in text, if the box shows no text",
        f'    - when: "{kind}"',
        f"      boxes: {box}",
    ]
    text = "\n".join(["options: [clean-pixel-data]", "text:", *lines[-6:]])
    policy = parse_recipe(text).text_policy
    assert (len(policy.regions), len(policy.leave)) == (1, 1)


class MarkerDetector:
    """Finds one box, which reads R."""

    fingerprint = "marker"

    def find(self, picture):
        return [TextBox(40, 40, 10, 10)]

    def read(self, picture, boxes):
        return [replace(box, text="R", confidence=0.9) for box in boxes]


def pixels(**attributes):
    header = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"} | attributes
    dataset = make_image(ground(64, 64).astype("u1"), **header)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def test_show_tells_markers_and_regions(told, tmp_path):
    path = tmp_path / "text.yaml"
    path.write_text(TEXT_RECIPE)
    _, lines, _ = told("recipe", "show", path)
    shown = [" ".join(line.split()) for line in lines]
    assert "text hide all, languages en" in shown
    assert "markers R" in shown
    assert "region x 0 y 0 width 20 height 8: where Modality.equals('CT')" in shown


@pytest.mark.parametrize("recipe", ["research", "basic"])
def test_explain_says_that_a_date_is_shifted_where_it_is(recipe):
    found = explain_instance(pixels(StudyDate="20200101"), load_recipe(recipe), bytes(32))
    (line,) = (line for line in found.elements if line.path == "StudyDate")
    assert line.happens == {"research": "is shifted", "basic": "is emptied"}[recipe]


def test_explain_tells_regions_kept_boxes_and_pixels_that_nobody_looks_at():
    recipe = parse_recipe(TEXT_RECIPE)
    found = explain_instance(pixels(), recipe, bytes(32), lambda languages: MarkerDetector())
    lines = [" ".join(line.split()) for line in describe_instance(found, values=False)]
    assert "(7FE0,0010) frame 0 x 0 y 0 width 20 height 8 hidden region" in lines
    assert "(7FE0,0010) frame 0 x 40 y 40 width 10 height 10 kept marker" in lines
    dose = pixels(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2", Modality="RTDOSE")
    found = explain_instance(dose, recipe, bytes(32), lambda languages: MarkerDetector())
    assert found.boxes == []
    assert found.unexamined == "RT Dose: a pixel is a computed dose"
