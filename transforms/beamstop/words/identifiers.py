"""An instance's identifying values (who, where, when), collected once for descriptors and leak search.

Identifying are:

1. by value representation, at every depth, private elements included: PN; DA and DT (their date);
   UI that is neither well known (PS3.6 Annex A) nor beamstop's own, which every clean file has;
2. by attribute, `_ATTRIBUTES` below: identifiers of patient, order, specimen and device, places and
   organisations, telephones and mail;
3. codes inside the sequences that identify persons and institutions (`_IDENTIFICATION_SEQUENCES`).

4. in private elements: UIDs inside any value, and values that are PN, DA, DT or UI in pydicom's private
   dictionary if the file has no VR. Names are not guessed: HEAD^Brain is a protocol.

Comments and descriptions are not identifiers: identifiers are searched in them.

A maker's or model's name and a code of a coding scheme identify nobody: a station, an institution or a
procedure step with that name (`_CALLED_SO`) is not an identifier, unless a person has the name or a person's
number equals it, or the value names an institution. Nor does a body part that the instance declares identify
anybody, in any identifier.

A kept number of a device (`_DEVICES`) does not count as a part of a station's name either: see
`Identifiers.kept_devices`.

Values that the recipe keeps are not identifiers, neither for descriptors nor for the leak check: a value in a
kept element of the kinds above is dropped everywhere (a kept StudyDate that equals a birth date; a kept
InstitutionName in a description), because the clean file has it anyway. But the name of a kept device
(`_DEVICES`) exempts no person's name and no whole identifier: a serial number that equals one is a leak. It
does exempt a hospital's name, after which stations are often called. Other kept elements exempt nothing:
identifiers leak through them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from functools import cache
from typing import Any

from pydicom._dicom_dict import DicomDictionary
from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import private_dictionary_VR, tag_for_keyword
from pydicom.dataelem import convert_raw_data_element
from pydicom.dataset import Dataset

from beamstop.dicom.deadline import check_time
from beamstop.dicom.elements import MALFORMED, UNKNOWN_VRS, as_sequence, hides_sequence
from beamstop.dicom.files import IMPLEMENTATION_CLASS_UID
from beamstop.dicom.limits import DEEPEST
from beamstop.dicom.tags import private_block_start
from beamstop.standard.defined_terms import is_body_part
from beamstop.standard.uids import is_well_known_uid
from beamstop.words.normal_form import WORD, normal_form
from beamstop.words.vocabulary import fold, titles, two_letter_umlauts
from beamstop.words.writings import is_misread, readings

Path = tuple[int, ...]  # tags from the top level to an attribute, without item numbers
Words = tuple[str, ...]  # of a value, folded: "O'Brien-Smith 7" is ("o", "brien", "smith", "7")
Name = tuple[Words, ...]  # components as PS3.5 6.2.1 orders them: family, given, middle, prefix, suffix

_RUN = re.compile(r"[^\W\d_]+|\d+")
_COUNTRY_CODES = (1, 2, 3)  # digits (ITU-T E.164)
_MIN_NATIONAL = 8  # digits
_DATE = re.compile(r"([0-9]{4})[.]?([0-9]{2})[.]?([0-9]{2})")
_LONGEST_PRIVATE_VALUE = 1 << 18  # bytes; longer values are pictures
_WRITTEN_UID = re.compile(rb"(?<![0-9.])[0-2](?:\.[0-9]+){5,}(?![0-9.])")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+){3,}\Z")
_NAME_GROUPS = re.compile(r"[=\\]")
_NAME_PARTS = re.compile(r"[=\\^ ]")
_DELIMITERS = {ord("\\"), ord("^"), ord("=")}  # reset ISO 2022 escapes (PS3.5 6.1.2.5.3)
_SPECIFIC_CHARACTER_SET = 0x00080005
_MAX_OF_ONE_ADDRESS = 4
_MIN_POSTAL_CODE, _MAX_HOUSE_NUMBER = 4, 4  # digits; digits and letters
_BIRTH_DATES = frozenset({0x00100030, 0x00100033})  # the second in another calendar
_SCHEMES = re.compile(r"(?i)\A\s*(?:mailto|tel|fax|sip|sms)\s*:")
_CODE_TAGS = frozenset({0x00080100, 0x00080119, 0x00080120, 0x00080104})  # three forms of value; meaning
_PLACEHOLDER_DATES = frozenset({date(1900, 1, 1), date(1899, 12, 30), date(1899, 12, 31), date(1911, 11, 11)})
_EARLIEST_YEAR, _LATEST_YEAR = 1850, 2150  # 00010101, 17530101, 99991231 stand for no date


class _Kind(StrEnum):
    NAME = "name"
    ID = "id"
    PLACE = "place"
    CONTACT = "contact"
    DATE = "date"
    UID = "uid"
    SEQUENCE = "sequence"
    PRODUCT = "product"
    CODE = "code"
    BODY_PART = "body part"


_ATTRIBUTES = {
    _Kind.ID: """PatientID OtherPatientIDs IssuerOfPatientID MedicalRecordLocator MilitaryRank
        InsurancePlanIdentification AccessionNumber StudyID StudyIDIssuer AdmissionID IssuerOfAdmissionID
        ServiceEpisodeID IssuerOfServiceEpisodeID RequestedProcedureID ScheduledProcedureStepID
        PerformedProcedureStepID FillerOrderNumberImagingServiceRequest PlacerOrderNumberImagingServiceRequest
        FillerOrderNumberProcedure PlacerOrderNumberProcedure
        ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ClinicalTrialSiteID
        ClinicalTrialProtocolEthicsCommitteeApprovalNumber SpecimenIdentifier SpecimenAccessionNumber
        ContainerIdentifier ContainerComponentID SlideIdentifier BarcodeValue ResultsID ResultsIDIssuer
        InterpretationID InterpretationIDIssuer
        DeviceSerialNumber DeviceID UniqueDeviceIdentifier UDISequence DeviceAlternateIdentifier
        ManufacturerDeviceIdentifier LensSerialNumber SourceSerialNumber CassetteID PlateID
        DetectorID GantryID
        GeneratorID XRayDetectorID XRaySourceID HardcopyCreationDeviceID SecondaryCaptureDeviceID
        ModifyingDeviceID StationName PerformedStationName ScheduledStationName TreatmentMachineName
        StationAETitle RetrieveAETitle ScheduledStationAETitle PerformedStationAETitle
        ScheduledStudyLocationAETitle
        DestinationAE RequestingAE ReceivingAE Originator SourceApplicationEntityTitle
        SendingApplicationEntityTitle ReceivingApplicationEntityTitle PrivateInformationCreatorUID
        StorageMediaFileSetID""",
    _Kind.NAME: """CameraOwnerName NameToUse DistributionName TopicAuthor EthicsCommitteeName""",
    _Kind.PLACE: """InstitutionName InstitutionAddress InstitutionalDepartmentName PatientAddress
        PersonAddress ReferringPhysicianAddress CountryOfResidence RegionOfResidence CurrentPatientLocation
        PatientInstitutionResidence ScheduledPatientInstitutionResidence
        RequestingService ResponsibleOrganization
        VerifyingOrganization HumanPerformerOrganization ClinicalTrialSiteName ClinicalTrialSponsorName
        ClinicalTrialCoordinatingCenterName ClinicalTrialProtocolEthicsCommitteeName PerformedLocation
        ScheduledProcedureStepLocation ScheduledStudyLocation RequestedProcedureLocation OrderEntererLocation
        DistributionAddress AddressTrial ModifyingSystem""",
    _Kind.CONTACT: """PatientTelephoneNumbers PatientTelecomInformation PersonTelephoneNumbers
        PersonTelecomInformation ReferringPhysicianTelephoneNumbers OrderCallbackPhoneNumber
        OrderCallbackTelecomInformation TelephoneNumberTrial""",
}
# Not identifiers, but names after which a station or an institution may be called.
_NOBODYS = {
    _Kind.PRODUCT: """Manufacturer ManufacturerModelName SecondaryCaptureDeviceManufacturer
        SecondaryCaptureDeviceManufacturerModelName DetectorManufacturerName DetectorManufacturerModelName
        ReceiveCoilManufacturerName TransmitCoilManufacturerName LensMake LensModel ApplicationManufacturer
        IOLManufacturer""",
    _Kind.CODE: "CodeValue LongCodeValue URNCodeValue",
    _Kind.BODY_PART: "BodyPartExamined",
}
# Attributes that may have a product's name or a code: never a person's, and never a serial number.
_CALLED_SO = """StudyID RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID
    StationName PerformedStationName ScheduledStationName TreatmentMachineName GantryID GeneratorID
    StationAETitle RetrieveAETitle ScheduledStationAETitle PerformedStationAETitle
    ScheduledStudyLocationAETitle DestinationAE RequestingAE ReceivingAE Originator
    SourceApplicationEntityTitle SendingApplicationEntityTitle ReceivingApplicationEntityTitle
    InstitutionName InstitutionalDepartmentName RequestingService
    ResponsibleOrganization VerifyingOrganization HumanPerformerOrganization ClinicalTrialSponsorName
    ModifyingSystem"""
# Attributes that identify a device but no person; a UDI may be an implant's.
_DEVICES = """DeviceSerialNumber DeviceID ManufacturerDeviceIdentifier LensSerialNumber SourceSerialNumber
    UniqueDeviceIdentifier CassetteID PlateID
    DetectorID GantryID GeneratorID XRayDetectorID XRaySourceID HardcopyCreationDeviceID
    SecondaryCaptureDeviceID ModifyingDeviceID StationName PerformedStationName ScheduledStationName
    TreatmentMachineName StationAETitle RetrieveAETitle ScheduledStationAETitle PerformedStationAETitle
    ScheduledStudyLocationAETitle DestinationAE RequestingAE ReceivingAE Originator
    SourceApplicationEntityTitle SendingApplicationEntityTitle ReceivingApplicationEntityTitle"""
_INSTITUTION = re.compile(
    r"hosp|spital|szpital|clini(?:c|ca|que|cum)?$|klini|krankenh|sjukhus|ziekenh|universi|praxis|praktijk|sanator"
    r"|cabinet|polyclin|radiolog|cent(?:er|re|rum|ro)$|zentrum$"
)
_CODING_SCHEME_DESIGNATOR = 0x00080102
_IDENTIFICATION_SEQUENCES = {
    0x00401101: _Kind.ID,  # Person Identification Code Sequence: staff numbers
    0x00080082: _Kind.PLACE,  # Institution Code Sequence
}
_NOBODYS_KINDS = frozenset(_NOBODYS)
MAX_ESCAPES = 100_000  # of ISO 2022 in a value: they take 20 µs each
_NOT_TELLING = frozenset({None, _Kind.SEQUENCE}) | _NOBODYS_KINDS
_BY_VR = {"PN": _Kind.NAME, "DA": _Kind.DATE, "DT": _Kind.DATE, "UI": _Kind.UID, "SQ": _Kind.SEQUENCE}


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The identifying values of one instance that its recipe does not keep, normalised.

    Attributes:
        names: of persons, by component.
        ids: numbers and codes of patients, orders, devices, stations.
        places: institutions, departments, addresses.
        contacts: telephone numbers and mail addresses.
        dates: days, without placeholders (1900-01-01).
        uids: those not well known.
        births: of the dates, those of birth.
        spellings: words of names and places that are not plain ASCII, lower case, accents kept.
        misread: names whose bytes seem to have been read in the wrong character set, unchanged.
        kept: words of names, ids and places that the recipe keeps, of products, and body parts.
        kept_dates: days that the recipe keeps.
        kept_devices: numbers of devices that the recipe keeps, without leading zeros; none of them is also a
            part of an identifier of anything else. Those in a pseudonym from a table are among them.
        encodings: Python's names of the character sets that the instance declares.
    """

    names: frozenset[Name] = frozenset()
    ids: frozenset[Words] = frozenset()
    places: frozenset[Words] = frozenset()
    contacts: frozenset[Words] = frozenset()
    dates: frozenset[date] = frozenset()
    uids: frozenset[str] = frozenset()
    births: frozenset[date] = frozenset()
    spellings: frozenset[str] = frozenset()
    misread: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    kept_dates: frozenset[date] = frozenset()
    kept_devices: frozenset[str] = frozenset()
    encodings: tuple[str, ...] = ()

    def without_dates(self, dates: Iterable[date]) -> "Identifiers":
        """Return the same without some dates: those that beamstop itself wrote into the clean file.

        A shifted date may by chance be another date of the original.
        """
        return replace(self, dates=self.dates.difference(dates), births=self.births.difference(dates))

    def without_parts(self, pseudonym: str) -> "Identifiers":
        """Return the same, with the numbers in a table's pseudonym not counted as part of an identifier.

        A pseudonym may be a part of the original; the whole original is still an identifier.
        """
        numbers = {run.lstrip("0") for run in runs_of(words_of(pseudonym)) if run.isdecimal()}
        return replace(self, kept_devices=self.kept_devices | numbers)


