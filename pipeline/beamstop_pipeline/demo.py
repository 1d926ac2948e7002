"""A small archive with invented identities, for `beamstop demo`."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

COPIES = {"CT_small_again.dcm": "CT_small.dcm"}
PRIVATE = 0x0029, "BRACKENFORD RIS"


@dataclass(frozen=True)
class Person:
    """An invented person, as headers and burned-in text show them."""

    name: str
    patient_id: str
    birth_date: str
    address: str

    @property
    def lines(self) -> tuple[str, ...]:
        """What a device burns into a corner of the picture."""
        return (self.name.replace("^", ", "), f"ID {self.patient_id}", f"born {self.birth_date}")


JOSEPHINE = Person("OAKES^JOSEPHINE", "ZQ-4711882", "19610317", "17 Larkspur Lane, Brackenford")
TADEUSZ = Person("WIERZBICKI^TADEUSZ", "ZQ-0935526", "19480902", "4 Mill Yard, Brackenford")


@dataclass(frozen=True)
class Picture:
    """One of pydicom's files, its invented patient, and how it is stored in the archive.

    Attributes:
        drawn: font size in pixels of the text drawn into every frame; 0 leaves the pixels as they are.
        syntax: the transfer syntax to compress the drawn pixels with.
        side: keep this many rows and columns at most, those in the middle.
        frames: cut to this many frames at most.
    """

    source: str
    person: Person
    drawn: int = 0
    syntax: UID = ExplicitVRLittleEndian
    side: int = 1024
    frames: int = 4


PICTURES = (
    Picture("CT_small.dcm", JOSEPHINE, drawn=12),
    Picture("examples_overlay.dcm", JOSEPHINE, drawn=18, syntax=RLELossless),  # MR with a 60xx overlay
    Picture("RG3_J2KR.dcm", TADEUSZ, drawn=22, syntax=RLELossless, side=640),  # CR, MONOCHROME1
    Picture("examples_rgb_color.dcm", TADEUSZ, drawn=12),  # ultrasound
    Picture("examples_jpeg2k.dcm", JOSEPHINE, drawn=20, syntax=JPEGLSLossless),  # ultrasound
    Picture("examples_palette.dcm", TADEUSZ, drawn=20),  # ultrasound
    Picture("examples_ybr_color.dcm", JOSEPHINE, drawn=16, syntax=RLELossless, frames=3),  # cine
    Picture("MR_small_jpeg_ls_lossless.dcm", JOSEPHINE),
    Picture("emri_small_jpeg_2k_lossless.dcm", TADEUSZ),
    Picture("SC_rgb_jpeg_dcmtk.dcm", TADEUSZ),
    Picture("liver_1frame.dcm", JOSEPHINE),
    Picture("rtdose.dcm", TADEUSZ),
    Picture("rtplan.dcm", TADEUSZ),
    Picture("reportsi.dcm", JOSEPHINE),
    Picture("waveform_ecg.dcm", TADEUSZ),
)


def build_archive(folder: Path) -> None:
    """Fill `folder` with real DICOM that has invented identities, and with files of other kinds."""
    folder.mkdir(parents=True)
    for picture in PICTURES:
        source = get_testdata_file(picture.source, download=False)
        if source is None:  # the CR is in pydicom-data, which may not be installed
            continue
        dataset = dcmread(str(source))
        plant(dataset, picture.person)
        if picture.drawn:
            draw(dataset, picture)
        dataset.save_as(folder / picture.source)

    for copy, source in COPIES.items():
        shutil.copy(folder / source, folder / copy)
    (folder / "notes.txt").write_text(f"{JOSEPHINE.name} came on Tuesday\n")
    _truncate(folder / "examples_palette.dcm", folder / "cut_off.dcm")
    _spoil(folder / "examples_jpeg2k.dcm", folder / "spoilt_pixels.dcm")
    _letter(TADEUSZ).save_as(folder / "letter.dcm", enforce_file_format=True)


def plant(dataset: Dataset, person: Person) -> None:
    """Write an invented identity into header, text, sequence and private element."""
    family = person.name.split("^")[0].title()
    dataset.PatientName = person.name
    dataset.PatientID = person.patient_id
    dataset.PatientBirthDate = person.birth_date
    dataset.PatientAddress = person.address
    dataset.AccessionNumber = f"A{person.patient_id[-5:]}"
    dataset.InstitutionName = "Brackenford Infirmary"
    dataset.ReferringPhysicianName = "HOLLOWAY^PETRA"
    dataset.StudyDescription = f"Follow-up of {family}"
    other = Dataset()
    other.PatientID = f"OLD-{person.patient_id[-5:]}"
    other.TypeOfPatientID = "TEXT"
    dataset.OtherPatientIDsSequence = [other]
    dataset.private_block(*PRIVATE, create=True).add_new(0x01, "LO", person.name)


def draw(dataset: FileDataset, picture: Picture) -> None:
    """Cut the picture to size, burn the identity into the lower left of every frame, compress it."""
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(generate_instance_uid=False)
    pixels = dataset.pixel_array
    frames = pixels if int(dataset.get("NumberOfFrames", 1)) > 1 else pixels[np.newaxis]
    top, left = (max(0, (size - picture.side) // 2) for size in frames.shape[1:3])
    frames = frames[: picture.frames, top : top + picture.side, left : left + picture.side].copy()
    letters = _letters(frames.shape[1:3], picture)
    frames[:, letters] = _ink(dataset, frames, letters)

    dataset.Rows, dataset.Columns = frames.shape[1:3]
    if "NumberOfFrames" in dataset:
        dataset.NumberOfFrames = len(frames)
    dataset.PixelData = frames.tobytes()
    if picture.syntax.is_compressed:
        dataset.compress(picture.syntax, generate_instance_uid=False)


def _letters(size: tuple[int, int], picture: Picture) -> npt.NDArray[np.bool_]:
    canvas = Image.new("L", (size[1], size[0]))
    font = ImageFont.load_default(size=picture.drawn)
    corner = (4, size[0] - 5 * picture.drawn)
    ImageDraw.Draw(canvas).multiline_text(corner, "\n".join(picture.person.lines), fill=255, font=font)
    return np.asarray(canvas) > 127


def _ink(dataset: Dataset, frames: npt.NDArray[Any], letters: npt.NDArray[np.bool_]) -> int:
    """Return the stored value that contrasts most with the background of the letters."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        green = np.frombuffer(dataset.GreenPaletteColorLookupTableData, dtype="<u2")
        return int(green.argmax()) + int(dataset.GreenPaletteColorLookupTableDescriptor[1])
    darkest, brightest = int(frames.min()), int(frames.max())
    ground = float(np.median(frames[:, letters]))
    return max(darkest, brightest, key=lambda value: abs(value - ground))


def _truncate(source: Path, target: Path) -> None:
    data = source.read_bytes()
    target.write_bytes(data[: len(data) // 2])


def _spoil(source: Path, target: Path) -> None:
    """Copy `source` under other UIDs, with a codestream that no decoder reads."""
    dataset = dcmread(source)
    _rename(dataset, ".1")
    dataset.PixelData = encapsulate([bytes(range(256)) * 4])
    dataset.save_as(target)


def _letter(person: Person) -> FileDataset:
    """Return an encapsulated PDF, which the default recipe turns away."""
    dataset = dcmread(str(get_testdata_file("reportsi.dcm", download=False)))
    for keyword in ("ContentSequence", "ConceptNameCodeSequence"):
        del dataset[keyword]
    plant(dataset, person)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = EncapsulatedPDFStorage
    _rename(dataset, ".2")
    dataset.Modality = "DOC"
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = b"%PDF-1.4\n"
    return dataset


def _rename(dataset: FileDataset, ending: str) -> None:
    uid = UID(dataset.SOPInstanceUID + ending)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
