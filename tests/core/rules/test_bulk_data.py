"""Bulk data beside the pixels: what nobody looks at stays only where it belongs, as long as it says."""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_palette_files
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset

from beamstop import deidentify, encode
from beamstop.errors import Quarantined
from beamstop.identity import Identity
from beamstop.recipe.load import load_recipe, parse_recipe, recipe_names
from beamstop.rules.bulk_data import has_no_place, is_unseen_picture
from beamstop.rules.icc_profiles import clean_icc_profile
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.testing import GREY_BYTES, as_bytes, load_no_text_detector

KEY = bytes(range(32))
ECG, VOICE, CT, SURFACE, SPECTRA = (
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("9.1.1", "9.4.1", "2", "66.5", "4.2")
)
MakeDataset = Callable[..., FileDataset]
RECIPES = ("default", "basic", "research")
NOISE = np.random.default_rng(3).integers(0, 1 << 16, 1 << 16, dtype=np.uint16)


def clean(dataset: FileDataset, recipe: str = "default") -> Dataset:
    return deidentify(dataset, load_recipe(recipe), KEY, load_no_text_detector).dataset


def waveform(data: bytes, **more: Any) -> Dataset:
    item = Dataset()
    item.NumberOfWaveformChannels, item.NumberOfWaveformSamples, item.WaveformBitsAllocated = 2, 10, 16
    item.WaveformSampleInterpretation = "SS"
    item["WaveformData"] = DataElement("WaveformData", "OW", data)
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_ecg_keeps_its_waveform_to_the_byte(make_dataset: MakeDataset, recipe: str) -> None:
    data = bytes(range(40))
    found = clean(make_dataset(SOPClassUID=ECG, Modality="ECG", WaveformSequence=[waveform(data)]), recipe)
    assert found.WaveformSequence[0].WaveformData == data


def test_bytes_behind_a_waveform_are_cut(make_dataset: MakeDataset) -> None:
    data = bytes(range(40))
    dataset = make_dataset(SOPClassUID=ECG, Modality="ECG", WaveformSequence=[waveform(data + b"a picture!")])
    assert clean(dataset).WaveformSequence[0].WaveformData == data


def test_of_a_waveform_that_does_not_say_how_long_it_is_nothing_stays(make_dataset: MakeDataset) -> None:
    item = waveform(bytes(40), NumberOfWaveformSamples=None)
    found = clean(make_dataset(SOPClassUID=ECG, Modality="ECG", WaveformSequence=[item]))
    assert found.WaveformSequence[0].WaveformData == b"\0\0"  # of Type 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_waveform_in_an_image_goes(make_dataset: MakeDataset, recipe: str) -> None:
    dataset = make_dataset(SOPClassUID=CT, WaveformSequence=[waveform(bytes(40))])
    assert "WaveformSequence" not in clean(dataset, recipe)


def test_a_waveform_in_an_item_goes(make_dataset: MakeDataset) -> None:
    item = Dataset()
    item.WaveformSequence = [waveform(bytes(40))]
    found = clean(make_dataset(SOPClassUID=ECG, Modality="ECG", AnatomicRegionSequence=[item]))
    assert "WaveformSequence" not in found.AnatomicRegionSequence[0]


