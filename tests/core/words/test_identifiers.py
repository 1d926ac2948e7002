from collections.abc import Callable
from datetime import date

import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from beamstop.dicom.files import IMPLEMENTATION_CLASS_UID, encode, read_dicom
from beamstop.words.identifiers import Identifiers, harvest

MakeDataset = Callable[..., FileDataset]


def nothing_kept(_: tuple[int, ...]) -> bool:
    return False


def reread(dataset: FileDataset) -> FileDataset:
    return read_dicom(encode(dataset).data)


def bare(**attributes: object) -> Identifiers:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return harvest(dataset, nothing_kept)


def test_names_are_split_into_components_and_words() -> None:
    """With the apostrophe and without, as people type them."""
    assert bare(PatientName="O'Brien-Smith^Mary Ann^^Dr").names == {
        (("o", "brien", "smith"), ("mary", "ann")),
        (("obrien", "smith"), ("mary", "ann")),
    }


def test_a_name_without_carets_has_its_family_name_last_or_before_the_comma() -> None:
    assert bare(PatientName="John Smith").names == {(("smith",), ("john",))}
    assert bare(PatientName="Smith, John").names == {(("smith",), ("john",))}


def test_every_group_of_a_name_and_every_value_counts() -> None:
    identifiers = bare(OtherPatientNames=["Yamada^Tarou=山田^太郎", "Roe^Jane"])
    assert identifiers.names == {(("yamada",), ("tarou",)), (("山田",), ("太郎",)), (("roe",), ("jane",))}
    assert identifiers.spellings == {"山田", "太郎"}


def test_umlauts_count_as_one_and_as_two_letters() -> None:
    assert bare(PatientName="Müller^Jörg").names == {(("muller",), ("jorg",)), (("mueller",), ("joerg",))}


def test_ids_places_and_contacts_are_told_apart() -> None:
    identifiers = bare(
        PatientID="00-123 4567",
        StationName="CT-Room 7",
        InstitutionName="Riverside General",
        PatientTelephoneNumbers="(555) 123-4567",
    )
    assert identifiers.ids == {("00", "123", "4567"), ("ct", "room", "7")}
    assert identifiers.places == {("riverside", "general")}
    assert identifiers.contacts == {("555", "123", "4567")}


def test_dates_are_days_and_those_that_stand_for_none_are_not_there() -> None:
    identifiers = bare(
        StudyDate="20040826",
        PatientBirthDate="19000101",
        SeriesDate="00010101",
        AcquisitionDateTime="20040827185059.5",
    )
    assert identifiers.dates == {date(2004, 8, 26), date(2004, 8, 27)}


def test_both_ends_of_a_date_range_count() -> None:
    assert bare(StudyDate="20040826-20040829").dates == {date(2004, 8, 26), date(2004, 8, 29)}


def test_a_date_that_cannot_be_parsed_counts_as_an_identifier() -> None:
    dataset = Dataset()
    dataset._dict[0x00080020] = RawDataElement(0x00080020, "DA", 10, b"26/08/2004", 0, False, True)  # type: ignore[index, arg-type]
    assert harvest(dataset, nothing_kept).ids == {("26", "08", "2004")}


def test_well_known_uids_are_not_identifying() -> None:
    identifiers = bare(SOPClassUID="1.2.840.10008.5.1.4.1.1.2", StudyInstanceUID="1.2.3.4.5")
    assert identifiers.uids == {"1.2.3.4.5"}


def test_comments_and_descriptions_are_not_identifiers() -> None:
    identifiers = bare(PatientComments="Jane", StudyDescription="Chest", ManufacturerModelName="Brilliance")
    assert identifiers == Identifiers(kept=frozenset({"brilliance"}))


def test_sequences_private_ones_and_the_file_meta_are_visited(make_dataset: MakeDataset) -> None:
    inner = Dataset()
    inner.PersonName = "Deep^Down"
    outer = Dataset()
    outer.ContentSequence = Sequence([inner])
    dataset = make_dataset()
    block = dataset.private_block(0x0011, "MAKER", create=True)
    block.add_new(0x01, "SQ", Sequence([outer]))
    block.add_new(0x02, "PN", "Private^Person")
    again = reread(dataset)
    again.file_meta.SendingApplicationEntityTitle = "WARD7B"
    identifiers = harvest(again, nothing_kept)
    assert {(("deep",), ("down",)), (("private",), ("person",))} <= identifiers.names
    assert ("ward7b",) in identifiers.ids


def test_a_sequence_that_stands_in_place_of_an_identifier_is_visited_as_one() -> None:
    """pydicom prints items that cannot be read twice as long with each level: 5 kB took gigabytes."""
    inner, dataset = Dataset(), Dataset()
    inner.PatientName = "Roe^Jane"
    dataset.add(DataElement(0x00100020, "SQ", [inner]))
    found = harvest(dataset, nothing_kept)
    assert (found.names, found.ids) == ({(("roe",), ("jane",))}, set())