def harvest(dataset: Dataset, is_kept: Callable[[Path], bool]) -> Identifiers:
    """Collect the identifying values of an original dataset at every depth, and of its file meta.

    Raw elements stay raw, except sequences, which the rules engine visits anyway. A sequence that
    cannot be read, or lies deeper than `DEEPEST` items, is left to the rules engine, which refuses it.

    Args:
        dataset: as read, before anything is changed.
        is_kept: whether the recipe keeps an attribute unchanged, by the tags from the top level to it; for
            the effect see the module's docstring.
    """
    harvester = _Harvester(is_kept)
    harvester.visit(dataset)
    meta = getattr(dataset, "file_meta", None)
    if meta is not None:
        harvester.visit(meta, is_meta=True)
    return harvester.result()


def words_of(text: str) -> Words:
    """Return the folded words of a text: runs of letters and digits.

    >>> words_of("O'Brien-Smith_7")
    ('o', 'brien', 'smith', '7')
    """
    return tuple(WORD.findall(fold(normal_form(text))))


def runs_of(words: Words) -> Words:
    """Return the runs of letters and of digits in words: as "ACC0099123" is written "acc 0099123", too.

    >>> runs_of(("px77", "120"))
    ('px', '77', '120')
    """
    return tuple(run for word in words for run in _RUN.findall(word))


