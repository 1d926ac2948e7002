"""The pages in a real browser: they open, work by mouse and keyboard, and no request leaves them."""

import base64
import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydicom.uid import SegmentationStorage
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from tests.pipeline.audits import a_device, a_row, write_run
from tests.pipeline.reviewed import CINE, PLAIN, RUN, STILL, write_reviewed

from beamstop.pixels.box import Box
from beamstop.recipe.load import load_recipe
from beamstop_pipeline.cli import main
from beamstop_pipeline.report.verdicts import FORMAT, VERDICTS, Verdict, Verdicts
from beamstop_transforms.record import settings_of

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --window-size=1200,1000"
)
_SIDES = ("x", "y", "width", "height")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Return a headless Chromium that notes what it asks the network for."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("Debian's chromium and chromium-driver are not installed")
    folder = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*_FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    with webdriver.Chrome(options=options, service=service) as opened:
        opened.downloads = folder / "downloads"  # type: ignore[attr-defined]
        yield opened


@pytest.fixture
def pages(browser: webdriver.Chrome, tmp_path: Path) -> Path:
    """Return the folder of a report and its review page; forget what the browser asked for before."""
    write_reviewed(tmp_path / "audit", tmp_path / "clean")
    places = ["-o", str(tmp_path / "r.html"), "--review", str(tmp_path / "clean")]
    assert main(["report", str(tmp_path / "audit"), *places]) == 0
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get_log("browser")
    return tmp_path


