"""Rules for some instances, rules by path, ages in bands and years of dates."""

import pickle

import pytest
from pydicom.dataset import Dataset

from beamstop import Identity, RecipeError, apply_recipe, deidentify, deidentify_bytes, parse_recipe
from beamstop.testing import as_bytes, load_no_text_detector, make_instance
from beamstop.verify import verify_pair

KEY = bytes(range(32))


def clean(dataset, recipe):
    """Return the clean dataset, and see to it that verify agrees."""
    data = as_bytes(dataset)
    file = deidentify_bytes(data, recipe, KEY, load_no_text_detector)
    assert verify_pair(data, file, recipe, recipe.identity(KEY)).findings == ()
    return deidentify(dataset, recipe, KEY, load_no_text_detector).dataset


STATION = """
attributes:
  StationName:
    - {action: K, when: "Modality.equals('CT')"}
    - {value: SCANNER, when: "Modality.equals('MR')"}
    - X
"""


@pytest.mark.parametrize(
    ("modality", "station"), [("CT", "CT-MAIN"), ("MR", "SCANNER"), ("US", None), (None, None)]
)
def test_a_rule_with_a_criterion_holds_in_instances_that_fit_it(modality, station):
    recipe = parse_recipe(STATION)
    travelled = pickle.loads(pickle.dumps(recipe))  # noqa: S301  made here
    for used in (recipe, travelled):
        dataset = clean(make_instance(StationName="CT-MAIN", Modality=modality), used)
        assert dataset.get("StationName") == station


def test_a_criterion_is_asked_before_anything_is_changed():
    recipe = parse_recipe(
        "attributes: {Modality: {value: OT}, StationName: {action: K, when: \"Modality.equals('CT')\"}}"
    )
    dataset = clean(make_instance(StationName="CT-MAIN", Modality="CT"), recipe)
    assert (dataset.Modality, dataset.StationName) == ("OT", "CT-MAIN")


def test_where_no_criterion_fits_the_profile_holds():
    recipe = parse_recipe("attributes: {StationName: {action: K, when: \"Modality.equals('MR')\"}}")
    assert "StationName" not in clean(make_instance(StationName="CT-MAIN"), recipe)


def test_what_a_criterion_keeps_is_searched_for_where_it_does_not_fit():
    """The kept value of one instance is the leak of another."""
    recipe = parse_recipe(
        "attributes: {InstitutionName: {action: K, when: \"Modality.equals('CT')\"}, StudyDescription: K}"
    )
    values = {"InstitutionName": "Wubbleford Clinic", "StudyDescription": "at Wubbleford"}
    assert clean(make_instance(**values), recipe).InstitutionName == "Wubbleford Clinic"
    with pytest.raises(Exception, match="leak: StudyDescription"):
        clean(make_instance(Modality="MR", **values), recipe)


def test_what_stands_behind_an_entry_without_a_criterion_is_an_error():
    with pytest.raises(RecipeError, match="never holds"):
        parse_recipe("attributes: {StationName: [X, K]}")


def with_private_sequence(creator="ACME 1.1"):
    item, other = Dataset(), Dataset()
    item.StationName = other.StationName = "CT-MAIN"
    item.private_block(0x0021, "ACME 2", create=True).add_new(0x05, "LO", "kept by its path")
    other.private_block(0x0021, "ACME 2", create=True).add_new(0x05, "LO", "no rule for it")
    dataset = make_instance(StationName="CT-MAIN", RequestAttributesSequence=[other])
    block = dataset.private_block(0x0019, creator, create=True)
    block.add_new(0x10, "SQ", [item])
    return dataset


PATHS = """
attributes:
  RequestAttributesSequence: K
  RequestAttributesSequence.StationName: {value: in a sequence}
  "0019,[ACME 1.1]10": K
  "0019,[ACME 1.1]10.StationName": {value: in a block}
  "0019,[ACME 1.1]10.0021,[ACME 2]05": K
"""


def test_a_rule_by_path_holds_in_its_sequence_and_in_its_private_block_alone():
    dataset = clean(with_private_sequence(), parse_recipe(PATHS))
    assert "StationName" not in dataset
    asked = dataset.RequestAttributesSequence[0]
    assert asked.StationName == "in a sequence"
    assert (0x0021, 0x1005) not in asked
    item = dataset[0x0019, 0x1010].value[0]
    assert item.StationName == "in a block"
    assert item[0x0021, 0x1005].value == "kept by its path"


