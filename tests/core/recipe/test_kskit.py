import json
import random
from itertools import product

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from beamstop.errors import RecipeError
from beamstop.identity import Identity, gen_dicom_uid
from beamstop.kskit.recipes import get_general_rule, get_rule, get_specific_rule
from beamstop.recipe.kskit import (
    KskitRecipe,
    PseudonymiseByVR,
    Verb,
    is_kskit_recipe,
    pseudonymise,
    read_kskit_recipe,
    resolve_chain,
    rule_set,
)
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.rules.operators import Context
from beamstop.rules.rules import Profile
from beamstop.standard.actions import Action

KEEP, REPLACE, EMPTY, REMOVE = Verb
IDENTITY = Identity(b"k" * 32)
OTHER_IDENTITY = Identity(b"o" * 32)

CODE_VALUE, CODE_MEANING = 0x00080100, 0x00080104
VIEW_CODES, REQUESTS, ANATOMY = 0x00540220, 0x00400275, 0x00082218

FLAT = {
    "0x00020000": ["FileMetaInformationGroupLength", "UL", "CONSERVER"],
    "0x00100010": ["PatientName", "PN", "EFFACER"],
    "0x0020000D": ["StudyInstanceUID", "UI", "PSEUDONYMISER"],
    "0x00209161": ["ConcatenationUID", "UI", "PSEUDONYMISER"],
}
NESTED = {
    "general_rules": {
        **FLAT,
        "0x00080100": ["CodeValue", "SH", "PSEUDONYMISER"],
        "0x00540220": ["ViewCodeSequence", "SQ", "CONSERVER"],
        "0x00400275": ["RequestAttributesSequence", "SQ", "RETIRER"],
        "0x50xxxxxx": ["CurveData", "-", "RETIRER"],
        "0x60xx3000": ["OverlayData", "OB/OW", "RETIRER"],
        "0x60xx4000": ["OverlayComments", "-", "RETIRER"],
        "0xggggeeee) where gggg is odd": ["Privateattributes", "-", "RETIRER"],
    },
    "specific_rules": {"0x00080100": {"sequence": "0x00540220", "rule": "CONSERVER"}},
}


def test_flat_form_is_read():
    assert read_kskit_recipe(FLAT) == KskitRecipe(
        {0x00020000: KEEP, 0x00100010: EMPTY, 0x0020000D: REPLACE, 0x00209161: REPLACE}
    )


def test_form_with_specific_rules_is_read():
    recipe = read_kskit_recipe(NESTED)
    assert recipe.general[CODE_VALUE] is REPLACE
    assert recipe.specific == {(VIEW_CODES, CODE_VALUE): KEEP}


def test_both_forms_are_told_from_our_own():
    assert is_kskit_recipe(FLAT)
    assert is_kskit_recipe(NESTED)
    assert not is_kskit_recipe({"profile": "basic", "options": []})


@pytest.mark.parametrize("key", ["0x0020000D", "0x0020000d", "0X0020000d"])
def test_hex_digits_match_in_either_case(key):
    recipe = read_kskit_recipe({key: ["StudyInstanceUID", "UI", "PSEUDONYMISER"]})
    assert get_rule("0x0020000D", recipe) is get_rule("0x0020000d", recipe) is REPLACE


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"0x0010001": ["PatientName", "PN", "EFFACER"]}, "0x0010001: .* is not a tag; write it like"),
        ({"PatientName": ["PatientName", "PN", "EFFACER"]}, "PatientName: .* is not a tag"),
        (
            {"0x00100010": ["PatientName", "PN", "FLOUTER"]},
            "0x00100010: 'FLOUTER' is not a verb; write one of CON",
        ),
        ({"0x00100010": ["PatientName", "EFFACER"]}, "0x00100010: not three entries; write it like"),
        ({"0x00100010": "EFFACER"}, "0x00100010: not three entries"),
        ({"0x50xxxxxx": ["CurveData", "-", "CONSERVER"]}, "0x50xxxxxx: curves, overlays .* write RETIRER"),
        (
            {"0x0020000D": ["a", "UI", "CONSERVER"], "0x0020000d": ["a", "UI", "RETIRER"]},
            "0x0020000d: listed twice",
        ),
        ({"general_rules": {}, "0x00100010": ["a", "PN", "RETIRER"]}, "'0x00100010': beside general_rules"),
        ({"general_rules": []}, "general_rules: not a mapping"),
        ({"specific_rules": {"0x00080100": "CONSERVER"}}, "0x00080100: not a sequence and a rule"),
        (
            {"specific_rules": {"0x00080100": {"sequence": "ViewCode", "rule": "CONSERVER"}}},
            "0x00080100: 'ViewCode' is not a tag",
        ),
    ],
)
def test_mistake_is_named_with_its_remedy(document, message):
    with pytest.raises(RecipeError, match=message):
        read_kskit_recipe(document)


