"""Writings of the header's names, numbers and dates in a text: cut out of it, and seen by the leak search."""

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from beamstop.dicom.files import encode
from beamstop.errors import Quarantined
from beamstop.leaks.search import search
from beamstop.testing import make_instance
from beamstop.words.clean_text import clean_text
from beamstop.words.identifiers import Identifiers, harvest
from beamstop.words.writings import (
    NameWords,
    OwnWritings,
    Words,
    apart,
    is_misread,
    lost_letters,
    misread_utf_8,
    readings,
    whole_names,
)

PATIENT_NAME = 0x00100010


def named(name: str | bytes, **attributes: str) -> Identifiers:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    if isinstance(name, bytes):
        raw = RawDataElement(BaseTag(PATIENT_NAME), "PN", len(name), name, 0, False, True)
        dataset._dict[PATIENT_NAME] = raw  # type: ignore[index]
    else:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = name
    return harvest(dataset, lambda path: False)


def leaks(text: str | bytes, identifiers: Identifiers, charset: str = "ISO_IR 192") -> bool:
    dataset = make_instance(
        SpecificCharacterSet=charset, PatientName="P-ABC", PatientID="Q77", PatientBirthDate="", StudyDate=""
    )
    if isinstance(text, bytes):
        dataset.private_block(0x0011, "MAKER", create=True).add_new(0x01, "UN", text)
    else:
        dataset.ImageComments = text
    try:
        search(encode(dataset).header, identifiers)
    except Quarantined:
        return True
    return False


WRITINGS = {
    "Li^Na=李^娜": "李娜|娜李|患者李娜复查|复查李 娜|李　娜女士",
    "王^小红": "患者王小红|小红来",
    "佐藤^花子": "患者佐藤花子様",
    "ﾔﾏﾀﾞ^ﾀﾛｳ": "ヤマダ様|患者ヤマダタロウ|ﾔﾏﾀﾞ|やまだ たろう",
    "ヤマダ^タロウ": "ﾔﾏﾀﾞ ﾀﾛｳ|ﾔﾏﾀﾞﾀﾛｳ",
    "김^민수": "환자 김민수님|김 민수",
    "สมหญิง^แก้วใส": "ผู้ป่วยสมหญิงแก้วใส|คุณสมหญิงมา",
    "ສົມສັກ^ວົງສາ": "ຄົນເຈັບສົມສັກວົງສາ",
    "အောင်^ကျော်": "လူနာအောင်ကျော်",
    "សុខ^វិបុល": "អ្នកជំងឺសុខវិបុល",
    "Voüziox^Ida": "Voziox|Vo?ziox|Vo??ziox|VoÃ¼ziox|Vo\ufffdziox|Vo_ziox|Voueziox|VOZIOX"
    "|Vou\u0308ziox|Vo&uuml;ziox|{\\rtf1 Vo\\'fcziox}|{\\rtf1 Vo\\u252?ziox}|Vo%C3%BCziox|Voüzioxs Knie",
    "Dvořák^Jan": "Dvořáka|Dvořákovi|Dvorakem|Dvo?ák|Dvo?ak|DvoÅ™Ã¡k|Dvoøák",
    "Nuñez^José": "Nu?ez|NUÑEZ|Nu\ufffdez|NuÃ±ez|Nu&ntilde;ez|Nu\\'f1ez|Nunez",
    "Muñoz^Ana": "Mu?oz|Mu_oz",
    "Zielińska^Ewa": "Zielińskiej|Zielinską|ZIELIŃSKĄ",
    "Kowalski^Jan": "Kowalskiego|z Kowalskim",
    "Quessenbrand^Otto": "Quessenbrands|Quessenbrandsche|Ｑｕｅｓｓｅｎｂｒａｎｄ|Quessen\u00adbrand"
    "|Quessen\u200bbrand|mailto:quessenbrand@example.org|PLAN Quessenb",
    "Лебедев^Игорь": "Лебедева|Игорю|ЛЕБЕДЕВУ|с Лебедевым",
    "Достоевский^Фёдор": "Достоевского|Федора",
    "محمود^الحداد": "لمحمود|والحداد|للحداد|ومحمود",
    "أحمد^الخطيب": "لأحمد|احمد",
    "גולן^יעקב": "ליעקב|וליעקב|מגולן",
    "Muellenbach^Ruth": "Müllenbach|Mullenbach|MÜLLENBACHS",
    "Müllenbach^Ruth": "Muellenbach|Mullenbach",
    "McDonald^Ron": "Mc Donald|MC DONALD|Mac Donald",
    "DeSantis^Ron": "De Santis",
}
PAIRS = [(name, text) for name, texts in WRITINGS.items() for text in texts.split("|")]


