"""Elements as bytes: unchanged ones are written as they were read."""

import struct
import zlib
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from beamstop.dicom.character_sets import (
    ASCII,
    CHARACTER_SET_VRS,
    UTF_8,
    Encodings,
    check_raw_text,
    declared_encodings,
    text_bytes,
)
from beamstop.dicom.deadline import check_time
from beamstop.dicom.pydicom_guards import guarded
from beamstop.dicom.tags import vr_of
from beamstop.dicom.views import view_of
from beamstop.errors import Failed

UNDEFINED_LENGTH = 0xFFFFFFFF

# What pydicom, struct and zlib raise on malformed bytes.
MALFORMED = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
_FIRST_ITEM = b"\xfe\xff\0\xe0"
UNKNOWN_VRS = frozenset({None, "UN"})
_MAYBE_SEQUENCE = frozenset({"SQ", "UN"})
# A single ASCII value is written as it is; raw ones have the same bytes in every encoding of numbers.
_PLAIN_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "LT", "SH", "ST", "TM", "UI", "UT"})
_WRITTEN_VRS = _PLAIN_VRS | CHARACTER_SET_VRS | {"DS", "IS", "UR"}
_BYTES_VRS = frozenset({"OB", "OW"})
_OPEN_VRS = frozenset({"OB", "OB or OW", "OW", "SQ", "UN"})  # may be of undefined length (PS3.5 7.1.2, 7.1.3)
_LAST_SHORT_LENGTH = 0xFFFF
_FIRST_GROUP_WITHOUT_LENGTH = 8  # PS3.5 7.2: group lengths are retired from here on