def telephone_numbers(words: Words) -> set[str]:
    """Return the digits of a telephone number, with and without a possible country code or leading zero.

    >>> sorted(telephone_numbers(("32", "478", "551290")))
    ['2478551290', '32478551290', '478551290', '78551290']
    >>> sorted(telephone_numbers(("0478", "551290")))
    ['0478551290', '478551290']
    """
    digits = "".join(filter(str.isdecimal, words))
    bare = digits.removeprefix("00")
    codes = (0,) if bare.startswith("0") else _COUNTRY_CODES
    national = {bare[code:].lstrip("0") for code in codes}
    return {digits, *(number for number in national if len(number) >= _MIN_NATIONAL)}


def address_numbers(words: Words) -> Iterator[Words]:
    """Yield the postal code and the house number of an address, in either order: neither identifies alone.

    >>> sorted(address_numbers(("hauptstr", "12", "69120", "heidelberg")))
    [('12', '69120'), ('69120', '12')]
    """
    codes = [word for word in words if word.isdecimal() and len(word) >= _MIN_POSTAL_CODE]
    houses = [word for word in words if word[:1].isdecimal() and len(word) <= _MAX_HOUSE_NUMBER]
    for code in codes[:_MAX_OF_ONE_ADDRESS]:
        for house in houses[:_MAX_OF_ONE_ADDRESS]:
            if house != code:
                yield from ((code, house), (house, code))


