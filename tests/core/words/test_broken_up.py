"""Names, numbers and dates that are broken up: cut out of texts, and seen by the leak search elsewhere."""

from collections.abc import Callable
from time import process_time
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileDataset

from beamstop import deidentify_bytes, load_recipe, read_dicom
from beamstop.dicom.files import encode
from beamstop.errors import Quarantined
from beamstop.leaks.search import search
from beamstop.testing import load_no_text_detector, make_instance
from beamstop.words.broken_up import VALUE_END, BrokenUp
from beamstop.words.clean_text import clean_text, clean_values
from beamstop.words.identifiers import Identifiers, harvest

KEY = bytes(range(32))
MakeDataset = Callable[..., FileDataset]


def identifiers_of(**attributes: Any) -> Identifiers:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return harvest(dataset, lambda path: False)


PATIENT = {
    "PatientName": "Grabowski^Jan",
    "PatientID": "471902",
    "OtherPatientIDs": ["PX-77120", "00998123"],
    "PatientBirthDate": "19610317",
    "OperatorsName": "Voüziox^Ida",
    "ReferringPhysicianName": "Лебедев^Игорь",
}
OWN = identifiers_of(**PATIENT)


def leaks(text: str, vr: str = "LT", charset: str = "ISO_IR 192") -> bool:
    tag = {"LT": 0x00204000, "LO": 0x0008103E}[vr]
    dataset = make_instance(SpecificCharacterSet=charset, PatientName="P-ABC", PatientID="Q77")
    dataset.PatientBirthDate = dataset.StudyDate = ""
    dataset.add_new(tag, vr, text)
    try:
        search(encode(dataset).header, OWN)
    except Quarantined:
        return True
    return False


BROKEN = (
    *("G r a b o w s k i", "G R A B O W S K I  J A N"),
    *("G.r.a.b.o.w.s.k.i", "G-r-a-b-o-w-s-k-i", "G_r_a_b_o_w_s_k_i"),
    *("M r G r a b o w s k i J a n", "G  r  a  b  o  w  s  k  i"),
    *("G\nr\na\nb\no\nw\ns\nk\ni", "J . G r a b o w s k i e g o"),
    *("V o ü z i o x", "V o u z i o x", "Л е б е д е в", "Л Е Б Е Д Е В  И Г О Р Ь"),
    *("4 7 1 9 0 2", "4  7  1  9  0  2", "4*7*1*9*0*2", "0 0 4 7 1 9 0 2", "9 9 8 1 2 3", "P X 7 7 1 2 0"),
    *("4 7 1 9 0 2 / 1 7 0 3 1 9 6 1", "1 7 . 0 3 . 1 9 6 1", "1 9 6 1 - 0 3 - 1 7"),
    *("471:902", "471*902", "471_902", "ID_471_902", "471=902"),
    *("471;902", "471|902", "471+902", "471 : 902", "47,19,02"),
    *("471#902", "ID:471~902", "47.19.02", "(471)902", "PX:77:120", "PX*77120"),
    *("Grabow-\nski", "Grabow-\r\n  ski", "Herr Grabow\nski kam"),
    *("Grabow \nski", "Gra\nbow\nski", "Лебе-\nдев", "Voü\nziox"),
    *("471\n902", "471-\n902", "47\n19\n02", "PX-\n77120", "PX-77\n120", "Grabowski\nJan"),
    *("17,03,1961", "17:03:1961", "1961:03:17", "17|03|1961"),
    *("17;03;1961", "17*03*1961", "17=03=1961", "17,03,61"),
    *("17.03.\n1961", "17.\n03.1961", "17\n03\n1961"),
    *("17 March\n1961", "March 17,\r\n1961", "1961-03-\n17"),
)  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_broken_up_is_cut_out_and_seen(text: str) -> None:
    whole = f"Thorax ap {text} axial"
    clean = clean_text(whole, OWN)
    assert leaks(whole)
    assert (clean.startswith("Thorax ap"), clean.endswith("axial")) == (True, True)
    assert not leaks(clean)


@pytest.mark.parametrize(
    "text",
    [
        *("A B C D", "L R A P", "1 2 3 4 5 6 7", "3 4 7 1 9 0 2", "4 7 1 9 0 2 8", "1.4.7.1.9.0.2.8"),
        *("4.7.1.9.0.2", "4,7,1,9,0,2", "471.902", "471,902"),
        *("471:902.5", "1471:902", "471:9021", "4\n7\n1\n9\n0\n2"),
        *("Gra bow ski", "Gra.bow.ski", "Grab-\nowskiana", "xGrab\nowski", "17,03", "17:03:61", "10:15:30"),
        *("18,03,1961", "17\n\n03:1961", "TE 10,20,30", "471", "902"),
    ],
)  # fmt: skip
def test_what_only_looks_like_it_stays(text: str) -> None:
    whole = f"Thorax ap {text} axial"
    assert not leaks(whole)
    if not text.startswith(("18,03", "17,03,")):  # other dates and leading parts of names are no concern here
        assert not list(BrokenUp(("grabowski", "471902", "17031961", "19610317")).find(whole))


