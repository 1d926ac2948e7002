"""The second look at one pair: what a right pair says, and what each kind of wrong one."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from beamstop.dicom.files import encode, read_dicom
from beamstop.recipe.load import load_recipe, parse_recipe, recipe_names
from beamstop.recipe.model import Recipe
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.steps.insert import insert
from beamstop.verify import Pair, verify_pair

MakeDataset = Callable[..., FileDataset]
TextJudge = Callable[..., Pair]
PERSON = {
    "PatientName": "Smithers^Jonathan",
    "PatientID": "MRN-778899",
    "AccessionNumber": "AX-99812",
    "StudyDate": "20240229",
    "FrameOfReferenceUID": "1.2.3.44.55.66.77",
}


def with_reference(dataset: FileDataset, uid: str) -> FileDataset:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = uid
    dataset.ReferencedRTPlanSequence = Sequence([item])
    return dataset


@pytest.fixture
def judge(make_dataset: MakeDataset, key: bytes) -> TextJudge:
    """Return what verify says of a pair whose clean file somebody spoiled."""

    def _judge(
        spoil: Callable[[FileDataset], Any] = lambda clean: None,
        recipe: str | Recipe = "research",
        syntax: str | None = None,
        **more: Any,
    ) -> Pair:
        loaded = load_recipe(recipe) if isinstance(recipe, str) else recipe
        identity = loaded.identity(key)
        dataset = with_reference(make_dataset(**(PERSON | more)), "1.2.3.4.5.6.7.8.9")
        if syntax:
            dataset.file_meta.TransferSyntaxUID = syntax
        original = encode(dataset).data
        clean = read_dicom(original)
        apply_recipe(clean, loaded, identity, detail=False)
        insert(clean, loaded, pixels_examined=False)
        spoil(clean)
        return verify_pair(original, encode(clean).data, loaded, identity)

    return _judge


@pytest.mark.parametrize("recipe", recipe_names())
def test_nothing_is_found_in_a_right_pair(judge: TextJudge, recipe: str) -> None:
    assert judge(recipe=recipe).findings == ()


@pytest.mark.parametrize("uid", ["\\", "1.2.3.4.55\\1.2.3.4.66", ""])
def test_a_study_of_several_uids_or_of_none_agrees(judge: TextJudge, uid: str) -> None:
    assert judge(StudyInstanceUID=uid).findings == ()


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_syntax_is_read(judge: TextJudge, syntax: str) -> None:
    assert judge(syntax=syntax).findings == ()
    spoilt = judge(lambda clean: setattr(clean, "ManufacturerModelName", "Smithers"), syntax=syntax)
    assert [found[:2] for found in spoilt.findings] == [("leak", "ManufacturerModelName")]


@pytest.mark.parametrize(
    ("keyword", "value", "check"),
    [
        ("ManufacturerModelName", "JONATHAN", "leak"),
        ("ManufacturerModelName", "99812", "leak"),
        ("SoftwareVersions", "1.2.3.44.55.66.77", "leak"),
        ("PatientID", "SOMEBODYELSE", "pseudonym"),
        ("AccessionNumber", "4711", "element"),
        ("StudyDate", "20240228", "date"),
        ("StudyInstanceUID", "2.25.123456", "uid"),
        ("FrameOfReferenceUID", "2.25.123456", "uid"),
        ("PatientAddress", "somewhere", "element"),
    ],
)
def test_what_does_not_agree_is_found_in_its_element(
    judge: TextJudge, keyword: str, value: str, check: str
) -> None:
    pair = judge(lambda clean: setattr(clean, keyword, value))
    assert {(found.check, found.element) for found in pair.findings} == {(check, keyword)}


def test_what_the_run_s_search_excuses_is_found_as_it_is_spelled(judge: TextJudge) -> None:
    """Pixel data are not the header search's business; the plain search reads them, too."""
    pair = judge(lambda clean: clean.add_new("PixelData", "OB", b"\0\1\2MRN-778899\0\3"))
    expected = ("leak", "PixelData", "as it is spelled in the original")
    assert [tuple(found) for found in pair.findings] == [expected]


