"""A run over a folder in which some series show a face: what changes, what is told, what is refused."""

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from lxml import html
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from tests.heads import Head, Knee, Scan, series

from beamstop.faces.series import Action, FaceFinding, Verdict
from beamstop.recipe.load import load_recipe
from beamstop.testing import as_bytes, make_image
from beamstop_pipeline.cli import main
from beamstop_pipeline.report.figures import read_figures
from beamstop_pipeline.report.page import render_report
from beamstop_transforms import DeidentifyFiles, Target, WriteDicom, group_series, new_run_id

CT, RTDOSE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.481.2"
SKIN, AIR = 9, 0
REMOVE = "options: [clean-recognizable-visual-features]\n"
LOOKS: list[list[str]] = []  # of the fake: what it was given


def make_slice(number: int, series: str, **header: Any) -> FileDataset:
    """Return one slice of a CT, all skin."""
    attributes = {
        "SOPClassUID": CT,
        "Modality": "CT",
        "PatientID": "R-1001",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": series,
        "FrameOfReferenceUID": f"{series}.9",
        "SOPInstanceUID": f"{series}.{number}",
        "PixelSpacing": [8, 8],
        "InstanceNumber": number,
    }
    return make_image(np.full((8, 8), SKIN, np.uint16), **(attributes | header))


def look_for_skin(datasets: Sequence[Dataset], action: Action) -> list[FaceFinding]:
    """Find a face wherever there is skin; refuse a series in which a number is missing."""
    LOOKS.append([str(it.SOPInstanceUID) for it in datasets])
    numbers = sorted(int(it.InstanceNumber) for it in datasets)
    if not any(np.frombuffer(it.PixelData, np.uint16).max() == SKIN for it in datasets):
        return [FaceFinding(Verdict.NONE)] * len(datasets)
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return [FaceFinding(Verdict.REFUSE, reason="face_may_show", detail="gaps")] * len(datasets)
    mask = np.zeros(64, bool)
    mask[:32] = True
    face = FaceFinding(Verdict.REMOVE, (np.packbits(mask).tobytes(),), AIR)
    return [face if action == "remove" else FaceFinding(Verdict.LEFT)] * len(datasets)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """Put the fake in place, for runs in this process, and return what it was given."""
    LOOKS.clear()
    monkeypatch.setattr(group_series, "look_at_series", look_for_skin)
    yield LOOKS
    LOOKS.clear()


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a folder with series of heads, a knee and air, and a dose that shows a head."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    air = make_slice(1, "1.4.4")
    air["PixelData"].value = bytes(128)
    made = {
        **{f"head{it}": make_slice(it, "1.4.1", BodyPartExamined="HEAD") for it in (1, 2, 3)},
        "neck1": make_slice(1, "1.4.2"),
        "knee1": make_slice(1, "1.4.3", BodyPartExamined="KNEE"),
        "air1": air,
        "dose": make_slice(1, "1.4.5", SOPClassUID=RTDOSE, Modality="RTDOSE", BodyPartExamined="HEAD"),
    }
    for name, dataset in made.items():
        (folder / f"{name}.dcm").write_bytes(as_bytes(dataset))
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that writes a recipe and returns its path."""

    def _recipe(text: str = REMOVE) -> str:
        path = tmp_path / "faces.yaml"
        path.write_text(text)
        return str(path)

    return _recipe


def told(ran: Any) -> dict[str, tuple[Any, ...]]:
    """Return, by the number of the original's series, outcome, reason and detail of its rows."""
    return {name: (row["outcome"], row["reason"], row["detail"]) for name, row in by_name(ran).items()}


def by_name(ran: Any) -> dict[str, dict[str, Any]]:
    """Return the rows of a run by what its sources are called."""
    import pyarrow.parquet as pq

    from beamstop.identity import Identity
    from beamstop_transforms.instance import Source, source_id_of

    _ = pq
    identity = Identity(bytes(range(32)))
    folder = ran.output.parent / "mixed"
    names = {source_id_of(Source(str(path), 0, ""), identity): path.stem for path in folder.iterdir()}
    return {names[row["source_id"]]: row for row in ran.table("instances")}


def test_without_the_option_headers_tell_and_no_byte_of_pixels_changes(run: Any, mixed: Path) -> None:
    ran = run(mixed)
    left, nothing = ("written", None, "face_may_show"), ("written", None, None)
    assert told(ran) == {
        **dict.fromkeys(("head1", "head2", "head3", "neck1", "air1", "dose"), left),
        "knee1": nothing,
    }
    assert (ran.record["counts"]["face_may_show"], ran.record["counts"]["face_removed"]) == (6, 0)
    for row in ran.table("instances"):
        clean = dcmread(ran.output / row["output_path"])
        assert "RecognizableVisualFeatures" not in clean
        assert not row["pixels_changed"]


