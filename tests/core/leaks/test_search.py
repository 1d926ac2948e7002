import base64
import gzip
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from beamstop import deidentify_bytes
from beamstop.dicom.files import encode
from beamstop.errors import Quarantined
from beamstop.leaks.embedded_text import unpacked
from beamstop.leaks.needles import Needles
from beamstop.leaks.scan import LeakScan
from beamstop.leaks.search import search
from beamstop.recipe.load import parse_recipe
from beamstop.testing import make_instance
from beamstop.words.identifiers import Identifiers, harvest

MakeDataset = Callable[..., FileDataset]
CLEAN = {"PatientName": "P-ABC", "PatientID": "Q77", "PatientBirthDate": "", "StudyDate": ""}


def identifiers_of(**attributes: Any) -> Identifiers:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return harvest(dataset, lambda tag: False)


PATIENT = identifiers_of(
    SpecificCharacterSet="ISO_IR 100",
    PatientName="Smithers^Jonathan^Q",
    ReferringPhysicianName="Müller^Jörg",
    PatientID="0012345678",
    AccessionNumber="AX-99812",
    PatientBirthDate="19700201",
    InstitutionName="Riverside General Hospital",
    PatientTelephoneNumbers="(555) 123-4567",
    StudyInstanceUID="1.2.3.4.5.6.7",
)


def leaks(dataset: FileDataset, identifiers: Identifiers = PATIENT) -> str | None:
    """Return the path of the element that leaks, None where nothing does."""
    try:
        search(encode(dataset).header, identifiers)
    except Quarantined as quarantined:
        return (
            f"{quarantined.detail}" if quarantined.reason == "leak" else f"not a leak: {quarantined.reason}"
        )
    return None


@pytest.fixture
def clean(make_dataset: MakeDataset) -> Callable[..., FileDataset]:
    return lambda **attributes: make_dataset(**(CLEAN | attributes))


Clean = Callable[..., FileDataset]


def test_a_clean_file_passes_and_the_identifiers_are_counted(clean: Clean) -> None:
    assert search(encode(clean()).header, PATIENT) == 9


@pytest.mark.parametrize(
    "text",
    [
        "SMITHERS",
        "x jonathan y",
        "Smithers^Jonathan",
        "SMITHERS01",
        "a_smithers_b",
        "SmithersJonathan",
        "Jonathan Q Smithers",
        "JSMITHERS",
        "smithersj",
        "SmithersJonathanQ",
        "JQSmithers",
        "JorgMuller",
        "JoergMueller",
        "jmueller",
        "Mu\u0308ller",
        "SMÍTHERS",
        "muller",
        "Mueller",
        "MÜLLER",
        "12345678",
        "0012345678",
        "12-34-56-78",
        "1234 5678",
        "1234\xa05678",
        "1234\u20135678",
        "12\u200934\u200956\u200978",
        "1234\u20115678",
        "AX\u201399812",
        "AX-99812",
        "ax99812",
        "AX 99812",
        "99812ax99812 AX_99812",
        "19700201",
        "1970-02-01",
        "01.02.1970",
        "2/1/1970",
        "1.2.1970",
        "1. 2. 1970",
        "1.\xa02.\xa01970",
        "1970\u201302\u201301",
        "1. 2. 70",
        "01FEB70",
        "01021970",
        "1 Feb 1970",
        "FEB 1, 1970",
        "19700201120000",
        "Riverside General Hospital",
        "RIVERSIDE",
        "555-123-4567",
        "5551234567",
        "555.123.4567",
        "555\u2013123\u20134567",
        "555\u202f123\u202f4567",
        "(555)123-4567",
        "(555) - 123 4567",
        "+1 555 123 4567",
        "+15551234567",
        "1.2.3.4.5.6.7",
        "uid 1.2.3.4.5.6.7.",
    ],
)
def test_every_writing_of_an_identifier_is_found(clean: Clean, text: str) -> None:
    found = leaks(clean(SpecificCharacterSet="ISO_IR 192", ManufacturerModelName=text))
    assert found == "ManufacturerModelName"


SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("text", ["Smithers", "Smithersx Jonathan", "19700201", "12345678", "1.2.3.4.5.6.7"])
def test_identifiers_are_found_at_every_depth_in_every_syntax(clean: Clean, syntax: Any, text: str) -> None:
    inner, outer = Dataset(), Dataset()
    inner.TextValue = text
    outer.ContentSequence = Sequence([Dataset(), inner])
    dataset = clean(ContentSequence=Sequence([outer]))
    dataset.file_meta.TransferSyntaxUID = syntax
    assert leaks(dataset) == "ContentSequence[0].ContentSequence[1].TextValue"


def test_the_next_tag_and_the_length_hide_nothing(clean: Clean) -> None:
    for syntax in SYNTAXES:
        # (0032,xxxx) follows as "2", (3131,xxxx) as "11"; in big endian the length can be a letter.
        for length in range(100):
            dataset = clean(ImageComments="Smithers" + " " * length)
            dataset.add_new(0x00321064, "SH", "x")
            dataset.file_meta.TransferSyntaxUID = syntax
            assert leaks(dataset) == "ImageComments"
    dataset = clean(StudyComments="Smithers", ImageComments=None)
    dataset.add_new(0x31310010, "LO", "MAKER 19700201")
    dataset.add_new(0x31331010, "LO", "19700201")
    assert leaks(dataset) == "StudyComments"
    del dataset.StudyComments
    assert leaks(dataset) == "(3131,0010)"


def test_preamble_file_meta_and_private_elements_are_searched(clean: Clean) -> None:
    dataset = clean()
    header = encode(dataset).header
    with pytest.raises(Quarantined, match="preamble"):
        search(b"scan of Smithers".ljust(128, b"\0") + header[128:], PATIENT)
    dataset.private_block(0x0011, "MAKER", create=True).add_new(0x01, "UN", b"\x01\0Smithers^Jonathan\0\x02")
    assert leaks(dataset) == "(0011,1001)"


@pytest.mark.parametrize(
    ("charset", "name", "text"),
    [("ISO_IR 144", "Люксембург^Пётр", "ПЕТР"), ("ISO_IR 126", "Διονυσιος^Νίκος", "ΝΙΚΟΣ")],
)
def test_names_in_other_alphabets_are_found_without_accents(
    clean: Clean, charset: str, name: str, text: str
) -> None:
    identifiers = identifiers_of(SpecificCharacterSet=charset, PatientName=name)
    for comment in (f"x {text} y", f"x {text.lower()} y", f"x {text.capitalize()} y"):
        assert leaks(clean(SpecificCharacterSet=charset, ImageComments=comment), identifiers)


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 101", "Łukasz^Żółw"),
        ("ISO_IR 144", "Люксембург^Иван"),
        ("ISO_IR 126", "Διονυσιος^Γ"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍길^길동"),
        ("GB18030", "Wang^XiaoDong=王东^小东"),
        ("ISO_IR 100", "Bücherschrank^Ägidius"),
    ],
)
def test_names_are_found_in_the_instance_s_own_character_set(clean: Clean, charset: Any, name: str) -> None:
    identifiers = identifiers_of(SpecificCharacterSet=charset, PatientName=name)
    *_, last = name.split("=")
    text = last.split("^")[0]
    if len(text) > 1:
        assert (
            leaks(clean(SpecificCharacterSet=charset, ImageComments=f"x {text} y"), identifiers)
            == "ImageComments"
        )
        assert leaks(clean(SpecificCharacterSet=charset, ImageComments=f"x {text.upper()} y"), identifiers)
    assert leaks(clean(SpecificCharacterSet=charset, ImageComments="nothing here"), identifiers) is None


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1", "utf-16-le", "utf-16-be"])
def test_payloads_are_searched_in_other_encodings(clean: Clean, encoding: str) -> None:
    dataset = clean()
    dataset.private_block(0x0011, "MAKER", create=True).add_new(
        0x01, "UN", "for Smithers <1>".encode(encoding)
    )
    assert leaks(dataset) == "(0011,1001)"