def asked_for(browser: webdriver.Chrome) -> set[str]:
    """Return the addresses that the browser asked for; what a page holds itself is left out."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {it["params"]["request"]["url"] for it in events if it["method"] == "Network.requestWillBeSent"}
    return {url for url in urls if not url.startswith(("data:", "blob:"))}


def verdict_of(browser: webdriver.Chrome, uid: str) -> str | None:
    return browser.find_element(By.CSS_SELECTOR, f"[data-uid='{uid}']").get_attribute("data-verdict")


def shown(browser: webdriver.Chrome) -> list[str | None]:
    found = browser.find_elements(By.CSS_SELECTOR, ".picture")
    return [it.get_attribute("data-uid") for it in found if it.is_displayed()]


def test_report_opens_with_its_charts_drawn(browser: webdriver.Chrome, pages: Path) -> None:
    browser.get(f"file://{pages / 'r.html'}")
    charts = browser.find_elements(By.CSS_SELECTOR, "figure svg")
    assert len(charts) == 4
    for chart in charts:
        assert chart.size["width"] > 400
        assert chart.size["height"] > 50
        bars = chart.find_elements(By.CSS_SELECTOR, "path")
        assert any(bar.size["width"] > 100 for bar in bars)
    assert browser.get_log("browser") == []
    assert asked_for(browser) == {f"file://{pages / 'r.html'}"}


def test_pictures_are_there_and_the_filter_works(browser: webdriver.Chrome, pages: Path) -> None:
    browser.get(f"file://{pages / 'r-review.html'}")
    widths = browser.execute_script(
        "return [...document.querySelectorAll('.frame img')].map(it => it.naturalWidth)"
    )
    assert widths == [60] * 8
    assert shown(browser) == [PLAIN, CINE, STILL]
    Select(browser.find_element(By.ID, "f-modality")).select_by_visible_text("US")
    assert shown(browser) == [CINE, STILL]
    assert browser.find_element(By.ID, "count").text == "2 shown, 0 of 3 judged"
    browser.find_element(By.CSS_SELECTOR, f"[data-uid='{STILL}'] input[value=fine]").click()
    Select(browser.find_element(By.ID, "f-verdict")).select_by_visible_text("none yet")
    assert shown(browser) == [CINE]
    assert browser.get_log("browser") == []
    assert asked_for(browser) == {f"file://{pages / 'r-review.html'}"}


def test_verdicts_by_keyboard_and_mouse_become_a_recipe(browser: webdriver.Chrome, pages: Path) -> None:
    browser.get(f"file://{pages / 'r-review.html'}")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    browser.switch_to.active_element.send_keys("1", Keys.ARROW_RIGHT)
    browser.switch_to.active_element.send_keys("3")
    assert (verdict_of(browser, CINE), verdict_of(browser, STILL)) == ("fine", "hidden_too_much")

    browser.switch_to.active_element.send_keys(Keys.ENTER)
    words = browser.find_element(By.ID, "w-text")
    words.send_keys("LEFT BREAST\nSHOCR")
    words.send_keys(Keys.ESCAPE)

    browser.find_element(By.CSS_SELECTOR, f"[data-uid='{PLAIN}'] .frame").click()
    canvas = browser.find_element(By.CSS_SELECTOR, "#closer .canvas")
    assert canvas.size == {"width": 60, "height": 40}
    drag = ActionChains(browser).move_to_element_with_offset(canvas, -20, -10).click_and_hold()
    drag.move_by_offset(30, 15).release().perform()
    assert verdict_of(browser, PLAIN) == "missed_text"
    for name, value in {"x": "50", "y": "30", "width": "99", "height": "5"}.items():
        browser.find_element(By.ID, f"b-{name}").send_keys(value)
    browser.find_element(By.ID, "b-add").click()
    browser.find_element(By.CSS_SELECTOR, "#closer .close").click()

    browser.find_element(By.ID, "download").click()
    file = browser.downloads / f"verdicts-{RUN}.json"  # type: ignore[attr-defined]
    WebDriverWait(browser, 20).until(lambda _: file.exists())
    told = {it["sop_instance_uid"]: it for it in json.loads(file.read_text())["verdicts"]}
    assert told[STILL]["words"] == ["LEFT BREAST", "SHOCR"]
    drawn, typed = (Box(*(it[name] for name in _SIDES)) for it in told[PLAIN]["boxes"])
    assert drawn.holds(Box(10, 10, 30, 15))
    assert Box(9, 9, 32, 17).holds(drawn)  # whole pixels, outwards
    assert typed == Box(50, 30, 10, 5)
    assert asked_for(browser) == {f"file://{pages / 'r-review.html'}"}

    new = pages / "ours.yaml"
    assert main(["recipe", "amend", "default", str(file), "-o", str(new)]) == 0
    text = load_recipe(new).text_policy
    assert text.authorized_words == ("LEFT BREAST", "SHOCR")
    (region,) = text.regions
    assert region.when == "Modality.equals('MR') and Rows.equals('40') and Columns.equals('60')"
    assert region.boxes == (drawn, typed)


def test_a_box_on_anatomy_is_ticked_and_left_by_the_next_recipe(
    browser: webdriver.Chrome, pages: Path
) -> None:
    browser.get(f"file://{pages / 'r-review.html'}")
    still = browser.find_element(By.CSS_SELECTOR, f"[data-uid='{STILL}']")
    still.send_keys("4")
    assert still.find_element(By.CSS_SELECTOR, ".marks").text == "mark which boxes: press Enter"
    still.send_keys(Keys.ENTER)
    asked = [
        it for it in browser.find_elements(By.CSS_SELECTOR, "#closer .tools section") if it.is_displayed()
    ]
    assert [it.find_element(By.TAG_NAME, "h3").text for it in asked] == ["No text"]
    (tick,) = browser.find_elements(By.CSS_SELECTOR, "#l-list input")
    tick.click()
    browser.find_element(By.CSS_SELECTOR, "#closer .close").click()
    assert still.find_element(By.CSS_SELECTOR, ".marks").text == "1 box to leave"
    told = browser.execute_script("return verdicts()")["verdicts"]
    box = {"frame": 0, "x": 5, "y": 5, "width": 10, "height": 6}
    assert [(it["verdict"], it["leave"], it["boxes"], it["words"]) for it in told] == [
        ("anatomy", [box], [], [])
    ]


def test_words_are_asked_for_only_where_words_are_meant(browser: webdriver.Chrome, pages: Path) -> None:
    browser.get(f"file://{pages / 'r-review.html'}")
    still = browser.find_element(By.CSS_SELECTOR, f"[data-uid='{STILL}']")
    words = browser.find_element(By.ID, "w-text")
    for key, is_asked in (("1", False), ("2", False), ("3", True), ("4", False), ("5", False)):
        still.send_keys(key, Keys.ENTER)
        assert words.is_displayed() is is_asked
        browser.find_element(By.CSS_SELECTOR, "#closer .close").click()
    still.send_keys("3", Keys.ENTER)
    words.send_keys("LEFT")
    browser.find_element(By.CSS_SELECTOR, "#closer input[value=no_text]").click()
    assert not words.is_displayed()
    (told,) = browser.execute_script("return verdicts()")["verdicts"]
    assert (told["verdict"], told["words"]) == ("no_text", [])


def test_the_bar_takes_little_of_a_phone(browser: webdriver.Chrome, pages: Path) -> None:
    phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        browser.get(f"file://{pages / 'r-review.html'}")
        assert browser.find_element(By.CSS_SELECTOR, ".bar").size["height"] < 80
        for page in ("r-review.html", "r.html"):
            browser.get(f"file://{pages / page}")
            width = browser.execute_script("return document.documentElement.scrollWidth")
            assert width <= 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("page", ["r.html", "r-review.html"])
def test_pages_are_dark_where_the_reader_is_in_the_dark(
    browser: webdriver.Chrome, pages: Path, page: str
) -> None:
    def brightness(scheme: str) -> tuple[int, int]:
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(f"file://{pages / page}")
        ground, ink = browser.execute_script(
            "const it = getComputedStyle(document.documentElement); return [it.backgroundColor, it.color]"
        )
        return tuple(sum(map(int, re.findall(r"\d+", it)[:3])) for it in (ground, ink))  # type: ignore[return-value]

    try:
        (ground, ink), (dark_ground, light_ink) = brightness("light"), brightness("dark")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert ground > 700 > 200 > ink
    assert dark_ground < 150 < 600 < light_ink


def test_what_is_signed_is_one_sheet_even_with_all_that_it_can_have_to_say(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    write_all_there_is_to_say(tmp_path)
    options = ["--about", "about.yaml", "--verdicts", "new.json", "--verdicts", "old.json"]
    places = [str(tmp_path / it) if not it.startswith("--") else it for it in options]
    attributes = ["--attributes", str(tmp_path / "attributes"), "-o", str(tmp_path / "r.html")]
    assert main(["report", str(tmp_path / "audit"), *places, *attributes]) == 0
    browser.get(f"file://{tmp_path / 'r.html'}")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#certificate .warn li")) == 10
    assert sheets(browser) > 2
    browser.execute_script(
        "document.querySelectorAll('main > :not(#certificate), footer').forEach(it => it.remove())"
    )
    assert sheets(browser) == 1


def write_all_there_is_to_say(folder: Path) -> None:
    """Write an audit of which page 1 has every sentence, with a table of attributes and two reviews."""
    audit, first, last = folder / "audit", "20260101T000000Z-aaa", "20260102T000000Z-bbb"
    us = {"modality": "US", "frames": 1, "frames_examined": 1, "methods": ["113100", "113101"]}
    rows = [a_row(str(n), **us, text_boxes_hidden=4, patient_id=f"P{n}") for n in range(20)]
    write_run(audit, first, rows, devices=[a_device("Acme", "Sono 7", 20)])
    modalities = ("XA", "RF", "DX", "CR", "OT", "SC", "ES", "GM", "SM")
    rows = [a_row(f"no{it}", frames=1, modality=it) for it in modalities]
    rows += [a_row("seg", frames=1, modality="SEG", sop_class_uid=SegmentationStorage)]
    rows += [a_row("left", **{**us, "methods": ["113100"]}), a_row("old", **us, recipe_digest="d0")]
    rows += [a_row("again", **us, text_residue=1), a_row("faint", **us, text_boxes_hidden=1)]
    rows += [a_row("cut", "failed", reason="truncated"), a_row("leak", "quarantined")]
    rows += [a_row("notes", "rejected", reason="not_dicom")]
    rows += [a_row("twin", "quarantined", reason="duplicate_conflict", detail=a_row("1")["source_id"])]
    write_run(
        audit,
        last,
        rows,
        changes=[{"source_id": a_row("faint")["source_id"], "why": "faint_text", "action": "X"}],
        recipe=settings_of(load_recipe("research")) | {"digest": "d1"},
        since={"left": {"gone": 2}, "pruned": 1, "gone": 2, "changed": 0, "judged": True},
        devices=[a_device("Acme", "Sono 9", 5)],
    )
    table = [{"SOPInstanceUID": f"2.25.{n}", "PatientID": f"P{n}", "PatientSex": "F"} for n in range(20)]
    (folder / "attributes").mkdir()
    pq.write_table(pa.Table.from_pylist(table), folder / "attributes" / f"{first}-00000-of-00001.parquet")
    verdicts = [Verdict(sop_instance_uid=f"2.25.{n}", verdict=it, when={}) for n, it in enumerate(VERDICTS)]
    for name, digest in (("new.json", "d1"), ("old.json", "d9")):
        said = Verdicts(format=FORMAT, run_id=last, recipe_digest=digest, verdicts=verdicts)
        (folder / name).write_text(said.model_dump_json())
    fields = ("data_set", "recipient", "purpose", "responsible", "legal_basis")
    (folder / "about.yaml").write_text("".join(f"{name}: {'words ' * 20}\n" for name in fields))


def sheets(browser: webdriver.Chrome) -> int:
    """Return how many sheets of paper a page takes."""
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    return len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"])))


@pytest.mark.parametrize("page", ["r.html", "r-review.html"])
def test_a_page_could_not_send_anything_if_it_tried(
    browser: webdriver.Chrome, pages: Path, page: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        browser.get(f"file://{pages / page}")
        tried: Any = browser.execute_async_script(
            """
            const [url, done] = arguments, image = new Image();
            image.onload = () => done("loaded");
            image.onerror = () => fetch(url).then(() => done("fetched"), () => done("refused"));
            image.src = url;
            """,
            url,
        )
        assert tried == "refused"
        with pytest.raises(BlockingIOError):
            server.accept()
