"""The physics of a CSA header is kept as elements of its own, identifiers and what cannot be read are not."""

import struct

import pytest
from pydicom._private_dict import private_dictionaries

import beamstop
from beamstop.dicom.files import encode
from beamstop.identity import Identity
from beamstop.recipe.load import parse_recipe
from beamstop.rules.csa_headers import csa_physics
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.testing import make_instance

KEY = b"k" * 32
RESEARCH = beamstop.load_recipe("research")


def header(**values):
    parts = [b"SV10\4\3\2\1", struct.pack("<II", len(values), 77)]
    for name, texts in values.items():
        parts.append(struct.pack("<64si4siii", name.encode(), len(texts), b"LO", 0, len(texts), 77))
        for text in texts:
            item = text.encode() + b"\0"
            parts.append(
                struct.pack("<4i", len(item), len(item), 77, len(item)) + item + b"\0" * (-len(item) % 4)
            )
    return b"".join(parts)


def instance(data, **attributes):
    dataset = make_instance(Modality="MR", Manufacturer="SIEMENS", **attributes)
    dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", data)
    return dataset


def kept(data):
    return {value.element: value.value for value in csa_physics(instance(data))}


def test_numbers_of_the_acquisition_are_found():
    data = header(
        B_value=["1000"],
        DiffusionGradientDirection=["0.5", "-0.5", "0.70710678"],
        MosaicRefAcqTimes=["0.0", "52.5"],
        DiffusionDirectionality=["DIRECTIONAL"],
        PatientName=["Roe^Jane"],
    )
    assert kept(data) == {
        0x0C: 1000,
        0x0E: [0.5, -0.5, 0.70710678],
        0x29: [0.0, 52.5],
        0x0D: "DIRECTIONAL",
    }


# As pydicom's private dictionary has them: element, VR, how many values. It has neither many times nor SDI.
ELEMENTS = {
    entry[2]: (int(tag[:4], 16), int(tag[6:], 16), entry[0], int(entry[1]))
    for tag, entry in private_dictionaries["SIEMENS MR HEADER"].items()
} | {"PhaseEncodingDirectionPositive": (0x0021, 0x1C, "IS", 1)}


@pytest.mark.parametrize(
    "name",
    [
        "NumberOfImagesInMosaic",
        "SliceMeasurementDuration",
        "B_value",
        "DiffusionDirectionality",
        "DiffusionGradientDirection",
        "ImaRelTablePosition",
        "TimeAfterStart",
        "RealDwellTime",
        "B_matrix",
        "BandwidthPerPixelPhaseEncode",
        "MosaicRefAcqTimes",
        "PhaseEncodingDirectionPositive",
    ],
)
def test_each_value_becomes_the_element_that_the_vendor_has_for_it(name):
    group, element, vr, many = ELEMENTS[name]
    text = "NONE" if vr == "CS" else "1"
    (found,) = csa_physics(instance(header(**{name: [text] * many})))
    assert (found.group, found.element, found.vr) == (group, element, vr)
    for others in (many - 1, many + 1):
        is_found = bool(csa_physics(instance(header(**{name: [text] * others}))))
        assert is_found == (name == "MosaicRefAcqTimes" and others > 0)


@pytest.mark.parametrize(
    "values",
    [
        {"B_value": ["Roe^Jane"]},
        {"B_value": ["1", "2"]},
        {"DiffusionDirectionality": ["Roe Jane"]},
        {"DiffusionGradientDirection": ["1", "0", "Roe"]},
        {"B_value": []},
        {"B_value": ["1000.5"]},
        {"B_value": ["2147483648"]},
        {"B_value": ["1e999"]},
        {"NumberOfImagesInMosaic": ["65536"]},
        {"NumberOfImagesInMosaic": ["-1"]},
        {"TimeAfterStart": ["1e999"]},
        {"DiffusionDirectionality": ["GRABOWSKI"]},
        {"DiffusionDirectionality": ["directional"]},
    ],
)
def test_what_is_no_value_of_its_kind_is_left_out(values):
    assert kept(header(**values)) == {}


