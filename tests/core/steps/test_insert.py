import pytest

from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.steps.insert import code_items, get_deidentification_method, insert


def codes(dataset):
    return [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]


def test_an_instance_says_what_was_done_to_it(make_dataset):
    dataset = make_dataset()
    methods = insert(dataset, load_recipe("default"), pixels_examined=True)
    assert dataset.PatientIdentityRemoved == "YES"
    assert dataset.DeidentificationMethod == get_deidentification_method()
    assert dataset.DeidentificationMethod.startswith("beamstop ")
    assert methods == ("113100", "113101", "113103")
    assert codes(dataset) == ["113100", "113101", "113103"]
    assert dataset.DeidentificationMethodCodeSequence[1].CodeMeaning == "Clean Pixel Data Option"
    assert dataset.BurnedInAnnotation == "NO"


def test_clean_pixel_data_is_claimed_only_where_the_pixels_were_examined(make_dataset):
    dataset = make_dataset(BurnedInAnnotation="YES")
    assert insert(dataset, load_recipe("default"), pixels_examined=False) == ("113100", "113103")
    assert dataset.BurnedInAnnotation == "YES"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("[]", "REMOVED"),
        ("[retain-longitudinal-full-dates]", "UNMODIFIED"),
        ("[retain-longitudinal-modified-dates]", "MODIFIED"),
    ],
)
def test_it_says_what_was_done_to_dates(make_dataset, options, expected):
    dataset = make_dataset()
    insert(dataset, parse_recipe(f"options: {options}"), pixels_examined=False)
    assert dataset.LongitudinalTemporalInformationModified == expected


def test_earlier_methods_stay_and_ours_are_not_repeated(make_dataset):
    dataset = make_dataset(
        DeidentificationMethod="earlier",
        DeidentificationMethodCodeSequence=code_items(["retain-uids"]),
    )
    for _ in range(2):
        insert(dataset, load_recipe("basic"), pixels_examined=False)
    assert list(dataset.DeidentificationMethod) == ["earlier", get_deidentification_method()]
    assert codes(dataset) == ["113110", "113100"]


def test_the_recipe_inserts_what_it_says(make_dataset):
    dataset = make_dataset()
    insert(dataset, parse_recipe("insert: {ClinicalTrialProtocolID: TRIAL-7}"), pixels_examined=False)
    assert dataset.ClinicalTrialProtocolID == "TRIAL-7"


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        (None, "Burned-in text hidden"),
        ("Mean of 4 frames", "Mean of 4 frames; Burned-in text hidden"),
        ("Mean; Burned-in text hidden", "Mean; Burned-in text hidden"),
        ("x" * 1024, "x" * 1001 + "; Burned-in text hidden"),
    ],
)
def test_it_says_that_text_was_hidden_after_what_was_derived_before(make_dataset, earlier, expected):
    dataset = make_dataset(DerivationDescription=earlier, ImageType=["ORIGINAL", "PRIMARY"])
    insert(dataset, load_recipe("default"), pixels_examined=True, text_hidden=True)
    assert dataset.DerivationDescription == expected
    assert list(dataset.ImageType) == ["ORIGINAL", "PRIMARY"]


def test_it_does_not_say_so_where_none_was(make_dataset):
    dataset = make_dataset()
    insert(dataset, load_recipe("default"), pixels_examined=True)
    assert "DerivationDescription" not in dataset


@pytest.mark.parametrize(("recipe", "examined"), [("basic", False), ("default", False), ("default", True)])
def test_identity_is_not_said_to_be_removed_beside_burned_in_text(make_dataset, recipe, examined):
    """PS3.3 C.12.1: YES would say that the pixels are clean, too."""
    dataset = make_dataset(BurnedInAnnotation="YES")
    insert(dataset, load_recipe(recipe), pixels_examined=examined)
    assert dataset.PatientIdentityRemoved == ("YES" if examined else "NO")


@pytest.mark.parametrize("key", ["PatientBirthDate", "0010,0030"])
def test_the_year_of_birth_is_no_longitudinal_information_however_its_key_is_written(key):
    recipe = parse_recipe(f'attributes: {{"{key}": {{keep: year}}}}')
    assert not recipe.keeps_years


def test_the_year_of_any_other_date_is():
    recipe = parse_recipe('attributes: {"0008,0020": {keep: year}, "0010,0030": {keep: year}}')
    assert recipe.keeps_years
