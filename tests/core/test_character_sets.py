"""What letters a clean instance has: its own as they were, new ones as given, in one character set."""

import json
from io import BytesIO

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from beamstop import (
    Quarantined,
    RecipeError,
    deidentify,
    deidentify_bytes,
    encode,
    parse_recipe,
    read_dicom,
)
from beamstop.chain import run
from beamstop.testing import as_bytes, load_no_text_detector, make_instance

KEY = bytes(range(32))
KANJI = "匿名^患者"
# Specific Character Set → letters that it holds.
SETS = {
    None: "Schadel",
    "ISO_IR 100": "Schädel",
    "ISO_IR 101": "Czaszka łódź",
    "ISO_IR 144": "Череп",
    "ISO_IR 166": "กะโหลก",
    "ISO_IR 192": "Schädel 頭蓋",
    "GB18030": "颅骨",
    "\\ISO 2022 IR 87": "頭蓋",
    "ISO 2022 IR 6\\ISO 2022 IR 87": "頭蓋",
    "\\ISO 2022 IR 149": "두개골",
}


def written_in(charset, description="", **attributes):
    """Return a file with a description in a character set, and another in an item."""
    dataset = make_instance(
        SpecificCharacterSet=charset.split("\\") if charset else None,
        StudyDescription=description,
        **attributes,
    )
    item = Dataset()
    item.ScheduledProcedureStepDescription = description
    dataset.RequestAttributesSequence = [item]
    return as_bytes(dataset)


def clean(data, recipe):
    """Return the clean dataset; the same bytes whatever the audit tells and whoever asks."""
    file = deidentify_bytes(data, recipe, KEY, load_no_text_detector)
    identity = recipe.identity(KEY)
    for detail in (False, True):
        assert run(read_dicom(data), recipe, identity, None, detail).encoded.data == file
    assert (
        encode(deidentify(pydicom.dcmread(BytesIO(data)), recipe, KEY, load_no_text_detector).dataset).data
        == file
    )
    return pydicom.dcmread(BytesIO(file))


KEEPING = (
    "{attributes: {StudyDescription: K, RequestAttributesSequence: K, ScheduledProcedureStepDescription: K}}"
)


@pytest.mark.parametrize(("charset", "text"), SETS.items())
def test_text_that_stays_has_its_letters_and_its_character_set(charset, text):
    dataset = clean(written_in(charset, text), parse_recipe(KEEPING))
    assert dataset.StudyDescription == text
    assert dataset.RequestAttributesSequence[0].ScheduledProcedureStepDescription == text
    said = dataset.get("SpecificCharacterSet")
    assert said == (charset and (charset.split("\\") if "\\" in charset else charset))


@pytest.mark.parametrize("value", [KANJI, "Änönym^Ø", "Аноним", "이^름", "誠^誠"])
@pytest.mark.parametrize(("charset", "text"), SETS.items())
def test_a_new_value_has_its_letters_and_widens_the_instance_where_its_character_set_has_not(
    charset, text, value
):
    recipe = parse_recipe(KEEPING[:-2] + f", PatientName: {{value: '{value}'}}}}}}")
    dataset = clean(written_in(charset, text), recipe)
    assert str(dataset.PatientName) == value
    assert dataset.StudyDescription == text
    assert dataset.RequestAttributesSequence[0].ScheduledProcedureStepDescription == text


def test_an_insertion_widens_too():
    recipe = parse_recipe(KEEPING[:-1] + ", insert: {InstitutionName: 東京大学病院}}")
    dataset = clean(written_in("ISO_IR 100", "Schädel"), recipe)
    assert (dataset.InstitutionName, dataset.StudyDescription) == ("東京大学病院", "Schädel")
    assert dataset.SpecificCharacterSet == "ISO_IR 192"


