"""The page for reviewing: which pictures it shows and how; verdicts become a recipe."""

import base64
import io
import json
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lxml import html
from PIL import Image
from pydicom.dataset import FileDataset
from tests.pipeline.audits import a_row, write_run
from tests.pipeline.reviewed import CINE, PLAIN, RUN, STILL, a_picture, write_reviewed

from beamstop.pixels.box import Box
from beamstop.recipe.load import load_recipe
from beamstop.text.burned_words import word_test
from beamstop.text.regions import boxes_of
from beamstop_pipeline.cli import main
from beamstop_pipeline.report.figures import DeviceSeen, Faint
from beamstop_pipeline.report.review import in_eight_bits
from beamstop_pipeline.report.sample import draw
from beamstop_pipeline.report.verdicts import Verdict, Verdicts, amend


@pytest.fixture
def page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    write_reviewed(tmp_path / "audit", tmp_path / "clean")
    places = ["-o", str(tmp_path / "r.html"), "--review", str(tmp_path / "clean")]
    assert main(["report", str(tmp_path / "audit"), *places]) == 0
    assert "pictures that may still show text" in capsys.readouterr().out
    review = tmp_path / "r-review.html"
    assert stat.S_IMODE(review.stat().st_mode) == 0o600
    return html.document_fromstring(review.read_text())


def pictures(page: Any) -> dict[str, Any]:
    return {it.get("data-uid"): it for it in page.xpath("//article")}


def test_picture_is_the_clean_one_with_the_boxes_of_its_frames(page: Any) -> None:
    still = pictures(page)[STILL]
    (source,) = still.xpath(".//img/@src")
    image = Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/webp;base64,"))))
    assert image.size == (60, 40)
    assert abs(image.convert("L").getpixel((30, 20)) - 100) <= 1
    assert [dict(it.attrib) for it in still.iter("rect")] == [
        {"class": "hidden", "x": "5", "y": "5", "width": "10", "height": "6"},
        {"class": "kept", "x": "30", "y": "5", "width": "9", "height": "6"},
    ]


def test_a_picture_of_16_bits_is_stretched_so_that_a_person_can_see_it() -> None:
    stored = np.linspace(1000, 1400, 4096, dtype=np.uint16).reshape(64, 64)
    shown = in_eight_bits(stored)
    assert (shown.dtype, shown.min(), shown.max(), shown[32, 0]) == (np.uint8, 0, 255, 127)


def test_frames_are_a_strip_of_those_with_boxes_and_some_evenly_apart(page: Any) -> None:
    cine = pictures(page)[CINE]
    strip = {it.get("data-frame"): len(list(it.iter("rect"))) for it in cine.xpath(".//button[@data-frame]")}
    assert strip == {"0": 0, "2": 0, "4": 2, "5": 0, "7": 1, "8": 0}


def test_new_devices_and_the_risky_come_first_and_each_says_why_it_is_shown(page: Any) -> None:
    shown = [(it.get("data-uid"), it.get("data-why")) for it in page.xpath("//article")]
    assert shown == [(PLAIN, "of each new device"), (CINE, "most boxes"), (STILL, "most boxes")]


def test_a_criterion_goes_by_what_the_recipe_left_alone(page: Any) -> None:
    when = {uid: json.loads(it.get("data-when")) for uid, it in pictures(page).items()}
    size = {"Rows": "40", "Columns": "60"}
    assert when == {
        CINE: {"Modality": "US", "Manufacturer": "Acme", "ManufacturerModelName": "Sono 1", **size},
        STILL: {"Modality": "US", "Manufacturer": "O'Hara & Sons", **size},
        PLAIN: {"Modality": "MR", **size},
    }


def test_page_says_that_it_may_hold_residue_and_lets_nothing_else_in(page: Any) -> None:
    assert "may still identify a patient" in page.xpath("//header")[0].text_content()
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert re.fullmatch(
        r"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-[\w+/]{43}='",
        policy,
    )
    assert [it for it in page.xpath("//@src | //@href") if not it.startswith("data:image/webp;")] == []
    assert page.xpath("//@onclick | //@onload") == []


def test_a_clean_file_that_is_not_what_the_run_wrote_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_reviewed(tmp_path / "audit", tmp_path / "clean")
    (clean,) = (tmp_path / "clean").rglob(f"{STILL}.dcm")
    a_picture(STILL, "US", PatientName="Somebody^Else").save_as(clean)
    places = ["-o", str(tmp_path / "r.html"), "--review", str(tmp_path / "clean")]
    assert main(["report", str(tmp_path / "audit"), *places]) == 0
    text = (tmp_path / "r-review.html").read_text()
    assert STILL not in text
    assert "1 clean files were not there, or are not what the run wrote" in text


