from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from beamstop.words.clean_text import clean_text
from beamstop.words.identifiers import Identifiers, harvest
from beamstop.words.vocabulary import fold, vocabulary


def identifiers_of(**attributes: str) -> Identifiers:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return harvest(dataset, lambda tag: False)


NOBODY = Identifiers()
PATIENT = identifiers_of(
    PatientName="Smithers^Jonathan^Q",
    ReferringPhysicianName="Brown^José",
    PatientID="00-123-4567",
    AccessionNumber="AX-99812",
    PatientBirthDate="19700201",
    InstitutionName="Riverside General Hospital",
    StudyInstanceUID="1.2.3.4.5.6",
)
MEDICINE = (
    "CT CHEST W/CONTRAST",
    "T1 L5-S1 120kVp 3mm 8/10 pain 10.5 2/3 Rad Onc",
    "Graves disease, Wilson's disease; Parkinson",
    "MR BRAIN W/WO, MS protocol",
    "DR CHEST PA+LAT",
    "ratio 1.5:2, BP 120/80, FOV 350x350",
    "AX T2 FSE FS / 5.0 x 1.0 sp",
    "Series 2/3 of 5 (delayed) [arterial]",
    "12 LEAD ST elevation, 3 VIEWS",
    "THORAX^1_Routine (Adult)",
    "Brown fat PET, hand AP",
    "  two  blanks , kept ",
    "3D MIP range 1-24, b=1000",
    "Rotterdam Score 2+ @ 5 min 12:30",
)


@pytest.mark.parametrize("text", MEDICINE)
def test_medicine_stays_as_the_same_object(text: str) -> None:
    assert clean_text(text, PATIENT) is text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("CT CHEST for Jonathan Smithers DOB 1/2/1970 seen by Dr. Wood", "CT CHEST for DOB seen by"),
        ("Smithers^Jonathan^Q CT", "CT"),
        ("J. Smithers' knee", "knee"),
        ("Smithers's (Smithers) MR", "MR"),
        ("SMITHERS01_CHEST", "CHEST"),
        ("CHEST_SMITHERS_AP", "CHEST_AP"),
        ("JONATHANSMITHERS SmithersJonathan", ""),
        ("SMÍTHERS head", "head"),
        ("Brown fat, J. Brown", "Brown fat"),
        ("Brown, José: liver", "liver"),
        ("ID 1234567 or 123-45-67; 00 123 4567 liver", "ID or liver"),
        ("AX99812 AX 99812 ax_99812 T2", "T2"),
        ("Riverside General Hospital ER, RIVERSIDE", "ER"),
        ("see 1.2.3.4.5.6 and 1.2.840.113619.2.5.1762583153", "see and"),
        ("knee, Smithers, left", "knee, left"),
        ("for Smithers. Left", "for. Left"),
    ],
)
def test_own_identifiers_go_and_the_rest_stays(text: str, clean: str) -> None:
    assert clean_text(text, PATIENT) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("MRN: 1234567 liver", "MRN: liver"),
        ("Acc# A998877 liver", "Acc# liver"),
        ("accession number 998877", "accession number"),
        ("call 555-123-4567 or (555) 123 4567", "call or"),
        ("Tel. +49 6221 56-6410", "Tel."),
        ("jane.roe@example.org liver", "liver"),
        ("see https://pacs.example.org/x?id=1 now", "see now"),
        ("SSN 123-45-6789", "SSN"),
        ("lives 12 Main Street, Boston, MA 02115", "lives"),
        ("69120 Heidelberg liver", "liver"),
        ("Mr Jonesy and Ms. Leeds, Dr. J. K. Wood CT Chest", "and CT Chest"),
        ("DR. WOODY SAW ABDOMEN", "SAW ABDOMEN"),
        ("read by Anna Lindqvist, MD", "read by"),
        ("Patient: Lindqvist, Anna liver", "Patient: liver"),
        ("on 12 Mar 2004 14:33:12 liver", "on liver"),
        ("liver 2004-03-12T12:30", "liver"),
        ("since Mar 2004", "since"),
    ],
)
def test_what_has_the_shape_of_an_identifier_goes(text: str, clean: str) -> None:
    assert clean_text(text, NOBODY) == clean