@pytest.mark.parametrize("tag", [0x00100010, "0x00100010", "(0010,0010)", "00100010", "PatientName"])
def test_tags_are_numbers_or_text(tag):
    assert get_rule(tag, FLAT) == "EFFACER"
    specific = {"specific_rules": {"0x00100010": {"sequence": "0x00540220", "rule": "CONSERVER"}}}
    assert get_specific_rule(["0x00540220", tag], specific) == "CONSERVER"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("document", [FLAT, {"general_rules": FLAT, "specific_rules": {}}])
def test_fields_of_our_own_may_stand_beside_kskits(document):
    more = {"uids": {"method": "kskit", "root": "9.9.9.9.9"}, "text": {"authorized_words": ["RCC"]}}
    recipe = parse_recipe(json.dumps({**document, **more}))
    assert recipe.text_policy.authorized_words == ("RCC",)
    uid = "1.123.123.1234.123456.12345678"
    assert recipe.identity(bytes(32)).uid(uid) == gen_dicom_uid("", uid, "9.9.9.9.9")
    assert recipe.kskit == document


def test_documented_rules_of_a_known_and_an_unknown_tag():
    recipe = read_kskit_recipe(FLAT)
    assert get_rule("0x00020000", recipe) == "CONSERVER"
    assert get_rule("0x00026666", recipe) == "RETIRER"


@pytest.mark.parametrize("tag", [0x50000010, 0x50FE3000, 0x60003000, 0x601E4000, 0x00110010, 0x00191008])
def test_curves_overlays_and_private_attributes_are_removed_even_when_listed(tag):
    assert get_general_rule(tag, KskitRecipe({tag: KEEP})) is REMOVE


def test_specific_rule_holds_at_any_depth_inside_its_sequence():
    recipe = read_kskit_recipe(NESTED)
    assert get_specific_rule((VIEW_CODES, CODE_VALUE), recipe) is KEEP
    assert get_specific_rule((VIEW_CODES, ANATOMY, CODE_VALUE), recipe) is KEEP
    assert get_specific_rule((ANATOMY, CODE_VALUE), recipe) is None
    assert get_specific_rule((CODE_VALUE,), recipe) is None


@pytest.mark.parametrize(("sequence", "leaf"), list(product(Verb, Verb)))
def test_strictest_verb_of_the_chain_wins(sequence, leaf):
    recipe = KskitRecipe({ANATOMY: sequence, CODE_VALUE: leaf})
    strictest = max(sequence, leaf, key=[KEEP, REPLACE, EMPTY, REMOVE].index)
    expected = sequence if sequence in (REMOVE, EMPTY) else strictest  # gone with its sequence
    assert resolve_chain((ANATOMY, CODE_VALUE), recipe) is expected


def test_specific_rule_overrides_the_chain():
    recipe = KskitRecipe({VIEW_CODES: REPLACE, CODE_VALUE: REMOVE}, {(VIEW_CODES, CODE_VALUE): KEEP})
    assert resolve_chain((VIEW_CODES, CODE_VALUE), recipe) is KEEP