def test_rule_1_needles_of_three_letters_are_not_searched(clean: Clean) -> None:
    assert leaks(clean(ImageComments="Doe"), identifiers_of(PatientName="Doe")) is None


def test_rule_2_ordinary_words_are_no_needles(clean: Clean) -> None:
    identifiers = identifiers_of(PatientName="Phantom^Zork", OperatorsName="Service^Test")
    assert leaks(clean(ImageComments="phantom service test"), identifiers) is None
    assert leaks(clean(ImageComments="zork"), identifiers) == "ImageComments"


def test_rule_3_short_names_are_searched_as_a_whole(clean: Clean) -> None:
    identifiers = identifiers_of(PatientName="Li^Wu")
    for text in ("Li Wu", "WU, LI", "wu^li", "LIWU"):
        assert leaks(clean(ImageComments=text), identifiers) == "ImageComments"
    assert leaks(clean(ImageComments="li and wu"), identifiers) is None


def test_rule_3_names_of_ordinary_words_count_only_with_their_caret(clean: Clean) -> None:
    identifiers = identifiers_of(PatientName="CT^Chest")
    assert leaks(clean(StudyDescription="CT CHEST"), identifiers) is None
    assert leaks(clean(StudyDescription="CT^CHEST"), identifiers) == "StudyDescription"


def test_rule_4_numbers_of_fewer_than_four_digits_and_years_are_not_searched(clean: Clean) -> None:
    identifiers = identifiers_of(PatientID="2024", StudyID="1", AccessionNumber="000123")
    assert leaks(clean(ImageComments="2024 1 000123"), identifiers) is None


def test_rule_4_a_number_of_four_digits_is_found(clean: Clean) -> None:
    assert leaks(clean(ImageComments="see 4711"), identifiers_of(PatientID="004711")) == "ImageComments"


def test_rule_3_a_name_of_ordinary_words_that_people_are_called_is_found_in_either_order(
    clean: Clean,
) -> None:
    assert (
        leaks(clean(ImageComments="for Grant Brown"), identifiers_of(PatientName="Brown^Grant"))
        == "ImageComments"
    )


def test_rule_5_ordinary_words_with_a_small_number_are_no_needles(clean: Clean) -> None:
    identifiers = identifiers_of(PatientID="4MR1", StationName="CT01", AccessionNumber="P0012")
    assert leaks(clean(ImageComments="4MR1 CT01"), identifiers) is None
    assert leaks(clean(ImageComments="P0012"), identifiers) == "ImageComments"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ACC-0099123", "ImageComments"),
        ("acc 0099123", "ImageComments"),
        ("0099123", "ImageComments"),
        ("no. 99123", "ImageComments"),
        ("MR 4711", None),  # four digits of R4711: too few alone
        ("r-4711", "ImageComments"),
        ("a 1 b 2", None),  # A1B2: no four of a kind together
    ],
)
def test_rule_5_letters_and_digits_may_be_parted(clean: Clean, text: str, found: str | None) -> None:
    identifiers = identifiers_of(AccessionNumber="ACC0099123", PatientID="R4711", StudyID="A1B2")
    assert leaks(clean(ImageComments=text), identifiers) == found


def kept_serial(serial: str, **attributes: Any) -> Identifiers:
    dataset = Dataset()
    for keyword, value in {"DeviceSerialNumber": serial, **attributes}.items():
        setattr(dataset, keyword, value)
    return harvest(dataset, lambda path: path == (0x00181000,))