def test_dates_are_moved_where_an_option_moves_them() -> None:
    clean = clean_text(
        "born 1/2/1970, seen 12 Mar 2004 14:33, 2004-03-13",
        PATIENT,
        shift_date=lambda day: day - timedelta(days=10),
    )
    assert clean == "born 22/1/1970, seen 02 Mar 2004 14:33, 2004-03-03"


def test_a_date_that_cannot_be_moved_goes() -> None:
    def overflow(day: date) -> date:
        raise OverflowError

    assert clean_text("seen 2004-03-13 again", NOBODY, shift_date=overflow) == "seen again"


def test_the_time_before_each_of_many_dates_goes_with_it() -> None:
    assert clean_text("seen 10:15 on 2004-03-13, " * 5_000 + "stable", NOBODY) == "seen, " * 5_000 + "stable"


def test_words_nobody_vouches_for_go_when_asked() -> None:
    assert clean_text("CT Abdomen Qwertz L5-S1 3mm jsmith", NOBODY, "remove") == "CT Abdomen L5-S1 3mm"
    assert clean_text("CT Abdomen Qwertz", NOBODY, "remove", frozenset({"qwertz"})) == "CT Abdomen Qwertz"


def test_a_name_of_ordinary_words_goes_only_with_its_caret() -> None:
    phantom = identifiers_of(PatientName="CT^Chest")
    assert clean_text("CT CHEST 5mm", phantom) == "CT CHEST 5mm"
    assert clean_text("5mm CT^Chest", phantom) == "5mm"


def test_the_digits_of_a_record_number_go_without_its_letters() -> None:
    patient = identifiers_of(PatientID="PX.77-120.554", AccessionNumber="US-24/009912")
    assert clean_text("liver 77-120.554, 24009912 and 24/009912", patient) == "liver and"
    other = identifiers_of(PatientID="ACC0099123", StudyID="CT12")
    assert clean_text("liver 0099123, 99123, acc-0099123 12 mm", other) == "liver 12 mm"


def test_a_telephone_goes_as_it_is_dialled_at_home() -> None:
    patient = identifiers_of(PatientTelephoneNumbers="+32 478 55 12 90")
    assert clean_text("daughter 0478 55 12 90 liver", patient) == "daughter liver"
    assert clean_text("daughter 0032 478551290 liver", patient) == "daughter liver"


def test_ideographs_go_without_word_boundaries() -> None:
    patient = identifiers_of(PatientName="Yamada^Tarou=山田^太郎")
    assert clean_text("患者山田様 CT", patient) == "患者様 CT"


def test_small_numbers_are_no_identifiers() -> None:
    patient = identifiers_of(PatientID="120", StudyID="1", AccessionNumber="T1")
    assert clean_text("T1 120 kVp 1 mm", patient) == "T1 120 kVp 1 mm"


SYLLABLES = st.sampled_from(["zor", "quil", "bax", "wef", "yud", "pliv", "krom", "thoz"])
NAMES = st.lists(SYLLABLES, min_size=2, max_size=4).map(lambda parts: "".join(parts).capitalize())
WRITE_NAME = st.sampled_from(
    [
        "{f}^{g}",
        "{g} {f}",
        "{f}, {g}",
        "{f}{g}",
        "{g}{f}",
        "{f}",
        "{g}",
        "{i}. {f}",
        "{f} {i}",
        "{f}'s",
        "{f}_{g}",
        "{g}.{f}",
    ]
)
CASES = st.sampled_from([str.upper, str.lower, str.title, str])
KNOWN = sorted(word for word in vocabulary() if len(word) > 2 and word.isascii())
SENTENCES = st.lists(st.sampled_from(KNOWN), min_size=1, max_size=6).map(" ".join)