@pytest.mark.parametrize("gone", [REMOVE, EMPTY])
def test_specific_rule_brings_nothing_back_from_a_sequence_that_is_gone(gone):
    recipe = KskitRecipe(
        {REQUESTS: gone, VIEW_CODES: KEEP, CODE_VALUE: REMOVE}, {(VIEW_CODES, CODE_VALUE): KEEP}
    )
    assert resolve_chain((REQUESTS, VIEW_CODES, CODE_VALUE), recipe) is gone


def walk(profile: Profile, chain: tuple[int, ...]) -> Verb | None:
    """What becomes of an attribute when sequences are visited from the top; None: gone with one of them."""
    for end in range(1, len(chain) + 1):
        rule = profile.rule_for(chain[:end])
        code = "X" if rule is None else rule.code
        if code in {"X", "Z"}:
            return None if end < len(chain) else REMOVE if code == "X" else EMPTY
    return REPLACE if rule is not None and isinstance(rule.operation, PseudonymiseByVR) else KEEP


def test_rules_walk_as_the_chain_resolves():
    """Every chain of up to three tags, under 200 recipes drawn at random with a fixed seed."""
    draw = random.Random(7)
    leaves, sequences = (CODE_VALUE, CODE_MEANING), (VIEW_CODES, REQUESTS, ANATOMY)
    chains = [
        (*around, leaf)
        for depth in range(3)
        for around in product(sequences, repeat=depth)
        for leaf in leaves
    ]
    for _ in range(200):
        general = {tag: draw.choice(list(Verb)) for tag in (*leaves, *sequences) if draw.random() < 0.8}
        specific = (
            {(draw.choice(sequences), CODE_VALUE): draw.choice(list(Verb))} if draw.random() < 0.5 else {}
        )
        recipe = KskitRecipe(general, specific)
        profile = Profile([rule_set(recipe)])
        for chain in chains:
            resolved = resolve_chain(chain, recipe)
            gone = {get_rule(tag, recipe) for tag in chain[:-1]} & {EMPTY, REMOVE}
            assert walk(profile, chain) is (None if gone else resolved)
            assert resolved in (EMPTY, REMOVE) or not gone


def test_pixel_data_under_pseudonymiser_is_left_to_hide_text():
    profile = Profile([rule_set(KskitRecipe({0x7FE00010: REPLACE}))])
    rule = profile.rule_for((0x7FE00010,))
    assert rule is not None
    assert rule.operation is Action.K


def test_rules_are_retrieved_from_kskit_s_document_itself():
    document = {
        "general_rules": FLAT,
        "specific_rules": {"0x00080100": {"sequence": "0x00540220", "rule": "CONSERVER"}},
    }
    for recipe in (FLAT, document, read_kskit_recipe(document)):
        assert [get_rule(tag, recipe) for tag in ("0x00100010", "0x0020000d", 0x00189999)] == [
            EMPTY,
            REPLACE,
            REMOVE,
        ]
    assert get_specific_rule([VIEW_CODES, CODE_VALUE], document) is KEEP
    assert get_specific_rule([VIEW_CODES, CODE_VALUE], FLAT) is None


def test_uid_of_the_documentation_comes_out():
    assert gen_dicom_uid("", "1.123.123.1234.123456.12345678", "9.9.9.9.9") == (
        "9.9.9.9.9.474079559915109435636573090782"
    )


def test_uid_of_the_documentation_comes_out_of_a_recipe_that_asks_for_it():
    with pytest.warns(UserWarning, match="uids: method kskit has no key"):
        recipe = parse_recipe("uids: {method: kskit, root: 9.9.9.9.9}")
    identity = recipe.identity(b"k" * 32)
    assert pseudonymise("UI", 0x00209161, "1.123.123.1234.123456.12345678", identity) == (
        "9.9.9.9.9.474079559915109435636573090782"
    )


