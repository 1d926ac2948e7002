"""An archive of invented people with an answer key: what must go and what must stay, in header and pixels.

Objects are pydicom's test files and drawn pictures (`pictures`) with identities planted where archives carry
theirs: listed attributes, free text beside clinical words, nested items, private elements, file meta,
preamble, padding. Everything follows from a seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from typing import Any

import numpy as np
from pictures import Picture, draw
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

LEAGUE_SEED = 20261
# Share of files with the name in attributes that the table does not list: model and code meaning.
_MODEL_TELLS, _MEANINGS_LIKELY = 0.05, (0.5, 0.45, 0.05)
Path = tuple[str | int, ...]  # keywords, and numbers of items


@dataclass(frozen=True)
class Person:
    """Somebody who does not exist."""

    family: str
    given: str
    patient_id: str
    born: date
    phone: str
    street: str
    doctor: str
    operator: str
    institution: str
    first_study: date

    @property
    def needles(self) -> tuple[str, ...]:
        """What must be in no byte of a clean file, whatever the case."""
        words = (self.family, self.given, self.patient_id, self.phone, self.street)
        return (*words, self.doctor, self.operator, self.institution, f"{self.born:%Y%m%d}")


@dataclass(frozen=True)
class Instance:
    """One file of the archive and what is asked of its clean version.

    Attributes:
        kind: what it was made of.
        data: the Part 10 file.
        person: whom it shows.
        needles: what must be gone, UIDs and dates included.
        words: element and a word of it that says nothing of a person.
        values: element and the value that it must still have.
        private: creator, group, element in block, value: safe by PS3.15 Table E.3.10-1.
        references: elements with the SOP Instance UID of another file of the archive.
        picture: with the words burned in; None for objects whose pixels are not asked about.
    """

    kind: str
    data: bytes
    person: Person
    needles: tuple[str, ...]
    words: tuple[tuple[Path, str], ...]
    values: tuple[tuple[Path, Any], ...]
    private: tuple[str, int, int, Any]
    references: tuple[Path, ...]
    picture: Picture | None

    @property
    def dataset(self) -> FileDataset:
        """The file, parsed."""
        return dcmread(BytesIO(self.data), force=True)


_PEOPLE = (
    ("Quorvane", "Aldwenna", "MRN{:07}"),
    ("Hesslitz", "Torbjerk", "{:08}"),
    ("Brzanthow", "Mirvalda", "K-{:06}"),
    ("Oakenmoor", "Jorquin", "{:05}/88"),
    ("Vidunsson", "Selphine", "0{:07}"),
    ("Tarquilla", "Kaspriel", "PX{:06}A"),
    ("Ellingrath", "Undorra", "{:09}"),
    ("Mokotsina", "Wenzelot", "Z{:04}-11"),
)
_DOCTORS = ("Pethrodine", "Gollanwick", "Yastremko", "Durnahoe")
_OPERATORS = ("Lindqvarre", "Obertschall")
_INSTITUTIONS = ("Marrowfeld Infirmary", "Klinikum Ostervaal")
_STREETS = ("17 Larkspurton Lane", "4 Millbrackett Yard", "92 Quenford Crescent")

# Text with identities in braces; every other word must stay.
_STUDY = (
    "CT THORAX W CONTRAST {family}",
    "Follow-up of {family}, {given}: lung nodule",
    "MR knee left {patient_id}",
)
_SERIES = (
    "Axial 3.0 Lung B60f",
    "T2 TSE sagittal {patient_id}",
    "Oblique AP {family}",
    "Brown fat PET fusion",
)
_COMMENTS = (
    "Compared with {slashed}; nodule right upper lobe 8 mm, Dr. {doctor} informed",
    "{given} {family} has Hodgkin lymphoma, L4/5 fusion and a Baker cyst; call {phone}",
    "No fracture. Seen by Dr. {doctor} on {written}. Grade 2 sprain",
    "Hip prosthesis, 2 screws; MRN {patient_id}; born {dotted}",
)
_MEANINGS = ("Chest", "Contrast study", "Knee for {family}")


def people(random: np.random.Generator) -> list[Person]:
    """Return eight people, each with a number of another form."""
    found = []
    for family, given, form in _PEOPLE:
        found.append(
            Person(
                family,
                given,
                form.format(int(random.integers(2_000, 9_999)) * 7),
                date(1931, 1, 1) + timedelta(days=int(random.integers(0, 22_000))),
                f"0{random.integers(200, 999)}-{random.integers(2_000_000, 9_999_999)}",
                str(random.choice(_STREETS)),
                str(random.choice(_DOCTORS)),
                str(random.choice(_OPERATORS)),
                str(random.choice(_INSTITUTIONS)),
                date(2015, 1, 5) + timedelta(days=int(random.integers(0, 2_000))),
            )
        )
    return found


def build(seed: int = LEAGUE_SEED) -> Iterator[Instance]:
    """Yield the archive, person by person: two studies of each, 90 days apart."""
    random = np.random.default_rng(seed)
    pictures = draw(seed, {"CT": (8, 4), "MR": (6, 2), "US": (6, 4), "SC": (6, 4)})
    queues: dict[str, list[Picture]] = {}
    for picture in pictures:
        queues.setdefault(picture.modality, []).append(picture)
    for number, person in enumerate(people(random)):
        for study in range(2):
            root = f"1.2.826.0.1.3680043.8.498.{number + 11}.{study + 1}"
            made = [_from_file(name) for name in _FILES]
            kinds = [name.removesuffix(".dcm") for name in _FILES]
            shown: list[Picture | None] = [None] * len(made)
            for modality, queue in queues.items():
                if queue:
                    shown.append(queue.pop(0))
                    made.append(_from_picture(shown[-1]))
                    kinds.append(f"drawn {modality}")
            for place, (dataset, kind, picture) in enumerate(zip(made, kinds, shown, strict=True), start=1):
                _identify(dataset, root, place)
                yield _planted(random, dataset, kind, person, study, picture)


_FILES = ("CT_small.dcm", "MR_small.dcm", "reportsi.dcm", "rtplan.dcm", "examples_overlay.dcm")
_CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "US": UltrasoundImageStorage,
    "SC": SecondaryCaptureImageStorage,
}


def _from_file(name: str) -> FileDataset:
    return dcmread(str(get_testdata_file(name, download=False)))


def _from_picture(picture: Picture | None) -> FileDataset:
    """Return a drawn picture in the header of a real one."""
    if picture is None:
        raise LookupError("no picture")
    drawn = picture.dataset()
    dataset = _from_file("MR_small.dcm" if picture.modality == "MR" else "CT_small.dcm")
    for element in list(dataset):
        if (
            element.tag.is_private
            or element.tag.group == 0x0028
            or element.keyword == "DataSetTrailingPadding"
        ):
            del dataset[element.tag]
    for element in drawn:
        dataset.add(element)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = _CLASSES[picture.modality]
    if picture.modality == "SC":
        dataset.Modality, dataset.ConversionType = "OT", "WSD"
    dataset.file_meta.TransferSyntaxUID = drawn.file_meta.TransferSyntaxUID
    return dataset


def _identify(dataset: FileDataset, root: str, place: int) -> None:
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = root, f"{root}.{place}"
    dataset.SOPInstanceUID = f"{root}.{place}.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if "FrameOfReferenceUID" in dataset:
        dataset.FrameOfReferenceUID = f"{root}.99"


def _planted(
    random: np.random.Generator,
    dataset: FileDataset,
    kind: str,
    person: Person,
    study: int,
    picture: Picture | None,
) -> Instance:
    """Plant an identity and write down what is asked."""
    day = person.first_study + timedelta(days=90 * study)
    accession = f"ACC{random.integers(1_000_000, 9_999_999)}"
    facts = {
        **{name: str(getattr(person, name)) for name in ("family", "given", "patient_id", "doctor", "phone")},
        "slashed": f"{day:%m/%d/%Y}",
        "written": f"{day:%d %B %Y}",
        "dotted": f"{person.born:%d.%m.%Y}",
    }
    words: list[tuple[Path, str]] = []

    def write(target: Dataset, path: Path, text: str) -> None:
        setattr(target, str(path[-1]), text.format(**facts))
        kept = text.split() if "{" not in text else _around(text)
        words.extend((path, word) for word in kept)

    _plant_people(dataset, person, accession, day)
    write(dataset, ("StudyDescription",), str(random.choice(_STUDY)))
    write(dataset, ("SeriesDescription",), str(random.choice(_SERIES)))
    if "PixelData" in dataset:
        write(dataset, ("ImageComments",), str(random.choice(_COMMENTS)))
    write(dataset, ("AdditionalPatientHistory",), str(random.choice(_COMMENTS)))
    step = Dataset()
    step.RequestedProcedureID = accession
    write(
        step,
        ("RequestAttributesSequence", 0, "ScheduledProcedureStepDescription"),
        str(random.choice(_STUDY)),
    )
    dataset.RequestAttributesSequence = [step]
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "P5-09051", "SRT"
    write(
        code, ("ProcedureCodeSequence", 0, "CodeMeaning"), str(random.choice(_MEANINGS, p=_MEANINGS_LIKELY))
    )
    dataset.ProcedureCodeSequence = [code]
    _plant_where_rules_miss(dataset, person)
    if random.random() < _MODEL_TELLS:
        dataset.ManufacturerModelName = f"Brilliance of {person.family}"
    references = _plant_reference(dataset)
    block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    block.add_new(0x23, "DS", "12.5")
    values = [
        ((keyword,), dataset[keyword].value) for keyword in _STAYS if dataset.get(keyword) not in (None, "")
    ]
    uids = {str(dataset[keyword].value) for keyword in _UIDS if keyword in dataset}
    buffer = BytesIO()
    dataset.preamble = f"{person.family}^{person.given} {person.patient_id}".encode().ljust(128, b"\0")
    dataset.save_as(buffer, enforce_file_format=True)
    return Instance(
        kind,
        buffer.getvalue(),
        person,
        (*person.needles, accession, f"{day:%Y%m%d}", *sorted(uids)),
        tuple(words),
        tuple(values),
        ("GEMS_ACQU_01", 0x0019, 0x23, 12.5),
        references,
        picture,
    )


_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_STAYS = (
    "SOPClassUID",
    "Modality",
    "ImageType",
    "SliceThickness",
    "KVP",
    "RepetitionTime",
    "PixelSpacing",
    "Rows",
    "Columns",
    "BitsStored",
    "PhotometricInterpretation",
    "ConversionType",
)


# Words that say nothing, or announce something about a person: they may go with it.
_STOP = frozenset({"Dr", "MRN", "Seen", "born", "call", "by", "on", "with", "of", "for", "has", "and", "a"})


def _around(text: str) -> list[str]:
    """Return the words of a template that stand apart from what is planted, bare of punctuation."""
    kept = []
    for word in text.split():
        bare = word.strip(",.;:")
        if "{" not in word and bare not in _STOP:
            kept.append(bare)
    return kept


def _plant_people(dataset: FileDataset, person: Person, accession: str, day: date) -> None:
    dataset.PatientName = f"{person.family}^{person.given}"
    dataset.PatientID = person.patient_id
    dataset.PatientBirthDate = f"{person.born:%Y%m%d}"
    dataset.PatientSex = "F"
    dataset.PatientAddress = person.street
    dataset.PatientTelephoneNumbers = person.phone
    dataset.OtherPatientIDs = person.patient_id
    dataset.AccessionNumber = accession
    dataset.ReferringPhysicianName = person.doctor
    dataset.OperatorsName = person.operator
    dataset.InstitutionName = person.institution
    dataset.StudyID = accession
    for keyword in ("StudyDate", "SeriesDate", "ContentDate"):
        setattr(dataset, keyword, f"{day:%Y%m%d}")
    for keyword in ("InstanceCreationDate", "AcquisitionDate", "RTPlanDate"):
        if keyword in dataset:
            setattr(dataset, keyword, f"{day:%Y%m%d}")
    dataset.AcquisitionDateTime = f"{day:%Y%m%d}101530.25+0100"


def _plant_where_rules_miss(dataset: FileDataset, person: Person) -> None:
    """Plant where Table E.1-1 has no row, or a rule on the top level does not reach."""
    dataset.file_meta.SourceApplicationEntityTitle = person.family[:16].upper()
    block = dataset.private_block(0x0009, "OSTERVAAL RIS", create=True)
    block.add_new(1, "LO", f"{person.given} {person.family}")
    block.add_new(2, "UN", f"seen by {person.operator}".encode().ljust(32))
    item = Dataset()
    item.PatientName = f"{person.family}^{person.given}"
    item.PatientID = person.patient_id
    block.add_new(3, "SQ", [item])
    dataset.DataSetTrailingPadding = f"{person.family} {person.phone}".encode().ljust(64, b"\0")
    device = Dataset()
    device.CodeValue, device.CodingSchemeDesignator = "A-26800", "SRT"
    device.CodeMeaning = f"Scanner of {person.institution}"
    outer = Dataset()
    outer.PurposeOfReferenceCodeSequence = [device]
    outer.ReferencedSOPClassUID, outer.ReferencedSOPInstanceUID = (
        CTImageStorage,
        "1.2.826.0.1.3680043.8.498.5.5",
    )
    dataset.ReferencedImageSequence = [outer]
    if "ContentSequence" in dataset:
        text = Dataset()
        text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
        concept = Dataset()
        concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = "121071", "DCM", "Finding"
        text.ConceptNameCodeSequence = [concept]
        text.TextValue = f"{person.given} {person.family} was examined by {person.doctor}."
        dataset.ContentSequence.append(text)


def _plant_reference(dataset: FileDataset) -> tuple[Path, ...]:
    """Refer to the first instance of the study where the IOD wants it: as evidence, as contours."""
    study = str(dataset.StudyInstanceUID)
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, f"{study}.1.1"
    if "RTPlanLabel" in dataset:
        dataset.ReferencedStructureSetSequence = [item]
        return (("ReferencedStructureSetSequence", 0, "ReferencedSOPInstanceUID"),)
    if "ContentSequence" not in dataset:
        return ()
    series, evidence = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = f"{study}.1", [item]
    evidence.StudyInstanceUID, evidence.ReferencedSeriesSequence = study, [series]
    dataset.CurrentRequestedProcedureEvidenceSequence = [evidence]
    place = ("CurrentRequestedProcedureEvidenceSequence", 0, "ReferencedSeriesSequence", 0)
    return ((*place, "ReferencedSOPSequence", 0, "ReferencedSOPInstanceUID"),)
