from datetime import date

import pytest

from beamstop.words.national_numbers import national_numbers, own_numbers

BIRTH = date(1961, 3, 17)
OWN = (
    "61031712345",
    "610317-1234",
    "170361-1234",
    "17036112345",
    "110101196103171234",
    "610317-1234567",
    "61.03.17-123.45",
    "615317/1234",
    "6103175009087",
    "1610317123456",
    "1703961500123",
    "3273011703610002",
)


@pytest.mark.parametrize("number", OWN)
def test_a_number_that_holds_the_birth_date_is_found(number: str) -> None:
    assert list(own_numbers(f"no {number}, x", [BIRTH])) == [(3, 3 + len(number))]


@pytest.mark.parametrize(
    "text", ["610317", "1.2.610317123456.5", "9961031712", "62031712345", "0.61031712345"]
)
def test_other_numbers_stay(text: str) -> None:
    assert list(own_numbers(text, [BIRTH])) == []


@pytest.mark.parametrize(
    "number",
    ["11010519491231002X", "44051401359", "900101-1234567", "170361-123A", "615317/1234", "61.03.17-123.45"],
)
def test_anybodys_number_is_found_by_its_form(number: str) -> None:
    assert list(national_numbers(f"x {number}")) == [(2, 2 + len(number))]


@pytest.mark.parametrize(
    "text", ["110105194912310021", "44051401358", "999999-1234567", "12345678901", "10-12-20"]
)
def test_a_wrong_check_digit_or_date_is_no_number(text: str) -> None:
    assert list(national_numbers(text)) == []
