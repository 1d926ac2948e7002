"""The report: what it says, what it never says, and what it does with an audit that is not whole."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from tests.pipeline.audits import a_device, a_row, write_run

from beamstop_pipeline.cli import main
from beamstop_pipeline.report.figures import read_figures
from beamstop_pipeline.report.page import render_report
from beamstop_pipeline.report.reasons import REMEDIES

FIRST, SECOND = "20260101T000000Z-aaa", "20260102T000000Z-bbb"
DOCS = Path(__file__).resolve().parents[3] / "docs"


def page_of(audit: Path) -> Any:
    """Return the report's document."""
    return html.document_fromstring(render_report(read_figures(str(audit))))


def table(page: Any, caption: str) -> list[list[str]]:
    """Return the cells of the table with this caption, without its head."""
    (found,) = [it for it in page.iter("table") if it.findtext("caption") == caption]
    return [[cell.text_content() for cell in row] for row in found.find("tbody")]


def test_report_on_a_real_run_says_what_it_did_and_nobodys_name(
    run: Any, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / "notes.txt").write_text("not DICOM")
    (archive / "cut.dcm").write_bytes((archive / "1.dcm").read_bytes()[:-7])
    ran = run(archive)
    capsys.readouterr()
    place = tmp_path / "report.html"
    assert main(["report", str(ran.audit), "-o", str(place)]) == 0
    assert capsys.readouterr().out == f"report up to run {ran.record['run_id']}: {place}\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600

    text = place.read_text()
    page = html.document_fromstring(text)
    assert table(page, "Sources by outcome and reason") == [
        ["written", "", "3", ""],
        ["rejected", "not_dicom", "1", REMEDIES["not_dicom"]],
        ["failed", "truncated", "1", REMEDIES["truncated"]],
    ]
    assert table(page, "Sources by modality and outcome") == [
        ["CT", "3", "0", "0", "0", "3"],
        ["not known", "0", "1", "0", "1", "2"],
    ]
    assert table(page, "De-identification methods that clean files claim (CID 7050)") == [
        ["113100", "Basic Application Confidentiality Profile", "3"]
    ]
    assert ran.record["recipe"]["profile"] == "basic"
    for told in (ran.record["integrity"]["root"], ran.record["recipe"]["digest"], ran.record["standard"]):
        assert told in text
    assert "beamstop sources AUDIT --input ORIGINALS" in page.get_element_by_id("look").text_content()
    for secret in ("Roe", "Poe", "R-1001", "P-2002", str(archive), "1.2.3.1001"):
        assert secret not in text


def test_page_runs_no_script_and_asks_for_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a")])
    text = render_report(read_figures(str(tmp_path)))
    page = html.document_fromstring(text)
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert page.xpath("//script | //link | //img | //iframe") == []
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert [it for it in page.xpath("//@href") if not it.startswith("#")] == []


def test_every_chart_has_title_description_and_a_table_beside_it(tmp_path: Path) -> None:
    looked = {"frames": 1, "frames_examined": 1, "text_boxes_hidden": 2, "ms_read": 3.0}
    write_run(tmp_path, FIRST, [a_row("a", **looked)])
    write_run(tmp_path, SECOND, [a_row("a", **looked), a_row("b", **looked)])
    page = page_of(tmp_path)
    charts = page.xpath("//figure/svg")
    assert [it.find("title").text for it in charts] == [
        "Sources by modality and outcome",
        "Text boxes by modality",
        "Time of a worker for one source, on average, by modality",
        "Sources written, run by run",
    ]
    for chart in charts:
        assert chart.get("role") == "img"
        assert len(chart.find("desc").text) > 20
        labels = chart.get("aria-labelledby").split()
        assert [page.get_element_by_id(label).tag for label in labels] == ["title", "desc"]
        assert chart.getparent().getnext().find("table") is not None
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))


def test_text_is_told_by_modality(tmp_path: Path) -> None:
    us = {"modality": "US", "frames_examined": 2, "methods": ["113100", "113101"]}
    rows = [
        a_row("a", **us, text_boxes_hidden=3, text_boxes_kept=1),
        a_row("b", **us, text_boxes_hidden=1, text_residue=1),
        a_row("c", modality="SEG"),
        a_row("d", "quarantined", modality="US", text_boxes_hidden=9, frames_examined=1),
    ]
    boxes = [("a", "text"), ("a", "faint_text"), ("a", "faint_text"), ("b", "text")]
    write_run(tmp_path, FIRST, rows[:2], rows[2:], changes=[a_box_of(*box) for box in boxes])
    page = page_of(tmp_path)
    caption = "Text in the pixels of written instances"
    assert table(page, caption) == [["US", "2", "4", "2", "4", "2", "1", "1"]]
    assert table(page, "Written without a search of the pixels") == [["SEG", "1"]]
    assert table(page, "Text boxes by what decided about them") == [["text", "2"], ["faint_text", "2"]]
    look = page.get_element_by_id("look").text_content()
    assert "P/S/R/b.dcm" in look
    assert "1 × written, with faint text hidden" in look


