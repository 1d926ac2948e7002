"""The first look: never no where a needle is, and no where none can be."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from pydicom.dataset import Dataset

from beamstop.leaks.needles import Needles
from beamstop.leaks.scan import LeakScan, one_byte_forms
from beamstop.words.identifiers import Identifiers, harvest


def identifiers_of(**attributes: Any) -> Identifiers:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return harvest(dataset, lambda path: False)


def scan_for(identifiers: Identifiers) -> LeakScan:
    return LeakScan(Needles(identifiers))


def in_full_width(text: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


ENCODINGS = ("shift_jis", "gb18030", "gb2312", "euc_jp", "euc_kr", "iso2022_jp", "iso2022_kr")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", ["Quessenbrand", "QUESSENBRAND", "5503177", "quessenbrand", "AZaz09"])
def test_letters_of_full_width_are_read_in_the_instances_own_character_set(encoding: str, text: str) -> None:
    identifiers = identifiers_of(PatientName=f"{text}^Ida" if text.isalpha() else "", PatientID=text)
    scan = scan_for(replace(identifiers, encodings=(encoding,)))
    assert scan.may_hold(b"x " + in_full_width(text).encode(encoding) + b" y")
    other = in_full_width("Nobody77").encode(encoding)
    assert not scan.may_hold(b"x " + other + b" y")


NUMBER = scan_for(identifiers_of(PatientID="7654321"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((text, True) for text in (b"7654321", b"x7654321y", b"0007654321", b"765-43-21", b"765 4321")),
        *((text, True) for text in (b"76/54321", b"765.4321", b"765_4321", b"7654321.", b"7654321.x")),
        # Two bytes behind it may be the next tag, and one before it the end of a length.
        *((text, True) for text in (b"76543211", b"765432111", b"17654321", b"x17654321", b".7654321")),
        *((text, False) for text in (b"7654321111", b"117654321", b"765432", b"76543x21", b"1107654321")),
    ],
)
def test_a_number_counts_where_digits_beside_it_may_be_no_part_of_it(text: bytes, found: bool) -> None:
    assert NUMBER.may_hold(text) == NUMBER.may_hold(b"\0" + text + b"\0") == found


@pytest.mark.filterwarnings("ignore:The value length")
def test_a_number_longer_than_any_needle_counts_by_its_first_digits_with_separators_between() -> None:
    long = scan_for(identifiers_of(PatientID="7" * 600))
    assert long.may_hold(b"-".join([b"7" * 100] * 6))
    assert not long.may_hold(b"-".join([b"7" * 100] * 5))


SHORT = scan_for(identifiers_of(PatientID="54321"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((text, True) for text in (b"54321", b"x.54321", b"1.x54321", b"54321.", b"54321.x", b"000054321")),
        *(
            (text, False)
            for text in (b"x1.54321", b"54321.5", b"0.54321", b"1.0054321", b"5432.1", b"54_321")
        ),
    ],
)
def test_a_short_number_counts_where_no_point_and_digit_stand_beside_it(text: bytes, found: bool) -> None:
    assert SHORT.may_hold(b"+" + text + b"+") == found


WORD = scan_for(identifiers_of(PatientID="QUESSENBRAND"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((text, True) for text in (b"Quessenbrand", b"QUESSENBRAND", b"aquessenbrandab", b"1quessenbrand")),
        *((text, True) for text in (b"a-quessenbrand", b"-aquessenbrand", b"quessenbranda1bc")),
        *((text, False) for text in (b"abquessenbrand", b"quessenbrandabc", b"quessenbran")),
        (b"".join(b"%c\0" % byte for byte in b"quessenbrand"), True),
        (b"".join(b"\0%c" % byte for byte in b"quessenbrand"), True),
    ],
)
def test_a_word_counts_where_letters_beside_it_may_be_no_part_of_it(text: bytes, found: bool) -> None:
    assert WORD.may_hold(text) == found


NAME = scan_for(identifiers_of(PatientName="Quessenbrand^Lo"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(
            (text, True)
            for text in (b"quessenbrand", b"quesse", b"quessen", b"aquessen", b"quessenbrandsche")
        ),
        *((text, True) for text in (b"quessenbrands", b"x quessenb12")),
        *((text, False) for text in (b"ques", b"quest", b"abquessen", b"quessidor", b"quessxyz")),
        *((text, True) for text in (b"quesseab", b"quessenab")),  # two bytes may be the next tag
    ],
)
def test_a_name_counts_from_five_letters_on_and_with_endings(text: bytes, found: bool) -> None:
    assert NAME.may_hold(b"+" + text + b"+") == found


DAY = scan_for(replace(Identifiers(), dates=frozenset({date(2004, 8, 26)})))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((text, True) for text in (b"20040826", b"26082004", b"08262004", b"20040826185059", b"2004-08-26")),
        *((text, True) for text in (b"26.08.2004", b"8/26/2004", b"2004_8_26", b"2004 8 26", b"26.8.2004")),
        *((text, True) for text in (b"26 Aug 2004", b"Aug 26, 2004", b"26. august 2004", b"26.VIII.2004")),
        *((text, True) for text in ("26 августа 2004".encode(), "2004年8月26日".encode())),
        *((text, True) for text in (b"2004-08-26T12", b"2004-08-261", b"12004-08-26")),
        *((text, False) for text in (b"2004", b"about 2004 only", b"2004-08-27", b"2004-08.26", b"20040827")),
        *(
            (text, False)
            for text in (b"1.20040826", b"112004082612", b"26/08.2004", b"12.2004", b"9/26/2004")
        ),
        (b"26 Aug" + b" " * 24 + b"2004", True),
        (b"26 Aug" + b" " * 60 + b"2004", False),
    ],
)
def test_a_day_counts_with_all_its_parts_beside_its_year(text: bytes, found: bool) -> None:
    assert DAY.may_hold(b"+" + text + b"+") == found


BIRTH = scan_for(identifiers_of(PatientBirthDate="19610317"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(
            (text, True)
            for text in (b"61-03-17", b"17.03.61", b"3/17/61", b"17 Mar 61", b"17 Mar. '61", b"61.3.17")
        ),
        *((text, True) for text in (b"PESEL 61031712345", b"610317-1234", b"61.03.17-123.45")),
        *((text, False) for text in (b"61", b"61-03.17", b"61 mm", b"61-03", b"1.61-03-17", b"17 Foo 61")),
        *((text, False) for text in (b"2.25.611111161222222",)),
    ],
)
def test_a_birth_counts_with_two_digits_of_its_year_and_in_national_numbers(text: bytes, found: bool) -> None:
    assert BIRTH.may_hold(b"on " + text + b" seen") == found


PHRASE = scan_for(identifiers_of(PatientName="Li^Wu"))


@pytest.mark.parametrize(
    "gap", [b"", b" ", b"^", b", ", b" - ", "\u3000".encode(), "・・・".encode(), b"+" * 9]
)
def test_words_of_a_name_count_with_any_three_separators_between_them(gap: bytes) -> None:
    assert PHRASE.may_hold(b"x li" + gap + b"wu y")
    assert PHRASE.may_hold(b"x wu" + gap + b"li y")


@pytest.mark.parametrize("text", [b"li and wu", b"li" + b" " * 20 + b"wu", b"li", b"wu", b"l i  w"])
def test_words_of_a_name_that_stand_apart_do_not_count(text: bytes) -> None:
    assert not PHRASE.may_hold(text)


def test_a_long_phrase_is_looked_for_by_its_longest_word_and_what_stands_beside_it() -> None:
    scan = scan_for(identifiers_of(PatientID="aa1 bb2 cc3 dd4 ee5 qwertyuiop ff6 gg7 hh8 ii9 jj1"))
    whole = b"aa1 bb2 cc3 dd4 ee5 qwertyuiop ff6 gg7 hh8 ii9 jj1"
    parted = b"aa 1 bb-2 cc 3 dd 4 ee 5 qwertyuiop ff 6 gg 7 hh 8 ii 9 jj 1"
    assert [scan.may_hold(text) for text in (whole, parted)] == [True, True]
    assert not scan.may_hold(b"qwertyuiop")
    assert not scan.may_hold(whole.replace(b"ee5", b"xx5"))


def test_many_phrases_that_share_a_word_are_all_found() -> None:
    for count in (15, 16, 17, 40):
        scan = scan_for(identifiers_of(OtherPatientIDs=[f"QWERTZ-A{number}" for number in range(count)]))
        found = [scan.may_hold(b"x qwertz a%d y" % number) for number in range(count + 3)]
        tens = {
            number
            for number in range(count + 3)
            if any(f"{number}".startswith(f"{it}") for it in range(count))
        }
        assert [number for number, there in enumerate(found) if there] == sorted(tens)


def test_a_telephone_counts_without_its_separators() -> None:
    scan = scan_for(identifiers_of(PatientTelephoneNumbers="0478551290"))
    for text in (b"0478/55.12-90", b"(0478) 55 12 90", b"478551290", b"+32478551290", b"+32 (0)478 551290"):
        assert scan.may_hold(text)
    for text in (b"0478*55*1+290", b"47855129", b"0478x551290"):
        assert not scan.may_hold(text)


def test_a_uid_counts_whole_with_two_bytes_behind_it_at_most() -> None:
    scan = scan_for(Identifiers()).with_uids(["1.2.3.4.5.66"])
    for text in (b"1.2.3.4.5.66", b"x1.2.3.4.5.66.", b"1.2.3.4.5.661", b"1.2.3.4.5.6611", b"1.2.3.4.5.66.1"):
        assert scan.may_hold(text)
    for text in (b"1.2.3.4.5.6", b"1.2.3.4.5.66111", b"1.2.3.4.5.66.11", b"1.2.3.4.5.67"):
        assert not scan.may_hold(text)


@pytest.mark.parametrize(
    ("data", "forms"),
    [
        (b"Muller", [b"Muller"]),
        ("Müller".encode(), ["Müller".encode(), b"Muller"]),
        ("Łódź Þor".encode(), ["Łódź Þor".encode(), b"lodz thor"]),
        ("straße ſet Ÿ".encode(), ["straße ſet Ÿ".encode(), b"strasse set y"]),
        ("Mül".encode("utf-16-le"), ["Mül".encode("utf-16-le")]),
        (b"a\0b\0c\0", [b"a\0b\0c\0", b"abc"]),
        (b"\0a\0b\0c", [b"\0a\0b\0c", b"abc"]),
        (b"a\0b\0", [b"a\0b\0"]),
    ],
)
def test_bytes_are_read_as_one_byte_a_letter_where_they_look_like_utf_8_or_utf_16(
    data: bytes, forms: list[bytes]
) -> None:
    assert list(one_byte_forms(data)) == forms


def test_accents_are_read_in_utf_8_that_was_read_as_latin_1_and_without_unseen_letters() -> None:
    scan = scan_for(identifiers_of(PatientName="Лебедев^Игорь", OperatorsName="Quessenbrand^Lo"))
    assert scan.may_hold("Лебедев".encode().decode("latin-1").encode("utf-8"))
    for unseen in "\u00ad\u200b\u2060\ufeff":
        assert scan.may_hold(f"Quessen{unseen}brand".encode())
    assert scan.may_hold("Осмотр: Лебедева".encode())
    assert not scan.may_hold("Осмотр: Соколова и другие".encode())
