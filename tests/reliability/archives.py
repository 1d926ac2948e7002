"""An archive with one source of every kind that a crash could treat unfairly."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from beamstop.identity import Identity

KEY = bytes(range(32))
RECIPE = "profile: basic\noptions: [retain-patient-characteristics]\n"  # another result for every instance


def plant(archive: Path, plain: int = 4) -> list[Path]:
    """Write an archive; return the sources that come later, whose SOP Instance UIDs others have.

    Args:
        archive: a folder that is not there yet.
        plain: how many instances are without trouble.
    """
    archive.mkdir()
    for number in range(plain):
        patient = f"R-10{number // 2:02}"
        _instance(patient, f"1.2.3.{number}").save_as(archive / f"{number:03}.dcm", enforce_file_format=True)
    data = (archive / "000.dcm").read_bytes()
    (archive / "same.dcm").write_bytes(data)
    (archive / "truncated.dcm").write_bytes(data[:-7])
    (archive / "notes.txt").write_bytes(b"not DICOM")
    return [
        *_rivals(archive, "one-path", "R-2001", "R-2001"),
        *_rivals(archive, "two-paths", "R-3001", "R-3002"),
    ]


def versions(source: Path, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield what may become of a source while a run is on: what it is called, the source before and after."""
    folder.mkdir()
    whole, cut, nothing = (folder / name for name in ("whole", "cut", "nothing"))
    shutil.copy2(source, whole)
    cut.write_bytes(source.read_bytes()[:-7])
    nothing.touch()
    dataset = dcmread(source)
    for name, values in {
        "another value": {"KVP": "110"},
        "grown": {"StudyDescription": "grown " * 200},
        "shrunk": {"StudyDescription": None, "KVP": None},
    }.items():
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        dataset.save_as(folder / name, enforce_file_format=True)
        yield name, whole, folder / name
    other = folder / "another instance"
    _instance("R-4001", "1.2.5.1").save_as(other, enforce_file_format=True)
    yield "another instance", whole, other
    yield "emptied", whole, nothing
    yield "just being copied", cut, whole


def _rivals(archive: Path, name: str, patient: str, other: str) -> Iterator[Path]:
    """Write two sources of one SOP Instance UID; yield the one with the lower digest.

    Under one path they are one instance, since their pixels agree; under two they are disputed.
    """
    paths = [archive / f"{name}-{number}.dcm" for number in (1, 2)]
    for path, patient_id, kvp in zip(paths, (patient, other), ("100", "120"), strict=True):
        uid = "1.2.4.1" if name == "one-path" else "1.2.4.2"
        dataset = _instance(patient_id, uid)
        dataset.KVP = kvp
        dataset.save_as(path, enforce_file_format=True)
    yield min(paths, key=lambda path: Identity(KEY).digest("source", path.read_bytes()))


def _instance(patient: str, uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{uid}.1", f"{uid}.1.1"
    dataset.PatientID, dataset.PatientName, dataset.PatientSex = patient, "Roe^Jane", "F"
    dataset.Modality, dataset.StudyDate, dataset.PatientBirthDate = "CT", "20240229", "19610317"
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 7, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = bytes(range(16))
    return dataset
