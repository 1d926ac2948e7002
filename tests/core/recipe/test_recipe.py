import json
import pickle

import pytest

from beamstop.errors import RecipeError
from beamstop.pixels.box import Box
from beamstop.recipe.load import load_recipe, parse_recipe, recipe_names, recipe_schema
from beamstop.standard.actions import Action
from beamstop.text.detector import TextPolicy
from beamstop.text.judge import MARKERS
from beamstop.text.regions import Region

CT = "1.2.840.10008.5.1.4.1.1.2"


def action(recipe, *path, creator=None, vr=None, sop_class=CT):
    return recipe.planner.plan(tuple(path), creator, vr, sop_class).action


@pytest.mark.parametrize("name", ["default", "basic", "research"])
def test_a_recipe_that_ships_loads_by_name(name):
    assert load_recipe(name).name == name
    assert name in recipe_names()


def test_the_default_is_basic_with_pixels_and_graphics():
    assert load_recipe().options == ["clean-pixel-data", "clean-graphics"]
    assert [type(bouncer).__name__ for bouncer in load_recipe().bouncer_instances] == [
        "RejectNonStandardDicom",
        "RejectEncapsulatedImageStorage",
    ]


def test_yaml_and_json_say_the_same(tmp_path):
    document = {"options": ["retain-uids"], "attributes": {"PatientName": "D"}}
    (tmp_path / "r.json").write_text(json.dumps(document))
    (tmp_path / "r.yaml").write_text("options: [retain-uids]\nattributes:\n  PatientName: D\n")
    assert load_recipe(tmp_path / "r.json").digest == load_recipe(tmp_path / "r.yaml").digest


def test_every_mistake_is_said_in_the_order_of_the_file_with_what_was_meant():
    text = """
name: ours
option: [clean-pixel-data]
options: [clean-pixeldata]
text:
  regions:
    - {when: "Modality.equals('CT')", areas: [[0, 0, 9, 9]]}
    - {when: "Modalty.equals('CT')", areas: [[0, 0, 9, 9]]}
attributes:
  PatientNam: X
  PatientID: K
  StudyDate: Q
  Rows: {band: 10}
bouncers: [key-object, {reject: "Rows.exists("}, nonsense, {when: x}]
insert: {PatientComment: x}
"""
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "r.yaml")
    assert str(error.value).splitlines() == [
        "r.yaml, line 3: option: no such field; did you mean options?",
        "r.yaml, line 4: options.0: 'clean-pixeldata': no such value; did you mean clean-pixel-data?",
        "r.yaml, line 8: text.regions.1: criterion \"Modalty.equals('CT')\": no attribute has the keyword "
        "'Modalty'; did you mean Modality?",
        "r.yaml, line 10: attributes.PatientNam: 'PatientNam': no such keyword; did you mean PatientName?",
        "r.yaml, line 12: attributes.StudyDate: 'Q' is none of D, Z, X, K, C, U, Z/D, X/Z, X/D, "
        "X/Z/D, X/Z/U*",
        "r.yaml, line 13: attributes.Rows: Rows: band is for ages (VR AS) alone, such as PatientAge",
        "r.yaml, line 14: bouncers.1: criterion 'Rows.exists(': cannot be read at column 12",
        "r.yaml, line 14: bouncers.2: 'nonsense' is none of non-standard-sop-class, encapsulated-document, "
        "key-object, presentation-state, slide-label, possible-face",
        "r.yaml, line 14: bouncers.3: write one of non-standard-sop-class, encapsulated-document, "
        "key-object, presentation-state, slide-label, possible-face, or a mapping with reject, listed or "
        "bouncer",
        "r.yaml, line 15: insert.PatientComment: 'PatientComment': no attribute has this keyword; did you "
        "mean PatientComments?",
    ]


def test_of_very_many_mistakes_twenty_are_said():
    text = "attributes:\n" + "".join(f"  Nonsense{number}: X\n" for number in range(50))
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "r.yaml")
    assert str(error.value).splitlines()[-2:] == [
        "r.yaml, line 21: attributes.Nonsense19: 'Nonsense19': no such keyword; see the DICOM data "
        "dictionary, or write the tag as (gggg,eeee)",
        "r.yaml: and 30 more",
    ]


