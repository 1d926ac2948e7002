"""The demo's archive, and the job run on it."""

import base64
import io
from pathlib import Path

import pytest
from lxml import html
from PIL import Image
from pydicom import dcmread

from beamstop_pipeline import demo
from beamstop_pipeline.cli import main
from beamstop_pipeline.demo_page import Line, Pair, render_page


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


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ran") / "demo"
    assert main(["demo", str(folder)]) == 0
    return folder


@pytest.mark.ocr
@pytest.mark.workers
def test_demo_leaves_no_identity_behind(done: Path) -> None:
    clean = list((done / "out").rglob("*.dcm"))
    assert len(clean) == len(demo.PICTURES)
    for person in (demo.JOSEPHINE, demo.TADEUSZ):
        for needle in (person.name, person.patient_id, person.birth_date, person.address):
            assert [path for path in clean if needle.encode() in path.read_bytes()] == []


@pytest.mark.ocr
@pytest.mark.workers
def test_demo_ends_with_one_page_of_header_and_picture_before_and_after(done: Path) -> None:
    page = html.parse(done / "demo.html").getroot()
    assert page.find_class("sub")[0].text.startswith("15 of 20 files were written clean, ")
    drawn = [picture for picture in demo.PICTURES if picture.drawn]
    pairs = page.find_class("pair")
    assert len(pairs) == len(drawn)
    for pair in pairs:
        before, after = (it.get("src").partition(",") for it in pair.iter("img"))
        assert (before[0], after[0]) == ("data:image/png;base64",) * 2
        pictures = [Image.open(io.BytesIO(base64.b64decode(it[2]))) for it in (before, after)]
        assert pictures[0].size == pictures[1].size
        assert pictures[0].tobytes() != pictures[1].tobytes()
        cells = [[cell.text_content() for cell in row] for row in pair.iter("tr")]
        named = {name: (old, new) for name, old, new in cells}
        assert named["Patient's Name"][0] in {demo.JOSEPHINE.name, demo.TADEUSZ.name}
        assert named["Patient's Name"][1] == "empty"
        assert named["Patient's Address"][1] == "removed"
        assert named["Patient Identity Removed"] == ("not there", "YES")
        assert named["private, Brackenford Ris"][1] == "removed"
    *_, aside = page.iter("table")
    assert sorted(row[1].text for row in aside.iter("tr")) == [
        "duplicate",
        "encapsulated_document",
        "not_dicom",
        "pixels_undecodable",
        "reason",
        "truncated",
    ]


@pytest.mark.ocr
@pytest.mark.workers
def test_the_page_of_the_demo_asks_for_nothing_beyond_itself(done: Path) -> None:
    page = html.parse(done / "demo.html").getroot()
    links = [value for node in page.iter() for name, value in node.items() if name in ("src", "href")]
    assert links
    assert [link for link in links if not link.startswith("data:image/png;base64,")] == []
    assert list(page.iter("script", "link", "iframe")) == []
    (policy,) = (it.get("content") for it in page.iter("meta") if it.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_what_a_header_says_is_escaped_on_the_page() -> None:
    line = Line("<name>", "<script>alert(1)</script>", '"><img src=x>')
    pair = Pair("CT", 1, "data:,", "data:,", [line])
    page = render_page(pairs=[pair], sources=1, written=1, hidden=1, aside=[])
    assert "<script>" not in page
    assert "<img src=x>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_folder_in_which_something_is_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert main(["demo", str(tmp_path)]) == 2
    assert main(["demo", str(tmp_path / "thesis.txt")]) == 2
    said = f"beamstop: FOLDER {tmp_path}: is not empty; remove it or name another folder\n"
    assert capsys.readouterr().err.startswith(said)
    assert [it.name for it in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_demo_that_went_otherwise_than_foreseen_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("beamstop_pipeline.cli.main", lambda arguments: 1 if arguments[0] == "run" else 0)
    monkeypatch.setattr("beamstop_pipeline.demo_page.write_page", lambda *places: ["fault", "leak"])
    assert main(["demo", str(tmp_path / "demo")]) == 1
    said = "beamstop: files of the demo were set aside as fault, leak\n"
    assert capsys.readouterr().err == said