def test_two_ordinary_words_in_two_lines_are_no_name_unless_a_hyphen_ties_them() -> None:
    found = BrokenUp({"headhand", "headhandx"})
    assert list(found.find("head\nhand")) == []
    assert list(found.find("head-\nhand")) == [(0, 10)]
    assert list(found.find("head\nhandx")) == [(0, 10)]


@pytest.mark.parametrize(
    ("values", "clean"),
    [
        (["Thorax", "Grabow", "ski", "axial"], ["Thorax", "", "", "axial"]),
        (["Thorax 471", "902 axial"], ["Thorax", "axial"]),
        (["Jan", "Grabowski"], ["", ""]),
        (["17.03.", "1961 axial"], ["", "axial"]),
        (["Grabow", "ski"], ["", ""]),
        (["Thorax", "", "axial"], ["Thorax", "", "axial"]),
        (["Thorax Grabowski", "axial"], ["Thorax", "axial"]),
        (["Grabowski axial", "Jan, coronal"], ["axial", "coronal"]),
        ([f"Thorax{VALUE_END}", "Grabowski"], [f"Thorax{VALUE_END}", ""]),
    ],
)
def test_an_attribute_keeps_as_many_values_whatever_is_cut_out(values: list[str], clean: list[str]) -> None:
    assert clean_values(values, lambda text: clean_text(text, OWN)) == clean


@pytest.mark.parametrize("recipe", ["research", "strict", "basic", "default"])
@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ("Thorax G r a b o w s k i", "Thorax"),
        ("Thorax Grabow-\r\nski, 471:902 axial", "Thorax axial"),
        (["Thorax Grabow", "ski", "axial"], ["Thorax", "", "axial"]),
    ],
)
def test_recipes_that_clean_texts_cut_it_out_and_others_write_none_of_it(
    make_dataset: MakeDataset, recipe: str, value: Any, clean: Any
) -> None:
    data = encode(make_dataset(**PATIENT, SourceDescription=value)).data
    if recipe in {"basic", "default"}:
        with pytest.raises(Quarantined, match="leak: SourceDescription"):
            deidentify_bytes(data, load_recipe(recipe), KEY, load_no_text_detector)
        return
    found = read_dicom(deidentify_bytes(data, load_recipe(recipe), KEY, load_no_text_detector))
    assert found.get("SourceDescription") == (clean if recipe == "research" else None)


@pytest.mark.parametrize(
    ("charset", "value"),
    [
        ("\\ISO 2022 IR 87", b"Gra\x1b(Bbow\x1b(Bski"),
        ("ISO_IR 100", b"Gra\x07bow\x08ski"),
        ("ISO_IR 100", b"Gra\0bow\0ski"),
        ("ISO_IR 192", "Gra\u200dbow\u200cski".encode()),
        ("GB18030", "Ｇｒａｂｏｗｓｋｉ".encode("gb18030")),
    ],
)
def test_what_nobody_sees_between_letters_hides_none(
    make_dataset: MakeDataset, charset: str, value: bytes
) -> None:
    dataset = make_dataset(**PATIENT, SpecificCharacterSet=charset.split("\\"), SourceDescription="x" * 20)
    dataset.OperatorsName = dataset.ReferringPhysicianName = ""
    data = encode(dataset).data.replace(b"x" * 20, value.ljust(20))
    with pytest.raises(Quarantined, match="leak: SourceDescription"):
        deidentify_bytes(data, load_recipe("basic"), KEY, load_no_text_detector)


@pytest.mark.parametrize("atom", ["a ", "1 ", "a\n", "1:", "1 : ", "ab-\n", "12,", "1961\n", "-  ", " \\ "])
def test_long_texts_take_time_by_their_length(atom: str) -> None:
    before = process_time()
    text = atom * 20_000
    assert list(BrokenUp({"grabowski", "471902"}).find(text)) == []
    leaks(text)
    assert process_time() - before < 5


def test_nothing_is_found_without_words() -> None:
    assert list(BrokenUp().find("G r a b o w s k i")) == []
    assert BrokenUp({"abc", "12345", "a1b2c", "abcd", "123456", "李娜"}).words == {"abcd", "123456", "李娜"}