@given(NAMES, NAMES, WRITE_NAME, CASES, SENTENCES, SENTENCES)
def test_a_name_never_survives_however_it_is_written(family, given_name, form, case, before, after) -> None:  # type: ignore[no-untyped-def]
    planted = case(form.format(f=family, g=given_name, i=given_name[0]))
    identifiers = identifiers_of(PatientName=f"{family}^{given_name}")
    clean = fold(clean_text(f"{before} {planted} {after}", identifiers))
    assert fold(family) not in clean
    assert fold(given_name) not in clean


@given(st.integers(10**6, 10**10), st.sampled_from(["", "-", " ", "/", "_"]), st.booleans(), SENTENCES)
def test_a_number_never_survives_however_it_is_written(number, mark, zeros, before) -> None:  # type: ignore[no-untyped-def]
    digits = str(number)
    written = ("00" if zeros else "") + digits[:3] + mark + digits[3:]
    clean = clean_text(f"{before} {written} end", identifiers_of(PatientID=digits))
    assert digits[3:] not in clean


@given(SENTENCES)
def test_words_of_the_vocabulary_stay_as_they_are(text: str) -> None:
    assert clean_text(text, PATIENT) is text
    assert clean_text(text, PATIENT, "remove") is text


def test_pieces_of_a_number_are_joined_over_separators_alone() -> None:
    identifiers = identifiers_of(PatientID="1234567")
    assert clean_text("T1 123-4567 axial", identifiers) == "T1 axial"
    apart = "T1 123 (+) 4567 axial"
    assert clean_text(apart, identifiers) == apart


BOUNDARIES: tuple[tuple[dict[str, str], str, str], ...] = (
    ({"PatientName": "X^Yo"}, "yo liver x yo", "yo liver x yo"),
    ({"PatientName": "Zork^Y"}, "y liver, y zork, zork y., zork  y", "y liver"),
    ({"PatientID": "QV1"}, "qv1 a", "qv1 a"),
    ({"PatientID": "QV12"}, "qv12 qv-12 a", "qv-12 a"),
    ({"PatientID": "123"}, "123 a", "123 a"),
    ({"PatientID": "1234"}, "1234 001234 12-34 12/34 a", "12-34 12/34 a"),
    ({"PatientID": "123456"}, "123-456 12 34 56 a", "a"),
    ({"PatientID": "12345"}, "123-45 12345 a", "123-45 a"),
    ({"PatientName": "Li^Wu"}, "liwu wuli li wu wu^li li a", "a"),
    ({"PatientName": "Li^W"}, "liw li w w li a", "liw a"),
    ({"PatientID": "PX.77-123"}, "77-123 77123 px77123 a", "77-123 77123 a"),
    ({"PatientID": "PX.77-1234"}, "77-1234 771234 a", "a"),
    ({"PatientID": "A12345"}, "12345 a", "a"),
    ({"PatientID": "A1234"}, "1234 a1234 liver", "1234 liver"),
    ({"PatientID": "A012345"}, "012345 12345 liver", "liver"),
    ({"PatientID": "A01234"}, "01234 1234 liver", "01234 1234 liver"),
    ({"InstitutionName": "General Hospital"}, "general hospital a", "general hospital a"),
    (
        {"InstitutionName": "Regional General Hospital"},
        "at Regional General Hospital, general hospital a",
        "at, general hospital a",
    ),
    ({"InstitutionName": "General Zorkw"}, "general zorkw, zorkw a", "a"),
    ({"InstitutionName": "General Zork"}, "general zork, zork a", "zork a"),
    ({"InstitutionName": "MRI Qw"}, "mri qw, qw a", "qw a"),
    ({"InstitutionName": "X Yz"}, "x yz a", "x yz a"),
    ({"PatientID": "1234567"}, "1 2 3 4 5 6 7 a", "a"),
    ({"PatientID": "1234567"}, "1 2 3 4 5 67 a", "a"),
    ({"PatientID": "1234567"}, "123   4567 a", "a"),
    ({"PatientID": "1234567"}, "123    4567 a", "123    4567 a"),
    ({"PatientTelephoneNumbers": "478551290"}, "0478551290 478551290 x0478551290 a", "x0478551290 a"),
    ({"PatientTelephoneNumbers": "anna.q@zork.org"}, "anna q zork org, anna a", "anna a"),
    ({"PatientID": "Qwertz Zork"}, "qwertz zork, qwertz a", "qwertz a"),
    ({"PatientID": "Head Chest"}, "head chest a", "head chest a"),
    ({"PatientID": "ab"}, "ab a", "ab a"),
    ({"PatientName": "Brown^May"}, "J. Brown, M. Brown fat, m brown, may brown a", "J. Brown, fat, m a"),
    ({"PatientName": "Brown^José"}, "J. Brown; K. Brown; J Brown; J . Brown", "K. Brown; J Brown; J . Brown"),
    ({"PatientName": "Zork^Ida"}, "Zork's knee, Zork' knee, 'Zork's, zorks", "knee, knee, ''s"),
    ({"PatientName": "Zork^Ida"}, "zork12 12zork zo12rk xzork", "zo12rk xzork"),
    ({"PatientName": "Zor^Ida"}, "zor12 zor", "zor12"),
    (
        {"PatientAddress": "Lindenweg 12, 69120 Heidelberg"},
        "12 69120, 69120 12, 12 a 69120 b",
        "12 a 69120 b",
    ),
    ({"StudyInstanceUID": "1.2.3.4.5"}, "1.2.3.4.5 1.2.3.4.5.6 1.2.3.4", "1.2.3.4"),
    ({}, "SW 3.11.63", "SW 3.11.63"),
    ({"PatientBirthDate": "19631103"}, "SW 3.11.63", "SW"),
    ({}, "((((((((Dr. Zork)))))))) a", "a"),
    ({}, "(((((((((Dr. Zork))))))))) a", "() a"),
    ({"PatientName": "Zork^Ida"}, '[zork] (zork) <zork> "zork" {zork} a', "{} a"),
    ({"PatientName": "Zork^Ida"}, "a, zork, b; zork; c zork: d zork. e zork", "a, b; c: d. e"),
    ({"PatientName": "Zork^Ida"}, "a zork\nzork b\nc, zork\n", "a\nb\nc\n"),
)