@pytest.mark.parametrize(("name", "text"), PAIRS)
def test_a_name_is_cut_out_and_seen_however_it_is_written(name: str, text: str) -> None:
    identifiers = named(name)
    clean = clean_text(text, identifiers)
    assert leaks(text, identifiers)
    assert clean != text
    assert not leaks(clean, identifiers)


@pytest.mark.parametrize(
    ("name", "text", "clean"),
    [
        ("สมหญิง^แก้วใส", "ผู้ป่วยสมหญิงแก้วใส", "ผู้ป่วย"),
        ("សុខ^វិបុល", "អ្នកជំងឺសុខវិបុល", "អ្នកជំងឺ"),
        ("李^娜", "患者李娜复查", "患者复查"),
        ("李^娜", "患者李女士", "患者女士"),
        ("محمود^الحداد", "المريض لمحمود والحداد", "المريض"),
        ("Лебедев^Игорь", "Осмотр Лебедева Игоря", "Осмотр"),
        ("Rehbergmeister^Ida", "PLAN Rehbergmeis", "PLAN"),
    ],
)
def test_the_rest_of_the_text_stays_with_no_half_of_a_letter(name: str, text: str, clean: str) -> None:
    assert clean_text(text, named(name)) == clean


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Klein^Anna", "kleine Zyste"),
        ("Muñoz^Ana", "mu oz"),
        ("Muñoz^Ana", "mu-oz"),
        ("Spinelli^Ada", "Spine"),
        ("Brainerd^Ada", "Brain"),
        ("Liverpool^Ada", "Liver"),
        ("Bello^Emilio", "Bell palsy"),
        ("Müller^Jörg", "Möller maller"),
        ("Hannover^Li", "Hann"),
        ("Martin^Ada", "Martinsson"),
        ("SyngoWorkflow^RIS", "syngo CT VA48A"),
    ],
)
def test_a_word_that_only_looks_like_the_name_stays(name: str, text: str) -> None:
    identifiers = named(name)
    assert clean_text(text, identifiers) is text
    assert not leaks(text, identifiers)


@pytest.mark.parametrize(
    ("encoding", "name", "text"),
    [
        ("gb18030", "周^建华", "患者周建华，复查"),
        ("gb18030", "李^娜", "患者李娜复查"),
        ("shift_jis", "佐藤^花子", "患者佐藤花子様"),
        ("euc_jp", "佐藤^花子", "患者佐藤花子様"),
        ("euc_kr", "김^민수", "환자김민수님"),
        ("big5", "陳^志明", "病人陳志明"),
        ("tis_620", "สมหญิง^แก้วใส", "ผู้ป่วยสมหญิงแก้วใส"),
        ("cp1251", "Лебедев^Игорь", "Осмотр Лебедев"),
        ("utf-8", "Voüziox^Ida", "Voüziox Knie"),
        ("utf-8", "李^娜", "患者李娜复查"),
    ],
)
def test_a_name_in_the_wrong_character_set_is_found_in_the_wrong_and_in_the_right_one(
    encoding: str, name: str, text: str
) -> None:
    misread, right = named(name.encode(encoding)), named(name)
    wrong_text = text.encode(encoding).decode("latin-1")
    for identifiers in (misread, right):
        assert clean_text(wrong_text, identifiers) != wrong_text
        assert clean_text(text, identifiers) != text
        assert leaks(text.encode(encoding), identifiers, "ISO_IR 100")
        assert leaks(text, identifiers)


@pytest.mark.parametrize(
    ("name", "text"),
    [("Лебедев^Игорь", "Осмотр Игорю"), ("Muellenbach^Ruth", "Müllenbach Knie"), ("李^娜", "复查李 娜")],
)
def test_utf_8_that_was_read_as_latin_1_is_cleaned_as_what_it_was(name: str, text: str) -> None:
    identifiers, misread = named(name), text.encode().decode("latin-1")
    assert leaks(misread, identifiers)
    assert clean_text(misread, identifiers) == clean_text(text, identifiers).encode().decode("latin-1")


def test_what_is_good_latin_1_is_read_in_no_other_way() -> None:
    assert list(readings("Müller^Jörg")) == []
    assert list(readings("Ødegård^Åse")) == []


