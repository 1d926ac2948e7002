"""What stays has to be what it claims to be: numbers, times, repeating groups, elements, pictures."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from beamstop import deidentify, load_recipe, parse_recipe
from beamstop.errors import Quarantined
from beamstop.testing import GREY_BYTES, as_bytes, load_no_text_detector

KEY = bytes(range(32))
MakeDataset = Callable[..., FileDataset]
RECIPES = ["basic", "default", "research", "strict"]


def cleaned(dataset: FileDataset, recipe: str) -> Any:
    read = dcmread(BytesIO(as_bytes(dataset)))
    return deidentify(read, load_recipe(recipe), KEY, load_no_text_detector).dataset


def put(dataset: Dataset, tag: int, vr: str, value: bytes) -> None:
    value += b" " * (len(value) % 2)
    dataset._dict[BaseTag(tag)] = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)


KVP, EXPOSURE, ACQUISITION_NUMBER, CONTENT_TIME = 0x00180060, 0x00181152, 0x00200012, 0x00080033


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("tag", "vr", "value", "stays"),
    [
        (KVP, "DS", b"Grabowski 12", False),
        (KVP, "DS", b"3.4.1950", False),
        (KVP, "DS", b"120\\Anna", False),
        (KVP, "DS", b"120 kV Anna", False),
        (KVP, "DS", b"120.5", True),
        (KVP, "DS", b" -1.2E-3 ", True),
        (KVP, "DS", b"1,5", True),
        (KVP, "DS", b"nan", True),
        (EXPOSURE, "IS", b"12.0", True),
        (EXPOSURE, "IS", b"4.1", True),
        (EXPOSURE, "IS", b"456115117112105110101", True),
        (EXPOSURE, "IS", b"12 May", False),
    ],
)
def test_a_number_is_kept_and_what_is_none_is_not(
    make_dataset: MakeDataset, syntax: str, recipe: str, tag: int, vr: str, value: bytes, stays: bool
) -> None:
    dataset = make_dataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    put(dataset, tag, vr, value)
    found = cleaned(dataset, recipe)._dict.get(BaseTag(tag))
    kept = None if found is None else found.value
    assert (bool(kept) and kept.strip() == value.strip()) == stays
    assert stays or not kept


@pytest.mark.parametrize(
    "value", [b"20210906", b"2021-09-06", b"19610317", b"10h15 Anna", b"101530.20210906", b"251530"]
)
def test_a_time_that_is_none_goes(make_dataset: MakeDataset, value: bytes) -> None:
    dataset = make_dataset(StudyDate="20210906", PatientBirthDate="19610317")
    put(dataset, CONTENT_TIME, "TM", value)
    assert not cleaned(dataset, "research").ContentTime


@pytest.mark.parametrize("value", [b"101530", b"10", b"1015", b"101530.123456", b"10:15:30", b"235960"])
def test_a_time_stays(make_dataset: MakeDataset, value: bytes) -> None:
    dataset = make_dataset()
    put(dataset, CONTENT_TIME, "TM", value)
    assert cleaned(dataset, "research").ContentTime.encode() == value


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("number", [b"19610317", b"5550123"])
def test_a_number_that_is_an_own_date_or_identifier_goes(
    make_dataset: MakeDataset, recipe: str, number: bytes
) -> None:
    dataset = make_dataset(PatientBirthDate="19610317", AccessionNumber="5550123")
    put(dataset, ACQUISITION_NUMBER, "IS", number)
    put(dataset, KVP, "DS", b"120\\" + number)
    clean = cleaned(dataset, recipe)
    assert (clean.get("AcquisitionNumber"), clean.get("KVP")) in [(None, None), ("", "")]


@pytest.mark.parametrize(
    "number", ["5550123.0", "+5550123", "005550123", "5.550123e6", "5550123.", "5550123,00"]
)
def test_a_number_is_an_own_identifier_however_it_is_written(make_dataset: MakeDataset, number: str) -> None:
    for accession in ("5550123", "05550123"):
        dataset = make_dataset(AccessionNumber=accession)
        put(dataset, KVP, "DS", number.encode())
        assert not cleaned(dataset, "default").get("KVP")
    dataset = make_dataset(AccessionNumber="5550124")
    put(dataset, KVP, "DS", number.encode())
    assert cleaned(dataset, "default").get("KVP")


@pytest.mark.parametrize(
    ("identifier", "number", "stays"),
    [
        ("0", "00000", True),
        ("000", "000000", True),
        ("1", "00001", True),
        ("123", "00123", True),
        ("1234", "01234", False),
        ("00123", "00123", False),
    ],
)
def test_a_count_behind_zeros_is_no_short_identifier(
    make_dataset: MakeDataset, identifier: str, number: str, stays: bool
) -> None:
    dataset = make_dataset(AccessionNumber=identifier)
    put(dataset, ACQUISITION_NUMBER, "IS", number.encode())
    assert bool(cleaned(dataset, "default").get_item(ACQUISITION_NUMBER).value) is stays


@pytest.mark.parametrize(("vr", "tag"), [("US", 0x00189004), ("FD", 0x00189073), ("OF", 0x00181638)])
def test_letters_in_the_bytes_of_numbers_are_found(make_dataset: MakeDataset, vr: str, tag: int) -> None:
    dataset = make_dataset(PatientName="Quessenbrand^Ann")
    dataset.add(RawDataElement(BaseTag(tag), vr, 16, b"Quessenbrand\0\0\0\0", 0, False, True))
    with pytest.raises(Quarantined, match="leak"):
        cleaned(dataset, "research")


def test_letters_in_a_table_of_offsets_without_frames_are_found(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(PatientName="Quessenbrand^Ann")
    put(dataset, 0x7FE00001, "OV", b"Quessenbrand    ")
    with pytest.raises(Quarantined, match="leak"):
        cleaned(dataset, "basic")


@pytest.mark.parametrize("group", [0x5001, 0x50F1, 0x6001, 0x60FF])
def test_odd_groups_beside_curves_and_overlays_are_private(make_dataset: MakeDataset, group: int) -> None:
    dataset = make_dataset()
    dataset.add_new((group, 0x0010), "LO", "MAKER")
    dataset.add_new((group, 0x1001), "LO", "Roe^Jane")
    for recipe in RECIPES:
        assert not [it for it in cleaned(dataset, recipe) if it.tag.group == group]


@pytest.mark.parametrize("element", [0xE000, 0xE00D, 0xE0DD])
def test_delimiters_are_no_elements(make_dataset: MakeDataset, element: int) -> None:
    dataset = make_dataset()
    put(dataset, 0xFFFE0000 | element, "LO", b"Haverlandt")
    for recipe in RECIPES:
        clean = deidentify(dataset, load_recipe(recipe), KEY, load_no_text_detector).dataset
        assert not [tag for tag in clean._dict if tag >> 16 == 0xFFFE]


def test_pictures_in_items_go_unless_they_are_icons(make_dataset: MakeDataset) -> None:
    item, icon = Dataset(), Dataset()
    for it in (item, icon):
        it.Rows = it.Columns = 2
        for keyword, value in GREY_BYTES.items():
            setattr(it, keyword, value)
        it["PixelData"] = DataElement("PixelData", "OB", bytes(range(4)))
    item.CodeMeaning = "Breast"
    dataset = make_dataset(AnatomicRegionSequence=[item], IconImageSequence=[icon])
    clean = deidentify(dataset, parse_recipe("attributes: {IconImageSequence: K}"), KEY).dataset
    assert "PixelData" not in clean.AnatomicRegionSequence[0]
    assert clean.IconImageSequence[0].PixelData == bytes(range(4))


@pytest.mark.parametrize("recipe", RECIPES)
def test_overlay_planes_in_items_go(make_dataset: MakeDataset, recipe: str) -> None:
    """No module has them there, and nobody looks at them; not in an icon either."""
    item = Dataset()
    for element, vr, value in (
        (0x10, "US", 8),
        (0x11, "US", 8),
        (0x40, "CS", "G"),
        (0x3000, "OW", b"RoeRoe."),
    ):
        item.add_new((0x6000, element), vr, value)
    dataset = make_dataset(
        AnatomicRegionSequence=[item], ReferencedImageSequence=[item], IconImageSequence=[item]
    )
    clean = deidentify(dataset, load_recipe(recipe), KEY, load_no_text_detector).dataset
    assert not [it for it in clean.iterall() if it.tag.group == 0x6000]
    assert b"RoeRoe" not in as_bytes(clean)


def test_the_icon_of_an_icon_goes(make_dataset: MakeDataset) -> None:
    """Icons are looked at; what is in their items is not."""
    inner, icon = Dataset(), Dataset()
    for it in (inner, icon):
        it.Rows = it.Columns = 2
        for keyword, value in GREY_BYTES.items():
            setattr(it, keyword, value)
        it["PixelData"] = DataElement("PixelData", "OB", bytes(range(4)))
    icon.IconImageSequence = [inner]
    icon.ReferencedImageSequence = [Dataset(inner)]
    dataset = make_dataset(IconImageSequence=[icon])
    clean = deidentify(dataset, parse_recipe("attributes: {IconImageSequence: K}"), KEY).dataset
    (outer,) = clean.IconImageSequence
    assert "PixelData" in outer
    assert [it.keyword for it in outer.iterall() if it.keyword == "PixelData"] == ["PixelData"]


@pytest.mark.parametrize("tag", [0x7F000010, 0x7FE00020, 0x7FFE0010])
def test_retired_pixel_data_go_even_if_unknown_elements_stay(make_dataset: MakeDataset, tag: int) -> None:
    dataset = make_dataset(Manufacturer="ACME")
    dataset.add_new(tag, "OW", bytes(range(64)))
    recipe = parse_recipe("profile: none\nunknown: keep")
    clean = deidentify(dataset, recipe, KEY, load_no_text_detector).dataset
    assert tag not in clean
    assert clean.Manufacturer == "ACME"


@pytest.mark.parametrize("recipe", RECIPES)
def test_bytes_behind_the_last_frame_are_cut_whatever_the_picture_is(
    make_dataset: MakeDataset, recipe: str
) -> None:
    pixels = np.arange(64, dtype=np.uint8).tobytes()
    for sop_class in (
        "1.2.840.10008.5.1.4.1.1.66.4",
        "1.2.840.10008.5.1.4.1.1.481.2",
        "1.2.840.10008.5.1.4.1.1.2",
    ):
        knee = {"BodyPartExamined": "KNEE", "SOPClassUID": sop_class, "Modality": "OT"}
        dataset = make_dataset(Rows=8, Columns=8, **GREY_BYTES, **knee)
        dataset["PixelData"] = DataElement("PixelData", "OB", pixels + b"Haverlandt")
        assert cleaned(dataset, recipe).PixelData == pixels