def test_a_path_through_another_creators_block_is_another_path():
    dataset = clean(with_private_sequence("OTHER"), parse_recipe(PATHS))
    assert (0x0019, 0x1010) not in dataset


def test_two_creators_at_one_offset_of_a_private_sequence_are_told_apart():
    recipe = parse_recipe(PATHS + '  "0019,[OTHER]10": K\n')
    dataset = with_private_sequence()
    item = Dataset()
    item.StationName = "CT-MAIN"
    dataset.private_block(0x0019, "OTHER", create=True).add_new(0x10, "SQ", [item])
    made = clean(dataset, recipe)
    assert made[0x0019, 0x1010].value[0].StationName == "in a block"
    assert "StationName" not in made[0x0019, 0x1110].value[0]


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ("047Y", "040Y"),
        ("089Y", "080Y"),
        ("090Y", "090Y"),
        ("104Y", "090Y"),
        ("011M", "000Y"),
        ("020D", "000Y"),
    ],
)
def test_ages_become_the_lowest_of_their_band(age, expected):
    recipe = parse_recipe("attributes: {PatientAge: {band: 10}}")
    assert clean(make_instance(PatientAge=age), recipe).PatientAge == expected


def test_what_is_no_age_is_taken_out():
    recipe = parse_recipe("attributes: {PatientAge: {band: 10}}")
    dataset = make_instance(PatientAge="47")
    apply_recipe(dataset, recipe, Identity(KEY))
    assert not dataset.get("PatientAge")


@pytest.mark.parametrize(
    ("birth", "more", "expected"),
    [
        ("19701224", {}, "19700101"),
        ("1970.12.24", {}, "19700101"),
        ("19330101", {}, ""),  # 91 years on the day of the study
        ("19700101", {"PatientAge": "095Y"}, ""),
        ("19200101", {"StudyDate": None}, ""),  # nothing tells how old
        ("19700101", {"StudyDate": None, "PatientAge": "054Y"}, "19700101"),
        ("20240229", {}, "20240101"),  # born on the day of the study
        ("no date", {}, ""),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_of_a_date_of_birth_the_year_stays_unless_it_may_tell_an_age_over_89(birth, more, expected):
    recipe = parse_recipe("attributes: {PatientBirthDate: {keep: year}}")
    assert clean(make_instance(PatientBirthDate=birth, **more), recipe).PatientBirthDate == expected


def test_a_year_moves_with_the_dates_of_the_patient():
    """Else it would tell the shift to within a year, beside the age."""
    recipe = parse_recipe(
        "{options: [retain-longitudinal-modified-dates], dates: {shift_days: [3650, 3650]},"
        " attributes: {PatientBirthDate: {keep: year}}}"
    )
    assert clean(make_instance(PatientBirthDate="19701224"), recipe).PatientBirthDate == "19600101"


def test_of_a_date_and_time_the_year_alone_stays():
    recipe = parse_recipe("attributes: {AcquisitionDateTime: {keep: year}}")
    dataset = clean(make_instance(AcquisitionDateTime="20240229101530.5+0100"), recipe)
    assert dataset.AcquisitionDateTime == "2024"


@pytest.mark.parametrize(
    "attributes",
    [
        "{StudyDate: {band: 10}}",
        "{PatientAge: {keep: year}}",
        "{PatientName: {keep: year}}",
        "{'60xx,3000': {band: 5}}",
    ],
)
def test_bands_are_for_ages_and_years_for_dates(attributes):
    with pytest.raises(RecipeError, match="alone, such as"):
        parse_recipe(f"attributes: {attributes}")


@pytest.mark.parametrize("recipe", ["attributes: {PatientID: D}", "{}", "options: [clean-descriptors]"])
def test_the_dummy_of_a_patient_id_is_the_pseudonym_it_has_under_every_recipe(recipe):
    assert clean(make_instance(), parse_recipe(recipe)).PatientID == Identity(KEY).patient_id("R-1001")
