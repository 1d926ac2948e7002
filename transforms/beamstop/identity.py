"""Keyed, stateless stand-ins: the same key and value give the same result on every worker."""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from pydicom.dataset import Dataset

from beamstop.dicom.elements import text_of
from beamstop.errors import KeyReferenceError
from beamstop.standard.uids import is_well_known_uid

MIN_KEY_LENGTH = 16
MAX_UID_LENGTH = 64  # PS3.5 9.1
DEFAULT_SHIFT_RANGE = (1, 3650)
_PATIENT_ID, _STUDY_INSTANCE_UID = 0x00100020, 0x0020000D
_UID_DIGITS = 30  # of a UID by kskit's method


def gen_dicom_uid(patient_id: str, guid: str, org_root: str) -> str:
    """Return the UID that kskit makes from a UID, without a key: anybody who knows the UID can find it.

    >>> gen_dicom_uid("", "1.123.123.1234.123456.12345678", "9.9.9.9.9")
    '9.9.9.9.9.474079559915109435636573090782'
    """
    digest = hashlib.sha256(f"{patient_id}{guid.replace('.', '')}".encode()).hexdigest()
    return f"{org_root}.{str(int(digest, 16))[:_UID_DIGITS]}"


class Subject(NamedTuple):
    """The line of a table of subjects for one instance.

    Attributes:
        pseudonym: replaces PatientID; empty for a refused subject.
        shift_days: number of days by which dates move back; None for the shift derived from the key.
        is_refused: no instance of this subject is admitted.
    """

    pseudonym: str
    shift_days: int | None = None
    is_refused: bool = False


class Lines(Protocol):
    """The lines of a table of subjects."""

    @property
    def has_subjects(self) -> bool:
        """Whether there are lines about subjects, not only lists."""

    def is_listed(self, value: str, name: str) -> bool:
        """Return whether a value, or one of several, is in a bouncer's list."""

    def of_patient(self, patient_id: str, issuer: str) -> Subject | None:
        """Return the line of a PatientID; None if there is none."""

    def of_instance(self, dataset: Dataset) -> Subject | None:
        """Return the line of an instance; None if there is none."""