@pytest.mark.parametrize("serial", ["25641", "0025641"])
@pytest.mark.parametrize("station", ["MRC25641", "MRC-25641", "MRC 0025641"])
def test_rule_5_digits_that_are_a_kept_number_of_a_device_are_no_needle(
    clean: Clean, serial: str, station: str
) -> None:
    identifiers = kept_serial(serial, StationName=station)
    assert leaks(clean(DeviceSerialNumber=serial, ImageComments="no. 25641"), identifiers) is None
    assert leaks(clean(ImageComments=f"at {station}"), identifiers) == "ImageComments"


@pytest.mark.parametrize(
    ("serial", "other"),
    [
        ("25641", {"PatientID": "QX25641"}),
        ("25641", {"PatientID": "QX-25641"}),
        ("25641", {"AccessionNumber": "25641A", "StationName": "MRC25641"}),
        ("25641", {"PatientTelephoneNumbers": "25641", "StationName": "MRC25641"}),
        ("125641", {"StationName": "MRC25641"}),
        ("SN25641", {"StationName": "MRC25641"}),
        ("25641\\77777", {"PatientID": "QX25641"}),
    ],
)
def test_rule_5_digits_of_a_person_or_of_another_number_stay_a_needle(
    clean: Clean, serial: str, other: dict[str, str]
) -> None:
    identifiers = kept_serial(serial, **other)
    assert leaks(clean(ImageComments="no. 25641"), identifiers) == "ImageComments"


@pytest.mark.parametrize(
    "text",
    ["0478 55 12 90", "0478/551290", "0478.55.12.90", "(0478) 551290", "478551290", "+32 (0)478 55 12 90"],
)
def test_rule_4_a_telephone_is_found_as_it_is_dialled_at_home(clean: Clean, text: str) -> None:
    identifiers = identifiers_of(PatientTelephoneNumbers="+32 478 55 12 90")
    assert leaks(clean(ImageComments=text), identifiers) == "ImageComments"


@pytest.mark.parametrize("text", ["+32 478 55 12 90", "+32478551290", "0032 478 551290", "478/55.12.90"])
def test_rule_4_a_telephone_is_found_as_it_is_dialled_from_abroad(clean: Clean, text: str) -> None:
    identifiers = identifiers_of(PatientTelephoneNumbers="0478 55 12 90")
    assert leaks(clean(ImageComments=text), identifiers) == "ImageComments"


def test_rule_6_identifiers_of_letters_count_as_words(clean: Clean) -> None:
    identifiers = identifiers_of(StationName="SCANNER", PatientID="QWERTZ")
    assert leaks(clean(ImageComments="scanner"), identifiers) is None
    assert leaks(clean(ImageComments="qwertz"), identifiers) == "ImageComments"


def test_rule_7_departments_of_ordinary_words_are_no_needles(clean: Clean) -> None:
    identifiers = identifiers_of(
        InstitutionalDepartmentName="RADIOLOGY", InstitutionName="Siemens Testcenter"
    )
    assert leaks(clean(Manufacturer="SIEMENS", ImageComments="Radiology"), identifiers) is None


def test_rule_8_placeholder_dates_and_short_years_are_not_searched(clean: Clean) -> None:
    identifiers = identifiers_of(StudyDate="19000101", SeriesDate="20040826")
    assert leaks(clean(StudyDate="19000101", ImageComments="26.08.04"), identifiers) is None


def test_rule_9_digits_inside_longer_numbers_do_not_count(clean: Clean) -> None:
    identifiers = identifiers_of(StudyDate="20040826", PatientID="7654321")
    texts = ("2.25.99820040826771", "1.20040826", "120040826", "2.25.7654321", "0.7654321", "76543210")
    assert leaks(clean(SoftwareVersions=list(texts), FrameOfReferenceUID=texts[0]), identifiers) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("7654321.5", False),  # a number of its own, as 0.7654321 is
        ("5.7654321", False),
        ("17654321", False),
        ("7654321.", True),
        ("7654321.x", True),
        (".7654321", True),
        ("x7654321", True),
        ("0007654321", True),
        ("(7654321)", True),
    ],
)
def test_rule_9_a_number_ends_where_its_digits_and_its_point_end(
    clean: Clean, text: str, found: bool
) -> None:
    identifiers = identifiers_of(PatientID="7654321")
    expected = "ImageComments" if found else None
    assert leaks(clean(ImageComments=f"no {text} here"), identifiers) == expected


