"""What a series shows of a face."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from tests.heads import (
    AXIAL,
    SAGITTAL,
    Bodies,
    Chest,
    Hand,
    Head,
    Knee,
    Scan,
    multi_frame,
    series,
)

from beamstop.faces.cut import Cut
from beamstop.faces.head import Fit
from beamstop.faces.outline import Outline
from beamstop.faces.series import (
    NO_HEAD,
    NO_POSITION,
    NO_VOLUME,
    REMAINS,
    TOUCHED,
    TWO_HEADS,
    FaceFinding,
    Verdict,
    look_at_series,
)
from beamstop.steps.remove_face import remove_face

HEAD = Head()
SCAN = Scan(shape=(48, 40), spacing=5.0, apart=5.0, count=44, centre=(0.0, -15.0, -25.0), noise=15)
FEET_FIRST = ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0))  # coronal slices, feet first
AIR = 24  # -1000 HU as it is stored


def mask_of(instances: list[FileDataset], findings: list[FaceFinding]) -> NDArray[Any]:
    """Return what is blanked: (slices, rows, columns)."""
    return np.stack(
        [
            np.zeros((it.Rows, it.Columns), bool)
            if finding.masks is None
            else np.unpackbits(
                np.frombuffer(finding.masks[0] or b"", np.uint8), count=it.Rows * it.Columns
            ).reshape(it.Rows, it.Columns)
            > 0
            for it, finding in zip(instances, findings, strict=True)
        ]
    )


def pixels(instances: list[FileDataset]) -> NDArray[Any]:
    return np.stack([np.frombuffer(it.PixelData, "<u2").reshape(it.Rows, it.Columns) for it in instances])


def parts(head: Head, scan: Scan) -> dict[str, NDArray[Any]]:
    """Return where parts of a head are, the face as far as it looks forward: (slices, rows, columns) each."""
    places = [scan.places(number) for number in range(scan.count)]
    own = np.stack([head.own(it) for it in places], axis=1)
    skin = np.stack([head.skin(head.own(it)) for it in places])
    brain = np.stack([head.brain(head.own(it)) for it in places])
    ahead = [
        np.stack([head.skin(head.own(it) - np.array([0, away, 0])[:, None, None]) for it in places]) > 0
        for away in (5, 20, 40)
    ]
    face = (skin < 0) & np.all(ahead, axis=0) & (own[1] < -60) & (own[2] < -27) & (own[2] > -130)
    nose = (skin < 0) & (own[1] < -106) & (own[2] < -30) & (own[2] > -85)
    cord = (np.abs(own[0]) < 8) & (np.abs(own[1] - 28) < 8) & (own[2] < -55)
    return {"brain": brain, "face": face, "nose": nose, "cord": cord}


@pytest.fixture(scope="module")
def ct() -> tuple[list[FileDataset], list[FaceFinding]]:
    """Return a CT of a head and what is found in it."""
    instances = series(HEAD, SCAN)
    return instances, look_at_series(instances, "remove")


@pytest.mark.parametrize(
    ("head", "scan"),
    [
        (Head(size=0.82, nose=0.6), replace(SCAN, contrast="T1", across=SAGITTAL[0], down=SAGITTAL[1])),
        (
            Head(turn=(0.25, 0.1, -0.2)),
            replace(SCAN, contrast="T2", across=FEET_FIRST[0], down=FEET_FIRST[1], noise=120),
        ),
        (HEAD, replace(SCAN, contrast="PT")),
        (HEAD, replace(SCAN, shape=(56, 40), along=(0.0, -0.34, 0.94))),
    ],
    ids=[
        "a child in sagittal T1",
        "a turned head in noisy coronal T2, feet first",
        "PET",
        "CT with a tilted gantry",
    ],
)
def test_a_face_is_blanked_and_not_one_voxel_of_brain_or_cord(head: Head, scan: Scan) -> None:
    instances = series(head, scan)
    mask = mask_of(instances, look_at_series(instances, "remove"))
    where = parts(head, scan)
    assert mask[where["nose"]].all()
    assert mask[where["face"]].all()
    assert not mask[where["brain"]].any()
    assert not mask[where["cord"]].any()


def test_the_face_of_a_ct_becomes_air_and_nothing_else_changes(
    ct: tuple[list[FileDataset], list[FaceFinding]],
) -> None:
    instances = series(HEAD, SCAN)
    before, mask = pixels(instances), mask_of(*ct)
    for instance, finding in zip(instances, ct[1], strict=True):
        remove_face(instance, finding)
    after = pixels(instances)
    assert np.all(after[mask] == AIR)
    assert np.array_equal(after[~mask], before[~mask])
    assert mask[parts(HEAD, SCAN)["nose"]].all()
    assert not mask[parts(HEAD, SCAN)["brain"]].any()


def test_an_instance_that_no_face_lies_in_is_left(ct: tuple[list[FileDataset], list[FaceFinding]]) -> None:
    verdicts = [finding.verdict for finding in ct[1]]
    assert verdicts[-12:] == [Verdict.NONE] * 12
    assert verdicts[20:30] == [Verdict.REMOVE] * 10
    assert set(verdicts) == {Verdict.NONE, Verdict.REMOVE}


def test_frames_of_one_instance_are_cut_like_instances_in_whatever_order(
    ct: tuple[list[FileDataset], list[FaceFinding]],
) -> None:
    (finding,) = look_at_series([multi_frame(ct[0][::-1])], "remove")
    alone = [it.masks[0] if it.masks else None for it in ct[1]]
    assert finding.masks == tuple(alone[::-1])
    assert finding.fill == AIR


def test_a_gap_and_copies_do_no_harm_and_slices_that_make_no_volume_are_cut_as_it_is(
    ct: tuple[list[FileDataset], list[FaceFinding]],
) -> None:
    """A single sagittal slice shows a profile; in the same frame of reference the head is known."""
    scan = replace(SCAN, across=SAGITTAL[0], down=SAGITTAL[1], count=1, centre=(0.0, -10.0, -35.0))
    profile = series(HEAD, scan)
    astray = series(HEAD, SCAN)[20]
    astray.ImagePositionPatient = [1000.0, 0.0, 0.0]
    instances = [*ct[0][:22], *ct[0][23:], *ct[0][20:24], astray, *profile]
    findings = look_at_series(instances, "remove")
    where = parts(HEAD, SCAN)["nose"]
    kept = np.concatenate([where[:22], where[23:], where[20:24]])
    assert mask_of(instances[:-2], findings[:-2])[kept].all()
    assert findings[20] == findings[43]
    assert findings[-2] == FaceFinding(Verdict.FEW)  # it proves nothing
    assert mask_of(profile, findings[-1:])[parts(HEAD, scan)["nose"]].all()


def _in_one_place(instances: list[FileDataset]) -> list[FileDataset]:
    for instance in instances:
        instance.ImagePositionPatient = [-97.5, -132.5, 0.0]
    return instances


def _with_ghosts(instances: list[FileDataset]) -> list[FileDataset]:
    """Repeat a fifth of the picture a third of its width to either side, as motion does in MR."""
    for instance in instances:
        values = np.frombuffer(instance.PixelData, "<u2").reshape(instance.Rows, instance.Columns)
        ghosts = sum(np.roll(values, side * instance.Columns // 3, axis=1) // 5 for side in (-1, 1))
        instance.PixelData = (values + ghosts).astype("<u2").tobytes()
    return instances


def _without_place(instances: list[FileDataset]) -> list[FileDataset]:
    for instance in instances:
        del instance.ImagePositionPatient
    return instances


NO_PART = {"BodyPartExamined": None}


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        (series(HEAD, replace(SCAN, header={"RescaleSlope": None, "RescaleIntercept": None})), NO_HEAD),
        (series(HEAD, replace(SCAN, header={"RescaleSlope": 0})), NO_POSITION),
        (_without_place(series(HEAD, SCAN)), NO_POSITION),
        (_in_one_place(series(HEAD, SCAN)), NO_POSITION),
        (
            series(
                Bodies((HEAD, Head(at=(190.0, 0.0, 0.0), size=0.8))),
                replace(SCAN, shape=(48, 76), centre=(85.0, -15.0, -25.0)),
            ),
            TWO_HEADS,
        ),
        (
            series(
                Bodies((HEAD, Head(at=(0.0, -260.0, 0.0), size=0.9, turn=(0.0, 0.0, np.pi)))),
                replace(SCAN, shape=(100, 48), centre=(0.0, -130.0, -25.0)),
            ),
            TWO_HEADS,
        ),
        (
            series(
                Bodies((HEAD, Head(at=(210.0, 0.0, 0.0)), Chest(at=(100.0, 40.0, -215.0)))),
                replace(SCAN, shape=(56, 92), count=60, centre=(100.0, 0.0, -60.0)),
            ),
            TWO_HEADS,
        ),
        (
            series(
                Bodies((HEAD, Head(at=(0.0, 0.0, 180.0), turn=(np.pi, 0.0, 0.0)))),
                replace(SCAN, count=72, centre=(0.0, -15.0, 60.0)),
            ),
            TOUCHED,
        ),
        (series(Bodies((HEAD, Hand(at=(82.0, -50.0, -60.0)))), replace(SCAN, shape=(48, 56))), TOUCHED),
        (series(Bodies((HEAD, Hand(at=(62.0, -85.0, -70.0)))), replace(SCAN, shape=(48, 56))), TOUCHED),
        (_with_ghosts(series(HEAD, replace(SCAN, contrast="T1", shape=(48, 60), noise=40))), NO_HEAD),
        (series(HEAD, replace(SCAN, apart=20.0, count=12)), Verdict.FEW),
        (series(HEAD, replace(SCAN, across=SAGITTAL[0], down=SAGITTAL[1], count=1)), NO_VOLUME),
        (series(HEAD, replace(SCAN, across=AXIAL[0], down=AXIAL[1], count=1)), Verdict.FEW),
        (series(Head(turn=(0.0, 0.0, np.pi)), SCAN), NO_HEAD),
        (series(Knee(), replace(SCAN, centre=(0.0, 0.0, 0.0), header=NO_PART)), NO_HEAD),
        (
            series(
                Chest(),
                replace(
                    SCAN, shape=(32, 48), spacing=8.0, count=30, centre=(0.0, 0.0, -132.0), header=NO_PART
                ),
            ),
            Verdict.NONE,
        ),
        (
            series(HEAD, replace(SCAN, header={"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]})),
            NO_POSITION,
        ),
    ],
    ids=[
        "a CT that does not say how to read its values",
        "a CT whose values all mean the same",
        "slices without a place",
        "a whole head in one place",
        "two heads",
        "two heads face to face",
        "two heads on one trunk",
        "two heads whose crowns touch",
        "a hand beside the face",
        "a hand on the cheek",
        "a head among its ghosts",
        "axial slices far apart",
        "one sagittal slice",
        "one axial slice",
        "a head whose header turns it about",
        "a knee without a body part",
        "a chest without a body part",
        "a mosaic",
    ],
)
def test_what_can_show_no_face_passes_and_what_may_is_refused(
    instances: list[FileDataset], expected: Verdict | str
) -> None:
    refused = FaceFinding(Verdict.REFUSE, reason="face_may_show", detail=str(expected))
    finding = FaceFinding(expected) if isinstance(expected, Verdict) else refused
    assert look_at_series(instances, "remove") == [finding] * len(instances)


def test_a_face_that_remains_after_the_cut_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_nothing(fit: Fit, outline: Outline) -> Cut:
        return Cut(outline.grid, np.full(outline.grid.shape, -1.0, np.float32))

    monkeypatch.setattr("beamstop.faces.series.cut_of", cut_nothing)
    instances = series(HEAD, SCAN)
    remains = FaceFinding(Verdict.REFUSE, reason="face_may_show", detail=REMAINS)
    assert look_at_series(instances, "remove") == [remains] * len(instances)


def test_a_cut_that_misses_the_face_of_another_stack_refuses_the_series() -> None:
    """In the second stack, the patient lies 10 cm further back, and ghosts hide where."""
    scan = replace(SCAN, contrast="T1", noise=40)
    still = series(HEAD, scan)
    moved = _with_ghosts(series(Head(at=(0.0, 100.0, 0.0)), replace(scan, shape=(72, 60))))
    remains = FaceFinding(Verdict.REFUSE, reason="face_may_show", detail=REMAINS)
    assert look_at_series([*still, *moved], "remove") == [remains] * 88


def test_a_face_that_is_only_to_be_told_is_left(ct: tuple[list[FileDataset], list[FaceFinding]]) -> None:
    assert look_at_series(ct[0], "tell") == [FaceFinding(Verdict.LEFT)] * len(ct[0])


@pytest.mark.parametrize(
    ("header", "fill"),
    [
        ({"PixelPaddingValue": AIR}, AIR + 1),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 30}, 31),
        ({"RescaleIntercept": -500}, 0),
        ({"RescaleSlope": 2, "RescaleIntercept": -2000}, 500),
        ({"RescaleSlope": -1, "RescaleIntercept": 3071}, 4071),
    ],
)
def test_air_is_a_value_that_can_be_stored_and_is_no_padding(header: dict[str, Any], fill: int) -> None:
    from beamstop.faces.series import _Series

    instance = series(HEAD, replace(SCAN, count=1, header=header))[0]
    assert _Series([instance], "remove")._fill(0, instance) == fill


@pytest.mark.parametrize("action", ["remove", "reject", "tell"])
def test_a_few_slices_show_no_face_by_themselves_and_prove_nothing(action: Any) -> None:
    """Those of many series together may show one."""
    few = series(HEAD, SCAN)[20:24]
    assert look_at_series(few, action) == [FaceFinding(Verdict.FEW)] * 4