def test_only_series_that_show_a_face_change(run: Any, mixed: Path, recipe: Any, look: Any) -> None:
    before, ran = run(mixed, to="before"), run(mixed, recipe=recipe())
    removed = ("written", None, "face_removed")
    assert told(ran) == {
        **dict.fromkeys(("head1", "head2", "head3", "neck1"), removed),
        **dict.fromkeys(("knee1", "air1"), ("written", None, None)),
        "dose": ("quarantined", "face_may_show", "shows what slices of a head show"),
    }
    assert sorted(look) == [["1.4.1.1", "1.4.1.2", "1.4.1.3"], ["1.4.2.1"], ["1.4.4.1"]]
    for name, row in by_name(ran).items():
        if row["outcome"] != "written":
            continue
        clean, plain = dcmread(ran.output / row["output_path"]), dcmread(before.output / row["output_path"])
        is_head = name.startswith(("head", "neck"))
        expected = bytes(64) + plain.PixelData[64:] if is_head else plain.PixelData
        assert clean.PixelData == expected
        assert row["pixels_changed"] is is_head
        assert (
            ("113102" in row["methods"])
            is (clean.get("RecognizableVisualFeatures") == "NO")
            is (name != "knee1")
        )
        assert clean.get("DerivationDescription") == ("Face removed" if is_head else None)
    whys = [row["why"] for row in ran.table("changes") if row["why"] is not None]
    assert whys == ["face"] * 4
    assert (ran.record["counts"]["face_may_show"], ran.record["counts"]["face_removed"]) == (0, 4)
    assert ran.record["recipe"]["faces"] == "remove"


@pytest.mark.parametrize(
    ("action", "head", "dose"),
    [
        ("reject", ("rejected", "face", None), ("rejected", "face", "shows what slices of a head show")),
        ("tell", ("written", None, "face_may_show"), ("written", None, "face_may_show")),
    ],
)
def test_faces_are_turned_away_or_told_if_the_recipe_says_so(
    run: Any, mixed: Path, recipe: Any, look: Any, action: str, head: Any, dose: Any
) -> None:
    ran = run(mixed, recipe=recipe(f"{REMOVE}faces: {{action: {action}}}\n"))
    assert [told(ran)[it] for it in ("head1", "neck1", "dose")] == [head, head, dose]
    said = {
        name: dcmread(ran.output / row["output_path"]).get("RecognizableVisualFeatures")
        for name, row in by_name(ran).items()
        if row["outcome"] == "written"
    }
    faces = {} if action == "reject" else dict.fromkeys(("head1", "head2", "head3", "neck1", "dose"), "YES")
    assert said == {"knee1": None, "air1": "NO", **faces}


def test_a_series_in_a_zip_gives_the_same_bytes(run: Any, mixed: Path, recipe: Any, look: Any) -> None:
    archive = mixed.parent / "mixed.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(mixed.iterdir()):
            file.write(path, path.name)
    assert run(archive, to="zip", recipe=recipe()).tree == run(mixed, recipe=recipe()).tree


def test_a_series_with_a_gap_is_quarantined_as_a_whole(run: Any, mixed: Path, recipe: Any, look: Any) -> None:
    (mixed / "head2.dcm").unlink()
    ran = run(mixed, recipe=recipe())
    assert told(ran)["head1"] == told(ran)["head3"] == ("quarantined", "face_may_show", "gaps")
    assert told(ran)["neck1"] == ("written", None, "face_removed")
    assert ran.code == 1


def test_nothing_claims_to_be_without_a_face_that_was_not_looked_at(
    run: Any, mixed: Path, recipe: Any
) -> None:
    """The core refuses these phantoms: nothing is written of what may show a face."""
    ran = run(mixed, recipe=recipe())
    written = {name for name, row in by_name(ran).items() if row["outcome"] == "written"}
    assert "knee1" in written
    for path in ran.output.rglob("*.dcm"):
        clean = dcmread(path)
        codes = [it.CodeValue for it in clean.DeidentificationMethodCodeSequence]
        assert ("113102" in codes) == (clean.get("RecognizableVisualFeatures") == "NO")


