"""A hospital's own table of subjects: pseudonyms, shifts and refused subjects, as keyed digests.

It is read once, checked, and converted to one sorted file of fixed-width records, which is mapped into
memory. A record has the keyed digest of the original; pseudonym, shift and action are encrypted, each record
with its own key stream. Without the key, a record cannot be read, or changed unnoticed.
"""

import csv
import mmap
import os
import re
import struct
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from io import TextIOWrapper
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from pydicom.dataset import Dataset

from beamstop.dicom.elements import text_of
from beamstop.errors import SubjectsError, did_you_mean
from beamstop.given_files import open_given, read_given
from beamstop.identity import Identity, Subject

COLUMNS = ("patient_id", "pseudonym", "issuer", "accession_number", "shift_days", "action")
_ACTIONS = {"": False, "keep": False, "refuse": True}
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PATIENT_ID, _ISSUER, _ACCESSION_NUMBER = 0x00100020, 0x00100021, 0x00080050
_LONGEST_PSEUDONYM = 64  # characters: PS3.5 6.2, LO
_SHORTEST_TELLING = 4  # characters, as in CheckLeaks
_NO_PATIENT = "none"  # the folder of instances without PatientID, in lower case
_SIGNS = re.compile(r"[\W_]+")
_WHOLE = re.compile(r"(-?\d+)(?:\.0+)?")
_OF_PATIENT_IDS = "PatientID "  # prefix of the names of lists of PatientIDs
_NAMED = 5  # line numbers in one message
_AT_ONCE = 10_000  # rows of Parquet
_LARGEST, _LONGEST_LINE = 1 << 30, 1 << 16  # bytes of a table, characters of its header


class Kind(IntEnum):
    """The kind of original by which a line is found."""

    PATIENT = 1
    ISSUED = 2  # by issuer and PatientID
    ACCESSION = 4
    LISTED = 8  # a value in a bouncer's list


class Line(NamedTuple):
    """One line of the table.

    Attributes:
        number: of the line in the file; the header is line 1.
        kind: the kind of original by which it is found.
        original: PatientID, accession number, or a value in a list.
        issuer: of the PatientID; of a value in a list, the name of the list.
        subject: its contents.
        key: the keyed digest by which it is found, 16 bytes.
    """

    number: int
    kind: Kind
    original: str
    issuer: str
    subject: Subject
    key: bytes

    def said(self, identity: Identity) -> bytes:
        """Return a keyed digest of the line's contents."""
        pseudonym, days, is_refused = self.subject
        return identity.digest("subject-line", pseudonym, str(days or 0), str(int(is_refused)))


def read_subjects(
    path: str | os.PathLike[str],
    identity: Identity,
    columns: Mapping[str, str] | None = None,
    merge: bool = False,
) -> list[Line]:
    """Read a table and check it completely.

    Args:
        path: a CSV, TSV or Parquet file with a header.
        identity: `recipe.identity(key)`: which spellings are equal, and which shifts are allowed.
        columns: beamstop's name of a column → the file's name, if it differs.
        merge: several originals may have one pseudonym.

    Raises:
        SubjectsError: it cannot be used; the message has line numbers, but no value.
    """
    lines, wrong = [], _Wrong()
    for number, cells in _rows(Path(path), dict(columns or {}), wrong):
        line = _line(number, cells, identity, wrong)
        if line is not None:
            lines.append(line)
    wrong.check()
    _check_originals(lines)
    _check_pseudonyms(lines, merge)
    if not lines:
        raise SubjectsError("--subjects: the table has only a header")
    return lines