def a_box_of(source: str, why: str) -> dict[str, Any]:
    return {"source_id": a_row(source)["source_id"], "why": why, "rule": "text", "action": "X"}


def test_faint_text_is_not_told_where_no_row_per_box_was_kept(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a", frames_examined=1, text_boxes_hidden=3)])
    page = page_of(tmp_path)
    caption = "Text in the pixels of written instances"
    assert table(page, caption) == [["CT", "1", "1", "1", "3", "–", "0", "0"]]
    assert "so that faint text is not counted" in page.get_element_by_id("look").text_content()


def test_text_is_told_by_device_and_what_no_earlier_record_names_is_new(tmp_path: Path) -> None:
    looked = a_row("a", frames_examined=1, text_boxes_hidden=2)
    write_run(tmp_path, FIRST, [looked], devices=[a_device("Acme", "Sono 7", 4, 4, 8)])
    assert "no device is new" in page_of(tmp_path).get_element_by_id("look").text_content()
    devices = [
        a_device("Cee", None, 9),
        a_device("Acme", "Sono 7", 5, 5, 10, 1),
        a_device(None, None, 70, 1, 1),
    ]
    write_run(tmp_path, SECOND, [looked], devices=devices)
    page = page_of(tmp_path)
    assert table(page, "Devices that clean files name") == [
        ["Cee", "new", "9", "0", "0", "0"],
        ["Acme Sono 7", "", "5", "5", "10", "1"],
        ["others, or no name", "", "70", "1", "1", "0"],
    ]
    (said,) = page.xpath("//desc[starts-with(@id, 'devices')]")
    assert said.text.startswith("Acme Sono 7: hidden 10, kept 1; others: hidden 1.")
    look = page.get_element_by_id("look").text_content()
    assert "1 new device" in look
    assert "Cee: 9 written, 0 with text" in look


def test_clean_files_that_name_no_device_are_said_to(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a")], devices=[a_device(None, None, 1)])
    assert "The clean files name no device." in page_of(tmp_path).get_element_by_id("run").text_content()


def test_what_a_detail_says_is_escaped(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a", "failed", reason="fault", detail="<script>alert(1)</script>")])
    page = page_of(tmp_path)
    assert page.xpath("//script") == []
    assert "<script>alert(1)</script>" in page.get_element_by_id("look").text_content()


def test_second_run_is_compared_with_the_first(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a"), a_row("b", "failed", reason="truncated"), a_row("gone")])
    versions = {"versions": {"pydicom": "3.0.2"}}
    write_run(tmp_path, SECOND, [a_row("a")], [a_row("b"), a_row("new", "rejected")], **versions)
    page = page_of(tmp_path)
    assert table(page, "Sources whose outcome changed") == [["failed", "written", "1"]]
    assert table(page, "Settings that differ") == [["versions: pydicom", "not recorded", "3.0.2"]]
    assert ["written", "2", "2"] in table(page, "Counts")
    said = " ".join(page.get_element_by_id("before").text_content().split())
    assert "1 sources of both runs had the same outcome" in said
    assert "New in this run: 1 rejected" in said
    assert "Not looked at in this run: 1 written" in said
    assert table(page, "Sources by modality and outcome") == [["CT", "3", "1", "0", "0", "4"]]


def test_after_a_night_without_news_the_page_is_about_the_archive(tmp_path: Path) -> None:
    searched = {"frames": 1, "frames_examined": 1, "methods": ["113100", "113101"]}
    write_run(tmp_path, FIRST, [a_row("a", **searched, text_boxes_hidden=2)])
    write_run(
        tmp_path,
        SECOND,
        counts={
            **dict.fromkeys(["written", "rejected", "quarantined", "failed", "face_may_show"], 0),
            "skipped": 1,
        },
    )
    page = page_of(tmp_path)
    certificate = page.get_element_by_id("certificate").text_content()
    assert "1 clean file of 1 source" in certificate
    assert "Every source was written clean or turned away by policy." in certificate
    assert "searched in 1 of 1 images; 2 places in 1 image were blanked." in " ".join(certificate.split())
    assert table(page, "Sources by modality and outcome") == [["CT", "1", "0", "0", "0", "1"]]
    run = page.get_element_by_id("run").text_content()
    assert "0 written, 0 rejected, 0 quarantined, 0 failed; 1 more sources were left out" in " ".join(
        run.split()
    )


def test_what_acted_most_is_named(tmp_path: Path) -> None:
    changes = [{"rule": rule, "action": "X"} for rule in ("basic:00081030", "basic:00081030", "private")]
    write_run(tmp_path, FIRST, [a_row("a")], changes=changes)
    assert table(page_of(tmp_path), "Rules that acted most often") == [
        ["basic:00081030", "Study Description", "X", "2"],
        ["private", "", "X", "1"],
    ]


def test_a_fast_and_a_slow_half_are_told_apart(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row(str(n), ms_read=10.0 if n < 50 else 1000.0) for n in range(100)])
    run = read_figures(str(tmp_path)).run
    assert [run.percentile(share) for share in (0.5, 0.9)] == [
        pytest.approx(10, rel=0.03),
        pytest.approx(1000, rel=0.03),
    ]


def refused(capsys: pytest.CaptureFixture[str], audit: Path, place: Path) -> str:
    assert main(["report", str(audit), "-o", str(place)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_an_audit_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, tmp_path / "nowhere", tmp_path / "r.html")
    assert "no run has ended there; check the path" in said
    assert not (tmp_path / "r.html").exists()


def test_an_audit_with_an_unfinished_run_alone_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, FIRST, [a_row("a")], ended=False)
    assert "no run has ended there: run it again first" in refused(capsys, tmp_path, tmp_path / "r.html")


def test_an_unfinished_run_counts_nowhere_and_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a")])
    write_run(tmp_path, SECOND, [a_row("b")], ended=False)
    page = page_of(tmp_path)
    assert "1 run left rows but no record" in page.get_element_by_id("look").text_content()
    assert table(page, "Sources by modality and outcome") == [["CT", "1", "0", "0", "0", "1"]]


def test_a_place_that_is_no_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, FIRST, [a_row("a")])
    assert "name one, such as report.html" in refused(capsys, tmp_path, tmp_path)


def test_a_broken_file_makes_the_report_incomplete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, FIRST, [a_row("a")], [a_row("b")])
    broken = tmp_path / "instances" / f"{FIRST}-00001-of-00002.parquet"
    broken.write_bytes(broken.read_bytes()[:-20])
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "r.html")]) == 1
    assert f"instances/{broken.name}: a file of the audit that cannot be read" in capsys.readouterr().err
    assert "This report is incomplete" in (tmp_path / "r.html").read_text()