def test_elements_behind_the_pixels_are_looked_at_too(judge: TextJudge) -> None:
    def spoil(clean: FileDataset) -> None:
        clean.add_new("PixelData", "OB", bytes(8))
        clean.add_new(0x7FE10010, "LO", "ACME")
        clean.add_new(0x7FE11001, "LO", "somewhere")

    assert "element" in [found.check for found in judge(spoil, "basic").findings]


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_a_date_agrees_only_if_it_moved_by_the_patients_own_shift(
    judge: TextJudge, key: bytes, days: int
) -> None:
    identity = load_recipe("research").identity(key)
    shift = identity.shift_days(Dataset.from_json({"00100020": {"vr": "LO", "Value": [PERSON["PatientID"]]}}))
    moved = f"{date(2024, 2, 29) + timedelta(days=shift + days):%Y%m%d}"
    assert [it[:2] for it in judge(lambda clean: setattr(clean, "StudyDate", moved)).findings] == (
        [("date", "StudyDate")] if days else []
    )


def test_one_of_several_dates_that_did_not_move_is_found(judge: TextJudge) -> None:
    def spoil(clean: FileDataset) -> None:
        clean.StudyDate = [str(clean.StudyDate), "20240229"]

    assert ("date", "StudyDate") in [it[:2] for it in judge(spoil).findings]


def test_kept_dates_agree_only_with_dates_of_the_original(judge: TextJudge) -> None:
    full = parse_recipe("options: [retain-longitudinal-full-dates]")
    assert judge(recipe=full).findings == ()
    spoilt = judge(lambda clean: setattr(clean, "StudyDate", "20240228"), full)
    assert [it[:2] for it in spoilt.findings] == [("date", "StudyDate")]


def test_findings_hold_no_value(judge: TextJudge) -> None:
    def spoil(clean: FileDataset) -> None:
        clean.ManufacturerModelName = "Smithers MRN-778899"
        clean.PatientAddress = "Smithers"

    said = repr(judge(spoil).findings)
    assert not any(value in said for value in ("Smithers", "778899", "Jonathan"))


def test_references_are_told_with_what_stands_for_them(judge: TextJudge, key: bytes) -> None:
    identity = load_recipe("research").identity(key)
    uid = "1.2.3.4.5.6.7.8.9"
    assert judge().references == ((uid, identity.uid(uid)),)


def test_retained_dates_and_uids_may_stay(judge: TextJudge) -> None:
    kept = parse_recipe("options: [retain-longitudinal-full-dates, retain-uids]\n")
    assert judge(recipe=kept).findings == ()
    other = judge(lambda clean: setattr(clean, "StudyDate", "20010101"), recipe=kept)
    assert [found[:2] for found in other.findings] == [("date", "StudyDate")]


@pytest.mark.parametrize("action", ["K", "C"])
def test_a_date_of_birth_that_stays_is_compared_like_any_other(judge: TextJudge, action: str) -> None:
    recipe = parse_recipe(
        f"options: [retain-longitudinal-modified-dates]\nattributes: {{PatientBirthDate: {action}}}"
    )
    assert judge(recipe=recipe, PatientBirthDate="19610317").findings == ()
    other = judge(
        lambda clean: setattr(clean, "PatientBirthDate", "20010101"),
        recipe=recipe,
        PatientBirthDate="19610317",
    )
    assert [found[:2] for found in other.findings] == [("date", "PatientBirthDate")]


def test_a_file_that_is_no_dicom_is_found(key: bytes) -> None:
    recipe = load_recipe("basic")
    pair = verify_pair(b"nothing", b"nothing", recipe, recipe.identity(key))
    assert [found.check for found in pair.findings] == ["unreadable"]


