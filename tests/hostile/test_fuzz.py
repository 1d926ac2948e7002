"""The short form of `make fuzz`: always the same broken files, each clean in the end or refused."""

from collections.abc import Callable
from itertools import cycle

import pytest
from pydicom.dataset import Dataset, FileDataset
from tests.hostile.mutations import LENGTHS, dissect, mutated
from tests.hostile.target import judge, recipes, seeds

from beamstop.dicom.files import encode
from beamstop.recipe.load import load_recipe
from beamstop.testing import make_instance

SMALL = [path.read_bytes() for path in seeds(5000)]
KINDS = recipes()
WHOLE = {
    "explicit": "dicomdirtests/98892003/MR1/5641",
    "implicit": "rtplan.dcm",
    "big endian": "ExplVR_BigEndNoMeta.dcm",
    "nested, undefined lengths": "reportsi.dcm",
    "fragments": "JPEG2000-embedded-sequence-delimiter.dcm",
}
BASIC = load_recipe("basic")


@pytest.mark.parametrize("part", range(8))
def test_broken_files_are_clean_in_the_end_or_refused(part: int) -> None:
    for seed in range(part, 160, 8):
        judge(mutated(SMALL[seed % len(SMALL)], seed), KINDS[seed % len(KINDS)])


def whole(kind: str) -> bytes:
    (path,) = [path for path in seeds(10_000) if str(path).endswith(WHOLE[kind])]
    return path.read_bytes()


@pytest.mark.parametrize("kind", WHOLE)
def test_files_cut_at_every_boundary_of_an_element(kind: str) -> None:
    data = whole(kind)
    cuts = {at for place in dissect(data).places for at in place[:3]} - {len(data)}
    assert len(cuts) > 10
    for at in sorted(cuts):
        judge(data[:at], BASIC)


@pytest.mark.parametrize("kind", WHOLE)
def test_every_length_claimed_otherwise(kind: str) -> None:
    data = whole(kind)
    file, claims = dissect(data), cycle(LENGTHS)
    for place in file.places:
        group, element = int.from_bytes(data[place.start : place.start + 2], "little"), 0
        element = int.from_bytes(data[place.start + 2 : place.start + 4], "little")
        for _ in range(2):
            head = file.head(group << 16 | element, place.vr, next(claims))
            judge(data[: place.start] + head + data[place.value :], BASIC)


def test_only_letters_in_the_bytes_of_uncompressed_pixels_are_no_broken_promise() -> None:
    dataset = make_instance(Rows=8, Columns=8, PixelData=bytes(64), PatientID="MRN-778899")
    dataset.PixelData = b"\0\0MRN-778899\0\0" + bytes(50)
    assert judge(encode(dataset).data, BASIC) == "written with letters in the bytes of its pixels"


def test_mutations_break_what_they_are_given() -> None:
    """Else the tests here would prove nothing."""
    outcomes = {judge(mutated(SMALL[0], seed), BASIC).split()[0] for seed in range(30)}
    assert outcomes >= {"failed", "rejected"}
    assert sum(mutated(data, seed) != data for seed, data in enumerate(SMALL)) > 0.9 * len(SMALL)


def test_elements_are_found_at_every_depth(make_dataset: Callable[..., FileDataset]) -> None:
    inner, outer = Dataset(), Dataset()
    inner.PatientID, outer.ContentSequence = "A-1", [inner]
    data = encode(make_dataset(ContentSequence=[outer])).data
    assert b"A-1 " in [data[place.value : place.end] for place in dissect(data).places]