@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [
        ("PatientName", "Lyq^X", None),  # three letters, with the given name's one they are four
        ("PatientID", "QV12", "QV12"),
        ("PatientID", "QV1", None),
        ("PatientID", "4711", "4711"),
        ("PatientID", "471", None),
        ("PatientID", "0471", None),  # zeros in front are no digits that tell
        ("PatientID", "1987", None),
        ("PatientID", "2100", "2100"),
        ("PatientID", "1899", "1899"),
        ("StudyInstanceUID", "1.2.3.4.56", "1.2.3.4.56"),
        ("StudyInstanceUID", "1.2.3.4.5", None),
        ("InstitutionName", "General Zorkw", "Zorkw"),  # a word of a place that no vocabulary knows
        ("InstitutionName", "General Zork", None),
        ("PatientTelephoneNumbers", "55-12-34-7", "5512347"),
    ],
)
def test_needles_begin_at_the_length_that_the_rules_say(
    clean: Clean, keyword: str, value: str, text: str | None
) -> None:
    identifiers = identifiers_of(**{keyword: value})
    searched = text or value.partition("^")[0].rpartition(" ")[2]
    assert leaks(clean(ImageComments=f"a {searched} b"), identifiers) == (text and "ImageComments")


def test_rule_10_each_instance_of_a_patient_has_uids_of_its_own(clean: Clean) -> None:
    dataset = clean(ManufacturerModelName="2.25.98765432101")
    for uids in (frozenset({"2.25.98765432102"}), frozenset({"2.25.98765432101"}), frozenset[str]()):
        found = leaks(dataset, replace(PATIENT, uids=uids))
        assert found == ("ManufacturerModelName" if "2.25.98765432101" in uids else None)


@pytest.mark.parametrize("behind", ["", "\0", ".", "1\0", "01", " x"])
def test_rule_10_whatever_stands_behind_a_uid_does_not_hide_it(behind: str) -> None:
    scan = LeakScan(Needles(PATIENT)).with_uids(["2.25.98765432101"])
    assert scan.may_hold(f"x2.25.98765432101{behind}".encode())
    assert not scan.may_hold(f"x2.25.98765432000{behind}".encode())


def test_rule_10_uids_are_searched_whole(clean: Clean) -> None:
    identifiers = identifiers_of(StudyInstanceUID="1.2.3.4.5.6.77", SeriesInstanceUID="1.2.3.4")
    assert (
        leaks(clean(FrameOfReferenceUID="1.2.3.4.5.6.77.8", SoftwareVersions="1.2.3.4"), identifiers) is None
    )
    assert leaks(clean(FrameOfReferenceUID="1.2.3.4.5.6.77"), identifiers) == "FrameOfReferenceUID"


def test_rule_11_words_of_kept_values_are_no_needles(clean: Clean) -> None:
    identifiers = replace(identifiers_of(PatientName="Riverside^Zork"), kept=frozenset({"riverside"}))
    assert leaks(clean(InstitutionName="Riverside"), identifiers) is None


def test_rule_12_words_are_whole(clean: Clean) -> None:
    assert leaks(clean(ImageComments="Smithersonian, Blacksmithers"), PATIENT) is None


def test_rule_13_numbers_are_not_searched_in_numeric_vrs(clean: Clean) -> None:
    dataset = clean(ExposureTime="12345678", SliceThickness="12345678", StudyTime="123456")
    assert leaks(dataset, identifiers_of(PatientID="12345678", AccessionNumber="123456")) is None