def test_items_with_character_sets_of_their_own_are_widened_with_the_rest():
    inner, item = Dataset(), Dataset()
    inner.CodeMeaning = "Кость"
    item.SpecificCharacterSet = "ISO_IR 144"
    item.CodeMeaning, item.AnatomicRegionModifierSequence = "Череп", [inner]
    source = make_instance(
        SpecificCharacterSet="ISO_IR 100", AnatomicRegionSequence=[item], StudyDescription="Schädel"
    )
    recipe = parse_recipe(
        f"attributes: {{PatientName: {{value: {KANJI}}}, StudyDescription: K, CodeMeaning: K}}"
    )
    dataset = clean(as_bytes(source), recipe)
    region = dataset.AnatomicRegionSequence[0]
    assert "SpecificCharacterSet" not in region
    assert (region.CodeMeaning, region.AnatomicRegionModifierSequence[0].CodeMeaning) == ("Череп", "Кость")
    assert (dataset.StudyDescription, dataset.SpecificCharacterSet) == ("Schädel", "ISO_IR 192")


@pytest.mark.parametrize("action", ["X", "Z", "{value: ISO_IR 100}", "{value: ISO_IR 192}"])
def test_a_rule_on_the_character_set_changes_no_letter(action):
    recipe = parse_recipe(KEEPING[:-2] + f", SpecificCharacterSet: {action}}}}}")
    dataset = clean(written_in("ISO_IR 144", "Череп"), recipe)
    assert (dataset.StudyDescription, dataset.SpecificCharacterSet) == ("Череп", "ISO_IR 192")
    assert dataset.RequestAttributesSequence[0].ScheduledProcedureStepDescription == "Череп"


@pytest.mark.parametrize("charset", ["Not Supplied", "XXX XXXX", "ISO IR 192", "ISO 2022 IR 6\\IS"])
def test_a_character_set_that_nobody_knows_costs_no_file_and_hides_no_name(charset):
    """Devices and earlier de-identification put such words there."""
    known = written_in("ISO 2022 IR 100", "MR knee Haverlandt", PatientName="Haverlandt^Anna")
    data = known.replace(b"ISO 2022 IR 100 ", charset.ljust(16).encode())
    assert data != known
    file = deidentify_bytes(data, parse_recipe("options: [clean-descriptors]"), KEY, load_no_text_detector)
    assert b"Haverlandt" not in file
    assert pydicom.dcmread(BytesIO(file)).StudyDescription == "MR knee"


def undeclared(value):
    """Return a file that says nothing of its character set, with a description of any bytes."""
    return written_in("ISO_IR 6", "x" * len(value)).replace(b"x" * len(value), value)


def test_what_is_left_of_a_text_without_character_set_stays_the_bytes_it_was():
    data = undeclared("Schädel von Roe, nativ".encode("latin-1"))
    recipe = parse_recipe("options: [clean-descriptors]")
    assert "Schädel".encode("latin-1") in deidentify_bytes(data, recipe, KEY)
    assert clean(data, recipe).SpecificCharacterSet == "ISO_IR 6"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_text_without_character_set_is_widened_as_most_readers_show_it(encoding):
    recipe = parse_recipe(KEEPING[:-2] + f", PatientName: {{value: {KANJI}}}}}}}")
    assert clean(undeclared("Schädel ".encode(encoding)), recipe).StudyDescription == "Schädel"


@pytest.mark.parametrize(
    "data",
    [undeclared("頭蓋骨".encode("shift_jis")), written_in("ISO_IR 166", "Schadel!").replace(b"!", b"\xff")],
)
def test_text_of_which_nobody_knows_the_letters_is_not_widened(data):
    recipe = parse_recipe(KEEPING[:-2] + f", SpecificCharacterSet: X, PatientName: {{value: {KANJI}}}}}}}")
    with pytest.raises(Quarantined) as no:
        deidentify_bytes(data, recipe, KEY)
    assert (no.value.reason, no.value.detail) == ("character_set", "(0008,1030)")


ASKED = {
    "a rule": "{KEEPING}, StationName: {{action: K, when: {criterion}}}}}}}",
    "a bouncer": "{KEEPING}}}, bouncers: [{{reject: {criterion}}}]}}",
    "a bouncer, after the pixels": "{KEEPING}}}, bouncers: [{{reject: {burned_in}}}]}}",
    "a region": "{KEEPING}}}, text: {{regions: [{{when: {criterion}, areas: [[0, 0, 9, 9]]}}]}}}}",
}


