import pickle

import pytest
from pydicom.dataset import Dataset

from beamstop.errors import Failed, Quarantined, RecipeError, Rejected
from beamstop.recipe.load import load_recipe, parse_recipe, recipe_names
from beamstop.rules.bouncers import (
    Bouncer,
    CriterionBouncer,
    RejectEncapsulatedImageStorage,
    RejectKeyObject,
    RejectKOGSPS,
    RejectNonStandardDicom,
    RejectPresentationState,
    RejectSlideLabel,
)
from beamstop.rules.criteria import parse_criterion
from beamstop.steps.bounce import bounce

ULTRASOUND_RULE = """
bouncers:
  - {reject: "Modality.equals('US') and not BurnedInAnnotation.equals('NO')", because: clean or leave}
"""


def dataset(**attributes):
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def reason(instance, recipe, cleaned=None):
    try:
        bounce(instance, parse_recipe(recipe).bouncer_instances, cleaned)
    except Rejected as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize(
    ("sop_class", "expected"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", None),
        ("1.2.840.10008.5.1.4.1.1.88.59", None),
        ("1.2.840.10008.5.1.4.1.1.11.1", None),
        ("1.2.840.10008.5.1.4.1.1.104.1", "encapsulated_document"),
        ("1.2.840.10008.5.1.4.1.1.104.2", "encapsulated_document"),
        ("1.2.840.10008.5.1.4.1.1.104.3", "encapsulated_document"),
        ("1.2.840.10008.5.1.4.1.1.104.5", "encapsulated_document"),
        ("1.3.12.2.1107.5.9.1", "non_standard_sop_class"),
        (None, "no_sop_class"),
        (["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"], "no_sop_class"),
    ],
)
def test_the_default_bouncers_turn_away_documents_and_what_no_standard_defines(sop_class, expected):
    assert reason(dataset(SOPClassUID=sop_class), "{}") == expected


@pytest.mark.parametrize(
    "bouncer",
    [
        RejectEncapsulatedImageStorage,
        RejectKOGSPS,
        RejectKeyObject,
        RejectNonStandardDicom,
        RejectPresentationState,
    ],
)
def test_a_bouncer_that_cannot_tell_turns_away(bouncer):
    with pytest.raises(Rejected) as no:
        bouncer().inspect(Dataset())
    assert no.value.reason == "no_sop_class"


def test_a_payload_without_sop_class_is_an_encapsulated_document():
    with pytest.raises(Rejected) as no:
        RejectEncapsulatedImageStorage().inspect(dataset(EncapsulatedDocument=b"%PDF"))
    assert no.value.reason == "encapsulated_document"


class Broken(Bouncer):
    """Raises what it was given."""

    def __init__(self, error):
        self.error = error

    def inspect(self, dataset):
        raise self.error


@pytest.mark.parametrize("error", [KeyError("Roe"), RuntimeError("Roe"), ValueError("Roe"), AssertionError()])
def test_a_bouncer_of_ones_own_that_raises_is_a_fault_of_its_class(error):
    with pytest.raises(Failed) as fault:
        bounce(dataset(Modality="CT"), [Broken(error)])
    assert (fault.value.reason, fault.value.detail) == (
        "fault",
        f"{__name__}.Broken: {type(error).__name__}",
    )


def test_a_refusal_of_a_bouncer_of_ones_own_stays_what_it_is():
    with pytest.raises(Quarantined, match="leak"):
        bounce(dataset(Modality="CT"), [Broken(Quarantined("leak"))])


