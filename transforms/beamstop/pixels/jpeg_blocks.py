"""Blanking boxes of a sequential JPEG codestream in the DCT domain: all other blocks keep their bits."""

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstop.pixels.box import Box

Bits = NDArray[np.uint8]
Piece = tuple[int, int] | tuple[int, int, int]  # bits to copy | table, symbol, value that follows

# ISO/IEC 10918-1 table B.1
_EOI, _SOS, _DQT, _DHT, _DRI, _COM = 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xFE
_JFIF, _ICC, _ADOBE = 0xE0, 0xE2, 0xEE
_SEQUENTIAL = (0xC0, 0xC1)  # baseline and extended sequential, both Huffman coded
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_RESTARTS = range(0xD0, 0xD8)
_LONGEST = 16  # bits of a Huffman code
_END_OF_BLOCK = 0
_LAST_STEP = 64


class UnsupportedError(ValueError):
    """A codestream that is not sequential Huffman JPEG, or is broken."""


def blank(codestream: bytes, boxes: Iterable[Box], levels: Sequence[int]) -> tuple[bytes, NDArray[np.bool_]]:
    """Fill the minimum coded units that boxes touch with one level; copy the bits of all others.

    A filled block is a DC coefficient without AC coefficients. The first block after one keeps its
    coefficients; only its DC difference is coded again. If a Huffman table lacks a code that is needed, a
    longer table with all earlier codes is defined before the scan. Comments, thumbnails and other
    application data are removed, because they may show what is hidden.

    Args:
        codestream: one JPEG image, baseline or extended sequential, 8 or 12 bits.
        boxes: in pixels.
        levels: sample value to fill with, for each component in the order of the frame header; reached as
            closely as quantisation allows.

    Returns:
        the codestream; bool (rows, columns), true where minimum coded units were filled.

    Raises:
        UnsupportedError: another process (progressive, lossless, arithmetic), or broken.
    """
    try:
        return _Transcoder(codestream, levels).run(boxes)
    except (LookupError, ValueError, ZeroDivisionError, struct.error):  # broken at any place
        raise UnsupportedError from None


class Model(NamedTuple):
    """The facts about colour in a frame header.

    Attributes:
        identifiers: of the components.
        subsampled: whether components are.
        transform: Adobe's (0 none, 1 YCbCr); None without such a segment.
        unit: rows and columns of a minimum coded unit.
    """

    identifiers: bytes
    subsampled: bool
    transform: int | None
    unit: tuple[int, int]


def model(codestream: bytes) -> Model:
    """Return the facts about colour in the frame header.

    Raises:
        UnsupportedError: there is no sequential frame header.
    """
    transform = None
    for marker, segment, _ in _segments(codestream):
        if marker == _ADOBE and segment.startswith(b"Adobe") and len(segment) >= 12:
            transform = segment[11]
        if marker in _SEQUENTIAL:
            factors = segment[7::3] if len(segment) > 9 else b"\x11"  # alone, it is not subsampled
            unit = 8 * max(each & 15 for each in factors), 8 * max(each >> 4 for each in factors)
            return Model(segment[6::3], len(set(factors)) > 1, transform, unit)
        if marker == _SOS:
            break
    raise UnsupportedError


@dataclass
class _Component:
    across: int
    down: int
    table: int
    level: int


@dataclass
class _Table:
    """A Huffman table: number of codes by length, symbols in the order of their codes (Annex C)."""

    counts: tuple[int, ...]
    symbols: bytes

    @cached_property
    def codes(self) -> dict[int, tuple[int, int]]:
        """Code and its length by symbol."""
        codes, code, at = {}, 0, 0
        for length, count in enumerate(self.counts, start=1):
            for symbol in self.symbols[at : at + count]:
                codes[symbol] = code, length
                code += 1
            at += count
            code <<= 1
        return codes

    def lookup(self, ac: bool) -> list[int]:
        """Return a table by the next 16 bits: how many bits to skip, and the symbol; 0 if there is no code.

        DC: bits of the code << 8 | bits of the difference. AC: bits of the code and of the value that
        follows it << 8 | coefficients it stands for.
        """
        table = np.zeros(1 << _LONGEST, np.int64)
        for symbol, (code, length) in self.codes.items():
            run, size = divmod(symbol, 16)
            if ac:
                steps = run + 1 if size or run == 15 else _LAST_STEP
                entry = (length + size) << 8 | steps
            else:
                entry = length << 8 | symbol
            first = code << (_LONGEST - length)
            table[first : first + (1 << (_LONGEST - length))] = entry
        found: list[int] = table.tolist()
        return found

    def extended(self, symbols: set[int]) -> "_Table":
        """Return a table that also has codes for these symbols, after the existing ones."""
        missing = bytes(sorted(symbols - self.codes.keys()))
        used = sum(count << (_LONGEST - length) for length, count in enumerate(self.counts, start=1))
        if used + len(missing) >= 1 << _LONGEST:  # the code of all ones stays free (C.2)
            raise UnsupportedError
        return _Table((*self.counts[:-1], self.counts[-1] + len(missing)), self.symbols + missing)