def test_one_value_that_cannot_be_held_leaves_the_others():
    data = header(NumberOfImagesInMosaic=["5503177"], B_value=["1e999"], RealDwellTime=["2600"])
    dataset = instance(data)
    apply_recipe(dataset, RESEARCH, Identity(KEY))
    assert encode(dataset).data
    assert [(it.tag, it.value) for it in dataset if it.tag.group == 0x0019] == [
        (0x00190010, "SIEMENS MR HEADER"),
        (0x00191018, 2600),
    ]


def test_a_long_decimal_is_rounded_and_not_cut():
    assert kept(header(TimeAfterStart=["1.2345678901234567e-5"])) == {0x16: "1.23456789e-05"}


@pytest.mark.parametrize("term", ["DIRECTIONAL", "ISOTROPIC", "NONE", "BMATRIX"])
@pytest.mark.parametrize("recipe", ["research", "tcia"])
def test_the_vendors_terms_stay(term, recipe):
    dataset = instance(header(DiffusionDirectionality=[term]))
    apply_recipe(dataset, beamstop.load_recipe(recipe), Identity(KEY))
    assert dataset.private_block(0x0019, "SIEMENS MR HEADER")[0x0D].value == term


@pytest.mark.parametrize("number", ["5503177", "5503177.0", "5.503177e6", "20210906"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("RealDwellTime", ["{}"]),
        ("B_value", ["{}"]),
        ("TimeAfterStart", ["{}"]),
        ("BandwidthPerPixelPhaseEncode", ["{}"]),
        ("ImaRelTablePosition", ["0", "{}", "0"]),
        ("B_matrix", ["0", "0", "0", "{}", "0", "0"]),
        ("MosaicRefAcqTimes", ["0.5"] * 2000 + ["{}"]),
    ],
)
def test_a_value_that_is_an_own_identifier_or_date_is_left_out(number, name, values):
    texts = [value.format(number) for value in values]
    dataset = instance(header(**{name: texts}), PatientID="5503177", PatientBirthDate="20210906")
    report = apply_recipe(dataset, RESEARCH, Identity(KEY))
    assert not any(element.tag.is_private for element in dataset)
    assert not [it for it in report.changes if it.rule == "beamstop:physics of a CSA header"]


def test_a_rule_for_the_element_holds_for_what_is_added():
    rule = "options: [retain-safe-private]\nattributes: {'(0019,[SIEMENS MR HEADER]18)': X}"
    dataset = instance(header(B_value=["1000"], RealDwellTime=["2600"]))
    apply_recipe(dataset, parse_recipe(rule), Identity(KEY))
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER")
    assert (0x0C in block, 0x18 in block) == (True, False)


def test_what_is_added_is_counted_once_and_has_one_row():
    dataset = instance(header(B_value=["1000"], DiffusionDirectionality=["DIRECTIONAL"]))
    dataset.add_new(0x00190010, "LO", "SIEMENS MR HEADER")  # a block of nothing
    before = len(dataset)
    report = apply_recipe(dataset, RESEARCH, Identity(KEY))
    assert len({change.path for change in report.changes}) == len(report.changes)
    counted = report.removed + report.emptied + report.replaced + report.kept
    assert counted == before + 2 + 1  # and the file meta


def test_a_group_without_a_free_block_takes_nothing():
    dataset = instance(header(B_value=["1000"]))
    for block in range(0x10, 0x100):
        dataset.add_new(0x00190000 | block, "LO", f"MAKER {block}")
    apply_recipe(dataset, RESEARCH, Identity(KEY))
    assert not any(element.tag.is_private for element in dataset)


@pytest.mark.parametrize("cut", range(4, 200, 7))
def test_a_header_that_ends_early_says_nothing(cut):
    assert kept(header(B_value=["1000"], RealDwellTime=["2600"])[:cut]) == {}


def test_an_element_of_the_file_is_not_overwritten_and_the_header_goes():
    dataset = instance(header(B_value=["1000"], RealDwellTime=["2600"], PatientName=["Roe^Jane"]))
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", 50)
    apply_recipe(dataset, RESEARCH, Identity(KEY))
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER")
    assert (block[0x0C].value, block[0x18].value) == (50, 2600)
    assert not any(element.tag.group == 0x0029 for element in dataset)


def test_recipes_that_keep_no_private_element_add_none():
    dataset = instance(header(B_value=["1000"]))
    apply_recipe(dataset, beamstop.load_recipe("default"), Identity(KEY))
    assert not any(element.tag.is_private for element in dataset)
