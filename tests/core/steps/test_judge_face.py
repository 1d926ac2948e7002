"""JudgeFace on one instance: who may show a face, what is done, and what is claimed."""

import pytest
from pydicom.dataset import Dataset

from beamstop import deidentify, deidentify_bytes, load_recipe, parse_recipe
from beamstop.errors import Quarantined, RecipeError, Rejected
from beamstop.faces.series import FaceFinding, Verdict
from beamstop.steps.bounce import bounce
from beamstop.steps.insert import insert
from beamstop.steps.judge_face import FaceNote, judge_face
from beamstop.testing import as_bytes, load_no_text_detector

OPTION = "options: [clean-recognizable-visual-features]"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
NONE, LEFT, REFUSE = (FaceFinding(it) for it in (Verdict.NONE, Verdict.LEFT, Verdict.REFUSE))
GAPS = FaceFinding(Verdict.REFUSE, reason="face_may_show", detail="gaps")


@pytest.fixture
def head(make_dataset):
    return make_dataset(BodyPartExamined="HEAD", Rows=256, Columns=256, PixelSpacing=[1, 1])


def test_under_every_recipe_the_header_tells_what_may_show_a_face(head, make_dataset):
    assert judge_face(head, None, None) == FaceNote("face_may_show")
    assert judge_face(make_dataset(BodyPartExamined="KNEE", Rows=9, Columns=9), None, None) == FaceNote()


@pytest.mark.parametrize("finding", [NONE, LEFT, GAPS, FaceFinding(Verdict.REMOVE)])
def test_a_finding_says_nothing_under_a_recipe_that_asks_for_none(head, finding):
    assert judge_face(head, None, finding) == FaceNote("face_may_show")


def test_to_be_told_changes_no_element(head):
    before = as_bytes(head)
    judge_face(head, None, None)
    assert as_bytes(head) == before


@pytest.mark.parametrize("action", ["remove", "reject", "tell"])
def test_a_series_whose_picture_shows_none_is_proved(head, action):
    note = judge_face(head, action, NONE)
    assert (note, note.is_proved) == (FaceNote(features="NO"), True)


@pytest.mark.parametrize("action", ["remove", "reject", "tell"])
def test_of_too_few_slices_nothing_is_claimed(head, action):
    note = judge_face(head, action, FaceFinding(Verdict.FEW))
    assert (note, note.is_proved) == (FaceNote("face_may_show"), False)


@pytest.mark.parametrize("finding", [None, LEFT, GAPS, REFUSE])
def test_told_of_a_face_that_was_left_no_file_claims_otherwise(head, finding):
    note = judge_face(head, "tell", finding)
    assert (note.code, note.features, note.is_proved) == ("face_may_show", "YES", False)


@pytest.mark.parametrize(
    ("action", "finding", "refusal", "reason", "detail"),
    [
        ("remove", None, Quarantined, "face_may_show", "not looked at with its series"),
        ("remove", GAPS, Quarantined, "face_may_show", "gaps"),
        ("remove", LEFT, Quarantined, "face_may_show", ""),
        ("remove", FaceFinding(Verdict.REMOVE), Quarantined, "face_may_show", ""),
        ("reject", LEFT, Rejected, "face", ""),
        ("reject", GAPS, Rejected, "face", "gaps"),
        ("reject", FaceFinding(Verdict.REFUSE, reason="too_slow"), Quarantined, "too_slow", ""),
    ],
)
def test_what_cannot_be_told_is_not_written(head, action, finding, refusal, reason, detail):
    with pytest.raises(refusal) as caught:
        judge_face(head, action, finding)
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


def test_what_shows_the_same_face_is_quarantined_and_not_cleaned(make_dataset):
    structure = Dataset()
    structure.ROIName = "SKIN"
    contours = make_dataset(SOPClassUID=RTSTRUCT, Modality="RTSTRUCT", StructureSetROISequence=[structure])
    with pytest.raises(Quarantined) as caught:
        judge_face(contours, "remove", None)
    assert (caught.value.reason, caught.value.detail) == ("face_may_show", "shows what slices of a head show")


@pytest.mark.parametrize(
    ("note", "features", "claims", "derivation"),
    [
        (FaceNote(), None, False, None),
        (FaceNote("face_may_show"), None, False, None),
        (FaceNote("face_may_show", "YES"), "YES", False, None),
        (FaceNote(features="NO"), "NO", True, None),
        (FaceNote("face_removed", "NO", pixels_changed=True), "NO", True, "Face removed"),
    ],
)
def test_only_what_was_proved_is_claimed(head, note, features, claims, derivation):
    methods = insert(head, parse_recipe(OPTION), pixels_examined=False, face=note)
    assert head.get("RecognizableVisualFeatures") == features
    assert ("113102" in methods) is claims
    assert head.get("DerivationDescription") == derivation


@pytest.mark.parametrize("recipe", ["profile: none\n" + OPTION, "profile: none\nkskit: {}\n" + OPTION])
def test_a_recipe_of_its_own_claims_the_option_where_it_was_proved(head, recipe):
    methods = insert(
        head, parse_recipe(recipe.replace("kskit: {}\n", "")), False, face=FaceNote(features="NO")
    )
    assert methods == ("113102",)


def test_a_face_is_removed_before_text_is_hidden(head):
    insert(head, parse_recipe(OPTION), True, text_hidden=True, face=FaceNote("", "NO", pixels_changed=True))
    assert head.DerivationDescription == "Face removed; Burned-in text hidden"


def test_single_instances_are_refused_before_they_are_read(head, key):
    for work in (
        lambda recipe: deidentify(head, recipe, key, load_no_text_detector),
        lambda recipe: deidentify_bytes(b"no DICOM", recipe, key, load_no_text_detector),
    ):
        with pytest.raises(RecipeError, match="needs whole series"):
            work(parse_recipe(OPTION))


def test_a_bouncer_turns_away_what_may_show_a_face_one_by_one(head, make_dataset, key):
    recipe = parse_recipe("bouncers: [possible-face]")
    with pytest.raises(Rejected) as caught:
        deidentify(head, recipe, key, load_no_text_detector)
    assert caught.value.reason == "face"
    knee = make_dataset(BodyPartExamined="KNEE", Rows=256, Columns=256)
    assert deidentify(knee, recipe, key, load_no_text_detector).methods[0] == "113100"


def test_recipes_that_ship_let_heads_in(head, key):
    for name in ("default", "strict", "research"):
        assert deidentify(head.copy(), load_recipe(name), key, load_no_text_detector).methods[0] == "113100"


@pytest.mark.parametrize(
    ("cleaned", "second", "passes"),
    [(None, False, False), (True, False, True), (False, True, False), (True, True, True)],
)
def test_who_says_that_a_face_shows_is_let_in_where_it_was_removed(head, cleaned, second, passes):
    head.RecognizableVisualFeatures = "YES"
    recipe = parse_recipe("bouncers: [{reject: \"RecognizableVisualFeatures.equals('YES')\"}]")
    look = (head, recipe.bouncer_instances, False if second else None, cleaned)
    if passes:
        bounce(*look)
    else:
        with pytest.raises(Rejected):
            bounce(*look)
