"""Encapsulated pixel data (PS3.5 A.4): from items to frames without copying, and from frames to items."""

import struct
from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

Fragment = bytes | memoryview
Fragments = tuple[Fragment, ...]

_HEAD = struct.Struct("<HHL")
_ITEM, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_LAST_OFFSET = 0xFFFFFFFF  # that fits a Basic Offset Table
# The beginning of a frame, which occurs nowhere inside one: JPEG SOI, JPEG 2000 SOC and SIZ.
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")


class Offsets(NamedTuple):
    """An Extended Offset Table (PS3.3 C.7.6.3.1.8): where frames begin, how long each is."""

    starts: tuple[int, ...]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, starts: bytes, lengths: bytes) -> "Offsets":
        """Read the values of both elements; `struct.error` if they do not consist of 64-bit numbers."""
        return cls(*(struct.unpack(f"<{len(value) // 8}Q", value) for value in (starts, lengths)))

    def values(self) -> tuple[bytes, bytes]:
        """Return the values of both elements."""
        starts, lengths = (struct.pack(f"<{len(each)}Q", *each) for each in self)
        return starts, lengths


class Split(NamedTuple):
    """The fragments of each frame, as views of the value they were found in.

    Attributes:
        frames: one tuple of fragments each.
        has_table: there is a Basic Offset Table.
        is_exact: the value has nothing but the fragments and a table that is right or empty.
    """

    frames: list[Fragments]
    has_table: bool
    is_exact: bool


def split(value: bytes, count: int, extended: Offsets | None = None) -> Split:
    """Split encapsulated pixel data into frames.

    With as many fragments as frames, each frame is one fragment, even against the Basic Offset Table, because
    some writers count wrongly. Otherwise the table decides if it points to fragments; if not, a frame starts
    at each beginning of a codestream.

    Args:
        value: of Pixel Data.
        count: number of frames.
        extended: from the dataset, if it has one; it must be correct.

    Raises:
        ValueError: it is unclear which fragments make a frame.
        struct.error: the value is cut short.
    """
    table, items, end = _items(value)
    starts: dict[int, int] = {}  # offset → number of the fragment
    at = 0
    for number, item in enumerate(items):
        starts[at] = number
        at += _HEAD.size + len(item)
    offsets = struct.unpack(f"<{len(table) // 4}L", table) if len(table) % 4 == 0 else ()
    if extended is not None:
        right = extended.starts == tuple(starts) and len(extended.lengths) == len(items)
        if not right or any(map(_is_cut, items, extended.lengths)):
            raise ValueError
    if len(items) == count:
        first = list(range(count))
    elif count == 1:
        first = [0]
    elif len(offsets) == count and offsets == tuple(sorted(set(offsets) & starts.keys())):
        first = [starts[offset] for offset in offsets]
    else:
        first = [number for number, item in enumerate(items) if _is_start(item)]
    if not items or len(first) != count or first[0] != 0:
        raise ValueError
    frames: list[Fragments] = [
        tuple(items[one:other]) for one, other in zip(first, [*first[1:], len(items)], strict=True)
    ]
    if any(_is_start(fragment) for frame in frames for fragment in frame[1:]):
        raise ValueError  # a second picture after the first one would not be searched
    is_right = not table or [starts.get(offset) for offset in offsets] == first
    return Split(frames, bool(table), is_right and end == len(value))


def join(frames: Sequence[Fragments], table: bool) -> tuple[bytes, Offsets]:
    """Return the value that encapsulates frames, and their offsets; `table`: with a Basic Offset Table."""
    starts, lengths, size = [], [], 0
    for frame in frames:
        starts.append(size)
        lengths.append(sum(map(len, frame)))
        size += sum(_HEAD.size + len(fragment) + len(fragment) % 2 for fragment in frame)
    fits = table and starts[-1] <= _LAST_OFFSET
    basic = struct.pack(f"<{len(starts)}L", *starts) if fits else b""
    value = BytesIO()
    value.write(_HEAD.pack(*_ITEM, len(basic)) + basic)
    for frame in frames:
        for fragment in frame:
            padding = bytes(len(fragment) % 2)
            value.write(_HEAD.pack(*_ITEM, len(fragment) + len(padding)))
            value.write(fragment)
            value.write(padding)
    return value.getvalue(), Offsets(tuple(starts), tuple(lengths))


def _items(value: bytes) -> tuple[bytes, list[memoryview], int]:
    """Return the Basic Offset Table, the fragments, and the offset of the end."""
    view, at = memoryview(value), 0
    items: list[memoryview] = []
    while at < len(value):
        group, element, length = _HEAD.unpack_from(value, at)
        if (group, element) == _SEQUENCE_END:
            break
        if (group, element) != _ITEM or at + _HEAD.size + length > len(value):
            raise ValueError
        items.append(view[at + _HEAD.size : at + _HEAD.size + length])
        at += _HEAD.size + length
    if not items:
        raise ValueError
    return bytes(items[0]), items[1:], at


def _is_start(fragment: Fragment) -> bool:
    return bytes(fragment[:4]).startswith(_STARTS)


def _is_cut(item: memoryview, length: int) -> bool:
    """Return whether a declared length leaves out more of an item than its padding byte."""
    return not len(item) - 1 <= length <= len(item)