def test_codes_that_identify_persons_count_and_other_codes_do_not() -> None:
    code = Dataset()
    code.CodeValue, code.CodeMeaning = "S-40771", "Staff number"
    operator = Dataset()
    operator.PersonIdentificationCodeSequence = Sequence([code])
    assert ("s", "40771") in bare(OperatorIdentificationSequence=Sequence([operator])).ids
    assert bare(ProcedureCodeSequence=Sequence([code])).ids == frozenset()


@pytest.mark.parametrize("keyword", ["CodeValue", "LongCodeValue", "URNCodeValue", "CodeMeaning"])
def test_each_form_of_a_code_that_identifies_a_person_counts(keyword: str) -> None:
    code, operator = Dataset(), Dataset()
    setattr(code, keyword, "S-40771")
    operator.PersonIdentificationCodeSequence = Sequence([code])
    assert bare(OperatorIdentificationSequence=Sequence([operator])).ids == {("s", "40771")}


def test_the_file_meta_excuses_nothing_since_it_is_written_anew(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(PatientName="Zork^Yma")
    dataset.file_meta.SourceApplicationEntityTitle = "ZORK"
    identifiers = harvest(dataset, lambda path: path == (0x00020016,))
    assert identifiers.kept == set()
    assert ("zork",) in identifiers.ids


def test_kept_values_are_no_identifiers_wherever_they_stand() -> None:
    dataset = Dataset()
    dataset.StudyDate = dataset.PatientBirthDate = "20040826"
    dataset.InstitutionName = "Riverside"
    dataset.PatientName = "Riverside^Joe"
    identifiers = harvest(dataset, lambda path: path[-1] in {0x00080020, 0x00080080})
    assert identifiers.dates == frozenset()
    assert identifiers.places == frozenset()
    assert identifiers.names == {(("riverside",), ("joe",))}
    assert identifiers.kept == {"riverside"}


def test_raw_elements_stay_raw(make_dataset: MakeDataset) -> None:
    dataset = reread(make_dataset(PatientName="Roe^Jane", StudyDate="20040826"))
    before = dict(dataset._dict)
    harvest(dataset, nothing_kept)
    assert dict(dataset._dict) == before


def test_values_in_the_wrong_character_set_are_harvested_all_the_same(make_dataset: MakeDataset) -> None:
    dataset = reread(make_dataset(PatientName="Roe^Jane"))
    for charset in ("ISO_IR 192", "ISO_IR 999", ""):
        dataset.SpecificCharacterSet = charset
        dataset._dict[0x00100010] = RawDataElement(0x00100010, "PN", 10, b"M\xfcller^Jo ", 0, False, True)  # type: ignore[index, arg-type]
        assert (("muller",), ("jo",)) in harvest(dataset, nothing_kept).names


def test_implicit_vr_and_un_are_read_by_the_dictionary() -> None:
    for vr in (None, "UN"):
        dataset = Dataset()
        dataset._dict[0x00100010] = RawDataElement(0x00100010, vr, 8, b"Roe^Jane", 0, vr is None, True)  # type: ignore[index, arg-type]
        assert harvest(dataset, nothing_kept).names == {(("roe",), ("jane",))}


def test_dates_that_beamstop_wrote_can_be_taken_out() -> None:
    identifiers = Identifiers(dates=frozenset({date(2004, 8, 26), date(2004, 8, 27)}))
    assert identifiers.without_dates([date(2004, 8, 26)]).dates == {date(2004, 8, 27)}


def test_uids_inside_private_values_are_harvested_and_protocols_are_no_names(
    make_dataset: MakeDataset,
) -> None:
    dataset = make_dataset()
    block = dataset.private_block(0x0029, "MAKER", create=True)
    block.add_new(0x10, "OB", b"\x01\x02UID = 1.3.12.2.1107.5.2.99\0\0v1.2.3")
    block.add_new(0x11, "LO", "HEAD^Brain")
    before, after = harvest(reread(make_dataset()), nothing_kept), harvest(reread(dataset), nothing_kept)
    assert after.uids - before.uids == {"1.3.12.2.1107.5.2.99"}
    assert after.names == before.names


def test_private_elements_of_unknown_vr_are_harvested_by_the_private_dictionary(
    make_dataset: MakeDataset,
) -> None:
    dataset = make_dataset(PatientName=None)
    dataset.private_block(0x4105, "Applicare/RadWorks/Version 6.0", create=True).add_new(
        0x08, "UN", b"Zork^Yma "
    )
    assert harvest(reread(dataset), nothing_kept).names == {(("zork",), ("yma",))}


def test_beamstop_s_own_uid_is_nobody_s(make_dataset: MakeDataset) -> None:
    """A clean file may be de-identified again."""
    again = harvest(reread(make_dataset()), nothing_kept)
    assert IMPLEMENTATION_CLASS_UID not in again.uids
