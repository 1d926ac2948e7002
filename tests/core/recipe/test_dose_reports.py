"""Dose reports (PS3.16 TID 10001, 10011): the numbers survive every recipe that ships, persons do not."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from tests.conftest import MakeDataset

from beamstop import deidentify
from beamstop.recipe.load import load_recipe, recipe_names
from beamstop.testing import load_no_text_detector

X_RAY_DOSE, RADIOPHARMACEUTICAL_DOSE = "1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.88.68"
PERSON = "Person Observer Name"


def code(value: str, meaning: str, scheme: str = "DCM") -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def content(kind: str, value: str, meaning: str, **attributes: Any) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", kind
    item.ConceptNameCodeSequence = code(value, meaning)
    for keyword, it in attributes.items():
        setattr(item, keyword, it)
    return item


def number(value: str, meaning: str, amount: str, unit: str) -> Dataset:
    measured = Dataset()
    measured.NumericValue = amount
    measured.MeasurementUnitsCodeSequence = code(unit, unit, "UCUM")
    return content("NUM", value, meaning, MeasuredValueSequence=Sequence([measured]))


def container(value: str, meaning: str, *items: Dataset) -> Dataset:
    return content(
        "CONTAINER", value, meaning, ContinuityOfContent="SEPARATE", ContentSequence=Sequence(items)
    )


@pytest.fixture
def reports(make_dataset: MakeDataset) -> list[Dataset]:
    """Return an X-Ray and a radiopharmaceutical dose report."""
    acquisition = container(
        "113819",
        "CT Acquisition",
        content("TEXT", "125203", "Acquisition Protocol", TextValue="Thorax routine"),
        content("UIDREF", "113769", "Irradiation Event UID", UID=generate_uid(entropy_srcs=["event"])),
        content("DATETIME", "113809", "Start of X-Ray Irradiation", DateTime="20240131093000"),
        container("113822", "CT Acquisition Parameters", number("113824", "Exposure Time", "2.35", "s")),
        container(
            "113829",
            "CT Dose",
            number("113830", "Mean CTDIvol", "8.79", "mGy"),
            number("113838", "DLP", "341.25", "mGy.cm"),
        ),
    )
    ct = [
        content("PNAME", "121008", PERSON, PersonName="Zyzxqua^Ilse"),
        content("TEXT", "113878", "Irradiation Authorizing Person", TextValue="Dr. Zyzxqua"),
        container(
            "113811",
            "CT Accumulated Dose Data",
            number("113812", "Total Number of Irradiation Events", "3", "{events}"),
            number("113813", "CT Dose Length Product Total", "20240131.5", "mGy.cm"),
        ),
        acquisition,
    ]
    nuclear = [
        content("TEXT", "113503", "Radiopharmaceutical Administration Event", TextValue="given"),
        number("113507", "Administered activity", "370.5", "MBq"),
        number("113508", "Pre-Administration Measured Activity", "381", "MBq"),
    ]
    made = []
    for sop_class, concept, items in (
        (X_RAY_DOSE, ("113701", "X-Ray Radiation Dose Report"), ct),
        (RADIOPHARMACEUTICAL_DOSE, ("113500", "Radiopharmaceutical Radiation Dose Report"), nuclear),
    ):
        dataset = make_dataset(
            SOPClassUID=sop_class,
            Modality="SR",
            PatientName="Zyzxqua^Orla",
            ValueType="CONTAINER",
            ContinuityOfContent="SEPARATE",
            CompletionFlag="COMPLETE",
            VerificationFlag="UNVERIFIED",
        )
        dataset.file_meta.MediaStorageSOPClassUID = sop_class
        dataset.ConceptNameCodeSequence = code(*concept)
        dataset.ContentSequence = Sequence(items)
        made.append(dataset)
    return made


def numbers(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """Yield code, value and unit of every number of a report, at any depth."""
    for item in dataset.get("ContentSequence") or ():
        for measured in item.get("MeasuredValueSequence") or ():
            unit = measured.MeasurementUnitsCodeSequence[0].CodeValue
            yield item.ConceptNameCodeSequence[0].CodeValue, str(measured.NumericValue), unit
        yield from numbers(item)


@pytest.mark.parametrize("name", recipe_names())
def test_the_numbers_of_a_dose_report_survive(name: str, reports: list[Dataset], key: bytes) -> None:
    recipe = load_recipe(name)
    for report in reports:
        clean = deidentify(report, recipe, key, load_no_text_detector).dataset
        assert list(numbers(clean)) == list(numbers(report))
        assert "zyzxqua" not in str(clean).casefold()