def test_another_output_than_the_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_reviewed(tmp_path / "audit", tmp_path / "clean")
    places = ["-o", str(tmp_path / "r.html"), "--review", str(tmp_path / "empty")]
    assert main(["report", str(tmp_path / "audit"), *places]) == 2
    assert (
        f"3 files missing or changed, 0 without a picture); name the OUTPUT of run {RUN}"
        in capsys.readouterr().err
    )
    assert not list(tmp_path.glob("*.html"))


def test_a_draw_is_the_same_every_time_and_another_for_another_run(tmp_path: Path) -> None:
    rows = [
        a_row(str(n), frames=1, text_boxes_hidden=int(n == 7), text_residue=int(n == 8)) for n in range(200)
    ]
    write_run(tmp_path, RUN, rows[:100], rows[100:])
    paths = sorted(str(path) for path in (tmp_path / "instances").iterdir())
    doubted = [rows[number]["source_id"] for number in (9, 5, 9)]
    faint = Faint([(RUN, pa.array(doubted)), ("another", pa.array(doubted * 9))])
    devices = [DeviceSeen("Cee", False, 1, 0, 0, 0, "2.25.3"), DeviceSeen("Acme", True, 1, 0, 0, 0, "2.25.4")]
    every = {path: np.ones(100, bool) for path in paths}
    first, turned = (draw(it, RUN, 8, faint, devices) for it in (every, dict(reversed(every.items()))))
    assert first == turned
    drawn = {why: [it.sop_instance_uid for it in found] for why, found in first.items()}
    assert {why: drawn[why] for why in drawn if why not in ("of each kind", "at random")} == {
        "seen again inside hidden areas": ["2.25.8"],
        "most faint text": ["2.25.9", "2.25.5"],
        "most boxes": ["2.25.7"],
        "words kept": [],
        "of each new device": ["2.25.4"],
        "of each device": ["2.25.3"],
    }
    assert [len(drawn[why]) for why in ("of each kind", "at random")] == [1, 32]
    assert draw(every, "another", 8, faint, devices)["at random"] != first["at random"]


SIZE = {"Rows": "40", "Columns": "60"}


def said(*verdicts: Verdict) -> list[Verdicts]:
    return [Verdicts(format="beamstop-verdicts-1", run_id=RUN, recipe_digest="d1", verdicts=list(verdicts))]


def missed(when: dict[str, str], *boxes: tuple[int, int, int, int, int]) -> Verdict:
    names = ("frame", "x", "y", "width", "height")
    marked = [dict(zip(names, box, strict=True)) for box in boxes]
    return Verdict.model_validate(
        {"sop_instance_uid": "1", "verdict": "missed_text", "when": when, "boxes": marked}
    )


def test_missed_text_becomes_a_region_of_its_device_alone() -> None:
    when = {"Modality": "US", "Manufacturer": 'O\'Hara & "Sons"', "Rows": "40", "Columns": "60"}
    made = amend("default", said(missed(when, (0, 1, 2, 30, 4), (3, 1, 2, 30, 4), (3, 9, 9, 5, 5))), "ours")
    assert (made.areas, made.words, made.recipe.name) == (2, 0, "ours")
    regions = made.recipe.text_policy.regions
    same: FileDataset = a_picture("1", "US", Manufacturer='O\'Hara & "Sons"')
    other = a_picture("1", "US", Manufacturer="Acme")
    assert boxes_of(same, regions) == (Box(1, 2, 30, 4), Box(9, 9, 5, 5))
    assert boxes_of(other, regions) == ()


def test_what_is_no_text_is_left_in_the_next_run_as_the_recipe_has_it() -> None:
    when = {"Modality": "US", **SIZE}
    box = {"frame": 0, "x": 1, "y": 2, "width": 3, "height": 4}
    anatomy, harmless = (
        Verdict.model_validate({"sop_instance_uid": "1", "verdict": verdict, "when": when, "leave": leave})
        for verdict, leave in (("anatomy", [box, box]), ("no_text", []))
    )
    made = amend("default", said(anatomy, harmless), "ours")
    assert (made.areas, made.left, made.words) == (0, 1, 0)
    (left,) = made.recipe.text_policy.leave
    assert left.boxes == (Box(1, 2, 3, 4),)
    assert boxes_of(a_picture("1", "US"), (left,)) == (Box(1, 2, 3, 4),)
    assert made.recipe.text_policy.regions == ()


def test_the_page_shows_what_stands_whichever_run_wrote_it(tmp_path: Path) -> None:
    write_reviewed(tmp_path / "audit", tmp_path / "clean")
    write_run(tmp_path / "audit", "20260102T000000Z-bbb", devices=[])
    places = ["-o", str(tmp_path / "r.html"), "--review", str(tmp_path / "clean")]
    assert main(["report", str(tmp_path / "audit"), *places]) == 0
    page = html.document_fromstring((tmp_path / "r-review.html").read_text())
    assert sorted(page.xpath("//@data-uid")) == [CINE, STILL, PLAIN]
    assert page.findtext(".//h1") == "3 of 3 clean instances"
    assert len(page.xpath(f"//*[@data-uid='{STILL}']//rect")) == 2