@pytest.mark.parametrize(
    ("vr", "tag", "value", "expected"),
    [
        ("DA", 0x00100030, "19701224", "19700101"),
        ("DT", 0x0008002A, "20200704123456.5+0200", "20200101"),
        ("DA", 0x00100030, "summer", ""),
        ("TM", 0x00080030, "123456", "000000"),
        ("TM", 0x00080030, "", ""),
        ("PN", 0x00100010, "", ""),
        ("OB", 0x00340007, b"2020", b"2022-01-01T00:00:00\0"),
        ("LT", 0x00104000, "any comment", None),
        ("OW", 0x00281201, b"12", None),
    ],
)
def test_fixed_results_of_pseudonymiser(vr, tag, value, expected):
    assert pseudonymise(vr, tag, value, IDENTITY) == expected


@pytest.mark.parametrize(
    ("vr", "tag"), [("PN", 0x00100010), ("LO", 0x00100020), ("SH", 0x00080050), ("LO", 0x00181000)]
)
def test_pseudonyms_are_keyed(vr, tag):
    """The same for every file under one key, another under another, the value not in it."""
    first = pseudonymise(vr, tag, "Doe^Jane", IDENTITY)
    assert isinstance(first, str)
    assert first == pseudonymise(vr, tag, "Doe^Jane", IDENTITY)
    assert first != pseudonymise(vr, tag, "Doe^John", IDENTITY)
    assert first != pseudonymise(vr, tag, "Doe^Jane", OTHER_IDENTITY)
    assert "DOE" not in first.upper().split("^")
    assert len(first.rpartition("^")[2]) == 16
    assert first.startswith("PATIENT^") == (vr == "PN")


def test_identifiers_of_flows_and_sources_are_keyed():
    flow = pseudonymise("OB", 0x00340005, b"camera", IDENTITY)
    assert isinstance(flow, bytes)
    assert len(flow) == 16
    source = pseudonymise("UC", 0x00189367, "tube", IDENTITY)
    assert isinstance(source, str)
    assert int(source, 16) < 2**128


def test_operator_replaces_each_of_several_values():
    context = Context(IDENTITY, Dataset(), (0x00080022,), 0, str)
    element = DataElement(0x00080022, "DA", ["20200704", "19991231"])
    result = PseudonymiseByVR().apply(element, context)
    assert result is not None
    assert list(result.value) == ["20200101", "19990101"]


def test_operator_removes_what_has_no_stand_in():
    context = Context(IDENTITY, Dataset(), (0x00104000,), 0, str)
    assert PseudonymiseByVR().apply(DataElement(0x00104000, "LT", "words"), context) is None


def test_operator_leaves_the_first_of_january_as_it_is():
    context = Context(IDENTITY, Dataset(), (0x00080020,), 0, str)
    element = DataElement(0x00080020, "DA", "20170101")
    assert PseudonymiseByVR().apply(element, context) is element


def test_a_verb_can_be_asked_of_any_recipe() -> None:
    document = '{"0x0020000D": ["StudyInstanceUID", "UI", "PSEUDONYMISER"]}'
    loaded, ours = parse_recipe(document), load_recipe("basic")
    tags = ("0x0020000D", "0x00026666", "0x00100010", "0x00101000", "0x00280010", "0x00111001")
    verbs = [[get_rule(tag, recipe).value for tag in tags] for recipe in (loaded, ours)]
    assert verbs == [
        ["PSEUDONYMISER", "RETIRER", "RETIRER", "RETIRER", "RETIRER", "RETIRER"],
        ["PSEUDONYMISER", "RETIRER", "EFFACER", "RETIRER", "CONSERVER", "RETIRER"],
    ]


def test_pseudonymiser_leaves_a_sop_class_newer_than_the_table_in_its_attribute_alone():
    newer, identity = "1.2.840.10008.5.1.4.1.1.999", Identity(b"k" * 32)
    assert pseudonymise("UI", 0x00080016, newer, identity) == newer
    assert pseudonymise("UI", 0x00080018, newer, identity) == identity.uid(newer) != newer