class _Values:
    """Values by kind; there is one object for removed elements, and one for kept elements."""

    def __init__(self) -> None:
        self.names: set[Name] = set()
        self.words: dict[_Kind, set[Words]] = {_Kind.ID: set(), _Kind.PLACE: set(), _Kind.CONTACT: set()}
        self.dates: set[date] = set()
        self.births: set[date] = set()
        self.misread: set[str] = set()
        self.uids: set[str] = set()
        self.spellings: set[str] = set()

    def add(self, kind: _Kind, text: str, is_birth: bool = False) -> None:
        if kind is _Kind.DATE:
            self._add_dates(text, is_birth)
        elif kind is _Kind.NAME:
            for reading in (text, *_readings(text)):
                self.names.update(_names(reading))
                self._add_spellings(reading)
            self.misread.update(part for part in _NAME_PARTS.split(text) if is_misread(part))
        else:
            for value in _split(text):
                check_time()
                self._add_value(kind, _SCHEMES.sub("", value) if kind is _Kind.CONTACT else value)
            if kind is _Kind.PLACE:
                self._add_spellings(text)

    def _add_dates(self, text: str, is_birth: bool) -> None:
        for value in _split(text):
            check_time()
            matches = _DATE.finditer(value) if "-" in value[:9] else filter(None, [_DATE.match(value)])
            days = [day for day in map(_day, matches) if day]
            self.dates.update(days)
            if is_birth:
                self.births.update(days)
            if not days and not _DATE.match(value):
                self._add_value(_Kind.ID, value)  # 12/03/2004 in a DA: unparsable, but identifying

    def _add_value(self, kind: _Kind, value: str) -> None:
        if _UID.match(value):
            self.uids.add(value)
        elif words := words_of(value):
            self.words[kind].add(words)

    def _add_spellings(self, text: str) -> None:
        if not text.isascii():
            words = WORD.findall(normal_form(text).lower())
            self.spellings.update(word for word in words if not word.isascii())