_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def failing_if_malformed(work: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Make a function raise `Failed`, reason `unreadable`, on a malformed value.

    If an element has no end, the reason is `truncated`. pydicom's messages may quote the value, so only the
    exception's class is kept. Inside the function, pydicom is guarded (`pydicom_guards`).
    """

    @wraps(work)
    def wrapped(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        try:
            with guarded():
                return work(*arguments, **named)
        except MALFORMED as error:
            raise unreadable(error) from None

    return wrapped


def unreadable(error: Exception) -> Failed:
    """Return the refusal for a `MALFORMED` exception, with its class and nothing else."""
    return Failed("too_deep" if isinstance(error, RecursionError) else "unreadable", type(error).__name__)


def hides_sequence(element: Any) -> bool:
    """Return whether a raw element of unknown VR begins with an item and so holds a sequence.

    By PS3.5 6.2.2, a sequence written as UN is in Implicit VR Little Endian.
    """
    return (
        element.is_raw
        and element.VR in UNKNOWN_VRS
        and element.value is not None
        and element.value.startswith(_FIRST_ITEM)
        and vr_of(element.tag, element.VR) in _MAYBE_SEQUENCE
    )


def is_open_ended(element: Any) -> bool:
    """Return whether an element, raw or converted, has undefined length and a delimiter."""
    if element.is_raw:
        return bool(element.length == UNDEFINED_LENGTH)
    return bool(element.is_undefined_length)


def as_sequence(element: Any) -> Any:
    """Return a raw element as one that pydicom reads as a sequence."""
    in_un = {"is_implicit_VR": True, "is_little_endian": True} if element.VR == "UN" else {}
    return element._replace(VR="SQ", **in_un)


def text_of(dataset: Dataset, tag: int) -> str:
    """Return the text of an element; a raw element stays raw.

    Several values are joined by backslashes. For undecodable bytes and sequences, the text is empty.
    """
    element: Any = dataset._dict.get(BaseTag(tag))
    if element is None or element.VR == "SQ" or not element.value:
        return ""
    value = element.value
    if isinstance(value, bytes):
        if value.isascii() and b"\\" not in value and b"\x1b" not in value:
            return value.decode().rstrip(" \0")
        value = view_of(dataset)[tag].value
    if isinstance(value, MultiValue):
        return "\\".join(map(str, value))
    return "" if not value or isinstance(value, bytes) else str(value)


class ElementWriter:
    """Writes datasets in one encoding.

    pydicom writes the same bytes about ten times slower, because it makes a stream for every element.

    Args:
        implicit, little: the encoding of the transfer syntax (PS3.5 A).
    """

    def __init__(self, implicit: bool, little: bool) -> None:
        self._encoding = (implicit, little)
        order = "<" if little else ">"
        self._plain = struct.Struct(f"{order}HHL").pack
        self._short = struct.Struct(f"{order}HH2sH").pack
        self._long = struct.Struct(f"{order}HH2s2xL").pack

    def write(self, dataset: Dataset, tags: list[BaseTag], around: Encodings = ASCII) -> bytes:
        """Return the bytes of some elements of a dataset.

        Args:
            dataset: the dataset or item they are in.
            tags: of the elements, in order.
            around: Python's names of the character sets of the dataset around an item.

        Raises:
            CannotHoldError: the character sets that the dataset declares lack a letter.
        """
        return b"".join(self.parts(dataset, tags, around))

    def parts(self, dataset: Dataset, tags: list[BaseTag], around: Encodings = ASCII) -> list[bytes]:
        """Return the same in parts, so that large values are copied only once."""
        charset = declared_encodings(dataset, around)
        check_raw_text(dataset, tags, charset)
        if dataset.original_encoding not in (self._encoding, (None, None)):
            dataset = self._converted(dataset, tags)
        parts: list[bytes] = []
        for tag in tags:
            if tag & 0xFFFF != 0 or tag >> 16 < _FIRST_GROUP_WITHOUT_LENGTH:
                self._add(parts, dataset, dataset._dict[tag], charset)
        return parts

    def _converted(self, dataset: Dataset, tags: list[BaseTag]) -> Dataset:
        """Return some elements of a dataset in another encoding, with numbers converted and texts raw."""
        part = Dataset({tag: dataset._dict[tag] for tag in tags})
        implicit, little = dataset.original_encoding
        part.set_original_encoding(implicit, little, dataset.original_character_set)
        implicit, little = self._encoding
        part = correct_ambiguous_vr(part, little)
        for tag in tags:
            element: Any = part._dict[tag]
            if element.is_raw and vr_of(tag, element.VR) in _WRITTEN_VRS:
                vr = vr_of(tag, element.VR)
                part._dict[tag] = element._replace(VR=vr, is_implicit_VR=implicit, is_little_endian=little)
            else:
                part[tag]  # reading converts the raw element
        return part

    def _add(self, parts: list[bytes], dataset: Dataset, element: Any, charset: Encodings) -> None:
        if element.is_raw:
            self._add_raw(parts, dataset, element, charset)
        elif element.VR == "SQ":
            self._add_sequence(parts, element, charset)
        else:
            self._add_converted(parts, element, charset)

    def _add_raw(self, parts: list[bytes], dataset: Dataset, element: Any, charset: Encodings) -> None:
        if (element.is_implicit_VR, element.is_little_endian) != self._encoding:
            self._add(parts, dataset, dataset[element.tag], charset)
            return
        value = element.value or b""
        head = b""
        if element.length == UNDEFINED_LENGTH:
            if vr_of(element.tag, element.VR) not in _OPEN_VRS:
                raise ValueError("an element of undefined length whose VR has none")
        else:
            head = self._head(element.tag, element.VR, len(value))
        parts += (head, value) if head else (self._by_pydicom(element, charset),)

    def _add_converted(self, parts: list[bytes], element: Any, charset: Encodings) -> None:
        if element.is_undefined_length and element.VR not in _OPEN_VRS:
            raise ValueError("an element of undefined length whose VR has none")
        if element.VR in _BYTES_VRS and isinstance(element.value, bytes) and element.value:
            self._add_bytes(parts, element)
            return
        value = b"" if element.is_empty else plain_text(element)
        if value is None and element.VR in CHARACTER_SET_VRS:
            value = text_bytes(element, charset)
        head = self._head(element.tag, element.VR, len(value)) if value is not None else b""
        parts += (head, value) if head and value is not None else (self._by_pydicom(element, charset),)

    def _add_bytes(self, parts: list[bytes], element: Any) -> None:
        """Add a value that may be as large as the file, without copying it."""
        value, open_ended = element.value, element.is_undefined_length
        padding = bytes(len(value) % 2)
        length = UNDEFINED_LENGTH if open_ended else len(value) + len(padding)
        parts += (self._head(element.tag, element.VR, length), value, padding)
        if open_ended:
            parts.append(self._plain(0xFFFE, _SEQUENCE_END, 0))

    def _add_sequence(self, parts: list[bytes], element: Any, charset: Encodings) -> None:
        items: list[bytes] = []
        for item in element.value:
            check_time()
            data = self.write(item, sorted(item._dict), charset)
            if getattr(item, "is_undefined_length_sequence_item", False):
                items += (
                    self._plain(0xFFFE, _ITEM, UNDEFINED_LENGTH),
                    data,
                    self._plain(0xFFFE, _ITEM_END, 0),
                )
            else:
                items += (self._plain(0xFFFE, _ITEM, len(data)), data)
        data = b"".join(items)
        open_ended = element.is_undefined_length
        parts += (self._head(element.tag, "SQ", UNDEFINED_LENGTH if open_ended else len(data)), data)
        if open_ended:
            parts.append(self._plain(0xFFFE, _SEQUENCE_END, 0))

    def _head(self, tag: BaseTag, vr: str | None, length: int) -> bytes:
        """Return tag, VR and length; nothing if pydicom has to write the element."""
        group, element = tag >> 16, tag & 0xFFFF
        if self._encoding[0]:
            return self._plain(group, element, length)
        if not vr or len(vr) != 2:
            return b""
        if vr in EXPLICIT_VR_LENGTH_32:
            return self._long(group, element, vr.encode(), length)
        if length > _LAST_SHORT_LENGTH:  # PS3.5 6.2.2
            return self._long(group, element, b"UN", length)
        return self._short(group, element, vr.encode(), length)

    def _by_pydicom(self, element: Any, charset: Encodings) -> bytes:
        """Return the bytes of an element that is not a sequence.

        pydicom's exceptions in sequences grow by half with each level of items: 14 levels took gigabytes.
        """
        buffer = self._buffer()
        write_data_element(buffer, element, list(charset))
        return buffer.getvalue()

    def _buffer(self) -> DicomBytesIO:
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = self._encoding
        return buffer


class _DigestWriter(ElementWriter):
    """Writes the input of digests: raw elements as they are, text in UTF-8."""

    def parts(self, dataset: Dataset, tags: list[BaseTag], around: Encodings = ASCII) -> list[bytes]:
        parts: list[bytes] = []
        for tag in tags:
            self._add(parts, dataset, dataset._dict[tag], UTF_8)
        return parts

    def _add_raw(self, parts: list[bytes], dataset: Dataset, element: Any, charset: Encodings) -> None:
        parts += (self._plain(element.tag >> 16, element.tag & 0xFFFF, element.length), element.value or b"")


_FOR_DIGESTS = _DigestWriter(implicit=False, little=True)


def value_bytes(element: Any) -> bytes:
    """Return bytes that identify the value of an element that is not raw, without changing it.

    Text is in UTF-8, whatever the instance's character set.
    """
    if element.is_empty:
        return b""
    text = plain_text(element)
    if text is not None:
        return text
    if element.VR in CHARACTER_SET_VRS:
        return text_bytes(element, UTF_8)
    parts: list[bytes] = []
    _FOR_DIGESTS._add(parts, Dataset(), element, UTF_8)
    return b"".join(parts)


def plain_text(element: Any) -> bytes | None:
    """Return the padded value of an element with one ASCII text, None for any other."""
    value = element.value
    if element.VR not in _PLAIN_VRS or not isinstance(value, str) or not value.isascii():
        return None
    data = value.encode()
    return data + (b"\0" if element.VR == "UI" else b" ") * (len(data) % 2)


def file_meta_bytes(
    sop_class: str, sop_instance: str, syntax: UID, implementation: str, version: str
) -> bytes:
    """Return a File Meta Information group (PS3.10 7.1), its group length included."""
    uids = {0x0002: sop_class, 0x0003: sop_instance, 0x0010: str(syntax), 0x0012: implementation}
    parts = [struct.pack("<HH2s2xL", 2, 1, b"OB", 2) + b"\0\1"]
    for element, uid in uids.items():
        value = uid.encode() + b"\0" * (len(uid) % 2)
        parts.append(struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value)
    name = version.encode() + b" " * (len(version) % 2)
    parts.append(struct.pack("<HH2sH", 2, 0x0013, b"SH", len(name)) + name)
    group = b"".join(parts)
    return struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(group)) + group
