"""ICC profiles (ISO 15076-1) without texts, dates, devices and programs: only colours stay."""

import struct

_HEADER = 128
_SIGNATURE = b"acsp"
# Of the header stay size, version, classes and colour spaces, signature, flags, intent and illuminant (7.2);
# the colour engine, date, platform, device, program and checksum become zero, which means unknown.
_SAID = (range(8, 24), range(36, 40), range(44, 48), range(64, 80))
# Types with nothing but numbers (10): curves, tables, matrices, coordinates.
_NUMBERS = frozenset(
    {b"XYZ ", b"curv", b"para", b"sf32", b"mft1", b"mft2", b"mAB ", b"mBA ", b"chrm", b"view"}
)
_REQUIRED_TEXTS = (b"desc", b"cprt")  # 8.2
_NO_TEXT = "none"
_FIRST_VERSION_IN_UNICODE = 4
_MAX_TAGS = 100


def clean_icc_profile(data: bytes) -> bytes:
    """Return an ICC profile with nothing but its numbers: pictures look as before.

    Mandatory texts become `none`. A clean profile stays the same.

    Raises:
        ValueError: it is not a profile.
    """
    if len(data) < _HEADER + 4 or data[36:40] != _SIGNATURE:
        raise ValueError("not an ICC profile")
    (count,) = struct.unpack_from(">L", data, _HEADER)
    table = _HEADER + 4
    if count > _MAX_TAGS or table + 12 * count > len(data):
        raise ValueError("not an ICC profile: its table of tags is cut")
    parts = {}
    for number in range(count):
        signature, start, length = struct.unpack_from(">4sLL", data, table + 12 * number)
        part = data[start : start + length]
        if len(part) < length:
            raise ValueError("not an ICC profile: a tag is cut")
        if part[:4] in _NUMBERS:
            parts[signature] = part
    if sum(map(len, set(parts.values()))) > len(data):
        raise ValueError("not an ICC profile: its tags lie in one another")
    version = data[8]
    for signature in _REQUIRED_TEXTS:
        parts[signature] = _text(signature, version)
    header = bytes(byte if any(at in said for said in _SAID) else 0 for at, byte in enumerate(data[:_HEADER]))
    return _assemble(header, parts)


def _text(signature: bytes, version: int) -> bytes:
    """Return a text in the type of the profile's version: multiLocalizedUnicode, or the older ones (10)."""
    if version >= _FIRST_VERSION_IN_UNICODE:
        text = _NO_TEXT.encode("utf-16-be")
        return struct.pack(">4s4xLL4sLL", b"mluc", 1, 12, b"enUS", len(text), 28) + text
    text = _NO_TEXT.encode() + b"\0"
    if signature == b"cprt":
        return b"text" + bytes(4) + text
    return struct.pack(">4s4xL", b"desc", len(text)) + text + bytes(78)  # no Unicode, no Macintosh text


def _assemble(header: bytes, parts: dict[bytes, bytes]) -> bytes:
    """Return a profile; equal parts, such as the curves of three colours, are written once."""
    entries, body = [], b""
    start = _HEADER + 4 + 12 * len(parts)
    places: dict[bytes, int] = {}
    for signature, part in sorted(parts.items()):
        if part not in places:
            places[part] = start + len(body)
            body += part + bytes(-len(part) % 4)
        entries.append(struct.pack(">4sLL", signature, places[part], len(part)))
    size = start + len(body)
    return struct.pack(">L", size) + header[4:] + struct.pack(">L", len(parts)) + b"".join(entries) + body
