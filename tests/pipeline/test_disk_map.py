"""A mapping that lies on disk is a mapping."""

import resource

import pytest

from beamstop_pipeline.verify.disk_map import DiskMap


def test_it_holds_what_a_dict_holds_and_yields_it_by_name() -> None:
    held = DiskMap[str, list[int]]()
    held.update({"b": [2], "a": [1], "c": [3]})
    held["b"] = [4]
    del held["c"]
    assert list(held.items()) == [("a", [1]), ("b", [4])]
    assert (len(held), "a" in held, "c" in held, held.get("c")) == (2, True, False, None)
    assert list(held.between("a", "b")) == [("a", [1])]
    with pytest.raises(KeyError):
        del held["c"]
    with pytest.raises(KeyError):
        held["c"]


def test_values_come_back_as_what_decodes_them_makes() -> None:
    held = DiskMap[bytes, tuple[int, ...]](tuple)
    held[b"\xff"] = (1, 2)
    assert held[b"\xff"] == (1, 2)


def test_a_hundred_megabytes_take_no_more_memory_than_its_cache() -> None:
    held = DiskMap[bytes, str]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(50_000):
        held[number.to_bytes(8)] = "x" * 2_000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(held) == 50_000
    assert grown < 50_000  # kilobytes