def test_a_voice_is_quarantined(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(SOPClassUID=VOICE, Modality="AU", WaveformSequence=[waveform(bytes(40))])
    with pytest.raises(Quarantined, match="payload_uncleanable"):
        clean(dataset)


def test_what_a_recipe_names_stays_as_the_recipe_says(make_dataset: MakeDataset) -> None:
    recipe = parse_recipe("attributes: {WaveformSequence: K}")
    dataset = make_dataset(SOPClassUID=CT, WaveformSequence=[waveform(bytes(40))])
    assert "WaveformSequence" in deidentify(dataset, recipe, KEY).dataset


def palette(
    make_dataset: MakeDataset, descriptor: list[int], data: bytes, name: str = "", **more: Any
) -> FileDataset:
    dataset = make_dataset(SOPClassUID=CT, **more)
    dataset.RedPaletteColorLookupTableDescriptor = descriptor
    keyword = f"{name}RedPaletteColorLookupTableData"
    dataset[keyword] = DataElement(keyword, "OW", data)
    return dataset


RAMP = np.arange(1 << 16, dtype=np.uint16).tobytes()


@pytest.mark.parametrize(
    ("descriptor", "data", "stays"),
    [
        ([256, 0, 16], RAMP[:512], 512),
        ([256, 0, 16], RAMP[:4096], 512),
        ([256, 0, 8], bytes(range(256)), 256),
        ([256, 0, 8], bytes(range(256)) + b"hidden", 256),
        ([256, 0, 8], bytes(512), 512),
        ([256, 0, 8], bytes(600), 512),
        ([255, 0, 8], bytes(256), 256),
        ([0, 0, 16], RAMP, 1 << 17),
        ([256, 0, 16], RAMP[:100], 100),
    ],
)
def test_a_palette_is_as_long_as_its_descriptor_says(
    make_dataset: MakeDataset, descriptor: list[int], data: bytes, stays: int
) -> None:
    found = clean(palette(make_dataset, descriptor, data))
    assert found.RedPaletteColorLookupTableData == data[:stays]


def test_a_palette_that_nothing_describes_goes(make_dataset: MakeDataset) -> None:
    dataset = palette(make_dataset, [256, 0, 16], RAMP[:512])
    del dataset.RedPaletteColorLookupTableDescriptor
    assert "RedPaletteColorLookupTableData" not in clean(dataset)


def test_a_picture_in_a_palette_that_no_pixel_is_coloured_by_goes(make_dataset: MakeDataset) -> None:
    assert "RedPaletteColorLookupTableData" not in clean(palette(make_dataset, [0, 0, 16], NOISE.tobytes()))


def test_a_picture_in_every_other_entry_of_a_palette_of_8_bits_goes(make_dataset: MakeDataset) -> None:
    """Taken for words of 16 bits, whose high bytes go up and down slowly, it would be a curve."""
    entries = NOISE[:4096].astype(np.uint8)
    entries[1::2] = np.abs(np.arange(2048) % 510 - 255)
    assert "RedPaletteColorLookupTableData" not in clean(
        palette(make_dataset, [4096, 0, 8], entries.tobytes())
    )


def test_any_palette_stays_that_the_pixels_are_coloured_by(make_dataset: MakeDataset) -> None:
    dataset = palette(make_dataset, [0, 0, 16], NOISE.tobytes(), PhotometricInterpretation="PALETTE COLOR")
    assert clean(dataset, "basic").RedPaletteColorLookupTableData == NOISE.tobytes()


SEGMENTS = struct.pack("<5H3H4H", 0, 3, 1, 2, 3, 1, 5, 40, 2, 2, 0, 0)  # 3, then a line of 5, then both again


@pytest.mark.parametrize("behind", [b"", b"a picture!"])
def test_a_segmented_palette_ends_where_its_entries_do(make_dataset: MakeDataset, behind: bytes) -> None:
    found = clean(palette(make_dataset, [16, 0, 16], SEGMENTS + behind, "Segmented"))
    assert found.SegmentedRedPaletteColorLookupTableData == SEGMENTS


@pytest.mark.parametrize(
    "data", [SEGMENTS[:-2], b"", b"\7\0" * 20, struct.pack("<2H", 0, 0) * 9, SEGMENTS[10:] * 3]
)
def test_a_segmented_palette_that_is_none_goes(make_dataset: MakeDataset, data: bytes) -> None:
    found = clean(palette(make_dataset, [16, 0, 16], data, "Segmented"))
    assert not found.get("SegmentedRedPaletteColorLookupTableData")


def test_a_window_table_is_as_long_as_its_descriptor_says(make_dataset: MakeDataset) -> None:
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation = [4, 0, 16], "sigmoid"
    item["LUTData"] = DataElement("LUTData", "US", [1, 2, 3, 4, 5, 6])
    assert list(clean(make_dataset(VOILUTSequence=[item])).VOILUTSequence[0].LUTData) == [1, 2, 3, 4]


def test_a_window_table_of_32768_entries_over_signed_pixels_stays(make_dataset: MakeDataset) -> None:
    """Only the second number of its descriptor has the sign that the VR claims for all three."""
    item, curve = Dataset(), np.arange(32768, dtype="<u2").tobytes()
    item["LUTDescriptor"] = DataElement("LUTDescriptor", "SS", [32768, -1024, 16])
    item["LUTData"] = DataElement("LUTData", "OW", curve)
    source = dcmread(BytesIO(as_bytes(make_dataset(PixelRepresentation=1, VOILUTSequence=[item]))))
    found = dcmread(BytesIO(encode(clean(source)).data)).VOILUTSequence[0]
    assert (list(found.LUTDescriptor), found.LUTData) == ([32768, -1024, 16], curve)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        *((vr, "Grabowski lives here") for vr in ("LT", "UT", "ST", "LO", "SH", "UC", "UR")),
        ("LO", ["Grabowski", "Anna", "Roe", "Jane"]),
        ("PN", "Grabowski^Anna"),
        ("CS", "GRABOWSKI"),
        ("UI", "1.2.3.4.5.6.7"),
        ("DA", "20210906"),
        ("AS", "095Y"),
        ("IS", "5503177"),
        ("DS", "5503177"),
        ("UL", 5503177),
        ("FD", 5503177.0),
    ],
)
@pytest.mark.parametrize("recipe", recipe_names())
def test_a_lookup_table_in_a_vr_of_another_kind_is_none(
    make_dataset: MakeDataset, vr: str, value: Any, recipe: str
) -> None:
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation = [64, 0, 16], "sigmoid"
    item["LUTData"] = DataElement("LUTData", vr, value)
    dataset = make_dataset(VOILUTSequence=[item], SeriesDescription="Grabowski")
    apply_recipe(dataset, load_recipe(recipe), Identity(KEY))
    left = dataset.VOILUTSequence[0].get("LUTData") if "VOILUTSequence" in dataset else None
    is_number = vr in {"IS", "DS", "UL", "FD"} and recipe in {"strict", "mammography-kskit"}  # a rule: K
    assert is_number or left not in (value, [*str(value)])
    assert "Grabowski" not in str(left)


