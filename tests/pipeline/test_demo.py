"""The demo's archive, and the job run on it."""

from pathlib import Path

import pytest
from pydicom import dcmread

from beamstop_pipeline import demo


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "in"
    demo.build_archive(folder)
    return folder


def test_every_kind_of_file_is_in_the_archive(archive: Path) -> None:
    names = {path.name for path in archive.iterdir()}
    others = {"CT_small_again.dcm", "notes.txt", "cut_off.dcm", "spoilt_pixels.dcm", "letter.dcm"}
    assert names == {picture.source for picture in demo.PICTURES} | others


@pytest.mark.parametrize("picture", demo.PICTURES, ids=lambda picture: Path(picture.source).stem)
def test_identity_is_planted(archive: Path, picture: demo.Picture) -> None:
    data = (archive / picture.source).read_bytes()
    assert data.count(picture.person.name.encode()) == 2  # PatientName and the private element
    assert data.count(picture.person.address.encode()) == 1


@pytest.mark.parametrize(
    "picture", [each for each in demo.PICTURES if each.drawn], ids=lambda picture: Path(picture.source).stem
)
def test_drawn_pixels_can_be_decoded(archive: Path, picture: demo.Picture) -> None:
    dataset = dcmread(archive / picture.source)
    assert dataset.file_meta.TransferSyntaxUID == picture.syntax
    assert len(set(dataset.pixel_array.ravel().tolist())) > 1


@pytest.mark.ocr
@pytest.mark.workers
def test_demo_leaves_no_identity_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main() == 0
    assert "20 sources, 15 clean files" in Path("demo-out/report.html").read_text()
    clean = list(Path("demo-out/out").rglob("*.dcm"))
    assert len(clean) == len(demo.PICTURES)
    for person in (demo.JOSEPHINE, demo.TADEUSZ):
        for needle in (person.name, person.patient_id, person.birth_date, person.address):
            assert [path for path in clean if needle.encode() in path.read_bytes()] == []