class _Harvester:
    def __init__(self, is_kept: Callable[[Path], bool]) -> None:
        self._is_kept = is_kept
        self._gone, self._kept = _Values(), _Values()
        self._called_so = _Values()  # removed values that a product or a code may exempt
        self._products: set[Words] = set()
        self._codes: set[Words] = set()
        self._body_parts: set[str] = set()
        self._devices: list[str] = []  # kept values of devices
        self._others: list[str] = []  # removed identifiers of anything else
        self._encodings: dict[str, None] = {}

    def visit(self, top: Dataset, is_meta: bool = False) -> None:
        """Collect the values of a dataset; those of a file meta, written again, never count as kept."""
        stack: list[tuple[Dataset, _Kind | None, tuple[str, ...], Path]] = [(top, None, (), ())]
        by_tag = _kinds()
        private: list[Any] = []  # values that no VR or table gives a kind
        while stack:
            dataset, code_kind, encodings, path = stack.pop()
            encodings = self._encodings_of(dataset) or encodings
            check_time()
            for key, element in list(dataset._dict.items()):
                tag = int(key)  # pydicom's tags are compared in Python
                said = _BY_VR.get(element.VR)  # type: ignore[arg-type]
                if tag & 0x10000:
                    kind, is_odd = said, False
                    if kind is None and element.VR in UNKNOWN_VRS:
                        kind = _kind_of_private(dataset, tag, element)
                    if said is None:
                        private.append(element.value)
                else:
                    kind = by_tag.get(tag)
                    # The file has an identifying VR, the standard another: then a rule for the tag exempts
                    # nothing.
                    is_odd = said not in _NOT_TELLING and kind in _NOT_TELLING and tag in DicomDictionary
                    kind = said if is_odd or said is _Kind.SEQUENCE else kind or said
                    if kind is None and code_kind is not None and tag in _CODE_TAGS:
                        kind = code_kind
                if kind is None:
                    continue
                if kind in _NOBODYS_KINDS:
                    if code_kind is None or kind is not _Kind.CODE:
                        self._take_nobodys(kind, dataset, element, encodings)
                        continue
                    kind = code_kind
                if kind is not _Kind.SEQUENCE:
                    self._take(kind, None if is_meta or is_odd else (*path, int(tag)), element, encodings)
                elif len(path) < DEEPEST:
                    below = _IDENTIFICATION_SEQUENCES.get(tag)
                    here = (*path, int(tag))
                    items = _items(dataset, tag, list(encodings))
                    stack.extend((item, below, encodings, here) for item in items)
        self._take_private_uids(private)

    def result(self) -> Identifiers:
        gone, kept = self._gone, self._kept
        products = self._excuse()
        others = {words_of(value) for text in self._others for value in _split(text)}
        devices = {words_of(value) for text in self._devices for value in _split(text)}
        ids = gone.words[_Kind.ID] - (kept.words[_Kind.ID] - devices) - (devices - others)
        # A kept device's name exempts neither a person's name nor a whole number of somebody.
        kept_words = {word for words in devices for word in (*words, "".join(words))}
        kept_words -= {word for name in gone.names for component in name for word in component}
        kept_words -= {"".join(words) for words in others}
        kept_values = [words for values in kept.words.values() for words in values if words not in devices]
        kept_words.update(word for words in kept_values for word in (*words, "".join(words)))
        kept_words.update(word for name in kept.names for component in name for word in component)
        kept_words |= products | self._body_parts
        return Identifiers(
            names=frozenset(gone.names - kept.names),
            ids=frozenset(ids),
            places=frozenset(gone.words[_Kind.PLACE] - kept.words[_Kind.PLACE]),
            contacts=frozenset(gone.words[_Kind.CONTACT] - kept.words[_Kind.CONTACT]),
            dates=frozenset(gone.dates - kept.dates),
            uids=frozenset(gone.uids - kept.uids),
            births=frozenset(gone.births - kept.dates),
            spellings=frozenset(gone.spellings - kept.spellings),
            misread=frozenset(gone.misread - kept.misread),
            kept=frozenset(kept_words),
            kept_dates=frozenset(kept.dates),
            kept_devices=frozenset(self._kept_devices()),
            encodings=tuple(self._encodings),
        )

    def _take(self, kind: _Kind, path: Path | None, element: Any, encodings: tuple[str, ...]) -> None:
        """Add a value; `path` is None for an element that is never kept."""
        text = _text_of(element, encodings)
        if not text:
            return
        if kind is _Kind.UID:
            self._take_uids(text, path, int(element.tag))
            return
        is_birth = int(element.tag) in _BIRTH_DATES
        is_kept = path is not None and self._is_kept(path)
        if kind is _Kind.ID and is_kept == (is_device := int(element.tag) in _devices()):
            (self._devices if is_device else self._others).append(text)
        if is_kept:
            self._kept.add(kind, text, is_birth)
        elif int(element.tag) in _called_so():
            self._called_so.add(kind, text)
        else:
            self._gone.add(kind, text, is_birth)

    def _kept_devices(self) -> set[str]:
        if not self._devices:
            return set()
        values = {"".join(words_of(value)).lstrip("0") for text in self._devices for value in _split(text)}
        parts = {run.lstrip("0") for text in self._others for run in runs_of(words_of(text))}
        return {value for value in values - parts if value.isdecimal()}

    def _take_nobodys(self, kind: _Kind, item: Dataset, element: Any, encodings: tuple[str, ...]) -> None:
        """Add a product, a code with its scheme, or a body part."""
        text = _text_of(element, encodings)
        if kind is _Kind.BODY_PART:
            self._body_parts.update(word for word in words_of(text) if is_body_part(word))
        elif kind is _Kind.CODE:
            scheme = item._dict.get(_CODING_SCHEME_DESIGNATOR)  # type: ignore[call-overload]
            if scheme is not None and scheme.value:
                self._codes.add(words_of(text))
        else:
            products = (words_of(value) for value in _split(text))
            self._products.update(words for words in products if not any(map(_INSTITUTION.search, words)))

    def _excuse(self) -> set[str]:
        """Move values of `_CALLED_SO` to the removed ones, unless a product or a code exempts them.

        Nothing exempts a person's name, or an identifying number.

        Returns:
            the words of products that identify nobody.
        """
        gone, called_so = self._gone, self._called_so
        values = [*gone.names, *([words] for kind in gone.words for words in gone.words[kind])]
        own = {word for value in values for words in value for word in (*words, "".join(words))}
        for kind, values_of_kind in called_so.words.items():
            for words in values_of_kind:
                is_excused = words in self._codes or any(_is_in(words, product) for product in self._products)
                if not (is_excused and own.isdisjoint((*words, "".join(words)))):
                    gone.words[kind].add(words)
        gone.uids |= called_so.uids
        gone.spellings |= called_so.spellings
        return {word for words in self._products for word in words if word not in own}

    def _take_uids(self, text: str, path: Path | None, tag: int) -> None:
        for uid in _split(text) if "\\" in text else (text,):
            if not _is_own_uid(uid, tag):
                self._kept.uids.add(uid)  # the UID of a SOP class newer than the table stays everywhere
            elif path is not None and self._is_kept(path):
                self._kept.uids.add(uid)
            else:
                self._gone.uids.add(uid)

    def _take_private_uids(self, values: list[Any]) -> None:
        """Collect the UIDs inside private values; kept ones exempt nothing, because they are remapped."""
        for value in values:
            if isinstance(value, bytes) and len(value) <= _LONGEST_PRIVATE_VALUE:
                found = map(bytes.decode, _WRITTEN_UID.findall(value))
                self._gone.uids.update(filter(_is_own_uid, found))

    def _encodings_of(self, dataset: Dataset) -> tuple[str, ...]:
        element = dataset._dict.get(_SPECIFIC_CHARACTER_SET)  # type: ignore[call-overload]
        if element is None:
            return ()
        terms = [term.strip() for term in _text_of(element, ()).split("\\")]
        known = [term for term in terms if term in python_encoding]
        encodings = tuple(convert_encodings(known)) if known else ()
        self._encodings.update(dict.fromkeys(encodings))
        return encodings