@pytest.mark.parametrize("kept", ["K", "beamstop.rules.operators.Keep"])
@pytest.mark.parametrize("keyword", ["LargestImagePixelValue", "LUTData", "WaveformData"])
def test_text_where_numbers_or_bytes_belong_goes_although_a_rule_keeps_them(
    make_dataset: MakeDataset, keyword: str, kept: str
) -> None:
    dataset = make_dataset()
    dataset[keyword] = DataElement(keyword, "LT", "Grabowski lives here")
    apply_recipe(dataset, parse_recipe(f"attributes: {{{keyword}: K}}"), Identity(KEY))
    assert keyword not in dataset


@pytest.mark.parametrize(
    ("keyword", "vr"),
    [
        ("PointCoordinatesData", "OF"),
        ("LongPrimitivePointIndexList", "OL"),
        ("SpectroscopyData", "OF"),
        ("BadPixelImage", "OB"),
        ("HPGLDocument", "OB"),
        ("EncryptedContent", "OB"),
        ("BodyPartExamined", "OB"),
    ],
)
@pytest.mark.parametrize("recipe", RECIPES)
def test_bulk_data_of_another_kind_of_object_go(
    make_dataset: MakeDataset, keyword: str, vr: str, recipe: str
) -> None:
    dataset = make_dataset(SOPClassUID=CT)
    dataset[keyword] = DataElement(keyword, vr, bytes(64))
    assert keyword not in clean(dataset, recipe)


def test_surfaces_and_spectra_stay_where_they_belong(make_dataset: MakeDataset) -> None:
    points, surface = Dataset(), Dataset()
    points.PointCoordinatesData = bytes(24)
    surface.SurfacePointsSequence = [points]
    found = clean(make_dataset(SOPClassUID=SURFACE, SurfaceSequence=[surface]))
    assert found.SurfaceSequence[0].SurfacePointsSequence[0].PointCoordinatesData == bytes(24)
    found = clean(make_dataset(SOPClassUID=SPECTRA, SpectroscopyData=bytes(32)))
    assert found.SpectroscopyData == bytes(32)


