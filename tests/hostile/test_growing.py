"""Growing inputs, the short form of `make test-long`: a few of each sort, small."""

import pytest
from tests.hostile.growing import Kind, kinds, measured, overrun, recipe_of

SMALL = (1 << 11, 1 << 13, 1 << 15)
ALL = {kind.name: kind for kind in kinds()}
# Each took time by the square of its size, or tens of seconds a megabyte, before it was corrected.
ONCE_STEEP = [
    "LT of letter A-",
    "LT of letter O'",
    "UT of number '1.'",
    "UT of words 'PX-77-'",
    "LT of words 'www.'",
    "LT of two halves, brackets round a name",
    "LT of two halves, blanks and a name",
    "OW of packed zlib head 9c",
    "stored that overlap",
    "stored, open of zlib of zlib heads",
    "numbers in PatientTelephoneNumbers between '\\\\'",
    "titled names in InstitutionName and in a text",
    "names of one family in OtherPatientNames and in a text",
    "Han names in OtherPatientNames and in a text",
    "dates in StudyDate and in many texts",
    "UIDs in OtherPatientNames between ' '",
    "PN of letter A blank",
    "OB of packed pdf open array",
    "segments APP1 of 1.2.840.10008.1.2.4.50",
]
SOME = [*list(ALL)[::601], *ONCE_STEEP]


def test_there_are_many_kinds_and_each_has_a_name_of_its_own() -> None:
    assert len(ALL) == len(kinds()) > 8000


@pytest.mark.parametrize("recipe", ["default", "research"])
@pytest.mark.parametrize("name", SOME)
def test_time_grows_with_the_size(name: str, recipe: str) -> None:
    growth = measured(ALL[name], recipe_of(recipe), SMALL)
    assert growth.is_fine, growth


@pytest.mark.parametrize(
    "name", ["UT of letter A blank", "private elements of LO", "native frames", "UT of packed percent"]
)
def test_no_file_takes_much_longer_than_it_may(name: str) -> None:
    assert overrun(ALL[name], recipe_of("research"), 1 << 20, 0.2) < 10


def test_what_grows_by_the_square_is_seen() -> None:
    """Else the tests here would prove nothing."""
    square = Kind("a regular expression", lambda size: ALL["LT of letter a"].make(size))
    assert measured(square, recipe_of("basic"), SMALL).is_fine
    steep = measured(square, recipe_of("basic"), SMALL)._replace(seconds=(0.1, 1.6, 25.6), exponent=2.0)
    assert not steep.is_fine
