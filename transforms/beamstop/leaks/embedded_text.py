"""Embedded text: in base64, hexadecimal, escapes, deflated streams and the strings of a PDF."""

import base64
import re
import sys
import zlib
from collections.abc import Iterator

from beamstop.dicom.deadline import check_time
from beamstop.errors import Quarantined

MAX_UNPACKED_BYTES = 256 << 20
MAX_LAYERS = 3  # base64 of a deflated text is two
_SHORTEST_RUN = 16  # letters of base64: 12 bytes; fewer are words and numbers
_SHORTEST_TEXT = 4

_LINE_ENDS = b"\r\n="
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_" + _LINE_ENDS)
_IN_BASE64 = bytes(byte in _BASE64 for byte in range(256))
_RUN = b"\1" * _SHORTEST_RUN
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")
_IN_HEXADECIMAL = bytes(byte in _HEXADECIMAL for byte in range(256))
_NO_TEXT = bytes(sorted({*range(32), 127} - set(b"\0\t\n\f\r")))
_URL_SAFE = bytes.maketrans(b"-_", b"+/")

# RFC 3986 2.1 and RFC 2045 6.7 (%4D, =4D, = at the end of a line), XML 4.1 and HTML's names of
# accented letters (&#77; &#x4d; &uuml;), JSON (\u004d)
_CODE = re.compile(
    rb"[%=&\\](?:(?<=[%=])([0-9A-Fa-f]{2})|(?<==)\r?\n|(?<=&)#([0-9]{1,7});|(?<=&)#[xX]([0-9A-Fa-f]{1,6});"
    rb"|(?<=&)([A-Za-z])(?:uml|acute|grave|circ|cedil|tilde|ring|slash|caron);|(?<=\\)u([0-9A-Fa-f]{4}))"
)
_MAY_BE_CODES = bytes(
    ord("h") if byte in _HEXADECIMAL else ord("e") if byte in b"%=" else byte for byte in range(256)
)
_CODES = (b"ehh", b"e\r\n", b"e\n", b"&#", b"\\uhhhh")
_ACCENTS = (b"uml;", b"acute;", b"grave;", b"circ;", b"cedil;", b"tilde;", b"ring;", b"slash;", b"caron;")

# RFC 1950 2.2 (zlib at its four levels), RFC 1952 2.3.1 (gzip)
_DEFLATED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32
_FIRST_BYTES, _MORE = 64, 4  # of a stream that are tried at first, and times as many then
# Effort for false or endless streams: bytes per byte of data, and a minimum. A false header costs about a
# hundred bytes; random data have one in 16,000.
_WASTED_EACH, _WASTED = 64, 1 << 20
_WASTED_OPEN = 1 << 10  # by each stream without an end, whose text is searched

# ISO 32000-1 7.3.4 (strings), 9.4.3 (TJ: strings with spaces between their letters)
_PDF = b"%PDF-"
_SHOWN = re.compile(rb"\[((?:\((?:\\.|[^\\()])*\)|[^\[\]()])*)\]\s*TJ", re.DOTALL)
_STRING = re.compile(rb"\(((?:\\.|[^\\()])*)\)|<([0-9A-Fa-f\s]+)>", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|\r?\n|.)", re.DOTALL)


def unpacked(data: bytes, limit: int = MAX_UNPACKED_BYTES, layers: int = MAX_LAYERS) -> Iterator[bytes]:
    """Yield the text embedded in some bytes, and in that text, as bytes to be searched.

    Base64 (RFC 4648, both alphabets, in lines or not), text in hexadecimal, escapes, zlib and gzip streams
    wherever they begin outside another complete one, and the strings of a PDF, joined as they are shown. A
    PDF with encryption or its own font encoding yields nothing.

    Args:
        data: any bytes.
        limit: most bytes that all deflated streams may grow to.
        layers: depth of nested encodings.

    Raises:
        Quarantined: `attributes_uncertain` if they grow to more than `limit`, or so many false or nested
            streams occur that the time would be more than linear.
    """
    yield from _unpacked(data, _PDF in data, _Allowance(limit, len(data)), layers)


class _Allowance:
    """How many bytes may still be inflated, and how many spent on incomplete streams."""

    def __init__(self, left: int, size: int) -> None:
        self.left = left
        self._wasted = _WASTED + _WASTED_EACH * size

    def spend(self, count: int) -> None:
        self.left -= count
        self._check()

    def waste(self, count: int) -> None:
        self._wasted -= count
        self._check()

    def _check(self) -> None:
        if self.left < 0 or self._wasted < 0:
            raise Quarantined("attributes_uncertain", "embedded text beyond the limit")