@pytest.mark.parametrize(("tag", "vr"), [(0x00181050, "DS"), (0x00280008, "IS"), (0x00080032, "TM")])
def test_rule_13_a_text_where_a_number_belongs_is_searched(clean: Clean, tag: int, vr: str) -> None:
    dataset = clean()
    for value, found in (
        (b"Smithers", True),
        (b"MR-Smithers 1", True),
        (b"0012345678", False),
        (b"1e3\\-12345678 ", False),
    ):
        dataset._dict[BaseTag(tag)] = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)
        assert bool(leaks(dataset)) == found


def test_rule_14_four_letters_in_random_bytes_are_chance(clean: Clean) -> None:
    identifiers = identifiers_of(PatientName="Zork")
    dataset = clean()
    block = dataset.private_block(0x0011, "MAKER", create=True)
    block.add_new(0x01, "OB", b"\x01\x02\xffZORK\x80\x03\x04")
    assert leaks(dataset, identifiers) is None
    block.add_new(0x02, "OB", b"\x01\x02name=Zork\x80\x03\x04\x05")
    assert leaks(dataset, identifiers) == "(0011,1002)"
    block[0x02].value = b"ZORK"
    assert leaks(dataset, identifiers) == "(0011,1002)"


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "base64 for URLs": base64.urlsafe_b64encode,
    "base64 in lines": base64.encodebytes,
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "zlib in base64": lambda text: base64.b64encode(zlib.compress(text)),
}


@pytest.mark.parametrize("how", PACKED)
@pytest.mark.parametrize("text", ["Smithers", "12345678", "born 1970-02-01", "1.2.3.4.5.6.7"])
def test_rule_16_packed_text_is_searched(clean: Clean, how: str, text: str) -> None:
    packed = PACKED[how]((f"a report of many words on {text} " + "and more " * 20).encode())
    dataset = clean()
    block = dataset.private_block(0x0011, "MAKER", create=True)
    block.add_new(0x01, "OB", b"\x01\x02" + packed + b"\0" * (len(packed) % 2))
    assert leaks(dataset) == "(0011,1001)"
    block[0x01].value = PACKED[how](b"a report of many words on nobody " + b"and more " * 20)
    assert leaks(dataset) is None


def test_rule_16_base64_in_an_element_of_text_is_searched(clean: Clean) -> None:
    text = base64.b64encode(b"the patient is Jonathan Smithers").decode()
    assert leaks(clean(ImageComments=f"x:{text}")) == "ImageComments"


def test_rule_16_the_text_of_a_pdf_is_searched_as_it_is_shown(clean: Clean) -> None:
    stream = zlib.compress(b"BT /F1 12 Tf [(Smi) -20 (th) 3.5 (ers)] TJ ET")
    pdf = b"%PDF-1.4\n4 0 obj <</Filter /FlateDecode>> stream\n" + stream + b"\nendstream endobj"
    dataset = clean()
    dataset.add_new("EncapsulatedDocument", "OB", pdf + b"\0" * (len(pdf) % 2))
    assert leaks(dataset) == "EncapsulatedDocument"
    for string in (b"(\\123mithers)", b"<536D697468657273>"):
        dataset.EncapsulatedDocument = b"%PDF-1.4 " + string
        assert leaks(dataset) == "EncapsulatedDocument"


def test_rule_16_uids_are_no_base64(clean: Clean) -> None:
    text = "2.25.329800735698586629295641978511506172918 01536D697468657273"
    assert leaks(clean(ImageComments=text)) is None


def escaped(form: str) -> Callable[[bytes], bytes]:
    return lambda text: "".join(form.format(byte) for byte in text).encode()