def read_list(path: str | os.PathLike[str], name: str, identity: Identity) -> list[Line]:
    """Read a list of values, one per line.

    Args:
        path: a text file in UTF-8.
        name: of the list.
        identity: `recipe.identity(key)`.

    Raises:
        SubjectsError: it cannot be read, or is empty.
    """
    try:
        texts = read_given(path, _LARGEST).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise SubjectsError(f"bouncers: listed: {path}: {error.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise SubjectsError(f"bouncers: listed: {path}: the file is not UTF-8; save it as such") from None
    values = {text.strip(): number for number, text in enumerate(texts, start=1) if text.strip()}
    if not values:
        raise SubjectsError(f"bouncers: listed: {path}: the list is empty")
    kind, nothing = Kind.LISTED, Subject("")
    lines = (
        Line(number, kind, value, name, nothing, line_key(identity, kind, value, name))
        for value, number in values.items()
    )
    return list({line.key: line for line in lines}.values())


class _Wrong:
    """Mistakes, and the lines that have them."""

    def __init__(self) -> None:
        self._lines: dict[str, list[int]] = defaultdict(list)

    def note(self, number: int, what: str) -> None:
        self._lines[what].append(number)

    def check(self) -> None:
        if self._lines:
            raise SubjectsError(
                "--subjects: " + "; ".join(f"{_named(it)}: {what}" for what, it in self._lines.items())
            )


def _named(numbers: list[int]) -> str:
    """Return line numbers in words, shortened if there are many.

    >>> _named([3]), _named([4, 9])
    ('line 3', 'lines 4, 9')
    """
    first = ", ".join(map(str, numbers[:_NAMED]))
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"{'line' if len(numbers) == 1 else 'lines'} {first}{more}"


def _rows(path: Path, columns: dict[str, str], wrong: _Wrong) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield number and cells of every line, by beamstop's names of the columns."""
    ours = {columns.get(name, name): name for name in COLUMNS}
    try:
        if path.suffix.lower() == ".parquet":
            yield from _parquet_rows(path, ours)
        elif path.suffix.lower() in _DELIMITERS:
            yield from _text_rows(path, _DELIMITERS[path.suffix.lower()], ours, wrong)
        else:
            raise SubjectsError("--subjects: the file's name must end in .csv, .tsv or .parquet")
    except OSError as error:
        why = error.strerror or "it is not a Parquet file"
        raise SubjectsError(f"--subjects {path}: {why}; check the path") from None


def _text_rows(
    path: Path, delimiter: str, ours: Mapping[str, str], wrong: _Wrong
) -> Iterator[tuple[int, dict[str, str]]]:
    with TextIOWrapper(open_given(path, _LARGEST), encoding="utf-8-sig", newline="") as file:
        try:
            header = file.readline(_LONGEST_LINE)
            if "\0" in header or len(header) == _LONGEST_LINE:
                raise SubjectsError("--subjects: the file is not a table in text; name one")
            file.seek(0)
            # Spreadsheets separate by semicolons in countries where 1,5 is a number.
            if ";" in header and delimiter not in header:
                delimiter = ";"
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            names = _checked_header([name.strip() for name in next(reader, [])], ours)
            for cells in reader:
                if not any(map(str.strip, cells)):
                    continue
                if len(cells) != len(names):
                    wrong.note(reader.line_num, "it must have as many cells as the header")
                    continue
                yield reader.line_num, {name: it.strip() for name, it in zip(names, cells, strict=True)}
        except UnicodeDecodeError:
            raise SubjectsError("--subjects: the file is not UTF-8; save it as such") from None
        except csv.Error:
            raise SubjectsError(
                f"--subjects: line {reader.line_num}: quotes or line ends cannot be understood"
            ) from None


def _parquet_rows(path: Path, ours: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_given(path, _LARGEST) as opened, pq.ParquetFile(opened) as file:
            schema = file.schema_arrow
            names = _checked_header(schema.names, ours)
            for theirs, name in zip(schema.names, names, strict=True):
                kind = schema.field(theirs).type
                if pa.types.is_dictionary(kind):  # as categories of pandas are written
                    kind = kind.value_type
                is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
                if not (is_text or pa.types.is_null(kind) or name == "shift_days"):
                    raise SubjectsError(
                        f"--subjects: column {theirs} is not text: a number has lost leading zeros; "
                        "write it as text"
                    )
            number = 1
            for batch in file.iter_batches(_AT_ONCE):
                for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield (
                        number,
                        {
                            name: "" if it is None else str(it).strip()
                            for name, it in zip(names, cells, strict=True)
                        },
                    )
    except pa.ArrowException:
        raise SubjectsError("--subjects: it is not a Parquet file; name one") from None


def _checked_header(theirs: list[str], ours: Mapping[str, str]) -> list[str]:
    """Return beamstop's names of a file's columns."""
    for name in theirs:
        if name not in ours:
            near = did_you_mean(name, ours)
            raise SubjectsError(
                f"--subjects: a column has a name that is none of {', '.join(ours)}{near}; "
                "leave it out, or name it under subjects: columns in the recipe"
            )
    names = [ours[name] for name in theirs]
    if len(set(names)) < len(names):
        raise SubjectsError("--subjects: two columns have one name")
    if not {"patient_id", "accession_number"} & set(names):
        raise SubjectsError("--subjects: there is no column patient_id, nor one accession_number")
    if not {"pseudonym", "action"} & set(names):
        raise SubjectsError("--subjects: there is no column pseudonym")
    return names


def _line(number: int, cells: Mapping[str, str], identity: Identity, wrong: _Wrong) -> Line | None:
    """Return a line; None if it has a mistake, which is recorded."""
    patient_id, issuer = cells.get("patient_id", ""), cells.get("issuer", "")
    accession, pseudonym = cells.get("accession_number", ""), cells.get("pseudonym", "")
    action = cells.get("action", "").lower()
    original = patient_id or accession
    found = [
        *_wrong_with_original(patient_id, issuer, accession),
        *([] if action in _ACTIONS else ["the action must be keep or refuse"]),
    ]
    is_refused = _ACTIONS.get(action, False)
    if pseudonym or not is_refused:
        found += _wrong_with_pseudonym(pseudonym, original)
    days, why = _days(cells.get("shift_days", ""), identity.shift_range)
    for what in (*found, *why):
        wrong.note(number, what)
    if found or why:
        return None
    kind = Kind.ACCESSION if accession else Kind.ISSUED if issuer else Kind.PATIENT
    key = line_key(identity, kind, original, issuer)
    return Line(number, kind, original, issuer, Subject(pseudonym, days, is_refused), key)


def _wrong_with_original(patient_id: str, issuer: str, accession: str) -> Iterator[str]:
    if not patient_id and not accession:
        yield "patient_id and accession_number are both empty"
    if patient_id and accession:
        yield "patient_id and accession_number are both there: name one, by which the line is found"
    if issuer and not patient_id:
        yield "there is an issuer without a patient_id"


def _wrong_with_pseudonym(pseudonym: str, original: str) -> Iterator[str]:
    if not pseudonym:
        yield "the pseudonym is empty"
    elif not (pseudonym.isascii() and pseudonym.isprintable()) or {"/", "\\"} & set(pseudonym):
        yield "the pseudonym cannot be part of a path: ASCII without slashes is allowed"
    elif pseudonym.startswith(".") or pseudonym.lower() == _NO_PATIENT:
        yield "the pseudonym cannot be part of a path: it begins with a point, or says NONE"
    elif len(pseudonym) > _LONGEST_PSEUDONYM:
        yield f"the pseudonym has more than {_LONGEST_PSEUDONYM} characters"
    elif len(pseudonym) >= _SHORTEST_TELLING and _holds(pseudonym, original):
        yield "the pseudonym holds the original"


def _holds(pseudonym: str, original: str) -> bool:
    """Return whether a pseudonym contains its original: unchanged, without signs, or without leading zeros.

    >>> _holds("study-AB12", "ab-12"), _holds("P4711", "0004711"), _holds("S001", "4711")
    (True, True, False)
    """
    mine, bare = (_SIGNS.sub("", it.casefold()) for it in (pseudonym, original))
    short = bare.lstrip("0") if bare.isdecimal() else ""
    return bool(bare and bare in mine) or (len(short) >= _SHORTEST_TELLING and short in mine)


def _bare(text: str) -> str:
    """Return a PatientID without signs, case and leading zeros."""
    return _SIGNS.sub("", text.casefold()).lstrip("0")


def _days(text: str, allowed: tuple[int, int]) -> tuple[int | None, list[str]]:
    if not text:
        return None, []
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return None, ["shift_days is not a whole number"]
    fewest, most = allowed
    if not fewest <= int(whole[1]) <= most:
        return None, [
            f"shift_days is not within {fewest} and {most}, the days by which dates go back "
            "(dates: shift_days in the recipe)"
        ]
    return int(whole[1]), []


def _check_originals(lines: Iterable[Line]) -> None:
    """Raise if two lines are about one original."""
    first: dict[bytes, int] = {}
    wrong = _Wrong()
    for line in lines:
        before = first.setdefault(line.key, line.number)
        if before != line.number:
            wrong.note(line.number, f"line {before} has the same original")
    wrong.check()


def _check_pseudonyms(lines: Sequence[Line], merge: bool) -> None:
    """Raise if originals share a pseudonym without `merge`, their lines disagree, or it is an original."""
    first: dict[str, Line] = {}
    originals = {_bare(line.original): line for line in lines}
    wrong = _Wrong()
    for line in lines:
        if not line.subject.pseudonym:
            continue
        bare = _bare(line.subject.pseudonym)
        if len(bare) >= _SHORTEST_TELLING and originals.get(bare, line) is not line:
            wrong.note(line.number, f"the pseudonym is the original of line {originals[bare].number}")
        # A file system may not distinguish capitals from small letters.
        before = first.setdefault(line.subject.pseudonym.lower(), line)
        if before is line:
            continue
        if not merge or before.subject.pseudonym != line.subject.pseudonym:
            wrong.note(
                line.number,
                f"line {before.number} has the same pseudonym; if they are one subject, say merge: true "
                "under subjects in the recipe",
            )
        elif before.subject != line.subject:
            wrong.note(line.number, f"line {before.number} has the pseudonym with another shift or action")
    wrong.check()


# ---- the file -------------------------------------------------------------------------------------

_MAGIC = b"beamsub1"
_HEAD = struct.Struct(">8sIHBx16s")  # lines, bytes of a record, kinds of lines, digest of the table
_MAC_LENGTH = 32
_CHANGED = "--subjects: the staged table was changed, or made with another key; run again"
_DIGEST_LENGTH = 16
_SAID = struct.Struct(">BHB")  # whether refused, days, length of the pseudonym


def compiled(lines: Iterable[Line], identity: Identity) -> bytes:
    """Return the file that `Subjects` reads.

    Equal lines give equal bytes, in any order and file format.
    """
    found = sorted(lines, key=lambda line: line.key)
    table = table_digest(found, identity)
    longest = max(len(line.subject.pseudonym) for line in found)
    body = []
    for line in found:
        pseudonym, days, is_refused = line.subject
        said = _SAID.pack(is_refused, days or 0, len(pseudonym)) + pseudonym.encode().ljust(longest, b"\0")
        body.append(line.key + _under_key_stream(said, line.key, table, identity))
    kinds = sum({line.kind for line in found})
    head = _HEAD.pack(_MAGIC, len(found), _DIGEST_LENGTH + _SAID.size + longest, kinds, table)
    records = b"".join(body)
    return head + identity.digest("subjects-file", head, records) + records


def table_digest(lines: Iterable[Line], identity: Identity) -> bytes:
    """Return a keyed digest of a table, 16 bytes, the same in any order of its lines."""
    digests = sorted((line.key, line.said(identity)) for line in lines)
    return identity.digest("subjects", *(part for pair in digests for part in pair))[:_DIGEST_LENGTH]


def _under_key_stream(data: bytes, key: bytes, table: bytes, identity: Identity) -> bytes:
    """Encrypt data with a key stream that is used only for one line of one table.

    Encrypting twice gives the data again.
    """
    begun = identity.begin("subject-stream", table, key)
    stream = b"".join(begun.digest(bytes([block])) for block in range(-(-len(data) // 32)))
    whole = int.from_bytes(data, "big") ^ int.from_bytes(stream[: len(data)], "big")
    return whole.to_bytes(len(data), "big")


class Subjects:
    """A table from `compiled`, with lines found by an instance's attributes.

    Args:
        data: the file, mapped into memory or not.
        identity: `recipe.identity(key)`, with the same key as for `compiled`.

    Raises:
        SubjectsError: it was made with another key, or changed.
    """

    def __init__(self, data: Any, identity: Identity) -> None:
        self._data, self._identity = data, identity
        start = _HEAD.size + _MAC_LENGTH
        head = bytes(data[: _HEAD.size])
        with memoryview(data) as view:
            mac = identity.digest("subjects-file", head, view[start:])
        if len(data) < start or mac != bytes(data[_HEAD.size : start]):
            raise SubjectsError(_CHANGED)
        _, self._count, self._width, self._kinds, self.digest = _HEAD.unpack(head)
        self._start = start

    @classmethod
    def open(cls, path: str, identity: Identity) -> "Subjects":
        """Return a table whose file is mapped into memory, which all processes of a machine share."""
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise SubjectsError(_CHANGED)
            return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), identity)

    @property
    def has_subjects(self) -> bool:
        """Whether there are lines about subjects, not only lists."""
        return bool(self._kinds & ~Kind.LISTED)

    def is_listed(self, value: str, name: str) -> bool:
        """Return whether a value, or one of several, is in a list."""
        return any(self._find(Kind.LISTED, it.strip(), name) is not None for it in value.split("\\"))

    def of_patient(self, patient_id: str, issuer: str) -> Subject | None:
        """See `Lines`."""
        found = (self._find(*way) for way in _ways(patient_id, issuer, ""))
        return next((line for line in found if line is not None), None)

    def of_instance(self, dataset: Dataset) -> Subject | None:
        """Return the line of an instance: by accession number, else by issuer and PatientID, or PatientID.

        A line that refuses wins over all others, even if it matches only one of several values of an
        attribute.
        """
        said = [text_of(dataset, tag) for tag in (_PATIENT_ID, _ISSUER, _ACCESSION_NUMBER)]
        found = [line for way in _ways(*said) if (line := self._find(*way)) is not None]
        if any("\\" in text for text in said):
            parts = product(*(text.split("\\") for text in said))
            single = [self._find(*way) for one in parts for way in _ways(*one)]
            found += [line for line in single if line is not None and line.is_refused]
        return next((line for line in found if line.is_refused), found[0] if found else None)

    def _find(self, kind: Kind, original: str, issuer: str) -> Subject | None:
        if not self._kinds & kind:
            return None
        key = line_key(self._identity, kind, original, issuer)
        at = bisect_left(range(self._count), key, key=self._key_at)
        if at == self._count or self._key_at(at) != key:
            return None
        begin = self._start + at * self._width
        hidden = bytes(self._data[begin + _DIGEST_LENGTH : begin + self._width])
        said = _under_key_stream(hidden, key, self.digest, self._identity)
        is_refused, days, length = _SAID.unpack_from(said)
        pseudonym = said[_SAID.size : _SAID.size + length].decode()
        return Subject(pseudonym, days or None, bool(is_refused))

    def _key_at(self, at: int) -> bytes:
        begin = self._start + at * self._width
        return bytes(self._data[begin : begin + _DIGEST_LENGTH])


def _ways(patient_id: str, issuer: str, accession: str) -> Iterator[tuple[Kind, str, str]]:
    """Yield the keys under which an instance's line may be found, the most specific first."""
    patient_id, issuer, accession = patient_id.strip(), issuer.strip(), accession.strip()
    if accession:
        yield Kind.ACCESSION, accession, ""
    if patient_id and issuer:
        yield Kind.ISSUED, patient_id, issuer
    if patient_id:
        yield Kind.PATIENT, patient_id, ""


def line_key(identity: Identity, kind: Kind, original: str, issuer: str = "") -> bytes:
    """Return the keyed digest by which a line is found."""
    if kind in (Kind.PATIENT, Kind.ISSUED) or issuer.startswith(_OF_PATIENT_IDS):
        original = identity.one_writing(original)
    return identity.digest("subject", kind.name, original, issuer)[:_DIGEST_LENGTH]
