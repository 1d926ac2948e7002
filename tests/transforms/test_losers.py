"""Who lost to a duplicate: packed, and found again."""

import hashlib

import pyarrow as pa

from beamstop_transforms.instance import Lost
from beamstop_transforms.losers import CollectLosers, Losers, without_losers


def source_id(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def collected(*parts: list[tuple[str, Lost]]) -> Losers:
    collect, accumulators = CollectLosers(), []
    for part in parts:
        accumulator = collect.create_accumulator()
        for it in part:
            accumulator = collect.add_input(accumulator, it)
        accumulators.append(collect.compact(accumulator))
    return collect.extract_output(collect.merge_accumulators(accumulators))


DUPLICATES = [(source_id(it), Lost("duplicate", source_id(f"winner of {it}"))) for it in range(50)]
CONFLICT = source_id("a"), Lost("duplicate_conflict", f"{source_id('b')} {source_id('c')} and 3 more")
UNKNOWN = source_id("u"), Lost("duplicate", "")


def test_each_is_found_with_its_reason_and_the_others() -> None:
    losers = collected(DUPLICATES[:20], [], [CONFLICT, *DUPLICATES[20:], UNKNOWN])
    for it, lost in (*DUPLICATES, CONFLICT, UNKNOWN):
        assert losers.get(it) == lost
    assert [losers.get(source_id(it)) for it in ("b", 50, "winner of 1")] == [None, None, None]


def test_one_takes_64_bytes() -> None:
    assert len(collected(DUPLICATES).pairs) == 50 * 64


def test_a_source_whose_number_is_a_losers_is_none() -> None:
    alike = DUPLICATES[0][0][:16] + source_id("alike")[16:]
    losers = collected(DUPLICATES)
    assert losers.get(alike) is None
    assert losers.among(pa.array([alike, DUPLICATES[1][0]])) == [DUPLICATES[1][0]]


def test_their_rows_go_and_those_of_others_stay() -> None:
    rows = pa.table({"source_id": [source_id(it) for it in (49, 50, 49, "a", 51)], "n": range(5)})
    assert without_losers(rows, collected(DUPLICATES, [CONFLICT]))["n"].to_pylist() == [1, 4]
    assert without_losers(rows, collected([CONFLICT]))["n"].to_pylist() == [0, 1, 2, 4]
    assert without_losers(rows, collected()) is rows
