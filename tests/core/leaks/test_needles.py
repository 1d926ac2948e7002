"""What identifiers become for the leak search: exactly these needles, and no others."""

from dataclasses import fields, replace
from typing import Any

import pytest
from pydicom.dataset import Dataset

from beamstop.leaks.needles import Needles
from beamstop.words.identifiers import Identifiers, harvest


def identifiers_of(**attributes: Any) -> Identifiers:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return harvest(dataset, lambda path: False)


def found(identifiers: Identifiers) -> dict[str, Any]:
    """Return the needles that there are, but those that the writings of names make."""
    needles = Needles(identifiers)
    others = {"identifiers", "forms", "writings", "broken"}
    values = {it.name: getattr(needles, it.name) for it in fields(needles) if it.name not in others}
    return {name: value for name, value in values.items() if value}


def words(text: str) -> set[str]:
    return set(text.split())


def phrases(*texts: str) -> set[tuple[str, ...]]:
    return {tuple(text.split()) for text in texts}


def number(*writings: str) -> dict[str, Any]:
    return {"numbers": set(writings), "digits": set(writings), "count": 1}


NAMES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Smithers^Jonathan^Q",
        {
            "words": words(
                "smithers jonathan smithersjonathan jonathansmithers smithersjonathanq jonathanqsmithers"
                " smithersj jsmithers smithersjq jqsmithers"
            ),
            "phrases": phrases("smithers jonathan", "jonathan smithers"),
        },
    ),
    (
        "Smithers^Jonathan Kyle^Quentin",
        {
            "words": words(
                "smithers jonathan kyle jonathankyle quentin smithersjonathankyle jonathankylesmithers"
                " smithersjonathankylequentin jonathankylequentinsmithers"
                " smithersj jsmithers smithersjq jqsmithers"
            )
        },
    ),
    (
        "Van Zork^Ida",
        {
            "words": words("zork vanzork vanzorkida idavanzork vanzorki ivanzork"),
            "phrases": phrases("van zork", "van zork ida", "ida van zork"),
        },
    ),
    ("Zorkin", {"words": {"zorkin"}}),
    ("Li^Wu", {"words": {"liwu", "wuli"}, "phrases": phrases("li wu", "wu li")}),
    ("Roe^X", {"words": {"roex", "xroe"}, "phrases": phrases("roe x", "x roe")}),
    ("CT^Chest", {"literals": {"ct^chest"}}),
    (
        "Brown^Grant",
        {
            "words": {"grant", "browngrant", "grantbrown"},
            "phrases": phrases("brown grant", "grant brown"),
        },
    ),
    (
        "McZork^Ida",
        {
            "words": words("mczork mczorkida idamczork mczorki imczork"),
            "phrases": phrases("mczork ida", "ida mczork", "mc zork", "mac zork"),
        },
    ),
    ("王^小红", {"words": {"小红", "王小红", "小红王"}}),
    ("Zork^" + "A" * 189, {"words": {"zork", "a" * 189}}),
    (
        "Zork^" + "A" * 188,
        {"words": {"zork", "a" * 188, "zork" + "a" * 188, "a" * 188 + "zork", "zorka", "azork"}},
    ),
)


@pytest.mark.parametrize(("name", "needles"), NAMES)
@pytest.mark.filterwarnings("ignore:The PN component length")
def test_a_name_is_searched_for_in_these_ways(name: str, needles: dict[str, Any]) -> None:
    assert found(identifiers_of(PatientName=name)) == needles | {"count": 1}


def test_a_name_of_ordinary_words_alone_is_searched_for_with_its_caret() -> None:
    needles = Needles(identifiers_of(PatientName="CT Head^Chest Left"))
    assert (needles.literals, needles.phrases) == ({"ct head^chest left"}, set())


@pytest.mark.parametrize("name", ["Li^W", "Brown", "Doe", "X"])
def test_a_name_that_is_too_short_or_too_ordinary_gives_no_needle_and_is_not_counted(name: str) -> None:
    assert found(identifiers_of(PatientName=name)) == {}


def test_names_with_accents_are_searched_for_without_them_as_two_letters_and_as_they_are() -> None:
    assert found(identifiers_of(PatientName="Müller^Jörg")) == {
        "words": words(
            "muller jorg mullerjorg jorgmuller mullerj jmuller"
            " mueller joerg muellerjoerg joergmueller muellerj jmueller"
        ),
        "spellings": {"müller", "jörg"},
        "count": 2,
    }


def test_a_spelling_is_searched_for_from_four_letters_on() -> None:
    identifiers = identifiers_of(PatientName="Διονυσιος^Ήρα", OperatorsName="Νίκος")
    assert Needles(identifiers).spellings == {"διονυσιος", "νίκος", "νικος"}


NUMBERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("0012345678", number("0012345678", "12345678")),
    ("0999", {}),
    ("1000", number("1000")),
    ("1899", number("1899")),
    ("1900", {}),
    ("2099", {}),
    ("02099", {}),
    ("2100", number("2100")),
    ("12345", number("12345")),
    ("123456", number("123456")),
    ("012345", number("012345", "12345")),
    ("12-34-5", number("12345")),
    ("QV1", {}),
    ("QV12", {"phrases": phrases("qv12"), "count": 1}),
    ("Q1V2", {"phrases": phrases("q1v2"), "count": 1}),
    ("QWE1", {"phrases": phrases("qwe1"), "count": 1}),
    ("QWER1", {"phrases": phrases("qwer 1"), "count": 1}),
    ("A1234", {"phrases": phrases("a 1234"), "count": 1}),
    ("A12345", {"phrases": phrases("a 12345"), **number("12345")}),
    ("A01234", {"phrases": phrases("a 01234"), "count": 1}),
    ("A-1234", {"phrases": phrases("a 1234"), **number("1234")}),
    ("AX998125", {"phrases": phrases("ax 998125"), **number("998125")}),
    ("1234-56 X", {"phrases": phrases("1234 56 x"), **number("1234")}),
    ("R4711 x99", {"phrases": phrases("r 4711 x 99"), "count": 1}),
    ("QWE", {}),
    ("QWER", {"words": {"qwer"}, "count": 1}),
    ("SCANNER", {}),
    ("CT01", {}),
    ("Qwertz Yxcv", {"phrases": phrases("qwertz yxcv"), "count": 1}),
    ("ab cd", {"phrases": phrases("ab cd"), "count": 1}),
    ("ab c", {}),
)


@pytest.mark.parametrize(("value", "needles"), NUMBERS)
def test_a_number_or_a_code_is_searched_for_in_these_ways(value: str, needles: dict[str, Any]) -> None:
    assert found(identifiers_of(PatientID=value)) == needles


PLACES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Riverside General Hospital",
        {"words": {"riverside"}, "phrases": phrases("riverside general hospital")},
    ),
    ("General Zork", {"phrases": phrases("general zork")}),
    ("General Zorkw", {"words": {"zorkw"}, "phrases": phrases("general zorkw")}),
    ("General Zork12", {"phrases": phrases("general zork12")}),
    (
        "Lindenweg 12, 69120 Heidelberg",
        {
            "words": {"lindenweg", "heidelberg"},
            "phrases": phrases("12 69120", "69120 12", "lindenweg 12 69120 heidelberg"),
        },
    ),
)


@pytest.mark.parametrize(("place", "needles"), PLACES)
def test_a_place_is_searched_for_in_these_ways(place: str, needles: dict[str, Any]) -> None:
    assert found(identifiers_of(InstitutionName=place)) == needles | {"count": 1}


@pytest.mark.parametrize("place", ["RADIOLOGY", "Nuclear Medicine", "X Y"])
def test_a_place_of_ordinary_words_or_of_letters_gives_no_needle(place: str) -> None:
    assert found(identifiers_of(InstitutionName=place)) == {}


CONTACTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("55-12-34", number("551234")),
    ("55-12-34-7", number("5512347") | {"phones": {"5512347"}}),
    (
        "+32 478 55 12 90",
        number("32478551290") | {"phones": words("32478551290 2478551290 478551290 78551290")},
    ),
    ("anna.q@example.org", {"phrases": phrases("anna q example org"), "count": 1}),
    ("12", {}),
)


@pytest.mark.parametrize(("contact", "needles"), CONTACTS)
def test_a_contact_is_searched_for_in_these_ways(contact: str, needles: dict[str, Any]) -> None:
    assert found(identifiers_of(PatientTelephoneNumbers=contact)) == needles


def test_a_day_is_searched_for_in_three_orders_and_by_its_year() -> None:
    needles = Needles(identifiers_of(StudyDate="20040826"))
    assert needles.digits == {"20040826", "26082004", "08262004"}
    assert needles.years == {"2004"}
    assert {"H16", "平成16", "民國93"} <= needles.other_years
    assert "04" not in needles.other_years  # two digits are a year of births alone
    assert (needles.births, needles.numbers, needles.count) == (set(), set(), 1)


def test_a_day_of_birth_is_searched_for_by_two_digits_of_its_year_too() -> None:
    needles = Needles(identifiers_of(PatientBirthDate="19610317"))
    assert needles.digits == {"19610317", "17031961", "03171961"}
    assert {"61", "S36", "昭和36"} <= needles.other_years
    assert {"610317", "170361", "031761", "19610317", "17031961", "615317"} <= needles.births


def test_what_the_recipe_keeps_gives_no_needle() -> None:
    identifiers = identifiers_of(PatientName="Smithers", PatientID="QX12", AccessionNumber="A-55123")
    kept = replace(identifiers, kept=frozenset({"smithers", "qx12"}), kept_devices=frozenset({"55123"}))
    assert found(kept) == {"phrases": phrases("a 55123"), "count": 1}
