"""The physics of a CSA header is kept as elements of its own, identifiers and what cannot be read are not."""

import struct

import pytest

import beamstop
from beamstop.identity import Identity
from beamstop.rules.csa_headers import csa_physics
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.testing import make_instance

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


def instance(data):
    dataset = make_instance(Modality="MR", Manufacturer="SIEMENS")
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


@pytest.mark.parametrize(
    "values",
    [
        {"B_value": ["Roe^Jane"]},
        {"B_value": ["1", "2"]},
        {"DiffusionDirectionality": ["Roe Jane"]},
        {"DiffusionGradientDirection": ["1", "0", "Roe"]},
        {"B_value": []},
    ],
)
def test_what_is_no_value_of_its_kind_is_left_out(values):
    assert kept(header(**values)) == {}


@pytest.mark.parametrize("cut", range(4, 200, 7))
def test_a_header_that_ends_early_says_nothing(cut):
    assert kept(header(B_value=["1000"], RealDwellTime=["2600"])[:cut]) == {}


def test_an_element_of_the_file_is_not_overwritten_and_the_header_goes():
    dataset = instance(header(B_value=["1000"], RealDwellTime=["2600"], PatientName=["Roe^Jane"]))
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", 50)
    apply_recipe(dataset, RESEARCH, Identity(b"k" * 32))
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER")
    assert (block[0x0C].value, block[0x18].value) == (50, 2600)
    assert not any(element.tag.group == 0x0029 for element in dataset)


def test_recipes_that_keep_no_private_element_add_none():
    dataset = instance(header(B_value=["1000"]))
    apply_recipe(dataset, beamstop.load_recipe("default"), Identity(b"k" * 32))
    assert not any(element.tag.is_private for element in dataset)