@cache
def _called_so() -> frozenset[int]:
    return frozenset(tag for keyword in _CALLED_SO.split() if (tag := tag_for_keyword(keyword)) is not None)


@cache
def _devices() -> frozenset[int]:
    return frozenset(tag for keyword in _DEVICES.split() if (tag := tag_for_keyword(keyword)) is not None)


def _is_in(words: Words, of: Words) -> bool:
    """Return whether some words occur in sequence in others."""
    if words[0] not in of:
        return False
    return any(of[start : start + len(words)] == words for start in range(len(of) - len(words) + 1))


@cache
def _kinds() -> dict[int, _Kind]:
    """Return tag → kind, for every attribute of the standard that has a kind."""
    kinds = {tag: _BY_VR[entry[0]] for tag, entry in DicomDictionary.items() if entry[0] in _BY_VR}
    for kind, keywords in (_ATTRIBUTES | _NOBODYS).items():
        for keyword in keywords.split():
            tag = tag_for_keyword(keyword)
            if tag is not None and kinds.get(tag) is not _Kind.SEQUENCE:
                kinds[tag] = kind
    return kinds


def _kind_of_private(dataset: Dataset, tag: int, element: Any) -> _Kind | None:
    """Return the kind of a private element without VR, by its value or by pydicom's private dictionary."""
    if hides_sequence(element):
        return _Kind.SEQUENCE
    creator = dataset._dict.get(private_block_start(tag))  # type: ignore[call-overload]
    if creator is None:
        return None
    try:
        return _BY_VR.get(private_dictionary_VR(tag, _text_of(creator, ())))
    except KeyError:
        return None


