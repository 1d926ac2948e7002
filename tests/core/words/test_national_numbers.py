from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstop.words.national_numbers import may_hold_birth, national_numbers, own_numbers, packed_births

BIRTH = date(1961, 3, 17)
PACKED = frozenset(form.encode() for form in packed_births(BIRTH))
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


@pytest.mark.parametrize("number", OWN)
def test_bytes_may_hold_a_number_whatever_stands_beside_it(number: str) -> None:
    for before, behind in (("", ""), ("\0", "01"), ("12 ", "8\0"), ("123456789012345678 ", " 1")):
        assert may_hold_birth(f"{before}{number}{behind}".encode(), PACKED)


@pytest.mark.parametrize(
    "text", ["610317", "19000101000000", f"2.25.{610317:039}", "2.25.286903117521778651750217354294603768495"]
)
def test_bytes_without_a_number_that_long_at_its_place_hold_none(text: str) -> None:
    packed = PACKED.union(form.encode() for form in packed_births(date(2000, 1, 1)))
    assert not may_hold_birth(text.encode(), packed)


@given(st.lists(st.sampled_from(["610317", "1703", "61", "19", "0", "123456789", *"-/ .A+x"]), max_size=12))
def test_no_number_is_missed(parts: list[str]) -> None:
    text = "".join(parts)
    assert may_hold_birth(text.encode(), PACKED) or not any(own_numbers(text, [BIRTH]))
