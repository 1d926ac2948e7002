"""The pages in a real browser: they open, work by mouse and keyboard, and no request leaves them."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from tests.pipeline.reviewed import CINE, PLAIN, RUN, STILL, write_reviewed

from beamstop.pixels.box import Box
from beamstop.recipe.load import load_recipe
from beamstop_pipeline.cli import main

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