IDENTITY: tuple[tuple[dict[str, str], str], ...] = (
    ({"PatientID": "5503177"}, "５５０３１７７|55.031.77|55_031_77|患者５５０３１７７|٥٥٠٣١٧٧|5.503.177"),
    (
        {"PatientBirthDate": "19610317"},
        "1961年3月17日|昭和36年3月17日|昭和三十六年三月十七日|S36.3.17|一九六一年三月十七日"
        "|1961년 3월 17일|17 марта 1961 г.|17 marca 1961|17. března 1961|17.III.1961|١٧/٠٣/١٩٦١"
        "|１９６１年３月１７日|61-03-17|PESEL 61031712345|610317-1234|110101196103171234|61.03.17-123.45",
    ),
    ({"PatientTelecomInformation": "mailto:anna.q@example.org"}, "anna.q@example.org"),
    ({"PatientAddress": "Lindenweg 12, 69120 Heidelberg"}, "12, 69120|69120 12"),
)


@pytest.mark.parametrize(
    ("attributes", "text"), [(given, text) for given, texts in IDENTITY for text in texts.split("|")]
)
def test_numbers_and_dates_are_cut_out_and_seen_however_they_are_written(
    attributes: dict[str, str], text: str
) -> None:
    identifiers = named("X^Y", **attributes)
    clean = clean_text(text, identifiers)
    assert leaks(text, identifiers)
    assert clean != text
    assert not leaks(clean, identifiers)


@pytest.mark.parametrize("text", ["5503.177", "1.2.55.031.77.8", "0.5503177"])
def test_a_decimal_number_is_no_identifier(text: str) -> None:
    assert not leaks(text, named("X^Y", PatientID="5503177"))


def test_a_leading_part_counts_from_five_letters_on() -> None:
    names = NameWords({"skiwranth"})
    assert [word in names for word in ("skiw", "skiwr", "skiwrant", "skiwranths", "skiwrantha")] == [
        *(False, True, True, True, True)
    ]


@pytest.mark.parametrize("name", WRITINGS)
def test_letters_that_grow_in_small_ones_do_not_move_what_is_cut(name: str) -> None:
    identifiers, before = named(name), "İ" * 400 + " "
    for text in (f"Thorax {writing}" for writing in WRITINGS[name].split("|")):
        assert clean_text(before + text, identifiers) == before + clean_text(text, identifiers)
        assert leaks(before + text, identifiers)


@pytest.mark.parametrize(
    ("name", "whole", "stems"),
    [
        ("zork", "", "zork"),
        ("zor", "", ""),
        ("zorka", "", "zork zorka"),
        ("zielinska", "zieli zielin zielins zielinsk", "zielinsk zielinska"),
        ("zielinski12", "zieli zielin zielins zielinsk zielinski zielinski1", ""),
        ("лебедев", "лебед лебеде", "лебедев лебедв"),
        ("павел", "", "павел павл"),
        ("ааааа", "", "ааааа аааа"),
        ("aeiou", "aiou", "aeiou aeio aiou"),
        ("saez", "saz", "saez"),
        ("queue", "", ""),
        ("brown", "", ""),
        ("mczork", "mczor maczork maczo maczor", "mczork maczork"),
        ("الحداد", "الحدا حداد", ""),
        ("يعقوب", "", ""),
        ("x" * 65, None, ""),
    ],
)
def test_a_name_counts_in_these_leading_parts_and_stems(name: str, whole: str | None, stems: str) -> None:
    names = NameWords({name})
    parts = set() if whole is None else {name, *whole.split()}
    assert (names.whole, names.stems) == (parts, set(stems.split()))


ENDINGS = (
    *(("zorkin", ending, True) for ending in ("s", "schem", "owi", "emu", "ach", "ovou")),
    *(("zorkin", ending, False) for ending in ("x", "schen1", "sschem", "овым")),
    *(("zork", ending, True) for ending in ("s", "es", "scher")),
    *(("zork", ending, False) for ending in ("owi", "emu", "ach")),  # Slavic: behind five letters
    *(("лебедев", ending, True) for ending in ("а", "ым", "ову")),
    *(("лебедев", ending, False) for ending in ("s", "sche", "owi")),
)


@pytest.mark.parametrize(("name", "ending", "fits"), ENDINGS)
def test_a_name_has_the_endings_of_its_language(name: str, ending: str, fits: bool) -> None:
    assert (name + ending in NameWords({name})) == fits