CODED: dict[str, Callable[[bytes], bytes]] = {
    "hexadecimal": lambda text: text.hex().encode(),
    "URL": escaped("%{:02x}"),
    "quoted-printable": escaped("={:02X}"),
    "quoted-printable, broken line": lambda text: text.replace(b"th", b"t=\r\nh"),
    "XML, decimal": escaped("&#{};"),
    "XML, hexadecimal": escaped("&#x{:x};"),
    "JSON": escaped("\\u{:04x}"),
    "URL in base64": lambda text: base64.b64encode(escaped("%{:02x}")(text)),
}


@pytest.mark.parametrize("how", CODED)
def test_rule_16_coded_text_is_searched(clean: Clean, how: str) -> None:
    code = CODED[how](b"a report on Smithers").decode()
    assert leaks(clean(ImageComments=f"x {code} y")) == "ImageComments"
    dataset = clean()
    dataset.private_block(0x0011, "MAKER", create=True).add_new(0x01, "UN", f"\x01\x02{code}".encode())
    assert leaks(dataset) == "(0011,1001)"
    assert leaks(clean(ImageComments=CODED[how](b"a report on nobody here").decode())) is None


@pytest.mark.parametrize(
    "text",
    ["M%C3%BCller", "M%FCller", "M=C3=BCller", "M=FCller", "M&#252;ller", "M&uuml;ller", "M\\u00fcller"],
)
def test_rule_16_coded_accents_are_read(clean: Clean, text: str) -> None:
    assert leaks(clean(ImageComments=f"of {text}.")) == "ImageComments"


@pytest.mark.parametrize(
    "text", ["15551234567", "555.123.45678", "1.555.123.4567.8", "555.123.4567.8", "555123", "9555 123 4567"]
)
def test_rule_4_telephones_inside_longer_numbers_do_not_count(clean: Clean, text: str) -> None:
    assert leaks(clean(ImageComments=text)) is None
    assert leaks(clean(ImageComments=f"call {text} today")) is None


def test_rule_3_joined_names_of_ordinary_words_are_no_needles(clean: Clean) -> None:
    identifiers = identifiers_of(PatientName="CT^Chest", OperatorsName="Hand^S")
    assert leaks(clean(ImageComments="CTCHEST chestct hands shand ctc"), identifiers) is None


def test_packed_text_without_end_is_quarantined_and_fills_no_memory() -> None:
    with pytest.raises(Quarantined, match="attributes_uncertain"):
        list(unpacked(zlib.compress(bytes(1 << 20)), limit=1 << 19))