def test_an_increment_does_a_series_again_as_a_whole_and_reads_nothing_for_nothing(
    run: Any, mixed: Path, recipe: Any, look: Any
) -> None:
    late = mixed / "head3.dcm"
    data = late.read_bytes()
    late.unlink()
    more = ("--incremental",)
    assert run(mixed, recipe=recipe(), more=more).record["counts"]["written"] == 5
    look.clear()
    again = run(mixed, recipe=recipe(), more=more)
    assert (again.record["counts"]["skipped"], again.record["counts"]["sources"], look) == (6, 6, [])
    late.write_bytes(data)
    third = run(mixed, recipe=recipe(), more=more)
    assert look == [["1.4.1.1", "1.4.1.2", "1.4.1.3"]]
    counts = third.record["counts"]
    assert (counts["skipped"], counts["written"], counts["unchanged"]) == (4, 3, 2)
    assert third.tree == run(mixed, to="whole", recipe=recipe()).tree


@pytest.mark.parametrize(
    ("rule", "read"),
    [
        ("", {"head3", "head1", "head2", "neck1", "air1", "dose"}),
        ("attributes: {StudyInstanceUID: K}", {"head3", "head1", "head2", "neck1", "air1", "dose"}),
        (
            "attributes: {StudyInstanceUID: {value: '2.25.7'}}",
            {"head3", "head1", "head2", "neck1", "air1", "dose", "knee1", "other"},
        ),
    ],
)
def test_an_increment_reads_headers_of_the_studies_in_question_alone(
    run: Any, mixed: Path, recipe: Any, look: Any, monkeypatch: pytest.MonkeyPatch, rule: str, read: set[str]
) -> None:
    """And of what left no clean file; of all, if nobody knows what clean files call a study."""
    knee = make_slice(1, "1.4.3", BodyPartExamined="KNEE", StudyInstanceUID="1.2.4")
    (mixed / "knee1.dcm").write_bytes(as_bytes(knee))
    (mixed / "other.dcm").write_bytes(as_bytes(make_slice(1, "1.4.9", StudyInstanceUID="1.2.5")))
    late = (mixed / "head3.dcm").read_bytes()
    (mixed / "head3.dcm").unlink()
    run(mixed, recipe=recipe(REMOVE + rule), more=("--incremental",))
    (mixed / "head3.dcm").write_bytes(late)
    opened: set[str] = set()
    read_range = group_series.read_range

    def noted(path: str, start: int, length: int) -> bytes:
        opened.add(Path(path).stem)
        return read_range(path, start, length)

    monkeypatch.setattr(group_series, "read_range", noted)
    second = run(mixed, recipe=recipe(REMOVE + rule), more=("--incremental",))
    assert opened == read
    assert second.record["counts"]["written"] == 3


def test_a_dose_is_done_again_when_a_head_comes_to_its_frame(
    run: Any, mixed: Path, recipe: Any, look: Any
) -> None:
    frame = {"FrameOfReferenceUID": "1.4.1.9", "BodyPartExamined": "KNEE"}
    dose = make_slice(1, "1.4.5", SOPClassUID=RTDOSE, Modality="RTDOSE", **frame)
    (mixed / "dose.dcm").write_bytes(as_bytes(dose))
    heads = {path: path.read_bytes() for path in mixed.glob("head*")}
    for path in heads:
        path.unlink()
    first = run(mixed, recipe=recipe(), more=("--incremental",))
    assert told(first)["dose"] == ("written", None, None)
    for path, data in heads.items():
        path.write_bytes(data)
    second = run(mixed, recipe=recipe(), more=("--incremental", "--prune"))
    assert told(second)["dose"] == ("quarantined", "face_may_show", "shows what slices of a head show")
    assert second.tree == run(mixed, to="whole", recipe=recipe()).tree


def test_what_may_show_a_face_is_told_by_summary_report_and_certificate(
    run: Any, mixed: Path, recipe: Any, look: Any, capsys: pytest.CaptureFixture[str], key_file: Path
) -> None:
    places = ["--output", str(mixed.parent / "o"), "--audit", str(mixed.parent / "a")]
    assert main(["run", "--input", str(mixed), *places, "--key", str(key_file), "--recipe", "basic"]) == 0
    assert "a face may show" in capsys.readouterr().out
    page = render_report(read_figures(str(mixed.parent / "a")))
    assert "A face may show in 6 clean files (CT 5, RTDOSE 1)" in page
    assert "6 × written, although a face may show" in page
    ran = run(mixed, recipe=recipe())
    page = render_report(read_figures(str(ran.audit)))
    assert "5 files in all: it was removed from 4, and the others show none." in page
    assert "A face may show" not in page


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--limit", "2"), "--limit: clean-recognizable-visual-features needs whole series"),
        (("--subscription", "projects/p/subscriptions/s"), "--subscription: clean-recognizable"),
    ],
)
def test_what_cuts_a_series_is_bad_configuration(
    mixed: Path, recipe: Any, key_file: Path, capsys: pytest.CaptureFixture[str], more: Any, sentence: str
) -> None:
    inputs = [] if "--subscription" in more else ["--input", str(mixed)]
    places = ["--output", str(mixed.parent / "o"), "--audit", str(mixed.parent / "a")]
    code = main(["run", *inputs, *places, "--key", str(key_file), "--recipe", recipe(), *more])
    assert code == 2
    assert sentence in capsys.readouterr().err
    assert not (mixed.parent / "o").exists()