@pytest.mark.parametrize(
    ("name", "charset"),
    [
        ("Иванова^Анна^Сергеевна", "ISO_IR 144"),
        ("Παπαδοπούλου^Ελένη", "ISO_IR 126"),
        ("כהן^יעקב", "ISO_IR 138"),
        ("محمود^الحداد", "ISO_IR 127"),
        ("山田^太郎", "ISO_IR 192"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ISO_IR 192"),
        ("สมหญิง^แก้วใส", "ISO_IR 166"),
    ],
)
def test_a_name_of_another_script_is_no_leak_where_it_is_gone_and_one_where_it_is_not(
    judge: TextJudge, name: str, charset: str
) -> None:
    more = {"PatientName": name, "SpecificCharacterSet": charset, "ReferringPhysicianName": "Roe=Doe"}
    assert judge(recipe="basic", **more).findings == ()

    def spoil(clean: FileDataset) -> None:
        clean.ImageComments = name

    found = judge(spoil, parse_recipe("attributes: {ImageComments: K}"), **more).findings
    assert "leak" in {finding.check for finding in found}


def test_a_code_that_stands_for_the_procedures_number_is_no_leak(judge: TextJudge) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "IRMCEREB", "99RIS", "MR brain"
    more = {"ProcedureCodeSequence": Sequence([code]), "RequestedProcedureID": "IRMCEREB"}
    assert judge(recipe="basic", **more).findings == ()


def in_pixels(text: bytes) -> Callable[[FileDataset], None]:
    return lambda clean: clean.add_new("PixelData", "OB", text + b"\0" * (len(text) % 2))


SPELLED = {
    "PatientName": "Wubbleford^Zora",
    "PatientID": "QX-5512",
    "AccessionNumber": "QX-5513",
    "OtherPatientIDs": "QX-5514",
    "AdmissionID": "QX-5515",
    "StudyID": "QX-5516",
    "ScheduledProcedureStepID": "QX-5517",
    "RequestedProcedureID": "QX-5518",
    "SeriesInstanceUID": "1.2.3.44.55.66.88",
}
PLAIN = parse_recipe("{}")


@pytest.mark.parametrize("keyword", SPELLED)
def test_a_name_a_number_and_a_uid_are_looked_for_as_they_are_spelled(judge: TextJudge, keyword: str) -> None:
    expected = ("leak", "PixelData", "as it is spelled in the original")
    pair = judge(in_pixels(f"\1{SPELLED[keyword]}\2".encode()), PLAIN, **SPELLED)
    assert [tuple(found) for found in pair.findings] == [expected]
    assert judge(in_pixels(b"\1nothing of all that\2"), PLAIN, **SPELLED).findings == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((text, True) for text in (b"QX-5512", b"-QX-5512-", b"aQX-5512 QX-5512")),
        *(
            (text, False)
            for text in (b"aQX-5512", b"QX-5512a", b"1QX-5512", b"QX-55121", b".QX-5512", b"\xffQX-5512")
        ),
        *((text, False) for text in (b"QX-5512.", b"QX-551")),
    ],
)
def test_what_is_spelled_counts_with_no_letter_digit_or_point_beside_it(
    judge: TextJudge, text: bytes, found: bool
) -> None:
    assert bool(judge(in_pixels(b"\1" + text + b"\2"), PLAIN, **SPELLED).findings) == found


@pytest.mark.parametrize(("number", "found"), [("QX551", False), ("QX5512", True)])
def test_what_is_spelled_counts_from_six_characters_on(judge: TextJudge, number: str, found: bool) -> None:
    assert bool(judge(in_pixels(number.encode()), PLAIN, PatientID=number).findings) == found


def test_what_is_spelled_counts_in_utf_8_and_in_the_instances_own_character_set(judge: TextJudge) -> None:
    more = {"SpecificCharacterSet": "ISO_IR 144", "PatientName": "Лебедев^Игорь"}
    for encoding in ("utf-8", "iso8859-5"):
        pair = judge(in_pixels("Лебедев^Игорь".encode(encoding)), PLAIN, **more)
        assert [found[:2] for found in pair.findings] == [("leak", "PixelData")]
    assert judge(in_pixels("Лебедев^Игорь".encode("koi8-r")), PLAIN, **more).findings == ()


@pytest.mark.parametrize("keyword", ["CodeValue", "LongCodeValue", "URNCodeValue"])
@pytest.mark.parametrize(
    ("number", "found"),
    [
        *((keyword, False) for keyword in ("StudyID", "ScheduledProcedureStepID", "RequestedProcedureID")),
        *((keyword, True) for keyword in ("PatientID", "AccessionNumber", "AdmissionID")),
    ],
)
def test_a_procedures_number_may_be_a_code_and_a_persons_may_not(
    judge: TextJudge, keyword: str, number: str, found: bool
) -> None:
    code = Dataset()
    code.CodingSchemeDesignator, code.CodeMeaning = "99RIS", "MR brain"
    setattr(code, keyword, "QXCEREB")
    more = {"ProcedureCodeSequence": Sequence([code]), number: "QXCEREB"}
    assert bool(judge(in_pixels(b"\1\1"), PLAIN, **more).findings) == found


