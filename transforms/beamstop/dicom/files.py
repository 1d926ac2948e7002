"""Reads DICOM files from bytes, in all forms found in archives, and writes Part 10."""

import copy
import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from beamstop.dicom.character_sets import CannotHoldError, widen
from beamstop.dicom.element_count import MAX_ELEMENTS, check_count
from beamstop.dicom.elements import (
    MALFORMED,
    UNDEFINED_LENGTH,
    ElementWriter,
    failing_if_malformed,
    file_meta_bytes,
    is_open_ended,
    text_of,
    unreadable,
)
from beamstop.dicom.fast_reader import is_cut, read_fast
from beamstop.errors import Failed, Quarantined, Rejected
from beamstop.standard.transfer_syntaxes import transfer_syntax

IMPLEMENTATION_CLASS_UID = UID("2.25.310385428934172643137571962413946163294")
IMPLEMENTATION_VERSION_NAME = "BEAMSTOP_0.5"
MAX_INFLATED_BYTES = 4 << 30
FIRST_PIXEL_TAG = 0x7FE00008  # float, double and pixel data
LAST_PIXEL_TAG = 0x7FE00010
_SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00080016, 0x00080018

_TRANSFER_SYNTAX_UID = 0x00020010
_PIXEL_DATA, _NUMBER_OF_FRAMES = 0x7FE00010, 0x00280008
_FRAGMENTS_END = b"\xfe\xff\xdd\xe0" + bytes(4)  # PS3.5 A.4
_PREFIX_AT = 128
BLANK_PREAMBLE = bytes(_PREFIX_AT)
_META_WITHIN = 1 << 16  # the end of a file meta group, with or without private information
_REQUIRED = {_SOP_INSTANCE_UID: "no_sop_instance_uid", _SOP_CLASS_UID: "no_sop_class_uid"}


@dataclass(frozen=True)
class Encoded:
    """A finished file.

    Attributes:
        data: the whole Part 10 file.
        header: the same without the values of top-level pixel data, inflated if the transfer syntax is
            deflated; CheckLeaks searches it.
        encapsulated: value of compressed pixel data: frames as fragments.
    """

    data: bytes
    header: bytes
    encapsulated: bytes = b""


# The boundary after a part of a multipart message (RFC 2046 5.1.1), and the padding of a record.
_BOUNDARY = re.compile(rb"\r?\n--[0-9A-Za-z'()+_,./:=? -]{0,71}[0-9A-Za-z'()+_,./:=?-](?:\r?\n)?\Z")
_LONGEST_BOUNDARY, _FILLING, _SHORTEST_ELEMENT = 80, b"\r\n\x1a ", 8  # bytes


@failing_if_malformed
def read_dicom(
    data: bytes, max_inflated_bytes: int = MAX_INFLATED_BYTES, max_elements: int = MAX_ELEMENTS
) -> FileDataset:
    """Read one instance: Part 10 with or without preamble, or a bare dataset (PS3.10 7).

    Remains of a transfer after it (the boundary of a multipart message, padding of a record) are ignored, and
    fragments of pixel data may lack the final delimiter if there is at least one per frame.

    Args:
        data: the whole file.
        max_inflated_bytes: largest size a deflated dataset may grow to.
        max_elements: most elements and items, at all depths together.

    Raises:
        Rejected: `not_dicom` or `dicomdir`.
        Failed: `truncated`, `too_large`, `too_deep`, or `unreadable` DICOM.
    """
    try:
        return _read_whole(data, max_inflated_bytes, max_elements)
    except Failed as failure:
        if failure.reason != "truncated":
            raise
        for part, is_closed in _other_ends(data):
            with suppress(Failed):
                dataset = _read_whole(part, max_inflated_bytes, max_elements)
                if not is_closed or _has_a_fragment_for_each_frame(dataset):
                    return dataset
        raise


