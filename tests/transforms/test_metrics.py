"""What a run counts, and what it shows of itself: verbs, outcomes and codes, and nothing else."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.transforms.display import DisplayData
from pydicom.dataset import FileDataset

import beamstop_transforms
from beamstop import load_recipe
from beamstop.testing import as_bytes, load_block_detector, make_image, make_instance
from beamstop_transforms import Decisions, DeidentifyFiles, Run, Target, WriteDicom
from beamstop_transforms.metrics import counts_by_step, figures_by_step, progress_of

SENTINEL = "Zzyzxqua"


@pytest.fixture
def result(tmp_path: Path, key_file: Path) -> Any:
    """Return Beam's result of a chain that writes one instance and refuses two sources."""
    picture = np.zeros((64, 64), np.uint8)
    picture[20:30, 10:50] = 255
    folder = tmp_path / SENTINEL
    folder.mkdir()
    document = make_instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", PatientName=SENTINEL)
    files: dict[str, bytes] = {
        "clean": as_bytes(make_image(picture, PatientID=SENTINEL, PatientName=SENTINEL)),
        "document": as_bytes(document),
        "text": SENTINEL.encode(),
    }
    for name, data in files.items():
        (folder / f"{name}-{SENTINEL}.dcm").write_bytes(data)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    recipe = load_recipe("default")
    clean = pipeline | DeidentifyFiles([str(folder)], recipe, str(key_file), load_block_detector)
    _ = clean.instances | WriteDicom(Target(str(tmp_path / "out"), str(tmp_path / "audit"), str(key_file)))
    ran = pipeline.run()
    ran.wait_until_finish()
    return ran


def test_metrics_tell_how_far_a_run_is(result: Any) -> None:
    progress = progress_of(result)
    assert progress == {"listed": 3, "written": 1, "rejected": 2, "quarantined": 0, "failed": 0}


def test_each_step_counts_what_went_on_and_what_did_not_by_reason(result: Any) -> None:
    counts = {verb: dict(counters) for verb, counters in counts_by_step(result).items()}
    assert counts == {
        "Redistribute": {"listed": 3},
        "ReadDicom": {"passed": 2, "rejected": 1, "rejected/not_dicom": 1},
        # asked before and after text is hidden
        "Bounce": {"passed": 2, "rejected": 1, "rejected/encapsulated_document": 1},
        "RemoveFace": {"passed": 1},
        "HideText": {"passed": 1},
        "ApplyRecipe": {"passed": 1},
        "Insert": {"passed": 1},
        "CheckLeaks": {"passed": 1},
        "WriteDicom": {"written": 1},
    }


def test_bytes_boxes_and_milliseconds_are_distributions(result: Any) -> None:
    values = {
        (it.key.metric.namespace, it.key.metric.name): it.committed
        for it in result.metrics().query(MetricsFilter())["distributions"]
    }
    verbs = {"ReadDicom", "Bounce", "RemoveFace", "HideText", "ApplyRecipe", "Insert", "CheckLeaks"}
    verbs.add("WriteDicom")
    assert {verb for verb, name in values if name == "ms"} == verbs
    assert (values["HideText", "text_boxes_hidden"].count, values["HideText", "text_boxes_hidden"].sum) == (
        1,
        1,
    )
    assert values["ReadDicom", "bytes_in"].count == 3
    assert values["ReadDicom", "bytes_in"].min == len(SENTINEL)


def test_the_mean_of_a_step_is_of_the_instances_that_came_to_it(result: Any) -> None:
    assert {verb: it.instances for verb, it in figures_by_step(result).items()} == {
        "ReadDicom": 3,
        "Bounce": 3,
        "RemoveFace": 1,
        "HideText": 1,
        "ApplyRecipe": 1,
        "Insert": 1,
        "CheckLeaks": 1,
        "WriteDicom": 1,
    }


def test_no_metric_is_named_after_anything_in_a_file(result: Any) -> None:
    found = result.metrics().query(MetricsFilter())
    assert SENTINEL not in str([it.key for kind in found.values() for it in kind])


def every_transform(key: str) -> list[beam.PTransform]:
    """Return one of every exported transform, made with names that nobody may see."""
    values: dict[str, Any] = {
        "recipe": load_recipe("research"),
        "key": key,
        "target": (target := Target(f"/{SENTINEL}/out", f"/{SENTINEL}/audit", key)),
        "inputs": [f"/{SENTINEL}/in"],
        "patterns": [f"/{SENTINEL}/in"],
        "run": Run(target, load_recipe("research"), inputs=(f"/{SENTINEL}/in",), crosswalk=f"/{SENTINEL}"),
        "decisions": Decisions(target, "0" * 64, "0"),
    }
    made = []
    for name in beamstop_transforms.__all__:
        kind = getattr(beamstop_transforms, name)
        if isinstance(kind, type) and issubclass(kind, beam.PTransform):
            needed = [it.name for it in dataclasses.fields(kind) if it.default is dataclasses.MISSING]
            made.append(kind(**{it: values[it] for it in needed if it in values}))
    return made


@pytest.mark.parametrize(
    "transform", every_transform(f"file:/{SENTINEL}/key"), ids=lambda it: type(it).__name__
)
def test_display_data_has_the_recipe_and_no_key_and_no_path(transform: beam.PTransform) -> None:
    shown = {item.key: item.value for item in DisplayData.create_from(transform).items}
    if "recipe" in {it.name for it in dataclasses.fields(transform)}:  # type: ignore[arg-type]
        assert shown["recipe"] == "research"
        assert shown["recipe_digest"] == load_recipe("research").digest
    assert SENTINEL not in str(shown)


def test_steps_within_the_graph_show_their_recipe(
    make_dataset: Callable[..., FileDataset], key_file: Path
) -> None:
    pipeline = beam.Pipeline()
    shutil.rmtree(pipeline.local_tempdir)  # Beam removes that of a pipeline that it runs
    _ = pipeline | DeidentifyFiles(["/nowhere"], load_recipe("basic"), str(key_file))
    labels = {}

    class Visitor(beam.pipeline.PipelineVisitor):  # type: ignore[misc]
        def enter_composite_transform(self, node: Any) -> None:
            items = DisplayData.create_from(node.transform).items if node.transform else ()
            labels[node.full_label] = {item.key: item.value for item in items}

    pipeline.visit(Visitor())
    assert labels["DeidentifyFiles/Deidentify/ApplyRecipe"]["recipe"] == "basic"
    assert str(key_file) not in str(labels)
