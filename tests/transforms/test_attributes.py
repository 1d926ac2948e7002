"""From the attributes of clean instances to one wide table."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.pvalue import AsSingleton
from pydicom.dataset import Dataset

from beamstop_transforms.attributes import WriteAttributes, attributes_of, narrow_table
from beamstop_transforms.instance import Lost
from beamstop_transforms.losers import CollectLosers
from beamstop_transforms.tables import WritePartialFiles
from beamstop_transforms.typed import TYPED


def instance(source_id: str, **attributes: Any) -> tuple[str, Dataset]:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return source_id, dataset


def write(folder: Path, instances: list[tuple[str, Dataset]], losers: dict[str, str]) -> list[dict[str, Any]]:
    drafts = [attributes_of(*it) for it in instances]
    with beam.Pipeline(runner="FnApiRunner", argv=["--direct_runner_bundle_repeat=1"]) as pipeline:
        rows = pipeline | "Rows" >> beam.Create(drafts)
        lost = AsSingleton(
            pipeline
            | "Losers" >> beam.Create([(it, Lost("duplicate", winner)) for it, winner in losers.items()])
            | beam.CombineGlobally(CollectLosers())
        )
        partials = rows | WritePartialFiles(narrow_table(str(folder), "r1"))
        _ = partials | WriteAttributes(str(folder), "r1", lost)
    assert not list(folder.glob(".partial/r1/rows/*.wide"))
    files = sorted(folder.glob("r1-*.parquet"))
    assert len({str(pq.read_schema(file)) for file in files}) == 1
    return [row for file in files for row in pq.read_table(file).drop_columns([TYPED]).to_pylist()]


CT = instance("a" * 64, SOPInstanceUID="1.1", Modality="CT", ImageType=["ORIGINAL", "PRIMARY"])
MR = instance("b" * 64, SOPInstanceUID="1.2", Modality="MR", EchoTime="2.5")


def test_a_row_has_every_column_of_the_run(tmp_path: Path) -> None:
    assert sorted(write(tmp_path, [CT, MR], {}), key=str) == [
        {"EchoTime": "2.5", "ImageType": None, "Modality": "MR", "SOPInstanceUID": "1.2"},
        {"EchoTime": None, "ImageType": '["ORIGINAL", "PRIMARY"]', "Modality": "CT", "SOPInstanceUID": "1.1"},
    ]


def test_a_loser_has_neither_row_nor_column(tmp_path: Path) -> None:
    assert write(tmp_path, [CT, MR], {"a" * 64: "b" * 64}) == [
        {"EchoTime": "2.5", "Modality": "MR", "SOPInstanceUID": "1.2"}
    ]


def test_a_table_without_rows_is_a_table(tmp_path: Path) -> None:
    assert write(tmp_path, [], {}) == []
    (file,) = tmp_path.glob("*.parquet")
    assert pq.read_schema(file).names == ["SOPInstanceUID", TYPED]


@pytest.mark.parametrize("text", ["\udce9", "Ω"])
def test_any_text_can_be_stored(tmp_path: Path, text: str) -> None:
    (row,) = write(tmp_path, [instance("a" * 64, StudyDescription=text)], {})
    assert row["StudyDescription"] == text.encode(errors="replace").decode()


def test_sequences_are_json_and_private_elements_go_by_their_tags(tmp_path: Path) -> None:
    item = Dataset()
    item.CodeValue = "T-1"
    dataset = instance("a" * 64, AnatomicRegionSequence=[item])[1]
    dataset.private_block(0x0009, "MAKER", create=True).add_new(1, "LO", "x")
    (row,) = write(tmp_path, [("a" * 64, dataset)], {})
    assert row["AnatomicRegionSequence"] == '[{"CodeValue": "T-1"}]'
    assert row["(0009,1001)"] == "x"
