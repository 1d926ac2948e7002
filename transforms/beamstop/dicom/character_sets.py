"""Character sets: an instance whose own lacks a letter of new text becomes UTF-8 as a whole (PS3.5 6.1).

Unchanged text keeps its bytes and its character set. New text, such as a fixed value or an insertion, is
written without losing a letter: pydicom would write `?` for letters that a character set lacks.
"""

from collections.abc import Iterable, MutableSequence
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes, default_encoding, encode_string
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from beamstop.dicom.tags import is_private_creator, tag_text, vr_of
from beamstop.errors import Quarantined

# Text that is in the character set of the instance (PS3.5 6.1.2.2); any other is ASCII.
CHARACTER_SET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
ASCII = (default_encoding,)  # if nothing is declared, for which pydicom uses Latin-1's name
UTF_8 = ("UTF8",)
_UTF_8_TERM = "ISO_IR 192"
_SPECIFIC_CHARACTER_SET = BaseTag(0x00080005)
_ESCAPE = b"\x1b"
_DELIMITERS = {0x09, 0x0A, 0x0C, 0x0D, 0x5C}
_NAME_DELIMITERS = _DELIMITERS | {0x3D, 0x5E}
_REPLACED = "\ufffd"
_LATIN_1_CONTROLS = range(0x80, 0xA0)

Encodings = tuple[str, ...]


class CannotHoldError(Exception):
    """A character set lacks letters of a text, or bytes are not in the declared character set."""


def read_encodings(dataset: Dataset) -> Encodings:
    """Return Python's names of the character sets with which a dataset's or item's raw text was read."""
    return _as_tuple(dataset.original_character_set)


def declared_encodings(dataset: Dataset, around: Encodings = ASCII) -> Encodings:
    """Return Python's names of the character sets that a dataset or item declares.

    Args:
        dataset: a dataset or item.
        around: those of the dataset around it, which apply if it declares none (PS3.3 C.12.1.1.2).
    """
    element: Any = dataset._dict.get(_SPECIFIC_CHARACTER_SET)
    if element is None:
        return around
    if element.is_raw:
        return read_encodings(dataset) if element.value else ASCII
    value = element.value
    return _as_tuple(convert_encodings(list(value) if isinstance(value, MultiValue) else value))


def check_raw_text(dataset: Dataset, tags: Iterable[BaseTag], declared: Encodings) -> None:
    """Check that text which stays as it was read is in the declared character set.

    Raises:
        CannotHoldError: it is in another one.
    """
    if read_encodings(dataset) != declared and any(_is_foreign(dataset._dict[tag]) for tag in tags):
        raise CannotHoldError


def text_bytes(element: Any, encodings: Encodings) -> bytes:
    """Return the padded value of a text element that is not raw, with every letter.

    Raises:
        CannotHoldError: the character sets lack a letter.
    """
    values = element.value if isinstance(element.value, MultiValue | list | tuple) else [element.value]
    data = b"\\".join(_encoded(element.VR, value, encodings) for value in values)
    return data + b" " * (len(data) % 2)


def as_read(element: Any, dataset: Dataset) -> Any:
    """Return remaining parts of an instance's own text as bytes, if it declares no character set.

    Many stations write Latin-1 and declare nothing. It is not declared for them, because unchanged text keeps
    its bytes.
    """
    implicit, little = dataset.original_encoding
    is_ours = element is None or element.is_raw or element.VR not in CHARACTER_SET_VRS
    if is_ours or implicit is None or little is None or read_encodings(dataset) != ASCII:
        return element
    try:
        value = text_bytes(element, ("latin_1",))
    except CannotHoldError:
        return element
    if value.isascii():
        return element
    return RawDataElement(element.tag, element.VR, len(value), value, 0, implicit, little)


def widen(dataset: Dataset) -> None:
    """Convert an instance to UTF-8, in place: its text at every depth and its declaration.

    Raises:
        Quarantined: `character_set`: bytes are not valid in the declared character set, or none is declared
            and they are neither UTF-8 nor Latin-1, so that their letters are unknown.
    """
    _widen(dataset)
    dataset.SpecificCharacterSet = _UTF_8_TERM


def _widen(dataset: Dataset) -> None:
    encodings = read_encodings(dataset)
    element: Any
    for tag, element in list(dataset._dict.items()):
        if vr_of(tag, element.VR) == "SQ":
            for item in dataset[tag].value or ():
                _widen(item)
        elif _is_foreign(element) and encodings != UTF_8:
            value = _decoded(element, encodings).encode()
            value += b" " * (len(value) % 2)
            dataset._dict[tag] = element._replace(value=value, length=len(value))
    dataset._dict.pop(_SPECIFIC_CHARACTER_SET, None)
    implicit, little = dataset.original_encoding
    dataset.set_original_encoding(implicit, little, list(UTF_8))
    dataset._parent_encoding = list(UTF_8)


def _is_foreign(element: Any) -> bool:
    """Return whether an element is raw text that other character sets would read differently."""
    if not element.is_raw or not element.value:
        return False
    is_text = vr_of(element.tag, element.VR) in CHARACTER_SET_VRS or is_private_creator(element.tag)
    return is_text and (not element.value.isascii() or _ESCAPE in element.value)


def _decoded(element: Any, encodings: Encodings) -> str:
    value: bytes = element.value
    if encodings == ASCII and _ESCAPE not in value:
        return _undeclared(value, element.tag)
    delimiters = _NAME_DELIMITERS if element.VR == "PN" else _DELIMITERS
    try:
        text = decode_bytes(value, encodings, delimiters)
    except (LookupError, ValueError):
        text = _REPLACED
    if _REPLACED in text or "\x1b" in text:
        raise Quarantined("character_set", tag_text(element.tag))
    return text


def _undeclared(value: bytes, tag: int) -> str:
    """Read text without a declared character set as most readers do: as UTF-8 if valid, else as Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    if any(ord(letter) in _LATIN_1_CONTROLS for letter in text):
        raise Quarantined("character_set", tag_text(tag))
    return text


def _encoded(vr: str, value: Any, encodings: Encodings) -> bytes:
    if isinstance(value, bytes):
        return value
    text = str(value or "")
    if text.isascii():
        return text.encode()
    if vr != "PN":
        return _encoded_part(text, encodings, _DELIMITERS)
    # Code extensions start again in every component of a name (PS3.5 6.1.2.5.3).
    groups = (
        [_encoded_part(part, encodings, _NAME_DELIMITERS) for part in it.split("^")] for it in text.split("=")
    )
    return b"=".join(map(b"^".join, groups))


def _encoded_part(text: str, encodings: Encodings, delimiters: set[int]) -> bytes:
    if encodings == UTF_8:
        return _strictly(text, "utf-8")
    is_latin = any("\x80" <= letter <= "\xff" for letter in text)
    if encodings == ASCII or (encodings[0] == default_encoding and is_latin):
        raise CannotHoldError
    try:
        data = encode_string(text, encodings)
        again = decode_bytes(data, encodings, delimiters)
    except (LookupError, ValueError):
        raise CannotHoldError from None
    # A second byte may equal a delimiter, and some readers take it for one.
    if again != text or any(data.count(it) != text.count(chr(it)) for it in delimiters):
        raise CannotHoldError
    return data


def _strictly(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        raise CannotHoldError from None


def _as_tuple(encodings: str | MutableSequence[str]) -> Encodings:
    return (encodings,) if isinstance(encodings, str) else tuple(encodings)