def test_what_is_kept_and_a_word_of_the_vocabulary_are_no_forms() -> None:
    assert "zorkins" in NameWords({"zorkin"})
    assert "zorkins" not in NameWords({"zorkin"}, {"zorkins"})
    assert ("muscle" in NameWords({"muscl"}), "musclus" in NameWords({"muscl"})) == (False, False)
    assert "muscla" in NameWords({"muscl"})


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("mcdonald", {("mc", "donald"), ("mac", "donald")}),
        ("mczor", {("mac", "zor")}),
        ("macdonald", {("mac", "donald")}),
        ("desantis", {("de", "santis"), ("des", "antis"), ("d", "esantis")}),
        ("oconnor", {("o", "connor")}),
        ("ozork", {("o", "zork")}),
        ("ozor", set()),
        ("dsa", set()),
        ("ohand", set()),
    ],
)
def test_a_prefix_may_stand_apart_from_four_letters_on(name: str, pairs: set[tuple[str, str]]) -> None:
    assert set(apart(name)) == pairs


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("voüziox", ("vo", "ziox")),
        ("østergård", ("", "sterg", "rd")),
        ("muñoz", ("mu", "oz")),
        ("müller", ("m", "ller")),
        ("straße", ("stra", "e")),
        ("aüübcd", ("a", "bcd")),
        ("äbcd", ()),
        ("aäbübüa", ()),  # four letters, but no two of them together
        ("aäbübüc", ()),
        ("jörg", ()),
        ("müll", ()),
        ("äöü", ()),
        ("zork", ()),
        ("händ", ()),
        ("ab日本cd", ()),
        ("x" * 63 + "ü", ("x" * 63, "")),
        ("x" * 64 + "ü", ()),
    ],
)
def test_a_name_that_lost_letters_is_known_by_four_and_two_together(name: str, pieces: Words) -> None:
    assert lost_letters(name) == pieces


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((text, True) for text in ("ÖÜ½", "ÖÜä", "Ã¼", "×", "a÷")),
        *((text, False) for text in ("ÖÜ", "aÖÜä", "Müller", "日", "abc", "", "日½")),
    ],
)
def test_symbols_or_three_high_letters_alone_look_misread(text: str, found: bool) -> None:
    assert is_misread(text) == found


def test_what_is_written_back_is_misread_as_the_text_was() -> None:
    assert misread_utf_8("Žofie", "DvoÅ™") == "Å½ofie"
    assert misread_utf_8("Müller", "Ã¼") == "MÃ¼ller"
    assert misread_utf_8("Илья", "DvoÅ™") == "Илья".encode().decode("latin-1")  # not in Windows' 1252


@pytest.mark.parametrize(
    ("name", "text", "spans"),
    [
        ("Voüziox^Ida", "x Vo?ziox y", [(2, 9)]),
        ("Voüziox^Ida", "x Voziox, VoÃ¼ziox", [(2, 8), (10, 18)]),
        ("Voüziox^Ida", "aVo?ziox Vo?zioxb Vo????????ziox", []),
        ("Voüziox^Ida", "Vo" + "~" * 3 + "ziox Vo" + "~" * 4 + "ziox", [(0, 9)]),
        ("Muñoz^Ana", "Mu?oz mu oz Mu#oz", [(0, 5), (12, 17)]),
        ("Müll^Ida", "MÃ¼ll 1MÃ¼ll2 éMÃ¼llé", [(0, 5), (7, 12), (15, 20)]),
        ("Müll^Ida", "xMÃ¼ll MÃ¼llx MÃ¼llMÃ¼ll", []),
        ("李^娜", "患者李娜复查, 李  娜 xx 李....娜", [(2, 4), (8, 12)]),
        ("王^小红", "小红 王 小红 小紅", [(0, 2), (3, 7), (5, 7), (0, 4)]),
        ("Zork^Ida", "Zork Zörk", []),
    ],
)
def test_own_writings_are_found_where_they_stand(name: str, text: str, spans: list[tuple[int, int]]) -> None:
    identifiers = named(name)
    own = OwnWritings(identifiers.names, identifiers.spellings, identifiers.misread, telling(identifiers))
    assert sorted(set(own.find(text))) == sorted(spans)


def telling(identifiers: Identifiers) -> set[str]:
    return {word for name in identifiers.names for component in name for word in component}


@pytest.mark.parametrize(
    ("text", "spans"),
    [("患者李女士", [(2, 3)]), ("李 先生", [(0, 1)]), ("李  先生", []), ("王女士", []), ("李来", [])],
)
def test_a_family_name_of_one_syllable_is_found_before_a_title(
    text: str, spans: list[tuple[int, int]]
) -> None:
    assert list(OwnWritings((), ["李", "娜娜", "é"]).find_titled(text)) == spans


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("李^娜", [("李", "娜"), ("娜", "李")]),
        ("김^민수", [("김", "민수"), ("민수", "김")]),
        ("王^小^红", [("王", "小", "红"), ("小", "红", "王")]),
        ("李", []),
        ("สม^ใจ", [("สม", "ใจ"), ("ใจ", "สม")]),
        ("สม^ใ", []),
        ("Li^娜", []),
    ],
)
def test_names_in_scripts_without_gaps_are_looked_for_in_either_order(
    names: str, found: list[tuple[str, ...]]
) -> None:
    assert list(whole_names([[tuple(part.split()) for part in names.split("^")]])) == found