def test_the_digest_changes_with_what_is_done_and_not_with_the_name():
    assert parse_recipe("name: a").digest == parse_recipe("name: b").digest
    assert parse_recipe("unlisted: remove").digest != parse_recipe("unlisted: keep").digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("options:\n  - clean-pixel-dta\n", r"r.yaml, line 2: options.0"),
        ("profil: basic", r"line 1: profil: no such field; did you mean profile\?"),
        (
            "options: [retain-longitudinal-full-dates, retain-longitudinal-modified-dates]",
            "exclude each other",
        ),
        ("faces: {action: tell}", "name that in options, too"),
        ("attributes: {PatientNmae: X}", "no such keyword"),
        ("attributes:\n  PatientName: Q\n", "line 2: attributes.PatientName"),
        ("uids: {method: kskit}", "needs a root"),
        ("uids: {root: '1.02'}", "not a UID root"),
        ("uids: {root: 9.9.9.9.9}", "not a UID root"),
        ("uids: {method: kskit, root: 9.9-9}", "not a UID root"),
        ("dates: {shift_days: [0, 10]}", "greater than or equal to 1"),
        ("dates: {shift_days: [9, 8]}", "fewest days first"),
        ("bouncers: [{reject: 'Modality.has(1)'}]", "no test 'has'"),
        ("bouncers: [{bouncer: no.such.Class}]", "cannot be imported"),
        ("attributes: {PatientName: {operator: beamstop.errors.DeidError}}", "not a subclass"),
        ("insert: {PatientNmae: x}", "no attribute has this keyword"),
        ("text: {authorized_words: ['/[/']}", "text.authorized_words: '/\\[/': no regular expression"),
        ("text: {authorized_words: ['/(a+)+b/']}", "none of them of a group"),
        ("text: {authorized_words: ['/a*b*c*d*e*/']}", "at most 100 characters and 4"),
        ("text:\n  regions:\n  - {when: 'Modality.has(1)', areas: [[0, 0, 9, 9]]}", "no test 'has'"),
        ("text:\n  regions:\n  - {when: 'Rows.exists()', areas: []}", "line 3: text.regions.0.areas"),
        ("text: {regions: [{when: 'Rows.exists()', areas: [[0, 0, 0, 9]]}]}", "text.regions.0.areas.0"),
        ("text: {regions: [{when: 'Rows.exists()', areas: [[-1, 0, 9, 9]]}]}", "text.regions.0.areas.0"),
        (
            "text: {regions: [{when: 'Rows.exists()', areas: [{left: 5, top: 0, right: 4, bottom: 9}]}]}",
            "left before right",
        ),
        ("options: [a\nb: ]", "line 2: not YAML"),
        ("- a list", "a recipe is a mapping"),
        ("insert: {PatientComments: 2001-02-30}", "r.yaml: has a date or number that does not exist"),
        ("options: []\nuids: {root: 1.2}\noptions: []", "line 3: options stands here for the second time"),
    ],
)
def test_a_mistake_is_said_with_its_place(text, message):
    with pytest.raises(RecipeError, match=message) as error:
        parse_recipe(text, "r.yaml")
    assert "r.yaml" in str(error.value)


def test_text_policy_has_what_the_recipe_says():
    recipe = parse_recipe(
        """
        text:
          markers: [XCC]
          ultrasound_regions: keep
          look_again: false
          regions:
            - when: Modality.equals('US')
              areas: [[0, 1, 20, 10], {left: 5, top: 6, right: 7, bottom: 6}]
          leave:
            - when: Modality.equals('CT')
              boxes: [[3, 4, 5, 6]]
        """
    )
    assert recipe.text_policy == TextPolicy(
        markers=("XCC",),
        regions=(Region("Modality.equals('US')", (Box(0, 1, 20, 10), Box(5, 6, 3, 1))),),
        ultrasound_regions="keep",
        look_again=False,
        leave=(Region("Modality.equals('CT')", (Box(3, 4, 5, 6),)),),
    )
    assert load_recipe("default").text_policy == TextPolicy(markers=MARKERS)


def test_a_missing_recipe_names_those_that_ship():
    with pytest.raises(RecipeError, match="basic, default"):
        load_recipe("no-such-recipe")


def test_compounds_follow_the_type_in_the_iod():
    basic = load_recipe("basic")
    enhanced_ct = "1.2.840.10008.5.1.4.1.1.2.1"
    acquisition_datetime, content_date, patient_id = 0x0008002A, 0x00080023, 0x00100020
    assert action(basic, acquisition_datetime) is Action.X  # Type 3 in CT Image
    assert action(basic, acquisition_datetime, sop_class=enhanced_ct) is Action.D  # 1C
    assert action(basic, content_date, sop_class=enhanced_ct) is Action.D  # Type 1
    assert action(basic, patient_id) is Action.Z
    assert action(basic, content_date, sop_class="1.2.3") is Action.D  # unknown: what keeps it valid


def test_a_calibration_date_does_not_move_with_a_patient():
    both = parse_recipe("options: [retain-device-identity, retain-longitudinal-modified-dates]")
    assert action(both, 0x00181200) is Action.X
    assert action(load_recipe("research"), 0x300A022C, sop_class="1.2.840.10008.5.1.4.1.1.481.5") is Action.D
    assert action(load_recipe("research"), 0x00080106) is Action.K
    assert action(parse_recipe("options: [retain-device-identity]"), 0x00181200) is Action.K