def test_amending_twice_adds_nothing_and_keeps_comments(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("# as the board decided\noptions: [clean-pixel-data]  # always\ntext:\n  markers: []\n")
    words = Verdict(sop_instance_uid="1", verdict="hidden_too_much", when={}, words=["LEFT BREAST"])
    both = said(missed({"Modality": "US", **SIZE}, (0, 1, 2, 3, 4)), words)
    once = amend(str(mine), both, "ours")
    assert "# as the board decided" in once.text
    assert "# always" in once.text
    assert once.recipe.text.authorized_words == ["LEFT BREAST"]
    assert once.recipe.text.markers == []
    ours = tmp_path / "ours.yaml"
    ours.write_text(once.text)
    again = amend(str(ours), both, "ours")
    assert (again.areas, again.words, again.text) == (0, 0, once.text)


def test_a_word_of_a_verdict_is_a_word_whatever_it_looks_like() -> None:
    looks = Verdict(sop_instance_uid="1", verdict="hidden_too_much", when={}, words=["/.*/", "/L  [RL]/"])
    entries = amend("default", said(looks), "ours").recipe.text_policy.authorized_words
    stays = [word_test(entry) for entry in entries]
    assert [any(test(text) for test in stays) for text in ("/.*/", "/l [rl]/", "ROE", "/L R/", "/L R")] == [
        *(True, True, False, False, False)
    ]


@pytest.mark.parametrize(
    ("when", "box", "side"),
    [
        (SIZE, (0, 30, 0, 31, 5), "Columns"),
        (SIZE, (0, 0, 39, 5, 2), "Rows"),
        (SIZE, (0, 10**9, 0, 1, 1), "Columns"),
        ({"Modality": "US", "Columns": "60"}, (0, 0, 0, 1, 1), "Rows"),
        ({"Rows": "40", "Columns": "-60"}, (0, 0, 0, 1, 1), "Columns"),
    ],
)
def test_a_box_of_a_verdict_that_is_not_inside_its_picture_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    when: dict[str, str],
    box: tuple[int, int, int, int, int],
    side: str,
) -> None:
    (tmp_path / "v.json").write_text(said(missed(when, box))[0].model_dump_json())
    new = tmp_path / "new.yaml"
    assert main(["recipe", "amend", "default", str(tmp_path / "v.json"), "-o", str(new)]) == 2
    assert f"a box that does not lie inside its picture, by {side}" in capsys.readouterr().err
    assert not new.exists()


def test_a_box_may_be_the_whole_picture() -> None:
    made = amend("default", said(missed(SIZE, (0, 0, 0, 60, 40))), "ours")
    assert made.recipe.text_policy.regions[0].boxes == (Box(0, 0, 60, 40),)


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ("basic", "add clean-pixel-data to its options first"),
        ("kskit.json", "a kskit recipe has no text regions"),
        ("nowhere.yaml", "no such file"),
    ],
)
def test_a_recipe_that_cannot_hold_verdicts_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kskit.json").write_text('{"0x00100010": ["PatientName", "PN", "RETIRER"]}')
    Path("v.json").write_text(said()[0].model_dump_json())
    assert main(["recipe", "amend", recipe, "v.json", "-o", "new.yaml"]) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("new.yaml").exists()


_NO_SUCH_VERDICT = json.dumps(
    {
        "format": "beamstop-verdicts-1",
        "run_id": "1",
        "recipe_digest": None,
        "verdicts": [{"verdict": "maybe"}],
    }
)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("nonsense", "not JSON"),
        ("{}", "not verdicts of a review page"),
        (_NO_SUCH_VERDICT, "verdicts.0."),
    ],
)
def test_a_file_that_is_no_verdicts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, sentence: str
) -> None:
    (tmp_path / "v.json").write_text(content)
    new = tmp_path / "new.yaml"
    assert main(["recipe", "amend", "default", str(tmp_path / "v.json"), "-o", str(new)]) == 2
    assert sentence in capsys.readouterr().err
    assert not new.exists()


def test_an_existing_recipe_is_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "v.json").write_text(said()[0].model_dump_json())
    new = tmp_path / "new.yaml"
    command = ["recipe", "amend", "default", str(tmp_path / "v.json"), "-o", str(new)]
    assert main(command) == 0
    assert load_recipe(new).options == load_recipe("default").options
    assert main(command) == 2
    assert "name a file that does not exist" in capsys.readouterr().err