def _unpacked(data: bytes, is_pdf: bool, allowance: _Allowance, layers: int) -> Iterator[bytes]:
    if is_pdf:
        yield b"\n".join(_pdf_strings(data))
    if not layers:
        return
    parts = (*_from_base64(data), *_from_hexadecimal(data), *_unescaped(data), *_inflated(data, allowance))
    for part in parts:
        check_time()
        yield part
        yield from _unpacked(part, is_pdf or _PDF in part, allowance, layers - 1)


def _from_base64(data: bytes) -> Iterator[bytes]:
    """Yield the content of every run of base64, lines joined, from each of its first four letters."""
    marked = data.translate(_IN_BASE64)
    at = marked.find(_RUN)
    while at >= 0:
        start, end = marked.rfind(b"\0", 0, at) + 1, marked.find(b"\0", at)
        end = len(data) if end < 0 else end
        letters = data[start:end].translate(_URL_SAFE, _LINE_ENDS)
        if not (letters.isdigit() or letters.isupper() or letters.islower()):  # nor hexadecimal
            # The text before it may look like base64.
            yield from (_decoded(letters[skipped:]) for skipped in range(4))
        at = marked.find(_RUN, end)


def _decoded(letters: bytes) -> bytes:
    usable = len(letters) - (len(letters) % 4 == 1)  # one letter alone is not a byte
    return base64.b64decode(letters[:usable] + b"=" * (-usable % 4))


def _from_hexadecimal(data: bytes) -> Iterator[bytes]:
    """Yield the text of runs of hexadecimal digits, from either digit."""
    marked = data.translate(_IN_HEXADECIMAL)
    at = marked.find(_RUN)
    while at >= 0:
        end = marked.find(b"\0", at)
        digits = data[at : len(data) if end < 0 else end]
        for skipped in range(2):
            usable = digits[skipped : len(digits) - (len(digits) - skipped) % 2]
            text = bytes.fromhex(usable.decode())
            if text.translate(None, _NO_TEXT) == text:
                yield text
        at = marked.find(_RUN, at + len(digits))


def _unescaped(data: bytes) -> Iterator[bytes]:
    """Yield the data with escapes decoded, if there are any."""
    marked = data.translate(_MAY_BE_CODES)
    if any(code in marked for code in _CODES) or (b"&" in data and any(name in data for name in _ACCENTS)):
        plain = _CODE.sub(_character, data)
        if plain != data:
            yield plain


def _character(match: re.Match[bytes]) -> bytes:
    check_time()
    byte, decimal, hexadecimal, letter, unit = match.groups()
    if byte:
        return bytes.fromhex(byte.decode())
    if letter:
        return letter  # accents do not count
    number = int(decimal) if decimal else int(hexadecimal or unit or b"0", 16)
    return chr(number).encode("utf-8", "replace") if 0 < number <= sys.maxunicode else b""


def _inflated(data: bytes, allowance: _Allowance) -> Iterator[bytes]:
    """Yield the text of every stream; a stream inside a complete stream is found in the latter's text."""
    end = 0
    for head in _DEFLATED.finditer(data):
        if head.start() >= end:
            check_time()
            text, end = _inflate(data, head.start(), allowance)
            if len(text) >= _SHORTEST_TEXT:
                yield text


def _inflate(data: bytes, start: int, allowance: _Allowance) -> tuple[bytes, int]:
    """Return a stream's content, and its end, or its start if it has no end."""
    inflater = zlib.decompressobj(wbits=_ZLIB_OR_GZIP)
    view, at, step, pieces = memoryview(data), start, _FIRST_BYTES, list[bytes]()
    try:
        while at < len(data) and not inflater.eof:
            check_time()
            pieces.append(inflater.decompress(view[at : at + step], allowance.left + 1))
            allowance.spend(len(pieces[-1]))
            at, step = min(at + step, len(data)), step * _MORE
    except zlib.error:
        allowance.waste(min(at + step, len(data)) - start)
        return b"", start
    text = b"".join(pieces)
    if inflater.eof:
        return text, at - len(inflater.unused_data)
    allowance.waste(at - start + len(text) + _WASTED_OPEN)
    return text, start


def _pdf_strings(data: bytes) -> Iterator[bytes]:
    """Yield the strings of a PDF: those shown letter by letter joined first, then each by itself."""
    for shown in _SHOWN.finditer(data):
        yield b"".join(map(_string, _STRING.finditer(shown[1])))
    yield from map(_string, _STRING.finditer(data))


def _string(match: re.Match[bytes]) -> bytes:
    check_time()
    if match[1] is not None:
        return _ESCAPE.sub(_escaped, match[1])
    digits = b"".join(match[2].split())
    return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 0xFF]) if code.isdigit() else b"" if code.endswith(b"\n") else code
