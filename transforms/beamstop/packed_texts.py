"""Text that is not readable as it stands: in base64, deflated, and in the strings of a PDF."""

import base64
import re
import zlib
from collections.abc import Iterator

from beamstop.errors import Quarantined

MAX_UNPACKED_BYTES = 256 << 20
MAX_LAYERS = 3  # base64 of a deflated text is two
_SHORTEST_RUN = 16  # letters of base64: 12 bytes; fewer are words and numbers
_SHORTEST_TEXT = 4

_LINE_ENDS = b"\r\n="
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_" + _LINE_ENDS)
_IN_BASE64 = bytes(byte in _BASE64 for byte in range(256))
_RUN = b"\1" * _SHORTEST_RUN
_URL_SAFE = bytes.maketrans(b"-_", b"+/")

# RFC 1950 2.2 (zlib at its four levels), RFC 1952 2.3.1 (gzip)
_DEFLATED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b\x08")
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32

# ISO 32000-1 7.3.4 (strings), 9.4.3 (TJ: strings with spaces between their letters)
_PDF = b"%PDF-"
_SHOWN = re.compile(rb"\[((?:\((?:\\.|[^\\()])*\)|[^\]()])*)\]\s*TJ", re.DOTALL)
_STRING = re.compile(rb"\(((?:\\.|[^\\()])*)\)|<([0-9A-Fa-f\s]+)>", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|\r?\n|.)", re.DOTALL)


def unpacked(data: bytes, limit: int = MAX_UNPACKED_BYTES, layers: int = MAX_LAYERS) -> Iterator[bytes]:
    """Yield what is packed in some bytes, and what is packed in that, as bytes to be searched.

    Base64 (RFC 4648, both alphabets, in lines or not), streams of zlib and gzip wherever they
    begin, and where a PDF is, its strings joined as they are shown. A PDF that is encrypted, or whose
    fonts number their letters in their own way, shows nothing here.

    Args:
        data: any bytes.
        limit: most bytes that all deflated streams may grow to.
        layers: how many packings deep to look.

    Raises:
        Quarantined: `attributes_uncertain` where they grow to more than `limit`.
    """
    yield from _unpacked(data, _PDF in data, _Allowance(limit), layers)


class _Allowance:
    """How many bytes may yet be inflated."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise Quarantined("attributes_uncertain", "packed text beyond the limit")


def _unpacked(data: bytes, is_pdf: bool, allowance: _Allowance, layers: int) -> Iterator[bytes]:
    if is_pdf:
        yield b"\n".join(_pdf_strings(data))
    if not layers:
        return
    for part in (*_from_base64(data), *_inflated(data, allowance)):
        yield part
        yield from _unpacked(part, is_pdf or _PDF in part, allowance, layers - 1)


def _from_base64(data: bytes) -> Iterator[bytes]:
    """Yield what every run of base64, lines joined, stands for, begun at each of its first four letters."""
    marked = data.translate(_IN_BASE64)
    at = marked.find(_RUN)
    while at >= 0:
        start, end = marked.rfind(b"\0", 0, at) + 1, marked.find(b"\0", at)
        end = len(data) if end < 0 else end
        letters = data[start:end].translate(_URL_SAFE, _LINE_ENDS)
        if not (letters.isdigit() or letters.isupper() or letters.islower()):  # nor hexadecimal
            yield from (_decoded(letters[skipped:]) for skipped in range(4))  # what precedes may look like it
        at = marked.find(_RUN, end)


def _decoded(letters: bytes) -> bytes:
    usable = len(letters) - (len(letters) % 4 == 1)  # one letter alone is not a byte
    return base64.b64decode(letters[:usable] + b"=" * (-usable % 4))


def _inflated(data: bytes, allowance: _Allowance) -> Iterator[bytes]:
    for magic in _DEFLATED:
        at = data.find(magic)
        while at >= 0:
            text = _inflate(data, at, allowance)
            if len(text) >= _SHORTEST_TEXT:
                yield text
            at = data.find(magic, at + 1)


def _inflate(data: bytes, start: int, allowance: _Allowance) -> bytes:
    """Return what a stream inflates to, as far as it is one."""
    inflater = zlib.decompressobj(wbits=_ZLIB_OR_GZIP)
    try:
        text = inflater.decompress(memoryview(data)[start:], allowance.left + 1)
    except zlib.error:
        return b""
    allowance.spend(len(text))
    return text


def _pdf_strings(data: bytes) -> Iterator[bytes]:
    """Yield the strings of a PDF: those shown letter by letter joined first, then each by itself."""
    for shown in _SHOWN.finditer(data):
        yield b"".join(map(_string, _STRING.finditer(shown[1])))
    yield from map(_string, _STRING.finditer(data))


def _string(match: re.Match[bytes]) -> bytes:
    if match[1] is not None:
        return _ESCAPE.sub(_escaped, match[1])
    digits = b"".join(match[2].split())
    return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 0xFF]) if code.isdigit() else b"" if code.endswith(b"\n") else code