def test_retained_uids_stay_and_others_do_not():
    assert action(parse_recipe("options: [retain-uids]"), 0x0020000D) is Action.K
    assert action(load_recipe("basic"), 0x0020000D) is Action.U


def test_both_forms_of_kskit_recipes_load_and_deny_what_they_do_not_list():
    general = {
        "0x0020000D": ["StudyInstanceUID", "UI", "PSEUDONYMISER"],
        "0x00080060": ["Modality", "CS", "CONSERVER"],
    }
    specific = {"0x00080100": {"sequence": "0x00540220", "rule": "CONSERVER"}}
    flat = parse_recipe(json.dumps(general))
    sections = parse_recipe(json.dumps({"general_rules": general, "specific_rules": specific}))
    assert action(flat, 0x00080060) is Action.K
    assert flat.planner.plan((0x0020000D,), None, "UI", CT).operator is not None
    for recipe in (flat, sections):
        assert action(recipe, 0x00100010) is Action.X
        assert action(recipe, 0x00101030) is Action.X


def test_a_recipe_travels_to_workers():
    recipe = load_recipe("research")
    again = pickle.loads(pickle.dumps(recipe))  # noqa: S301
    assert again.digest == recipe.digest
    assert action(again, 0x00100020) is Action.Z


def test_the_schema_names_every_field():
    assert {
        "options",
        "attributes",
        "bouncers",
        "text",
        "insert",
        "uids",
        "dates",
        "pseudonyms",
        "unlisted",
        "unknown",
    } <= set(recipe_schema()["properties"])


def test_old_spellings_load_with_a_warning_and_mean_the_same():
    now = parse_recipe("unknown_words: remove\ntext: {ultrasound_regions: keep}")
    with pytest.warns(UserWarning, match="is called") as warned:
        before = parse_recipe("unvouched: remove\ntext: {ultrasound_regions: spare}")
    assert before.digest == now.digest
    assert [str(it.message) for it in warned] == [
        "recipe: unvouched is called unknown_words now",
        "recipe: ultrasound_regions: spare is called ultrasound_regions: keep now",
    ]


def test_a_setting_under_both_its_names_is_an_error():
    with pytest.raises(RecipeError, match="unvouched is called unknown_words now: leave out unvouched"):
        parse_recipe("unvouched: keep\nunknown_words: remove")


OLD_PATHS = ["beamstop.kskit_recipe.PseudonymiseByVR", "beamstop.recipe.kskit.PseudonymiseByVR"]


@pytest.mark.parametrize("path", OLD_PATHS)
def test_an_operator_s_earlier_path_loads_and_gives_the_same_digest(path):
    now = parse_recipe("attributes: {PatientID: {operator: beamstop.kskit.PseudonymiseByVR}}")
    assert parse_recipe(f"attributes: {{PatientID: {{operator: {path}}}}}").digest == now.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "options: []\nattributes: {PatientID: X}\nattributes: {PatientName: X}",
            "recipe, line 3: attributes stands",
        ),
        ("text:\n  hide: all\n  hide: identifying", "recipe, line 3: hide stands"),
        ('{"attributes": {"PatientID": "X",\n "PatientID": "K"}}', "recipe, line 2: PatientID stands"),
        (
            '{"0x00100010": ["PatientName", "PN", "RETIRER"],\n "0x00100010": ["a", "PN", "CONSERVER"]}',
            "line 2",
        ),
    ],
)
def test_a_doubled_key_is_an_error_with_its_line(text, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PatientComments", "0010,4000"),
        ("00104000", "(0010,4000)"),
        ("60xx,3000", "60XX,3000"),
        ("RequestAttributesSequence.ScheduledProcedureStepID", "0040,0275.0040,0009"),
    ],
)
def test_one_attribute_under_two_names_is_an_error(one, other):
    """The later would win, and what the earlier removes would stay."""
    with pytest.raises(RecipeError, match="are one attribute"):
        parse_recipe(f"options: []\nattributes:\n  '{one}': X\n  '{other}': K")


@pytest.mark.parametrize("text", ["a: &a [*a]", "[" * 100_000, '{"a":' * 100_000, "a: " + "{a: " * 5_000])
def test_a_recipe_that_is_nested_without_end_is_an_error(text):
    with pytest.raises(RecipeError, match="recipe"):
        parse_recipe(text)


def test_no_and_off_are_words():
    """As in YAML 1.2: a country, a coded answer. In YAML 1.1 they are false."""
    recipe = parse_recipe("insert: {BurnedInAnnotation: NO, PatientComments: off}")
    assert recipe.insert == {"BurnedInAnnotation": "NO", "PatientComments": "off"}


def test_json_may_be_indented_with_tabs():
    assert parse_recipe('{\n\t"options": ["retain-uids"]\n}').options == ["retain-uids"]