@pytest.mark.parametrize(
    "value", ["Schädel ".encode("latin-1"), b"Sch\x84del ", "頭蓋骨".encode("shift_jis")]
)
@pytest.mark.parametrize("keyword", ["StudyDescription", "RequestAttributesSequence"])
@pytest.mark.parametrize("who", ASKED)
def test_text_that_a_criterion_asks_about_keeps_its_bytes(who, keyword, value):
    criterion = f"{keyword}.contains('nothing')"
    burned_in = json.dumps(f"{criterion} and BurnedInAnnotation.equals('YES')")
    text = ASKED[who].format(KEEPING=KEEPING[:-2], criterion=json.dumps(criterion), burned_in=burned_in)
    data, recipe = undeclared(value), parse_recipe(text)
    for source in (data, read_dicom_again(data)):
        file = deidentify_bytes(source, recipe, KEY, load_no_text_detector)
        assert file.count(value) == 2
    assert clean(data, recipe).SpecificCharacterSet == "ISO_IR 6"


def read_dicom_again(data):
    """Return a file with a sequence of undefined length: no raw element once it is read."""
    dataset = pydicom.dcmread(BytesIO(data))
    dataset["RequestAttributesSequence"].value  # noqa: B018  is not raw from then on
    dataset["RequestAttributesSequence"].is_undefined_length = True
    return as_bytes(dataset)


def test_the_code_of_a_content_item_keeps_its_bytes():
    concept, item = Dataset(), Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator = "121106", "99XXXXXX"
    item.ValueType, item.TextValue, item.ConceptNameCodeSequence = "TEXT", "nativ", [concept]
    source = as_bytes(make_instance(SpecificCharacterSet="ISO_IR 6", ContentSequence=[item]))
    value = "99KÖLN  ".encode("latin-1")
    recipe = parse_recipe("options: [clean-descriptors, clean-structured-content]")
    file = deidentify_bytes(source.replace(b"99XXXXXX", value), recipe, KEY, load_no_text_detector)
    assert (file.count(value), pydicom.dcmread(BytesIO(file)).SpecificCharacterSet) == (1, "ISO_IR 6")


@pytest.mark.parametrize("keyword", ["PatientID", "IssuerOfPatientID", "AccessionNumber", "Modality"])
def test_an_identifier_that_stays_keeps_its_bytes(keyword):
    value = "Schädel ".encode("latin-1")
    data = as_bytes(make_instance(SpecificCharacterSet="ISO_IR 6", **{keyword: "XXXXXXXX"}))
    recipe = parse_recipe(f"{{pseudonyms: {{with_issuer: true}}, attributes: {{{keyword}: K}}}}")
    file = deidentify_bytes(data.replace(b"XXXXXXXX", value), recipe, KEY, load_no_text_detector)
    assert file.count(value) == 1
    assert pydicom.dcmread(BytesIO(file)).SpecificCharacterSet == "ISO_IR 6"


@pytest.mark.parametrize(
    "field", ["attributes: {BodyPartExamined: {value: SCHÄDEL}}", "insert: {Modality: 頭}"]
)
def test_a_value_that_its_vr_cannot_hold_is_an_error_of_the_recipe(field):
    with pytest.raises(RecipeError, match="ASCII"):
        parse_recipe(field)


letters = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=20)


@settings(max_examples=60)
@given(charset=st.sampled_from(list(SETS)), name=letters, given_name=letters, description=letters)
def test_bytes_depend_neither_on_the_detail_of_the_audit_nor_on_who_asks(
    charset, name, given_name, description
):
    recipe = parse_recipe(
        "{options: [clean-descriptors, clean-structured-content], attributes: {StudyDescription: {value: X},"
        f" PatientName: {{value: '{name}^{given_name}'}}, RequestAttributesSequence: K,"
        f" ScheduledProcedureStepDescription: {{value: '{description}'}}}},"
        f" insert: {{InstitutionName: '{description}'}}}}"
    )
    dataset = clean(written_in(charset, SETS[charset]), recipe)
    assert str(dataset.PatientName) == f"{name}^{given_name}"
    assert dataset.RequestAttributesSequence[0].ScheduledProcedureStepDescription == description
    assert dataset.InstitutionName == description