class _Transcoder:
    def __init__(self, codestream: bytes, levels: Sequence[int]) -> None:
        self._data = codestream
        self._levels = levels
        self._tables: dict[int, _Table] = {}  # class << 4 | destination
        self._steps: dict[int, int] = {}  # quantisation of the DC coefficient
        self._components: dict[int, _Component] = {}
        self._precision = self._rows = self._columns = self._interval = 0

    def run(self, boxes: Iterable[Box]) -> tuple[bytes, NDArray[np.bool_]]:
        out = [b"\xff\xd8"]
        scanned = 0
        for marker, segment, at in _segments(self._data):
            whole = struct.pack(">BBH", 0xFF, marker, len(segment) + 2) + segment
            if marker == _SOS:
                out.append(self._scan(segment, whole, at, self._touched(boxes)))
                scanned += segment[0]
            elif marker != _EOI:
                self._define(marker, segment)
                out.append(whole if _says_no_more_than_colour(marker, segment) else b"")
        if not scanned or scanned != len(self._components):
            raise UnsupportedError
        high, wide = self._unit
        filled = self._touched(boxes).repeat(high, axis=0).repeat(wide, axis=1)
        return b"".join(out) + b"\xff\xd9", filled[: self._rows, : self._columns]

    @property
    def _unit(self) -> tuple[int, int]:
        """Rows and columns of a minimum coded unit."""
        each = self._components.values()
        return 8 * max(one.down for one in each), 8 * max(one.across for one in each)

    def _touched(self, boxes: Iterable[Box]) -> NDArray[np.bool_]:
        high, wide = self._unit
        touched = np.zeros((-(-self._rows // high), -(-self._columns // wide)), bool)
        for box in boxes:
            touched[box.y // high : -(-box.bottom // high), box.x // wide : -(-box.right // wide)] = True
        return touched

    def _define(self, marker: int, segment: bytes) -> None:
        if marker in _SEQUENTIAL:
            self._frame(segment)
        elif marker == _DHT:
            at = 0
            while at < len(segment):
                counts = tuple(segment[at + 1 : at + 17])
                symbols = segment[at + 17 : at + 17 + sum(counts)]
                self._tables[segment[at]] = _Table(counts, symbols)
                at += 17 + len(symbols)
        elif marker == _DQT:
            at = 0
            while at < len(segment):
                wide, destination = divmod(segment[at], 16)
                (self._steps[destination],) = struct.unpack_from(">H" if wide else ">B", segment, at + 1)
                at += 129 if wide else 65
        elif marker == _DRI:
            (self._interval,) = struct.unpack(">H", segment)
        elif not (0xE0 <= marker <= 0xEF or marker == _COM):
            raise UnsupportedError

    def _frame(self, segment: bytes) -> None:
        self._precision, self._rows, self._columns, count = struct.unpack_from(">BHHB", segment)
        whole = self._rows and self._columns and self._precision in (8, 12)
        if self._components or not whole or count != len(self._levels):
            raise UnsupportedError
        for index, level in enumerate(self._levels):
            identifier, factors, table = segment[6 + 3 * index : 9 + 3 * index]
            across, down = divmod(factors, 16) if count > 1 else (1, 1)  # alone, it is not subsampled
            if not (1 <= across <= 4 and 1 <= down <= 4):
                raise UnsupportedError
            self._components[identifier] = _Component(across, down, table, level)
        if len(self._components) != count:
            raise UnsupportedError

    def _scan(self, segment: bytes, whole: bytes, at: int, touched: NDArray[np.bool_]) -> bytes:
        """Return a scan with the units in boxes filled, preceded by tables that had to grow."""
        count = segment[0]
        chosen = [self._components[identifier] for identifier in segment[1 : 1 + 2 * count : 2]]
        if len(segment) != 4 + 2 * count:
            raise UnsupportedError
        # In sequential JPEG, Ss, Se, Ah and Al have one value each (table B.3); decoders ignore others.
        whole = whole[:-3] + b"\0\x3f\0"
        tables = [(both >> 4, 0x10 | both & 15) for both in segment[2 : 2 + 2 * count : 2]]
        order = [
            index
            for index, component in enumerate(chosen)
            for _ in range(component.across * component.down if count > 1 else 1)
        ]
        units = touched if count > 1 else self._blocks_of(chosen[0], touched)
        flags = units.ravel().tolist()
        size = self._interval or len(flags)
        intervals = list(_intervals(self._data, at))
        if len(intervals) != -(-len(flags) // size):
            raise UnsupportedError
        coder = _Coder(order, tables, [self._fill(component) for component in chosen], self._tables)
        pieces = [
            coder.pieces(interval, flags[index * size : (index + 1) * size])
            for index, interval in enumerate(intervals)
        ]
        header = self._grown({piece[:2] for each in pieces for piece in each if len(piece) == 3})
        coded = [
            self._packed(interval, each).replace(b"\xff", b"\xff\0")
            for interval, each in zip(intervals, pieces, strict=True)
        ]
        body = coded[0]
        for index, each in enumerate(coded[1:]):
            body += bytes([0xFF, _RESTARTS[index % 8]]) + each
        return header + whole + body

    def _blocks_of(self, component: _Component, touched: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask of the filled blocks, in the order of a scan of one component (A.2.2)."""
        high, wide = self._unit
        rows = -(-(self._rows * component.down) // high)
        columns = -(-(self._columns * component.across) // wide)
        blocks = touched.repeat(component.down, axis=0).repeat(component.across, axis=1)
        return blocks[:rows, :columns]

    def _fill(self, component: _Component) -> int:
        """Return the quantised DC coefficient of a level; black and white are rounded outwards."""
        step, middle = self._steps[component.table], 1 << (self._precision - 1)
        wanted = (component.level - middle) * 8
        if component.level == 0:
            return wanted // step
        if component.level == 2 * middle - 1:
            return -(-wanted // step)
        return round(wanted / step)

    def _grown(self, needed: set[tuple[int, ...]]) -> bytes:
        """Define longer tables if codes are missing; return their segments."""
        header = b""
        for destination in sorted({table for table, _ in needed}):
            symbols = {symbol for table, symbol in needed if table == destination}
            table = self._tables[destination]
            if not symbols <= table.codes.keys():
                table = self._tables[destination] = table.extended(symbols)
                body = bytes([destination, *table.counts]) + table.symbols
                header += struct.pack(">BBH", 0xFF, _DHT, len(body) + 2) + body
        return header

    def _packed(self, interval: bytes, pieces: list[Piece]) -> bytes:
        bits = np.unpackbits(np.frombuffer(interval, np.uint8))
        parts = [bits[piece[0] : piece[1]] if len(piece) == 2 else self._coded(*piece) for piece in pieces]
        length = sum(map(len, parts))
        parts.append(np.ones(-length % 8, np.uint8))
        return np.packbits(np.concatenate(parts)).tobytes()

    def _coded(self, table: int, symbol: int, value: int) -> Bits:
        code, length = self._tables[table].codes[symbol]
        text = format(code, f"0{length}b")
        if table < 0x10 and symbol:  # a DC difference follows: F.1.2.1
            text += format(value if value > 0 else value + (1 << symbol) - 1, f"0{symbol}b")
        return np.frombuffer(text.encode(), np.uint8) - ord("0")


class _Coder:
    """Walks the blocks of a scan and yields the pieces of the new scan.

    Args:
        order: component of each block of a unit.
        tables: DC and AC table of each component.
        fills: quantised DC of a filled block of each component.
        huffman: the tables.
    """

    def __init__(
        self,
        order: list[int],
        tables: list[tuple[int, int]],
        fills: list[int],
        huffman: dict[int, _Table],
    ) -> None:
        self._tables = tables
        self._fills = fills
        looked_up = {
            destination: huffman[destination].lookup(destination >= 0x10)
            for both in tables
            for destination in both
        }
        self._unit = [(index, looked_up[tables[index][0]], looked_up[tables[index][1]]) for index in order]

    def pieces(self, interval: bytes, touched: list[bool]) -> list[Piece]:
        """Return the pieces of one restart interval; DC prediction begins at 0 (F.2.1.3.1)."""
        data = np.frombuffer(interval + bytes(8), np.uint8).astype(np.int64)
        window: list[int] = (data[:-2] << 16 | data[1:-1] << 8 | data[2:]).tolist()
        before, after = [0] * len(self._tables), [0] * len(self._tables)  # DC of the last block
        pieces: list[Piece] = []
        copied = at = 0  # first bit of the run that is being copied; present bit
        for hide in touched:
            for index, dc, ac in self._unit:
                start = at
                entry = dc[(window[at >> 3] >> (8 - (at & 7))) & 0xFFFF]
                if not entry:
                    raise UnsupportedError
                size, at = entry & 255, at + (entry >> 8)
                difference = 0
                if size:
                    difference = ((window[at >> 3] >> (8 - (at & 7))) & 0xFFFF) >> (16 - size)
                    if not difference >> (size - 1):
                        difference -= (1 << size) - 1
                    at += size
                body, coefficient = at, 1
                while coefficient < 64:
                    entry = ac[(window[at >> 3] >> (8 - (at & 7))) & 0xFFFF]
                    if not entry:
                        raise UnsupportedError
                    at += entry >> 8
                    coefficient += entry & 255
                if coefficient > 64 and entry & 255 != _LAST_STEP:
                    raise UnsupportedError
                old, new = before[index], after[index]
                value = before[index] = old + difference
                if hide:
                    value = self._fills[index]
                    pieces += [(copied, start), self._difference(index, value - new), self._end(index)]
                    copied = at
                elif old != new:
                    pieces += [(copied, start), self._difference(index, value - new)]
                    copied = body
                after[index] = value
        if at > len(interval) * 8:
            raise UnsupportedError
        return [*pieces, (copied, at)]

    def _difference(self, index: int, difference: int) -> Piece:
        return self._tables[index][0], abs(difference).bit_length(), difference

    def _end(self, index: int) -> Piece:
        return self._tables[index][1], _END_OF_BLOCK, 0


def _says_no_more_than_colour(marker: int, segment: bytes) -> bool:
    """Return whether a segment may stay: comments and application data may contain text or a thumbnail."""
    if marker == _JFIF:
        return segment.startswith(b"JFIF\0") and len(segment) == 14  # without a thumbnail
    if marker in (_ADOBE, _ICC):
        return segment.startswith((b"Adobe", b"ICC_PROFILE\0"))
    return not (0xE0 <= marker <= 0xEF or marker == _COM)


def _segments(codestream: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, segment and its end offset, up to the end of the image."""
    if not codestream.startswith(b"\xff\xd8"):
        raise UnsupportedError
    at = 2
    while True:
        found = _MARKER.match(codestream, at)
        if found is None:
            raise UnsupportedError
        marker = found[1][0]
        if marker == _EOI:
            yield marker, b"", found.end()
            return
        length = int.from_bytes(codestream[found.end() : found.end() + 2], "big")
        end = found.end() + length
        segment = codestream[found.end() + 2 : end]
        if len(segment) != length - 2:
            raise UnsupportedError
        yield marker, segment, end
        at = end
        if marker == _SOS:
            while (found := _MARKER.search(codestream, at)) and found[1][0] in _RESTARTS:
                at = found.end()
            if found is None:
                raise UnsupportedError
            at = found.start()


def _intervals(codestream: bytes, at: int) -> Iterator[bytes]:
    """Yield the restart intervals of a scan without stuffed bytes."""
    for found in _MARKER.finditer(codestream, at):
        yield codestream[at : found.start()].replace(b"\xff\0", b"\xff")
        if found[1][0] not in _RESTARTS:
            return
        at = found.end()