def test_key_objects_and_presentation_states_are_turned_away_where_the_recipe_says_so():
    recipe = "bouncers: [key-object, presentation-state]"
    assert reason(dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.59"), recipe) == "key_object"
    assert reason(dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1"), recipe) == "presentation_state"


def test_what_can_be_cleaned_is_not_turned_away_before_and_not_after_it_was():
    ultrasound = dataset(Modality="US", BurnedInAnnotation="YES")
    assert reason(ultrasound, ULTRASOUND_RULE) is None
    assert reason(ultrasound, ULTRASOUND_RULE, cleaned=True) is None


def test_burned_in_text_that_was_not_cleaned_is_turned_away_on_the_second_look():
    assert (
        reason(dataset(Modality="US", BurnedInAnnotation="YES"), ULTRASOUND_RULE, cleaned=False)
        == "criterion"
    )
    assert reason(dataset(Modality="US"), ULTRASOUND_RULE, cleaned=False) == "criterion"
    assert reason(dataset(Modality="CT"), ULTRASOUND_RULE, cleaned=False) is None


def test_looking_does_not_change_the_dataset():
    ultrasound = dataset(Modality="US", BurnedInAnnotation="YES")
    bounce(ultrasound, parse_recipe(ULTRASOUND_RULE).bouncer_instances)
    assert ultrasound.BurnedInAnnotation == "YES"


@pytest.mark.parametrize(
    ("criterion", "fits"),
    [
        ("Modality.equals('us')", True),
        ("Modality.equals('CT')", False),
        ("ImageType.contains('secondary')", True),
        ("StationName.exists()", False),
        ("StationName.equals('')", False),
        ("not StationName.exists() and (Modality.equals('CT') or Modality.equals('US'))", True),
        ("Modality.equals('CT') OR NOT Rows.exists()", True),
        ("SeriesDescription.matches('*mprage*')", True),
        ("SeriesDescription.matches('mprage*')", False),
        ("SeriesDescription.matches('T1 [mm] ?prage sag')", False),
        ("SeriesDescription.matches('t1 mprage sa?')", True),
        ("ProtocolName.matches('*')", False),
        ("StudyDate.between('20200101', '20201231')", True),
        ("StudyDate.between('2020', '2020')", True),
        ("StudyDate.between('202003', '202004')", False),
        ("StudyDate.between('20200229', '2020-02-29')", True),
        ("StudyDate.before('20200229')", False),
        ("StudyDate.before('202003')", True),
        ("StudyDate.after('202001')", True),
        ("StudyDate.after('202002')", False),
        ("AcquisitionDateTime.between('2020', '2020')", True),
        ("SeriesDate.before('2021')", False),
        ("ContentDate.before('2021') or ContentDate.after('1900')", False),
        ("not SeriesDate.between('1900', '2100')", True),
    ],
)
def test_a_criterion_is_read_as_idiscore_writes_it(criterion, fits):
    instance = dataset(
        Modality="US",
        ImageType=["DERIVED", "SECONDARY"],
        SeriesDescription="T1 MPRAGE sag",
        StudyDate="20200229",
        AcquisitionDateTime="20200229120000.5+0100",
        ContentDate="20209999",
    )
    assert parse_criterion(criterion)(instance) is fits


@pytest.mark.parametrize(
    "criterion",
    [
        "Modality",
        "Modality.equals(Rows)",
        "Modlity.exists()",
        "Modality.resembles('x')",
        "Modality.between('2020', '2021')",
        "StudyDate.between('2021', '2020')",
        "StudyDate.between('2020')",
        "StudyDate.after('yesterday')",
        "StudyDate.after('20200230')",
        "Modality.equals('x'",
        "f('x')",
    ],
)
def test_anything_else_is_no_criterion(criterion):
    with pytest.raises(RecipeError):
        parse_criterion(criterion)


def test_a_criterion_travels_to_workers():
    bouncer = pickle.loads(pickle.dumps(CriterionBouncer("Modality.equals('US')", "speckle")))  # noqa: S301
    with pytest.raises(Rejected):
        bouncer.inspect(dataset(Modality="US"))
    assert bouncer.justification == "speckle"


def test_the_reason_names_what_a_criterion_reads_and_no_value_of_it():
    recipe = parse_recipe("bouncers: [{reject: \"PatientID.equals('R-1') and Modality.exists()\"}]")
    with pytest.raises(Rejected) as refusal:
        bounce(dataset(PatientID="R-1", Modality="CT"), recipe.bouncer_instances)
    assert refusal.value.detail == "PatientID, Modality"


def test_a_filter_with_a_name_has_a_reason_of_its_own():
    recipe = "bouncers: [{reject: \"not StudyDate.between('2020', '2021')\", name: period}]"
    assert reason(dataset(StudyDate="20190101"), recipe) == "criterion_period"
    assert reason(dataset(StudyDate="20200101"), recipe) is None
    (bouncer,) = pickle.loads(pickle.dumps(parse_recipe(recipe).bouncer_instances))  # noqa: S301
    assert bouncer.reason == "criterion_period"
    with pytest.raises(RecipeError, match="pattern"):
        parse_recipe("bouncers: [{reject: Modality.exists(), name: Jane Roe}]")


WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


def slide(kind, **attributes):
    return dataset(
        SOPClassUID=WHOLE_SLIDE, Modality="SM", ImageType=["ORIGINAL", "PRIMARY", kind, "NONE"], **attributes
    )


@pytest.mark.parametrize("kind", ["LABEL", "OVERVIEW", "MACRO", "label"])
def test_labels_and_overviews_of_slides_are_turned_away(kind):
    assert reason(slide(kind), "{}") == "slide_label"


@pytest.mark.parametrize("kind", ["VOLUME", "THUMBNAIL"])
def test_a_volume_and_its_thumbnail_may_pass(kind):
    assert reason(slide(kind), "{}") is None
    assert reason(slide(kind, SpecimenLabelInImage="NO"), "{}") is None


def test_what_says_that_a_label_is_in_it_is_turned_away_whatever_its_type():
    assert reason(slide("VOLUME", SpecimenLabelInImage="YES"), "{}") == "slide_label"
    photograph = dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.4", SpecimenLabelInImage="YES")
    assert reason(photograph, "{}") == "slide_label"


def test_a_frame_that_is_a_label_turns_its_instance_away():
    frame = dataset(FrameType=["ORIGINAL", "PRIMARY", "LABEL", "NONE"])
    group = dataset(WholeSlideMicroscopyImageFrameTypeSequence=[frame])
    assert reason(slide("VOLUME", SharedFunctionalGroupsSequence=[group]), "{}") == "slide_label"
    assert reason(slide("VOLUME", PerFrameFunctionalGroupsSequence=[group]), "{}") == "slide_label"


def test_other_modalities_call_other_things_labels():
    kind = ["DERIVED", "PRIMARY", "LABEL"]
    ct = dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT", ImageType=kind)
    assert reason(ct, "{}") is None


@pytest.mark.parametrize("name", sorted({*recipe_names()} - {"default"}))
def test_recipes_that_ship_turn_labels_of_slides_away(name):
    bouncers = load_recipe(name).bouncer_instances
    assert RejectSlideLabel in map(type, bouncers)
