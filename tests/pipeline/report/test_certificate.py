"""Page 1: about the archive as it is, in sentences, with what wants a decision first."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lxml import html
from pydicom.uid import SegmentationStorage
from tests.pipeline.audits import a_device, a_row, write_run

from beamstop.audit import PRUNED_FILES
from beamstop.recipe.load import load_recipe, recipe_names
from beamstop_pipeline.cli import main
from beamstop_pipeline.report.about import About
from beamstop_pipeline.report.certificate import Certificate, certify
from beamstop_pipeline.report.figures import read_figures
from beamstop_pipeline.report.recipe_sentences import recipe_sentences
from beamstop_pipeline.report.verdicts import Verdict, Verdicts
from beamstop_transforms.record import settings_of

FIRST, SECOND, THIRD = "20260101T000000Z-aaa", "20260102T000000Z-bbb", "20260103T000000Z-ccc"
SEARCHED = {"frames": 2, "frames_examined": 2, "methods": ["113100", "113101"], "modality": "US"}
UNSEARCHED = {"frames": 1, "modality": "US"}


def certificate_of(audit: Path, *reviews: Verdicts) -> Certificate:
    return certify(read_figures(str(audit)), About(), reviews, [])


def prune(audit: Path, run_id: str, *sources: str, why: str = "gone", to: str = "P/S/R/{}.dcm") -> None:
    """Write what a run says that it removed."""
    rows = [
        {"run_id": run_id, "source_id": a_row(it)["source_id"], "output_path": to.format(it), "why": why}
        for it in sources
    ]
    (audit / "pruned").mkdir(exist_ok=True)
    table = pa.Table.from_pylist(rows, PRUNED_FILES)
    pq.write_table(table, audit / "pruned" / f"{run_id}-00000-of-00001.parquet")


def test_where_pixels_were_not_searched_is_the_first_thing_said(tmp_path: Path) -> None:
    rows = [a_row(str(n), **UNSEARCHED) for n in range(3)]
    rows += [a_row("sc", frames=1, modality=None), a_row("ct", frames=1)]
    rows += [a_row("searched", **SEARCHED), a_row("text", frames=0), a_row("no", "quarantined", frames=1)]
    write_run(tmp_path, FIRST, rows)
    first, *_ = certificate_of(tmp_path).warnings
    assert first == (
        "Text in pixels was NOT searched in 5 of 6 images (US 3, without modality 1, CT 1): names that are "
        "burned into them are still there."
    )


def test_a_run_of_the_header_only_recipe_has_no_green_page(run: Any, archive: Path, tmp_path: Path) -> None:
    ran = run(archive)
    assert main(["report", str(ran.audit), "-o", str(tmp_path / "r.html")]) == 0
    page = html.document_fromstring((tmp_path / "r.html").read_text()).get_element_by_id("certificate")
    assert "NOT searched for: text that is burned into pictures is still there" in page.text_content()


def test_what_was_searched_is_counted_and_what_holds_no_picture_is_not_amiss(tmp_path: Path) -> None:
    rows = [a_row(str(n), **SEARCHED, text_boxes_hidden=n) for n in range(3)]
    rows += [a_row("seg", frames=1, modality="SEG", sop_class_uid=SegmentationStorage)]
    rows += [a_row("left", **{**SEARCHED, "methods": ["113100"]})]
    write_run(tmp_path, FIRST, rows)
    found = certificate_of(tmp_path)
    assert found.warnings == []
    assert found.done[:3] == [
        "Text in pixels was searched in 4 of 5 images; 3 places in 2 images were blanked.",
        "In 1 image boxes stayed that a person had found to be no text.",
        "1 image holds a mask, a dose or a map: its pixels are computed numbers and were not searched.",
    ]


def test_what_was_pruned_is_not_in_the_archive(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a", patient_id="P", study_uid="1"), a_row("b"), a_row("c")])
    write_run(tmp_path, SECOND, [a_row("d")])
    prune(tmp_path, SECOND, "b", "c")
    counts = certificate_of(tmp_path).counts
    assert (counts["clean files"], counts["sources"], counts["patients"], counts["studies"]) == (2, 2, 1, 1)
    assert any(it.startswith("2 clean files were removed since") for it in certificate_of(tmp_path).done)


def test_what_came_back_after_it_was_pruned_counts_and_so_does_what_moved(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a"), a_row("b", output_path="P/S/R/old.dcm")])
    write_run(tmp_path, SECOND, [a_row("b")])
    prune(tmp_path, SECOND, "a")
    assert certificate_of(tmp_path).counts["clean files"] == 1
    prune(tmp_path, SECOND, "b", why="moved", to="P/S/R/old.dcm")
    write_run(tmp_path, THIRD, [a_row("a")])
    assert certificate_of(tmp_path).counts["clean files"] == 2


def test_a_real_archive_is_counted_after_pruning_as_it_stands(run: Any, archive: Path) -> None:
    run(archive, more=("--incremental",))
    (archive / "1.dcm").unlink()
    ran = run(archive, more=("--incremental", "--prune"))
    assert len(ran.tree) == 2
    counts = certificate_of(ran.audit).counts
    assert (counts["clean files"], counts["sources"], counts["patients"], counts["studies"]) == (2, 2, 2, 2)


def test_identifiers_are_counted_in_clean_files_alone(tmp_path: Path) -> None:
    rows = [
        a_row("a", identifiers_checked=775),
        a_row("b", "rejected", reason="not_dicom", identifiers_checked=308),
    ]
    rows += [a_row("c", "quarantined", identifiers_checked=9, leaks_found=3)]
    write_run(tmp_path, FIRST, rows)
    assert (
        "Each file's own identifying values (775 in all) were searched for in the finished file; 1 file in "
        "which one was found was not written."
    ) in certificate_of(tmp_path).done


def test_what_is_open_is_listed(tmp_path: Path) -> None:
    twin = a_row("a")["source_id"]
    write_run(tmp_path, FIRST, [a_row("a", **SEARCHED), a_row("old", **SEARCHED, recipe_digest="d0")])
    rows = [a_row("b", "quarantined", reason="duplicate_conflict", detail=twin)]
    rows += [a_row("c", "failed", reason="truncated"), a_row("d", **SEARCHED, text_residue=1)]
    rows += [a_row("e", "rejected", reason="archive")]
    new = {"devices": [a_device("Acme", "Sono", 1)]}
    since = {"gone": 1, "changed": 0, "judged": True, "left": {"gone": 1, "moved": 2}, "pruned": 1}
    write_run(tmp_path, SECOND, [], devices=[a_device("Cee", None, 1)])
    write_run(tmp_path, THIRD, rows, since=since, **new)
    assert certificate_of(tmp_path).warnings == [
        "1 clean file is disputed: another source has the same number (SOP Instance UID) and other content.",
        "1 clean file was made by another recipe than the newest run's: the sentences about the recipe do "
        "not apply to them.",
        "2 clean files have no source any more (gone, moved or set aside): --prune removes such files.",
        "2 sources were quarantined or failed: nothing of them is in the archive.",
        "1 archive (zip, tar) was found in a folder and not opened: name it with --input.",
        "In 1 image something was seen again inside blanked areas: a person should look.",
        "1 device is new in the newest run: nobody has checked yet what it burns into pictures.",
    ]


def a_review(digest: str | None = "d1", **verdicts: str) -> Verdicts:
    listed = [Verdict(sop_instance_uid=uid, verdict=it, when={}) for uid, it in verdicts.items()]
    return Verdicts(format="beamstop-verdicts-1", run_id=FIRST, recipe_digest=digest, verdicts=listed)


def test_what_people_saw_is_said_and_missed_text_is_a_warning(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row(str(n), **SEARCHED) for n in range(9)])
    found = certificate_of(tmp_path, a_review(a="fine", b="fine"), a_review(b="missed_text", c="no_text"))
    assert found.review == [
        "A person looked at 3 of 9 clean files: 1 fine, 1 with text that was missed, "
        "1 without text where some was blanked."
    ]
    assert found.warnings == [
        "Reviewers found text that was missed in 1 picture: amend the recipe, run again and look again "
        "before anything is handed over."
    ]


def test_a_review_of_another_recipe_counts_nowhere(tmp_path: Path) -> None:
    write_run(tmp_path, FIRST, [a_row("a", **SEARCHED)])
    found = certificate_of(tmp_path, a_review("d0", a="fine"))
    assert found.review == ["No review is about the recipe that made this archive."]
    assert found.warnings == [
        "1 file of verdicts is about another recipe, and not counted: review pictures of this one."
    ]
    assert certificate_of(tmp_path).review == ["No review of pictures was given to this report (--verdicts)."]


def test_the_page_says_what_it_is_about_and_leaves_a_line_where_nobody_did(tmp_path: Path) -> None:
    write_run(tmp_path / "audit", FIRST, [a_row("a", **SEARCHED)])
    about, verdicts, place = (tmp_path / it for it in ("about.yaml", "verdicts.json", "r.html"))
    about.write_text("data_set: Breast ultrasound 2026\nlegal_basis: NO\n")
    verdicts.write_text(a_review(a="fine").model_dump_json())
    options = ["--about", str(about), "--verdicts", str(verdicts), "-o", str(place)]
    assert main(["report", str(tmp_path / "audit"), *options]) == 0
    page = html.document_fromstring(place.read_text()).get_element_by_id("certificate")
    (facts,) = page.xpath(".//dl[contains(@class, 'about')]")
    assert [it.text_content() for it in facts] == [
        "Data set", "Breast ultrasound 2026", "Recipient", "", "Purpose", "", "Legal basis", "NO"
    ]  # fmt: skip
    assert [it.get("class") for it in facts.iter("dd")] == [None, "blank", "blank", None]
    assert "A person looked at 1 of 1 clean files: 1 fine." in page.text_content()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("purpos: x", "there is no field purpos; did you mean purpose?; fields are data_set"),
        ("purpose: 7", "purpose must be text"),
        ("purpose: [", "it is no YAML"),
        ("- x", "it must be lines of field: text"),
        (None, "No such file or directory"),
    ],
)
def test_what_is_wrong_with_the_file_about_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    write_run(tmp_path / "audit", FIRST, [a_row("a")])
    if text is not None:
        (tmp_path / "about.yaml").write_text(text)
    options = ["--about", str(tmp_path / "about.yaml"), "-o", str(tmp_path / "r.html")]
    assert main(["report", str(tmp_path / "audit"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_ships_is_told_in_sentences(name: str) -> None:
    said = json.loads(json.dumps(settings_of(load_recipe(name))))
    sentences = list(recipe_sentences(said))
    assert len(sentences) >= 4
    assert all(it.endswith(".") for it in sentences)
    is_searched = "clean-pixel-data" in said["options"]
    assert any("NOT searched" in it for it in sentences) is not is_searched


def test_pseudonyms_of_a_table_are_not_said_to_be_keyed() -> None:
    said = settings_of(load_recipe("default"))
    keyed, of_a_table = (next(recipe_sentences(said, has_subjects)) for has_subjects in (False, True))
    assert keyed.endswith("Patients have pseudonyms that only a secret key ties to them.")
    assert of_a_table.endswith("Patients have the pseudonyms of a table that its owner keeps.")


def test_what_a_recipe_adds_is_said_on_page_1() -> None:
    said = settings_of(load_recipe("research"))
    assert list(recipe_sentences(said))[1] == (
        f"The recipe itself adds {said['attributes']} rules for attributes: read it beside these sentences."
    )


def test_a_record_that_says_too_little_of_its_recipe_has_no_sentences() -> None:
    assert list(recipe_sentences({"name": "basic", "digest": "d0"})) == []


def test_faces_that_may_show_are_to_be_decided_and_removed_ones_are_said(tmp_path: Path) -> None:
    rows = [
        a_row("a", detail="face_may_show"),
        a_row("b", detail="face_may_show; PixelData: read by gdcm", modality="MR"),
        a_row("c", detail="face_removed", methods=["113100", "113102"]),
        a_row("d", methods=["113100", "113102"]),
        a_row("e", "quarantined", detail="face_may_show"),
    ]
    write_run(tmp_path, "20260102T030405Z-0000000000a", rows)
    page = certify(read_figures(str(tmp_path)), About(), (), ())
    assert any("A face may show in 2 clean files (CT 1, MR 1)" in it for it in page.warnings)
    assert (
        "Whole series of CT, MR and PT were searched for a face, 2 files in all: it was removed from 1, and "
        "the others show none." in page.done
    )


def test_an_audit_of_a_version_that_did_not_tell_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, "20260102T030405Z-0000000000a", [a_row("a")], counts={"written": 1})
    page = certify(read_figures(str(tmp_path)), About(), (), ())
    assert any("does not tell which files may show a face" in it for it in page.warnings)