@pytest.mark.parametrize(
    ("group", "others"), [(0x0066, {0x006A}), (0x006A, {0x0066}), (0x5400, {0x003A}), (0x0040, set())]
)
def test_bulk_data_in_an_item_belong_in_a_sequence_of_their_group_or_its_kin(
    group: int, others: set[int]
) -> None:
    groups = {0x0008, 0x003A, 0x0040, 0x0066, 0x006A, 0x5400}
    fits = {it for it in groups if not has_no_place((it << 16 | 0x99, group << 16 | 0x98), True, CT)}
    assert fits == {group} | others
    assert not has_no_place((0x00080099, group << 16 | 0x98), False, CT)
    assert has_no_place((group << 16 | 0x98,), True, CT)


ICON, ITEM, PIXELS = 0x00880200, 0x00081140, 0x7FE00010


@pytest.mark.parametrize(
    ("path", "is_unseen"),
    [
        *(((it,), False) for it in (PIXELS, 0x60003000, 0x60FE3000, 0x00280010, 0x7E000010, 0x80000010)),
        *(((it,), True) for it in (0x7F000010, 0x7FE00020, 0x7FFE0010)),
        *(((ITEM, it), True) for it in (PIXELS, 0x7FE00008, 0x60003000, 0x60FE0010, 0x7F000010)),
        *(((ITEM, it), False) for it in (0x00280010, 0x60010010)),
        ((ICON, PIXELS), False),
        ((ITEM, ICON, PIXELS), False),
        *(((*it, PIXELS), True) for it in ((ICON, ITEM), (ICON, ICON), (ICON, ITEM, ICON))),
        *(((ICON, it), True) for it in (0x7F000010, 0x7FE00020, 0x60003000)),
    ],
)
def test_pixels_and_overlays_in_items_are_seen_in_icons_alone(path: tuple[int, ...], is_unseen: bool) -> None:
    assert is_unseen_picture(path) == is_unseen


def test_an_icon_keeps_its_pixels(make_dataset: MakeDataset) -> None:
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    for keyword, value in GREY_BYTES.items():
        setattr(icon, keyword, value)
    icon["PixelData"] = DataElement("PixelData", "OB", bytes(range(4)))
    found = deidentify(
        make_dataset(IconImageSequence=[icon]), parse_recipe("attributes: {IconImageSequence: K}"), KEY
    )
    assert found.dataset.IconImageSequence[0].PixelData == bytes(range(4))


def test_of_a_colour_profile_the_colours_stay_and_nothing_else(make_dataset: MakeDataset) -> None:
    profile = bytes(dcmread(get_palette_files("hotiron.dcm")[0]).ICCProfile)
    found = clean(make_dataset(SOPClassUID=CT, ICCProfile=profile + b"a picture!")).ICCProfile
    assert found == clean_icc_profile(profile)


def test_what_is_no_colour_profile_goes(make_dataset: MakeDataset) -> None:
    assert "ICCProfile" not in clean(make_dataset(SOPClassUID=CT, ICCProfile=bytes(1000)))


def test_a_colour_profile_whose_tags_lie_in_one_another_is_none() -> None:
    tags = b"".join(struct.pack(">4sLL", b"a%03d" % number, 600 + 8 * number, 2000) for number in range(30))
    data = bytes(36) + b"acsp" + bytes(88) + struct.pack(">L", 30) + tags
    with pytest.raises(ValueError, match="in one another"):
        clean_icc_profile(data.ljust(600, b"\0") + b"".join(b"curv%04d" % number for number in range(400)))


def test_a_voice_stays_where_a_recipe_says_so(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(SOPClassUID=VOICE, Modality="AU", WaveformSequence=[waveform(bytes(40))])
    kept = deidentify(dataset, parse_recipe("attributes: {WaveformData: K}"), KEY).dataset
    assert kept.WaveformSequence[0].WaveformData == bytes(40)
