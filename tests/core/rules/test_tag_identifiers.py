import pytest

from beamstop.errors import RecipeError
from beamstop.rules.tag_identifiers import (
    PrivateBlockTagIdentifier,
    PrivateTags,
    RepeatingGroup,
    SingleTag,
    TagPath,
    parse_identifier,
)


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("PatientName", SingleTag("PatientName")),
        ("(0010,0010)", SingleTag((0x10, 0x10))),
        ("0010,0010", SingleTag(0x00100010)),
        ("0x00100010", SingleTag(0x00100010)),
        ("0020000d", SingleTag("StudyInstanceUID")),
        ("50xx,xxxx", RepeatingGroup("50xx,xxxx")),
        ("60XX3000", RepeatingGroup("60xx,3000")),
        ("0013,[CTP]10", PrivateBlockTagIdentifier("0013,[CTP]10")),
        ("ReferencedStudySequence.ReferencedSOPInstanceUID", TagPath((0x00081110, 0x00081155))),
        ("private", PrivateTags()),
    ],
)
def test_an_identifier_is_read_as_a_recipe_writes_it(text, identifier):
    assert parse_identifier(text) == identifier


@pytest.mark.parametrize("text", ["PatientNmae", "0010,00", "0012,[CTP]10", "50xx,xxx", "A.B"])
def test_what_names_no_attribute_is_refused(text):
    with pytest.raises(RecipeError):
        parse_identifier(text)


def test_a_repeating_group_fits_its_pattern_alone():
    curves = RepeatingGroup("50xx,xxxx")
    assert curves.matches(0x50003000)
    assert curves.matches(0x501E0011)
    assert not curves.matches(0x60003000)
    assert not curves.matches(0x501F0011)  # private
    private = RepeatingGroup("0013,xx10")
    assert [private.matches(it) for it in (0x00131010, 0x0013FF10, 0x00131011)] == [True, True, False]


def test_a_private_element_fits_in_any_block_of_its_creator():
    identifier = PrivateBlockTagIdentifier("0013,[CTP]10")
    assert identifier.matches(0x00131010, "CTP")
    assert identifier.matches(0x0013FF10, "CTP")
    assert not identifier.matches(0x00131010, "OTHER")
    assert not identifier.matches(0x00131011, "CTP")


def test_the_last_part_of_a_path_is_the_attribute_it_is_about():
    path = parse_identifier("0013,[CTP]10.ReferencedStudySequence.0015,[OTHER]20")
    assert path.matches(0x00151120, "OTHER")
    assert not path.matches(0x00151120, "CTP")
    assert not path.matches(0x00151120)
    public = parse_identifier("0013,[CTP]10.ReferencedStudySequence.ReferencedSOPInstanceUID")
    assert public.matches(0x00081155)
    assert not public.matches(0x00081155 + 1)


def test_the_fewer_tags_fit_the_more_specific():
    identifiers = [
        parse_identifier(text)
        for text in (
            "A.B".replace("A", "ContentSequence").replace("B", "PersonName"),
            "PatientName",
            "0013,[CTP]10",
            "60xx,3000",
            "50xx,xxxx",
            "private",
        )
    ]
    widths = [identifier.matchable for identifier in identifiers]
    assert widths == [0.5, 1, 240, 256, 16**6, 2**31]