@pytest.mark.parametrize(
    ("keyword", "value", "is_right"),
    [
        ("MediaStorageSOPInstanceUID", "2.25.123456", False),
        ("ImplementationClassUID", "1.2.3.4.5", False),
        ("MediaStorageSOPClassUID", "1.2.3.4.5", False),
        ("MediaStorageSOPClassUID", "1.2.840.10008.5.1.4.1.1.4", True),
    ],
)
def test_a_uid_of_the_file_meta_is_the_instances_ours_or_of_the_standard(
    judge: TextJudge, key: bytes, make_dataset: MakeDataset, keyword: str, value: str, is_right: bool
) -> None:
    original = encode(make_dataset(**PERSON)).data
    clean = read_dicom(original)
    apply_recipe(clean, PLAIN, PLAIN.identity(key), detail=False)
    written = encode(clean).data
    assert verify_pair(original, written, PLAIN, PLAIN.identity(key)).findings == ()
    again = read_dicom(written)
    old = str(again.file_meta[keyword].value).encode()
    new = value.encode().ljust(len(old) + len(old) % 2, b"\0")[: len(old) + len(old) % 2]
    spoilt = written.replace(old + b"\0" * (len(old) % 2), new, 1)
    found = [it[:2] for it in verify_pair(original, spoilt, PLAIN, PLAIN.identity(key)).findings]
    assert (("uid", keyword) in found) != is_right


@pytest.mark.parametrize("level", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_study_series_and_instance_are_derived_from_their_own_originals(
    judge: TextJudge, key: bytes, level: str
) -> None:
    """A UID that stands for another one of the same original is wrong there."""
    other = PLAIN.identity(key).uid(PERSON["FrameOfReferenceUID"])
    pair = judge(lambda clean: setattr(clean, level, other), PLAIN)
    assert ("uid", level) in [found[:2] for found in pair.findings]
    swapped = judge(lambda clean: setattr(clean, "FrameOfReferenceUID", clean.StudyInstanceUID), PLAIN)
    assert swapped.findings == ()


def test_what_beamstop_inserts_agrees_whatever_the_recipe_says(judge: TextJudge) -> None:
    def spoil(clean: FileDataset) -> None:
        clean.BurnedInAnnotation, clean.PatientIdentityRemoved = "NO", "YES"
        clean.LongitudinalTemporalInformationModified = "REMOVED"
        clean.DeidentificationMethod = "beamstop"

    removed = parse_recipe(
        "attributes: {BurnedInAnnotation: X, PatientIdentityRemoved: X, DeidentificationMethod: X,"
        " LongitudinalTemporalInformationModified: X, LossyImageCompression: X}"
    )
    assert judge(spoil, removed).findings == ()
    pair = judge(lambda clean: setattr(clean, "LossyImageCompression", "00"), removed)
    assert [it[:2] for it in pair.findings] == [("element", "LossyImageCompression")]


@pytest.mark.parametrize(
    ("value", "found"),
    [("", False), ("00010101", False), ("20010101", True)],
)
def test_a_dummy_date_agrees_where_the_recipe_puts_one(judge: TextJudge, value: str, found: bool) -> None:
    recipe = parse_recipe("attributes: {StudyDate: D}")
    dummy = judge(recipe=recipe).clean
    assert dummy is not None
    right = str(dummy.StudyDate)
    pair = judge(lambda clean: setattr(clean, "StudyDate", value and (value if found else right)), recipe)
    assert [it[:2] for it in pair.findings] == ([("date", "StudyDate")] if found else [])


@pytest.mark.parametrize(
    ("keyword", "value", "found"),
    [
        ("FrameOfReferenceUID", "1.2.3.4.56", True),
        ("FrameOfReferenceUID", "1.2.3.4.5", False),
        ("PatientName", "Chest^Left Hand", False),  # of ordinary words alone
        ("PatientName", "Chest^Wubbleford", True),
    ],
)
def test_what_is_spelled_has_an_uncommon_word_or_is_a_uid_of_ten_characters(
    judge: TextJudge, keyword: str, value: str, found: bool
) -> None:
    assert bool(judge(in_pixels(b"\1" + value.encode() + b"\2"), PLAIN, **{keyword: value}).findings) == found
