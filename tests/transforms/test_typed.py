"""The typed column of the table of attributes."""

from datetime import date, datetime, time
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import MakeDataset

from beamstop_transforms.attributes import attributes_of, attributes_schema, widened
from beamstop_transforms.typed import KEYWORDS, TYPE, typed


@pytest.mark.parametrize(
    ("keyword", "text", "value"),
    [
        ("StudyDate", "20240229", date(2024, 2, 29)),
        ("StudyDate", "2024.02.29", date(2024, 2, 29)),
        ("StudyDate", "20240230", None),
        ("StudyTime", "093000.25", time(9, 30, 0, 250000)),
        ("StudyTime", "09", time(9)),
        ("StudyTime", "99", None),
        ("AcquisitionDateTime", "20240229093000.5+0100", datetime(2024, 2, 29, 8, 30, 0, 500000)),
        ("AcquisitionDateTime", "20240229", datetime(2024, 2, 29)),
        ("AcquisitionDateTime", "2024", None),
        ("PatientAge", "047Y", 47.0),
        ("PatientAge", "006M", 0.5),
        ("PatientAge", "old", None),
        ("KVP", "120", 120.0),
        ("KVP", "high", None),
        ("Rows", "512", 512),
        ("PixelSpacing", '["0.5", "0.25"]', [0.5, 0.25]),
        ("ImageType", '["ORIGINAL", "PRIMARY"]', ["ORIGINAL", "PRIMARY"]),
        ("PixelSpacing", "0.5", None),
        (
            "ViewCodeSequence",
            '[{"CodeValue": "1", "CodingSchemeDesignator": "SCT", "CodeMeaning": "MLO", "TextValue": "x"}]',
            [{"value": "1", "scheme": "SCT", "meaning": "MLO"}],
        ),
        (
            "ViewCodeSequence",
            '[{"CodeValue": ["1", "2"], "CodingSchemeDesignator": "SCT", "CodeMeaning": {}}]',
            [{"value": None, "scheme": "SCT", "meaning": None}],
        ),
        ("InstanceNumber", "9223372036854775808", None),
        ("InstanceNumber", "-1e30", None),
        ("ExposureTime", "inf", None),
        ("SliceThickness", "1e999", float("inf")),
        ("Modality", "CT", "CT"),
    ],
)
def test_a_text_has_the_type_of_its_attribute_or_is_null(keyword: str, text: str, value: Any) -> None:
    row = typed({"Unknown": "1", "KVP": "", keyword: text})
    assert row == {keyword: value}
    assert pa.array([row], TYPE)[0][keyword].as_py() == value


def test_the_type_is_the_same_whatever_occurs(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(StudyDate="20240229", Rows=4)
    row = attributes_of("0" * 64, dataset)
    narrow = pa.Table.from_pylist(
        [row], pa.schema([("source_id", pa.string()), ("attributes", pa.map_(pa.string(), pa.string()))])
    )
    schema = attributes_schema({"Rows", "StudyDate"})
    (wide,) = widened(narrow, schema).to_pylist()
    assert schema.field("typed").type == TYPE
    assert (wide["StudyDate"], wide["typed"]["StudyDate"], wide["typed"]["Rows"]) == (
        "20240229",
        date(2024, 2, 29),
        4,
    )
    assert set(wide["typed"]) == set(KEYWORDS)
    assert wide["typed"]["KVP"] is None