@pytest.mark.parametrize("text", ["Smithers", "SMITHERS", "Müller", "muller"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
def test_accents_fold_in_every_encoding(clean: Clean, text: str, encoding: str) -> None:
    dataset = clean()
    value = f"<note>{text}</note>".encode(encoding)
    dataset.private_block(0x0011, "MAKER", create=True).add_new(0x01, "UN", value)
    assert leaks(dataset) == "(0011,1001)"


def test_dates_that_beamstop_wrote_are_no_leak(clean: Clean) -> None:
    dataset = clean(StudyDate="19700201")
    assert leaks(dataset) == "StudyDate"
    assert leaks(dataset, PATIENT.without_dates([date(1970, 2, 1)])) is None


def test_what_the_file_calls_a_name_is_one_wherever_it_stands(clean: Clean) -> None:
    """A rule that keeps what the standard says an attribute is does not excuse a name in its place."""
    original = Dataset()
    original.add_new(0x00081090, "PN", "Smithers^Jonathan")
    original.add_new(0x52009230, "DA", "19700201")
    identifiers = harvest(original, lambda path: True)
    assert leaks(clean(ImageComments="Smithers"), identifiers) == "ImageComments"
    assert leaks(clean(ImageComments="1970-02-01"), identifiers) == "ImageComments"


def test_a_suspicious_file_that_cannot_be_parsed_is_quarantined() -> None:
    assert_unreadable = pytest.raises(Quarantined, match="unreadable")
    with assert_unreadable:
        search(bytes(200) + b"no DICOM, but of Smithers", PATIENT)


def test_nothing_is_searched_for_where_nothing_is_known(clean: Clean) -> None:
    assert search(encode(clean()).header, Identifiers()) == 0


def test_many_identifiers_are_searched_for_like_few(clean: Clean) -> None:
    many = identifiers_of(OtherPatientIDs=[f"ID{number}Z" for number in range(40_000)])
    for number in (0, 20_000, 39_999):
        assert leaks(clean(ImageComments=f"see ID{number}Z"), many) == "ImageComments"
    assert leaks(clean(ImageComments="see ID40000Z"), many) is None


def test_large_headers_are_searched_like_small_ones(clean: Clean) -> None:
    dataset = clean()
    block = dataset.private_block(0x0011, "MAKER", create=True)
    block.add_new(0x01, "OB", random.Random(7).randbytes(1 << 20))
    assert leaks(dataset) is None
    block.add_new(0x02, "LO", "Smithers")
    assert leaks(dataset) == "(0011,1002)"


@given(st.lists(st.integers(0, 10**12), min_size=3, max_size=8), st.dates(date(1900, 1, 2), date(2030, 1, 1)))
def test_digits_inside_uids_never_count(make_dataset: MakeDataset, components: list[int], day: date) -> None:
    uid = "2.25." + ".".join(map(str, components)) + f".9{day:%Y%m%d}1.{day:%Y%m%d}"
    dataset = make_dataset(**CLEAN, FrameOfReferenceUID=uid[:64].rstrip("."))
    assert leaks(dataset, identifiers_of(StudyDate=f"{day:%Y%m%d}", PatientID=f"{day:%Y%m%d}")) is None


WORDS = st.text(st.sampled_from("bcdfghjklmnpqrstvwxzäöé"), min_size=6, max_size=10)


@given(
    WORDS,
    st.sampled_from(SYNTAXES),
    st.sampled_from(["ISO_IR 100", "ISO_IR 192"]),
    st.integers(0, 3),
    st.integers(0, 9),
)
def test_any_name_is_found_at_any_depth_in_any_encoding(  # type: ignore[no-untyped-def]
    make_dataset: MakeDataset, name, syntax, charset, depth, padding
) -> None:
    identifiers = identifiers_of(SpecificCharacterSet=charset, PatientName=f"{name}^X")
    item = Dataset()
    item.TextValue = "~" * padding + name.upper()
    for _ in range(depth):
        outer = Dataset()
        outer.ContentSequence = Sequence([item])
        item = outer
    dataset = make_dataset(**CLEAN, SpecificCharacterSet=charset, ContentSequence=Sequence([item]))
    dataset.file_meta.TransferSyntaxUID = syntax
    assert leaks(dataset, identifiers) == "ContentSequence[0]." * (depth + 1) + "TextValue"


@pytest.mark.parametrize(
    "serial", ["CT chest Quessenbrand", "Quessenbrand", "CT QX7731955", "QX7731955", "ACC8842617"]
)
def test_a_kept_serial_number_that_names_somebody_is_quarantined(serial: str) -> None:
    """What a device is called excuses what it is called elsewhere, but no person's name or number."""
    dataset = make_instance(
        PatientName="Quessenbrand^Lo",
        PatientID="QX7731955",
        AccessionNumber="ACC8842617",
        StationName="NXONXP",
    )
    dataset.DeviceSerialNumber, dataset.GantryID = "NXONXP", "NXONXP"
    recipe = parse_recipe("{options: [retain-device-identity], attributes: {StationName: X}}")
    deidentify_bytes(encode(dataset).data, recipe, bytes(range(32)))
    dataset.DeviceSerialNumber = serial
    with pytest.raises(Quarantined, match="DeviceSerialNumber"):
        deidentify_bytes(encode(dataset).data, recipe, bytes(range(32)))