def _other_ends(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield possible readings of a file, each with whether a final delimiter was added."""
    part = _without_additions(data)
    if len(part) < len(data):
        yield part, False
    if data[-8:] == bytes(8):
        yield data[:-8] + _FRAGMENTS_END, True
    yield data + _FRAGMENTS_END, True


def _has_a_fragment_for_each_frame(dataset: FileDataset) -> bool:
    """Return whether pixel data are the last element and have a fragment per frame after their table.

    Decoding shows whether each frame is complete.
    """
    element: Any = dataset._dict.get(BaseTag(_PIXEL_DATA))
    if element is None or max(dataset._dict) != _PIXEL_DATA or not isinstance(element.value, bytes):
        return False
    if not is_open_ended(element):
        return False
    at, items = 0, 0
    while at + 8 <= len(element.value):
        at, items = at + 8 + int.from_bytes(element.value[at + 4 : at + 8], "little"), items + 1
    frames = text_of(dataset, _NUMBER_OF_FRAMES).strip()
    return at == len(element.value) and items > int(frames if frames.isdecimal() else 1)


def _without_additions(data: bytes) -> bytes:
    """Return a file without a trailing boundary, or else without the padding of a record.

    Fewer bytes than an element has may be the beginning of one: see `fast_reader.is_cut`.
    """
    tail = data[-_LONGEST_BOUNDARY:]
    boundary = _BOUNDARY.search(tail)
    if boundary is not None:
        return data[: len(data) - len(tail) + boundary.start()]
    filled = data.rstrip(_FILLING)
    return filled if len(data) - len(filled) >= _SHORTEST_ELEMENT else data


def _read_whole(data: bytes, max_inflated_bytes: int, max_elements: int) -> FileDataset:
    has_prefix = data[_PREFIX_AT : _PREFIX_AT + 4] == b"DICM"
    if not has_prefix and not _starts_like_a_dataset(data):
        raise Rejected("not_dicom")
    watch = _Truncation(data)
    try:
        check_count(data, _start_of(data), max_elements)
        dataset = _parse(data, watch, max_inflated_bytes, max_elements)
    except (Failed, *MALFORMED) as error:
        if not has_prefix and not watch.saw_sop_class:
            raise Rejected("not_dicom") from None
        if isinstance(error, Failed):
            raise
        raise unreadable(error) from None
    if _is_directory(dataset):
        raise Rejected("dicomdir")
    if not has_prefix and "SOPClassUID" not in dataset and "SOPInstanceUID" not in dataset:
        raise Rejected("not_dicom")
    return dataset


@failing_if_malformed
def read_header(beginning: bytes) -> FileDataset | None:
    """Return the elements before the top-level pixel data; None if these bytes may not have all of them.

    Args:
        beginning: of a file; a deflated file is not inflated.

    Raises:
        Rejected: `not_dicom`.
        Failed: `unreadable`, which the beginning of a longer file may be.
    """
    ended = False

    def is_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal ended
        ended = ended or int(tag) >= FIRST_PIXEL_TAG
        return ended

    if beginning[_PREFIX_AT : _PREFIX_AT + 4] != b"DICM" and not _starts_like_a_dataset(beginning):
        raise Rejected("not_dicom")
    if DeflatedExplicitVRLittleEndian.encode() in beginning:
        return None
    dataset = read_partial(BytesIO(beginning), stop_when=is_pixel_data, force=True)
    return dataset if ended else None


@failing_if_malformed
def copy_of(dataset: Dataset) -> Dataset:
    """Return a deep copy in which every VR is definite.

    pydicom leaves two possibilities (`OB or OW`, `US or SS`) in elements set by keyword, until it writes.

    Raises:
        Failed: `unreadable`: nothing tells which VR applies.
    """
    clean = copy.deepcopy(dataset)
    syntax = transfer_syntax_of(clean)
    _open_end_if_compressed(clean, syntax)
    return correct_ambiguous_vr(clean, syntax.is_little_endian)


@failing_if_malformed
def encode(dataset: Dataset, needs_uids: bool = True) -> Encoded:
    """Write an instance as a Part 10 file with a blank preamble and a new file meta group.

    Args:
        dataset: one clean instance; becomes UTF-8 if its character set lacks a letter of its text.
        needs_uids: refuse a dataset without the UIDs that a valid file needs.

    Raises:
        Quarantined: `no_sop_instance_uid` or `no_sop_class_uid`; PS3.10 7.1 wants both in the meta.
            `character_set`: the letters of its text are unknown.
        Failed: `unreadable`: a value cannot be written in its VR.
    """
    for tag, reason in _REQUIRED.items():
        value = text_of(dataset, tag)
        if needs_uids and (not value or "\\" in value):
            raise Quarantined(reason)
    syntax = transfer_syntax_of(dataset)
    pixel_data = _open_end_if_compressed(dataset, syntax)
    meta = file_meta_bytes(
        text_of(dataset, _SOP_CLASS_UID),
        text_of(dataset, _SOP_INSTANCE_UID),
        syntax,
        IMPLEMENTATION_CLASS_UID,
        IMPLEMENTATION_VERSION_NAME,
    )
    start = BLANK_PREAMBLE + b"DICM" + meta
    writer = ElementWriter(syntax.is_implicit_VR, syntax.is_little_endian)
    try:
        before, pixels, after = _parts(writer, dataset)
    except CannotHoldError:
        widen(dataset)
        before, pixels, after = _parts(writer, dataset)
    header = b"".join((start, *before, *after))
    if syntax == DeflatedExplicitVRLittleEndian:
        return Encoded(start + _deflate(b"".join((*before, *pixels, *after))), header)
    compressed = bytes(pixel_data.value or b"") if syntax.is_encapsulated and pixel_data is not None else b""
    return Encoded(b"".join((start, *before, *pixels, *after)), header, compressed)


def transfer_syntax_of(dataset: Dataset) -> UID:
    """Return the transfer syntax that the file declares, or else the one its encoding shows."""
    meta = getattr(dataset, "file_meta", None)
    named = text_of(meta, _TRANSFER_SYNTAX_UID) if meta is not None else ""
    if named:
        return transfer_syntax(named)
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    if little is None:  # made in code
        return ExplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _open_end_if_compressed(dataset: Dataset, syntax: UID) -> DataElement | RawDataElement | None:
    """Give pixel data the length required by PS3.5 A.4, undefined if compressed; return them."""
    pixel_data = dataset._dict.get(BaseTag(LAST_PIXEL_TAG))
    if isinstance(pixel_data, DataElement):  # raw elements already say how they were encoded
        pixel_data.is_undefined_length = syntax.is_compressed
    return pixel_data


def _starts_like_a_dataset(data: bytes) -> bool:
    """Return whether the first tag is of group 0002 or 0008, in either byte order."""
    return len(data) >= 12 and data[:2] in (b"\x02\0", b"\x08\0", b"\0\x08")


def _start_of(data: bytes) -> int:
    """Return where the first element of a file begins."""
    return _PREFIX_AT + 4 if data[_PREFIX_AT : _PREFIX_AT + 4] == b"DICM" else 0


def _parse(data: bytes, watch: "_Truncation", max_inflated_bytes: int, max_elements: int) -> FileDataset:
    dataset = None
    if DeflatedExplicitVRLittleEndian.encode() in data[:_META_WITHIN]:
        meta = read_partial(BytesIO(data), stop_when=lambda *_: True, force=True)
        if meta.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            dataset = _read_deflated(data, meta, max_inflated_bytes, max_elements)
    if dataset is None:
        dataset = read_fast(data, watch.stream, watch)
        if dataset is not None:
            watch.finish(dataset)
    if dataset is None:
        watch.stream.seek(0)
        dataset = read_partial(watch.stream, stop_when=watch, force=True)
        watch.finish(dataset)
    if not text_of(dataset.file_meta, _TRANSFER_SYNTAX_UID):
        dataset.file_meta.TransferSyntaxUID = transfer_syntax_of(dataset)
    first = next(iter(dataset._dict.values()), None)
    if isinstance(first, RawDataElement) and first.is_implicit_VR:
        # Some writers declare an explicit syntax and write implicit VR; tell pydicom which it is.
        dataset.set_original_encoding(True, True, dataset._character_set)
    dataset.filename = None
    dataset.buffer = None
    return dataset


def _read_deflated(data: bytes, meta: FileDataset, max_inflated_bytes: int, max_elements: int) -> FileDataset:
    """Inflate within a limit, then read; a bomb must not fill the memory."""
    group_length = meta.file_meta.get("FileMetaInformationGroupLength")
    if group_length is None:
        raise Failed("unreadable", "FileMetaInformationGroupLength")
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    plain = inflater.decompress(data[_start_of(data) + 12 + int(group_length) :], max_inflated_bytes)
    if inflater.unconsumed_tail:
        raise Failed("too_large", "deflated dataset")
    if not inflater.eof:
        raise Failed("truncated")
    check_count(plain, 0, max_elements)
    watch = _Truncation(plain)
    inner = read_dataset(watch.stream, False, True, stop_when=watch)
    watch.finish(inner)
    dataset = FileDataset(None, inner, meta.preamble, meta.file_meta, False, True)  # type: ignore[arg-type]
    dataset.set_original_encoding(False, True, inner._character_set)
    return dataset


class _Truncation:
    """Watches pydicom read: an element that ends beyond the file shows that the file was cut.

    pydicom itself drops such an element, or keeps a part of it, at most with a warning.
    """

    def __init__(self, data: bytes) -> None:
        self.stream = BytesIO(data)
        self.saw_sop_class = False
        self._size = len(data)
        self._end: int | None = None
        self._open: BaseTag | None = None

    def __call__(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        self.saw_sop_class |= tag == _SOP_CLASS_UID
        if length == UNDEFINED_LENGTH:
            self._end, self._open = None, tag
            return False
        self._end, self._open = self.stream.tell() + length, None
        if self._end > self._size:
            raise Failed("truncated")
        return False

    def finish(self, dataset: Dataset) -> None:
        """Raise if the last element, or the data after it, is cut short."""
        if self._open is not None and self._open not in dataset:
            raise Failed("truncated")
        if self._end is not None and self._end != self._size:
            rest = self.stream.getvalue()[self._end :]
            if len(rest) < 8 and is_cut(rest, max(dataset._dict, default=0)):
                raise Failed("truncated")


def _is_directory(dataset: FileDataset) -> bool:
    named = (text_of(dataset.file_meta, 0x00020002), text_of(dataset, _SOP_CLASS_UID))
    return MediaStorageDirectoryStorage in named or "DirectoryRecordSequence" in dataset


def clean_file_meta(dataset: Dataset) -> FileMetaDataset:
    """Build a new file meta group, without the source's AE titles and private information."""
    texts = {
        0x00020002: ("UI", text_of(dataset, _SOP_CLASS_UID)),
        0x00020003: ("UI", text_of(dataset, _SOP_INSTANCE_UID)),
        0x00020010: ("UI", str(transfer_syntax_of(dataset))),
        0x00020012: ("UI", str(IMPLEMENTATION_CLASS_UID)),
        0x00020013: ("SH", IMPLEMENTATION_VERSION_NAME),
    }
    values = {
        0x00020000: ("UL", bytes(4)),  # pydicom counts when it writes
        0x00020001: ("OB", b"\0\1"),
        **{tag: (vr, text.encode()) for tag, (vr, text) in texts.items()},
    }
    raw = (
        RawDataElement(BaseTag(it), vr, len(value), value, 0, False, True)
        for it, (vr, value) in values.items()
    )
    return FileMetaDataset({element.tag: element for element in raw})


def _parts(writer: ElementWriter, dataset: Dataset) -> list[list[bytes]]:
    """Return the bytes before the top-level pixel data, of the pixel data, and after it."""
    return [writer.parts(dataset, tags) for tags in _split_at_pixels(dataset)]


def _split_at_pixels(dataset: Dataset) -> tuple[list[BaseTag], list[BaseTag], list[BaseTag]]:
    """Return the tags before the top-level pixel data, of the pixel data, and after it."""
    tags = sorted(dataset._dict)
    first, last = bisect_left(tags, FIRST_PIXEL_TAG), bisect_right(tags, LAST_PIXEL_TAG)
    return tags[:first], tags[first:last], tags[last:]


def _deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data) + deflater.flush()
    return deflated + b"\0" * (len(deflated) % 2)