def test_rows_that_do_not_fit_the_record_are_said(tmp_path: Path) -> None:
    write_run(
        tmp_path, FIRST, [a_row("a")], counts={"written": 2, "rejected": 0, "quarantined": 0, "failed": 0}
    )
    assert read_figures(str(tmp_path)).doubts == [f"run {FIRST}: the record says 2 written, the rows say 1"]


def test_a_record_of_an_earlier_version_says_less(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a")], recipe={"name": "basic", "digest": "d0"})
    facts = page_of(tmp_path).get_element_by_id("recipe").text_content()
    assert "not known" in facts


def test_every_reason_has_a_remedy_and_is_documented() -> None:
    section = (DOCS / "reasons.md").read_text().partition("\n## ")[0]
    cells = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")]
    assert {code for cell in cells for code in re.findall(r"`([a-z_]+)`", cell)} == REMEDIES.keys()


def test_findings_of_the_last_verification_are_told(run: Any, archive: Path, key_file: Path) -> None:
    ran = run(archive)
    look = ["verify", "--audit", str(ran.audit), "--key", str(key_file), "--quiet"]
    assert main(look) == 0
    assert "no findings" in page_of(ran.audit).get_element_by_id("proof").text_content()
    record = ran.audit / "runs" / f"{ran.record['run_id']}.json"
    record.write_text(json.dumps(ran.record | {"standard": "1999a"}))
    assert main(look) == 1
    assert "1 × record_changed" in page_of(ran.audit).get_element_by_id("proof").text_content()


def test_what_verify_found_stands_before_all_else_whatever_a_lesser_look_says(
    run: Any, archive: Path, key_file: Path
) -> None:
    ran = run(archive)
    places = ["--input", str(archive), "--output", str(ran.output), "--audit", str(ran.audit)]
    places += ["--recipe", "basic", "--key", str(key_file), "--quiet"]
    assert "found since" not in page_of(ran.audit).text_content()
    clean = next(ran.output.rglob("*.dcm"))
    clean.write_bytes(clean.read_bytes() + b"more")
    assert main(["verify", *places]) == 1
    assert main(["verify", "--audit", str(ran.audit), "--quiet"]) == 0
    box = page_of(ran.audit).xpath("//div[contains(@class, 'warn')]//li")[0].text_content()
    found = "beamstop verify found since the newest run: file_changed 1."
    assert box == f"{found} The archive or the audit was changed since that run."
    assert main(["run", *places]) in {0, 1}
    assert "found since" not in page_of(ran.audit).text_content()


def test_where_matplotlib_is_missing_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("beamstop_pipeline.commands.report.find_spec", lambda name: None)
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "report.html")]) == 2
    said = "beamstop: the report's charts are drawn by matplotlib: pip install matplotlib\n"
    assert capsys.readouterr().err == said