def _items(dataset: Dataset, tag: int, encodings: list[str]) -> Iterable[Dataset]:
    element = dataset._dict[tag]  # type: ignore[index]
    try:
        if hides_sequence(element):
            value = convert_raw_data_element(as_sequence(element), encoding=encodings, ds=dataset).value
        else:
            value = dataset[tag].value
    except MALFORMED:
        return ()
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Iterable) else ()


def _text_of(element: Any, encodings: tuple[str, ...]) -> str:
    """Return an element's text without converting it; lenient: a wrong character set hides no name."""
    value = element.value
    if value is None:
        return ""
    if not isinstance(value, bytes):
        many = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        return str(value) if hasattr(value, "components") else "\\".join(map(str, many))
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii").strip(" \0")
    return decode_leniently(value, encodings).strip(" \0")


def decode_leniently(value: bytes, encodings: tuple[str, ...]) -> str:
    """Decode a value in its instance's character set, else as UTF-8, else as Latin-1, which never fails."""
    if b"\x1b" in value and encodings and value.count(b"\x1b") <= MAX_ESCAPES:
        try:
            return decode_bytes(value, encodings, _DELIMITERS)
        except (LookupError, UnicodeError):
            pass
    for encoding in (*encodings, "utf-8"):
        try:
            return value.decode(encoding)
        except (LookupError, UnicodeError):
            continue
    return value.decode("latin-1")


def _split(text: str) -> list[str]:
    return [value.strip(" \0") for value in text.split("\\")]


def _is_own_uid(uid: str, tag: int = 0) -> bool:
    return bool(uid) and not is_well_known_uid(uid, tag) and uid != IMPLEMENTATION_CLASS_UID


def _day(match: re.Match[str]) -> date | None:
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    is_real = _EARLIEST_YEAR <= day.year <= _LATEST_YEAR and day not in _PLACEHOLDER_DATES
    return day if is_real else None


def _readings(text: str) -> Iterator[str]:
    """Yield the possible readings of names that were read in the wrong character set."""
    if not text.isascii():
        for group in _NAME_GROUPS.split(text):
            yield from readings(group)


def _names(text: str) -> Iterator[Name]:
    """Yield each spelling of each name: alphabetic, ideographic, phonetic.

    Umlauts also as two letters, O'Brien also as OBrien.
    """
    for group in _NAME_GROUPS.split(text):
        check_time()
        for spelling in {group, two_letter_umlauts(group), _APOSTROPHES.sub("", group)}:
            components = spelling.split("^") if "^" in spelling else _without_carets(spelling)
            words = (tuple(word for word in words_of(part) if word not in titles()) for part in components)
            name = tuple(component for component in words if component)
            if name:
                yield name


def _without_carets(name: str) -> list[str]:
    """Split "Smith, John" and "John Smith" into family name and the rest."""
    if "," in name:
        return name.split(",")
    *given, family = name.split() or [""]
    return [family, " ".join(given)]


_APOSTROPHES = re.compile("['’`´]")