@dataclass(frozen=True)
class Identity:
    """The run's key, and the stand-ins derived from it.

    Every value is an HMAC-SHA-256 with a label for its purpose, so that a UID reveals nothing about a
    pseudonym of the same text, and nothing can be derived without the key.

    Attributes:
        key: the secret, 32 bytes from `beamstop keygen`; at least 16, or KeyReferenceError is raised.
        uid_root: UIDs become `<root>.<digits>`; None gives `2.25.<UUID as integer>` (PS3.5 B.2).
        kskit_uids: use kskit's unkeyed, guessable method under `uid_root` instead.
        shift_range: fewest and most whole days by which a patient's dates move back, both included.
        with_issuer: the pseudonym of PatientID also depends on IssuerOfPatientID.
        normalize: spellings of one PatientID that count as equal: `case`, `leading-zeros`.
        subjects: a table of subjects; None if all pseudonyms are derived from the key.
        subject: the line of the instance given to `of`.
        own_id: the PatientID of that instance, from `one_writing`.
    """

    key: bytes
    uid_root: str | None = None
    kskit_uids: bool = False
    shift_range: tuple[int, int] = DEFAULT_SHIFT_RANGE
    with_issuer: bool = False
    normalize: frozenset[str] = frozenset()
    subjects: Lines | None = field(default=None, repr=False, compare=False)
    subject: Subject | None = field(default=None, repr=False)
    own_id: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < MIN_KEY_LENGTH:
            raise KeyReferenceError(
                f"key of {len(self.key)} bytes; at least {MIN_KEY_LENGTH} are needed: use beamstop keygen"
            )

    def __repr__(self) -> str:
        return "Identity(key=<secret>)"

    def of(self, dataset: Dataset) -> "Identity":
        """Return the identity for one instance, with its line of the table, if it has one."""
        if self.subjects is None:
            return self
        own_id = self.one_writing(text_of(dataset, _PATIENT_ID))
        return replace(self, subject=self.subjects.of_instance(dataset), own_id=own_id)

    def digest(self, purpose: str, *parts: bytes | str | memoryview) -> bytes:
        """Return 32 bytes of HMAC-SHA-256 over the purpose and the parts, unambiguously joined."""
        return self.begin(purpose).digest(*parts)

    def begin(self, purpose: str, *parts: bytes | str | memoryview) -> "Begun":
        """Return the common beginning of many digests: `begin(a, b).digest(c)` is `digest(a, b, c)`."""
        return Begun(_taking(hmac.new(self.key, purpose.encode(), "sha256"), parts))

    def uid(self, value: str, tag: int = 0) -> str:
        """Return the UID that replaces `value`; well-known UIDs and an empty value stay.

        Args:
            value: a UID, padding allowed.
            tag: of its attribute, see `is_well_known_uid`.

        >>> Identity(b"k" * 32).uid("1.2.840.10008.1.2.1")
        '1.2.840.10008.1.2.1'
        """
        value = value.strip(" \0")
        if not value or is_well_known_uid(value, tag):
            return value
        if self.kskit_uids and self.uid_root:
            return gen_dicom_uid("", value, self.uid_root)
        digest = self.digest("uid", value)
        if self.uid_root is None:
            return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"
        digits = str(int.from_bytes(digest, "big")).lstrip("0")
        return f"{self.uid_root}.{digits}"[:MAX_UID_LENGTH]

    def pseudonym(self, purpose: str, value: str, length: int = 16) -> str:
        """Return `length` (at most 48) letters A-Z and digits 2-7 that replace `value`.

        16 of them are 80 bits: even among a billion patients, no two are expected to get the same.
        """
        return base64.b32encode(self.digest(purpose, value)).decode()[:length]

    def dummy(self, owner: tuple[str, str], tag: int, value: str, length: int) -> str:
        """Return letters and digits that replace a value of one attribute of one patient.

        The same value of another patient, or in another attribute, gets others, so that nobody can tell which
        patients share a physician or a room.

        Args:
            owner: see `owner_of`.
            tag: of the attribute.
            value: the original.
            length: at most 48.
        """
        return base64.b32encode(self.digest("dummy", *owner, f"{tag:08x}", value)).decode()[:length]

    def patient_id(self, value: str, issuer: str = "") -> str:
        """Return the pseudonym of a PatientID, by the table or the key; empty stays empty.

        >>> identity = Identity(b"k" * 32, normalize=frozenset({"case", "leading-zeros"}))
        >>> identity.patient_id("0012a") == identity.patient_id("12A")
        True
        """
        line = self._line_of(value, issuer)
        if line is not None and line.pseudonym:
            return line.pseudonym
        value = self.one_writing(value)
        if not value:
            return ""
        if self.with_issuer and issuer.strip():
            value = f"{value}\\{issuer.strip()}"  # neither can contain a backslash: PS3.5 6.2
        return self.pseudonym("patient", value)

    def _line_of(self, value: str, issuer: str) -> Subject | None:
        """Return the line of a PatientID; for the instance's own, it may be one by accession number."""
        if self.subject is not None and self.one_writing(value) == self.own_id:
            return self.subject
        return self.subjects.of_patient(value, issuer) if self.subjects is not None else None

    def shift_days(self, dataset: Dataset) -> int:
        """Return the number of whole days by which this patient's dates move: negative, never 0.

        An instance without PatientID is shifted by its study.
        """
        if self.subject is not None and self.subject.shift_days is not None:
            return -self.subject.shift_days
        digest = self.digest("shift", *self.owner_of(dataset))
        fewest, most = self.shift_range
        return -(fewest + int.from_bytes(digest[:8], "big") % (most - fewest + 1))

    def owner_of(self, dataset: Dataset) -> tuple[str, str]:
        """Return the owner of an original: a patient, by PatientID, or else a study, by its UID.

        All originals with one pseudonym in a table are one patient, whatever their PatientID.
        """
        if self.subject is not None and self.subject.pseudonym:
            return ("subject", self.subject.pseudonym)
        patient = self.one_writing(text_of(dataset, _PATIENT_ID))
        return ("patient", patient) if patient else ("study", text_of(dataset, _STUDY_INSTANCE_UID).strip())

    def one_writing(self, patient_id: str) -> str:
        """Return one spelling for all equal spellings of a PatientID; empty only if it is empty."""
        value = patient_id.strip()
        if "case" in self.normalize:
            value = value.casefold()
        if "leading-zeros" in self.normalize:
            value = value.lstrip("0") or value[-1:]
        return value


class Begun(NamedTuple):
    """An HMAC-SHA-256 whose message has begun."""

    mac: hmac.HMAC

    def digest(self, *parts: bytes | str | memoryview) -> bytes:
        """Return the 32 bytes over the beginning and these parts, unambiguously joined."""
        return _taking(self.mac.copy(), parts).digest()


_SHORT = 4096  # bytes


def _taking(mac: hmac.HMAC, parts: Iterable[bytes | str | memoryview]) -> hmac.HMAC:
    short: list[bytes] = []  # joined, because each call costs more than the bytes
    for part in parts:
        if isinstance(part, str):
            part = part.encode("utf-8", "surrogatepass")
        if len(part) <= _SHORT:
            short.append(b"\0%d:%b" % (len(part), bytes(part)))
        else:
            mac.update(b"".join((*short, b"\0%d:" % len(part))))
            mac.update(part)  # without a copy: a part may be a whole file
            short = []
    mac.update(b"".join(short))
    return mac
