"""Which UIDs are found to be those of several sources, and how little that takes on the way."""

import secrets
from typing import Any

import pytest
from apache_beam import Create, Pipeline
from apache_beam.testing.util import assert_that, equal_to

from beamstop.identity import Identity
from beamstop_transforms import contested
from beamstop_transforms.contested import FindContested, Pack, SeenPacks
from beamstop_transforms.instance import Seen

ALONE, WAITS = Seen("P/1/2/3.dcm", "a", False), Seen("P/1/2/4.dcm", "b", True)
TWO = Seen("P/1/2/5.dcm", "c", False), Seen("Q/1/2/5.dcm", "d", False)


def packs_of(*lines: tuple[str, Seen]) -> list[Pack]:
    """Return packs of two bundles."""
    bundles = [SeenPacks(), SeenPacks()]
    full = [pack for number, line in enumerate(lines) for pack in bundles[number % 2].add(*line)]
    return [*full, *(pack for packs in bundles for pack in packs.rest())]


@pytest.mark.parametrize("most", [1, 2, 100_000])
@pytest.mark.parametrize("everything", [False, True])
def test_two_sources_and_one_that_waits_are_contested(
    monkeypatch: pytest.MonkeyPatch, most: int, everything: bool
) -> None:
    monkeypatch.setattr(contested, "_MOST", most)
    again = ("3", ALONE)  # from a bundle that was tried again
    packs = packs_of(("3", ALONE), again, ("4", WAITS), ("5", TWO[0]), ("5", TWO[1]))
    expected: list[Any] = [("4", WAITS), *(("5", it._replace(contested=True)) for it in TWO)]
    with Pipeline(runner="FnApiRunner") as pipeline:
        found = pipeline | Create(packs) | FindContested(everything)
        assert_that(found, equal_to([*expected, *([("3", ALONE), again] if everything else [])]))


def test_an_instance_takes_little_on_its_way(key: bytes) -> None:
    identity, packs = Identity(key), SeenPacks()
    for series in range(100):
        folder = "/".join([identity.uid(str(series)), identity.uid(f"1.{series}")])
        for number in range(200):
            uid = identity.uid(f"1.2.{series}.{number}")
            assert not list(packs.add(uid, Seen(f"P/{folder}/{uid}.dcm", secrets.token_hex(8), False)))
    assert sum(len(pack) for _, pack in packs.rest()) / 20_000 < 60
