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


def polish(digits: str) -> str:
    """Return a PESEL with its check digit."""
    weighted = sum(int(digit) * int(weight) for digit, weight in zip(digits, "1379137913", strict=True))
    return f"{digits}{-weighted % 10}"


def chinese(digits: str) -> str:
    """Return a resident's number with its check digit (GB 11643, ISO 7064 MOD 11-2)."""
    weighted = sum(int(digit) * pow(2, 17 - at, 11) for at, digit in enumerate(digits))
    return digits + "0123456789X"[(1 - weighted) % 11]


@pytest.mark.parametrize("rest", ["1234", "0000", "9999", "5071"])
def test_a_check_digit_depends_on_every_digit(rest: str) -> None:
    for make, digits in ((polish, f"610317{rest}"), (chinese, f"11010119610317{rest[:3]}")):
        right = make(digits)
        assert list(national_numbers(right)) == [(0, len(right))]
        for at in range(len(right) - 1):
            other = digits[:at] + f"{(int(digits[at]) + 1) % 10}" + digits[at + 1 :]
            assert list(national_numbers(other + right[-1])) == []


@pytest.mark.parametrize(
    ("date_part", "is_day"),
    [
        *((text, True) for text in ("610101", "611231", "612101", "613231", "614101", "616201", "617101")),
        *((text, False) for text in ("610001", "611301", "612001", "613301", "616301", "619101", "618301")),
        *((text, False) for text in ("610100", "610132", "610199")),
    ],
)
def test_a_date_has_its_month_shifted_for_a_century_or_a_sex(date_part: str, is_day: bool) -> None:
    assert bool(list(national_numbers(polish(f"{date_part}1234")))) == is_day
    assert bool(list(national_numbers(f"{date_part}-1234567"))) == is_day


@pytest.mark.parametrize(
    ("number", "found"),
    [
        *((number, True) for number in ("311299-123A", "310161A123Y", "991231+1234", "CURP610317HDFXXX09")),
        *((number, True) for number in ("ROSS610317HDFXXX09", "RSSMRA61C17H501Z", "RSSMRA61C57H501Z")),
        *((number, False) for number in ("321361-1234", "ROSS611317HDFXXX09", "RSSMRA61C72H501Z")),
        *(
            (number, False)
            for number in ("RSSMRA61F17H501Z", "170361-123a", "615317/12345", "610317-9123456")
        ),
    ],
)
def test_a_form_with_letters_or_marks_is_a_number_where_its_date_is_one(number: str, found: bool) -> None:
    assert bool(list(national_numbers(f"no {number}, x"))) == found


@pytest.mark.parametrize(
    ("number", "found"),
    [
        *(("610317" + "1" * more, 2 < more < 9) for more in range(1, 12)),
        *(("1610317" + "1" * more, 3 < more < 9) for more in range(1, 12)),
        *(("222222610317" + "1" * more, 3 < more < 7) for more in range(1, 9)),
        *(("22610317" + "1" * more, False) for more in range(1, 9)),
    ],
)
def test_a_birth_counts_where_a_number_of_that_length_has_it(number: str, found: bool) -> None:
    """Alone it does: at the begin in 9 to 14 digits, behind one in 11 to 15, behind six in 16 to 18."""
    assert bool(list(own_numbers(number, [BIRTH]))) == found


def test_a_birth_is_packed_in_these_ways() -> None:
    assert packed_births(date(2005, 3, 17)) == tuple(
        sorted(
            {"20050317", "17032005", "1703005"}
            | {"050317", "052317", "054317", "055317", "057317"}
            | {"170305", "570305"}
        )
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"610317" + b"1" * 3, True),
        (b"610317" + b"1" * 2, False),
        (b"610317" + b"1" * 14, True),
        (b"610317" + b"1" * 15, False),
        (b"61-03/17+1.1 1A1", True),
        (b"2222222610317111", False),
        (b"222222610317111", True),
        (b"12345678901 610317111", True),
        (b"610317-" + b"1" * 15 + b"-111", False),
    ],
)
def test_bytes_may_hold_a_number_of_9_to_20_digits(text: bytes, found: bool) -> None:
    assert may_hold_birth(text, PACKED) == found
