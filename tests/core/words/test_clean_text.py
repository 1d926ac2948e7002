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
