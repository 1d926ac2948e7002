"""GroupSeries: headers tell what belongs together; a series is looked at, or refused, as a whole."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset

from beamstop.dicom.files import read_header
from beamstop.dicom.limits import DEFAULT_LIMITS, Limits
from beamstop.errors import PixelError, RecipeError, Rejected
from beamstop.faces.series import Action, FaceFinding, Verdict
from beamstop.identity import Identity
from beamstop.recipe.load import parse_recipe
from beamstop.testing import as_bytes, make_image
from beamstop_transforms import Attempts, Deidentify, GroupSeries, Target, new_run_id
from beamstop_transforms.group_series import LookAtSeries, Place, ReadHeaders, place_of
from beamstop_transforms.instance import Source, source_id_of

OPTION = "options: [clean-recognizable-visual-features]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "series"
    made.mkdir()
    return made


def make_slice(number: int, series: str = "1.2.3", **header: Any) -> FileDataset:
    """Return one slice of a CT of a head."""
    pixels = np.full((8, 8), number, np.uint16)
    attributes = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "Modality": "CT",
        "BodyPartExamined": "HEAD",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": series,
        "FrameOfReferenceUID": "1.2.9",
        "SOPInstanceUID": f"{series}.{number}",
        "PixelSpacing": [8, 8],
        "ImagePositionPatient": [0, 0, number],
    }
    return make_image(pixels, **(attributes | header))


def put(folder: Path, *datasets: FileDataset) -> list[Source]:
    sources = []
    for number, dataset in enumerate(datasets):
        path = folder / f"{number}.dcm"
        path.write_bytes(as_bytes(dataset))
        sources.append(Source(str(path), path.stat().st_size, "1"))
    return sources


def looked_at(sources: Sequence[Source], look: Any, key_file: Path, **settings: Any) -> dict[str, Any]:
    """Return, by name, what was found in each source."""
    GIVEN.clear()
    with beam.Pipeline("FnApiRunner") as pipeline:
        group = GroupSeries(parse_recipe(OPTION), str(key_file), load_look=lambda: look, **settings)
        _ = pipeline | beam.Create(sources) | group | beam.Map(keep)
    assert len(GIVEN) == len(sources)
    return {Path(it.path).name: it.face and (it.face.verdict, it.face.reason) for it in GIVEN}


def keep(source: Source) -> None:
    GIVEN.append(source)


GIVEN: list[Source] = []


def none_shows(datasets: Sequence[Dataset], action: Action) -> list[FaceFinding]:
    return [FaceFinding(Verdict.NONE) for _ in datasets]


def as_many(datasets: Sequence[Dataset], action: Action) -> list[FaceFinding]:
    """Say by the reason how many were given."""
    return [
        FaceFinding(Verdict.REFUSE, reason=f"{it.SeriesInstanceUID} of {len(datasets)}") for it in datasets
    ]


def test_a_series_is_looked_at_as_a_whole_and_what_is_no_head_passes_unread(
    folder: Path, key_file: Path
) -> None:
    knee = make_slice(9, "1.2.5", BodyPartExamined="KNEE")
    sources = put(folder, *(make_slice(it) for it in range(3)), make_slice(7, "1.2.4"), knee)
    assert looked_at(sources, as_many, key_file) == {
        **{f"{it}.dcm": (Verdict.REFUSE, "1.2.3 of 3") for it in range(3)},
        "3.dcm": (Verdict.REFUSE, "1.2.4 of 1"),
        "4.dcm": None,
    }


def test_copies_of_an_instance_are_looked_at_once_and_share_what_is_found(
    folder: Path, key_file: Path
) -> None:
    sources = put(folder, make_slice(1), make_slice(2), make_slice(1))
    assert set(looked_at(sources, as_many, key_file).values()) == {(Verdict.REFUSE, "1.2.3 of 2")}


def test_a_source_that_cannot_be_read_passes_alone(folder: Path, key_file: Path) -> None:
    sources = put(folder, make_slice(1), make_slice(2))
    whole = (folder / "1.dcm").read_bytes()
    (folder / "1.dcm").write_bytes(whole[:-20])
    assert looked_at([*sources, Source(str(folder / "gone.dcm"), 1, "1")], none_shows, key_file) == {
        "0.dcm": (Verdict.NONE, ""),
        "1.dcm": None,
        "gone.dcm": None,
    }


@pytest.mark.parametrize("limits", [Limits(bytes=1500), Limits(bytes=1)])
def test_a_series_that_is_too_large_is_refused(folder: Path, key_file: Path, limits: Limits) -> None:
    sources = put(folder, *(make_slice(it) for it in range(3)))
    found = looked_at(sources, none_shows, key_file, limits=limits)
    assert set(found.values()) == {(Verdict.REFUSE, "face_series_too_large")}


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PixelError("pixels_undecodable"), "pixels_undecodable"), (KeyError("Roe"), "fault")],
)
def test_whatever_a_look_raises_refuses_the_series(
    folder: Path, key_file: Path, error: Exception, reason: str
) -> None:
    def fail(datasets: Sequence[Dataset], action: Action) -> list[FaceFinding]:
        raise error

    assert looked_at(put(folder, make_slice(1)), fail, key_file) == {"0.dcm": (Verdict.REFUSE, reason)}


def test_a_look_that_leaves_an_instance_out_refuses_the_series(folder: Path, key_file: Path) -> None:
    def forget(datasets: Sequence[Dataset], action: Action) -> list[FaceFinding]:
        return none_shows(datasets, action)[1:]

    found = looked_at(put(folder, make_slice(1), make_slice(2)), forget, key_file)
    assert set(found.values()) == {(Verdict.REFUSE, "fault")}


def test_a_dose_in_the_frame_of_a_head_is_refused_and_another_is_not(folder: Path, key_file: Path) -> None:
    dose = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2", "Modality": "RTDOSE", "BodyPartExamined": "KNEE"}
    doses = [make_slice(it, "1.2.8", FrameOfReferenceUID=f"1.2.{it}", **dose) for it in (8, 9)]
    assert looked_at(put(folder, *doses, make_slice(1)), none_shows, key_file) == {
        "0.dcm": None,
        "1.dcm": (Verdict.REFUSE, "face_may_show"),
        "2.dcm": (Verdict.NONE, ""),
    }


@pytest.mark.parametrize("more", ["", "element", "sequence"])
def test_the_header_is_read_however_long_it_is(folder: Path, key: bytes, more: str) -> None:
    dataset = make_slice(1)
    if more == "element":
        dataset.add_new(0x00091001, "OB", bytes(200_000))
        dataset.add_new(0x00090010, "LO", "ACME")
    if more == "sequence":
        dataset.ReferencedImageSequence = [make_slice(it) for it in range(500)]
        dataset["ReferencedImageSequence"].is_undefined_length = True
    (source,) = put(folder, dataset)
    place = place_of(source, Identity(key), DEFAULT_LIMITS)
    assert (place.key or b"")[:1] + (place.mark or b"")[:1] == b"sf"
    assert place_of(Source(str(folder / "none"), 1, ""), Identity(key), DEFAULT_LIMITS) == Place()


def test_a_header_that_may_go_on_is_none(folder: Path) -> None:
    data = as_bytes(make_slice(1))
    found = read_header(data[:-100])
    assert found is not None
    assert found.SOPInstanceUID == "1.2.3.1"
    assert read_header(data[:400]) is None
    with pytest.raises(Rejected, match="not_dicom"):
        read_header(b"text")


def test_a_pipeline_that_groups_no_series_cannot_be_made_with_the_option(key_file: Path) -> None:
    recipe = parse_recipe(OPTION)
    with pytest.raises(RecipeError, match="GroupSeries"):
        Deidentify(recipe, str(key_file))
    assert "RemoveFace" in Deidentify(recipe, str(key_file), grouped=True).steps()


def seen(sources: Sequence[Source], key_file: Path, **settings: Any) -> dict[str, Any]:
    """Return, by name, what was found where a series is looked at by itself."""
    GIVEN.clear()
    with beam.Pipeline("FnApiRunner") as pipeline:
        keyed = pipeline | beam.Create(sources) | ReadHeaders(str(key_file))
        look = LookAtSeries("remove", str(key_file), load_look=lambda: none_shows, **settings)
        _ = keyed | look | beam.Map(keep)
    return {Path(it.path).name: (it.face and it.face.verdict, it.suspect) for it in GIVEN}


def test_a_series_that_a_worker_died_at_is_not_looked_at_again(
    folder: Path, key: bytes, key_file: Path
) -> None:
    sources = put(folder, make_slice(1), make_slice(2))
    suspects = {source_id_of(sources[1], Identity(key)): "killed_worker"}
    assert seen(sources, key_file, suspects=suspects) == {"0.dcm": (None, ""), "1.dcm": (None, "")}


def test_elsewhere_the_third_try_of_a_series_that_kills_its_worker_is_without_a_look(
    folder: Path, tmp_path: Path, key_file: Path
) -> None:
    target = Target(str(tmp_path / "out"), str(tmp_path / "audit"), str(key_file), new_run_id())
    sources = put(folder, make_slice(1), make_slice(2))
    (place,) = {place_of(it, target.identity(), DEFAULT_LIMITS).key for it in sources}
    for _ in range(2):  # a worker takes the first source, and is gone
        next(Attempts(target).sources(place or b"", sources))
    found = seen(sources, key_file, attempts=Attempts(target))
    assert found == {"0.dcm": (None, "killed_worker"), "1.dcm": (None, "")}
    again = seen(sources, key_file, attempts=Attempts(target))
    assert again == {"0.dcm": (Verdict.NONE, ""), "1.dcm": (Verdict.NONE, "")}


def test_a_source_that_travels_leaves_behind_what_is_about_its_bytes(folder: Path) -> None:
    (source,) = put(folder, make_slice(1))
    travelling = replace(source, face=FaceFinding(Verdict.NONE))
    assert pickle.loads(pickle.dumps(travelling)).face is None  # noqa: S301