@pytest.mark.parametrize(("attributes", "text", "clean"), BOUNDARIES)
def test_what_is_just_enough_to_tell_goes_and_what_is_not_stays(
    attributes: dict[str, str], text: str, clean: str
) -> None:
    assert clean_text(text, identifiers_of(**attributes)) == clean


@pytest.mark.parametrize("words", [31, 32, 33])
def test_of_a_long_sequence_the_first_32_words_count(words: int) -> None:
    parts = [f"qa{number}z" for number in range(words)]
    patient = identifiers_of(InstitutionAddress=" ".join(parts))
    assert clean_text("at " + " ".join(parts[:32]) + " now", patient) == "at now"
    assert clean_text("at " + " ".join(parts[: min(words, 32) - 1]) + " now", patient).startswith("at qa0z")


def test_a_time_beside_a_date_goes_with_it_and_stays_beside_one_that_is_moved() -> None:
    texts = ("12:30:15 on 2004-08-26", "2004-08-26 12:30 Uhr", "2004-08-26T1230", "2004-08-26 @ 123015")
    assert [clean_text(f"x {text} y", NOBODY) for text in texts] == ["x y"] * 4
    moved = [clean_text(f"x {text} y", NOBODY, shift_date=lambda day: day) for text in texts]
    assert moved == [f"x {text} y" for text in texts]
    assert clean_text("x 12:30 2004-08-26 13:45 y", NOBODY) == "x 12:30 y"
    assert clean_text("x 12:30 2004-08-26, 2004-08-27 y", NOBODY) == "x y"


def test_where_words_are_judged_a_date_that_is_moved_is_no_word() -> None:
    def clean(text: str) -> str:
        return clean_text(text, NOBODY, "judge", shift_date=lambda day: day.replace(month=9))

    assert clean("liver 26 Aug 2004 Zorkhildson") == "liver 26 Sep 2004"
    assert clean("Zorkhildson 26 Aug 2004 27 Aug 2004 Zorkhildson") == "26 Sep 2004 27 Sep 2004"