@pytest.mark.parametrize(
    ("action", "kind", "sentence"),
    [
        ("", "head1", "a face may show, judging by the header; the recipe leaves it (face_may_show)"),
        ("remove", "head1", "a run searches the whole series and removes the face if there is one"),
        ("reject", "head1", "a run searches the whole series and turns it away if there is one (face)"),
        ("tell", "dose", "it shows what slices of a head show: a run writes it, and says so"),
        ("remove", "dose", "it shows what slices of a head show: a run quarantines it (face_may_show)"),
        ("remove", "knee1", ""),
    ],
)
def test_explain_says_what_becomes_of_a_face(
    mixed: Path, recipe: Any, capsys: pytest.CaptureFixture[str], action: str, kind: str, sentence: str
) -> None:
    chosen = recipe(f"{REMOVE}faces: {{action: {action}}}\n") if action else "basic"
    assert main(["explain", str(mixed / f"{kind}.dcm"), "--recipe", chosen]) == 0
    said = capsys.readouterr().out
    assert sentence in said
    assert bool(sentence) is ("a run " in said or "face_may_show" in said)


@pytest.mark.workers
def test_heads_lose_their_faces_and_every_number_of_workers_gives_the_same_bytes(
    run: Any, tmp_path: Path, recipe: Any, key_file: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    made = {
        "head": series(Head(), Scan(noise=20)),
        "knee": series(
            Knee(), Scan(count=8, header={"BodyPartExamined": "KNEE", "SeriesInstanceUID": "1.2.5"})
        ),
    }
    for number, dataset in enumerate(made["knee"]):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.5.{number}"
    for name, slices in made.items():
        for number, dataset in enumerate(slices):
            (folder / f"{name}{number:02}.dcm").write_bytes(as_bytes(dataset))
    one = run(folder, recipe=recipe())
    two = run(folder, to="2", workers=2, recipe=recipe())
    assert one.tree == two.tree
    assert {key for row in by_name(one).values() if (key := row["outcome"])} == {"written"}
    removed = {name for name, row in by_name(one).items() if row["detail"] == "face_removed"}
    assert removed
    assert {name[:4] for name in removed} == {"head"}
    assert {name for name, row in by_name(one).items() if row["pixels_changed"]} == removed
    places = ["--input", str(folder), "--output", str(one.output), "--audit", str(one.audit)]
    assert main(["verify", *places, "--key", str(key_file), "--recipe", recipe()]) == 0
    claims = {name for name, row in by_name(one).items() if "113102" in row["methods"]}
    assert claims == {name for name in by_name(one) if name.startswith("head")}


def test_a_pipeline_of_ones_own_does_what_a_run_does(
    run: Any, mixed: Path, recipe: Any, look: Any, key_file: Path
) -> None:
    own = mixed.parent / "own"
    pipeline = beam.Pipeline(runner="FnApiRunner")
    clean = pipeline | DeidentifyFiles([str(mixed)], load_recipe(recipe()), str(key_file))
    target = Target(str(own), str(mixed.parent / "own_audit"), str(key_file), new_run_id())
    _ = clean.instances | WriteDicom(target)
    pipeline.run().wait_until_finish()
    written = {str(it.relative_to(own)): it.read_bytes() for it in own.rglob("*.dcm")}
    ran = run(mixed, recipe=recipe())
    assert written == {path: (ran.output / path).read_bytes() for path in ran.tree}


def test_explain_of_a_folder_draws_heads_before_and_after(
    tmp_path: Path, recipe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    for number, dataset in enumerate(series(Head(), Scan(noise=20))):
        (folder / f"{number:02}.dcm").write_bytes(as_bytes(dataset))
    (folder / "knee.dcm").write_bytes(as_bytes(make_slice(1, "1.4.3", BodyPartExamined="KNEE")))
    page = tmp_path / "heads.html"
    assert main(["explain", str(folder), "--recipe", recipe(), "--heads", str(page)]) == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"CT, 64 instances: .*the face is removed from [0-9]+.*", first)
    assert second == "1 other sources, which are judged without their series"
    views = [it.get("src") for it in html.document_fromstring(page.read_text()).xpath("//img")]
    assert len(views) == len(set(views)) == 6
    assert page.stat().st_mode & 0o077 == 0
    assert main(["explain", str(folder), "--recipe", "basic"]) == 2
