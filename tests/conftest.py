"""What every test may ask for: a key, a dataset made in one line, a small archive."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

MakeDataset = Callable[..., FileDataset]


@pytest.fixture(scope="session")
def key() -> bytes:
    """Return the key that all expected pseudonyms in the tests were made with."""
    return bytes(range(32))


@pytest.fixture
def key_file(tmp_path: Path, key: bytes) -> Path:
    """Return a key file that nobody else may read."""
    path = tmp_path / "key"
    path.write_bytes(key)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def make_dataset() -> MakeDataset:
    """Return a factory of CT instances without pixels that can be saved; keywords set, or None deletes."""
    return make_an_instance


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a folder with three instances of two patients, one of them in a sub-folder."""
    folder = tmp_path / "archive"
    (folder / "sub").mkdir(parents=True)
    people = [("Roe^Jane", "R-1001"), ("Roe^Jane", "R-1001"), ("Poe^Edgar", "P-2002")]
    for number, (name, patient_id) in enumerate(people, start=1):
        dataset = make_an_instance(
            PatientName=name,
            PatientID=patient_id,
            StudyInstanceUID=f"1.2.3.{patient_id[2:]}",
            SeriesInstanceUID=f"1.2.3.{patient_id[2:]}.1",
            SOPInstanceUID=f"1.2.3.{patient_id[2:]}.1.{number}",
        )
        place = folder / "sub" if number == 3 else folder
        dataset.save_as(place / f"{number}.dcm", enforce_file_format=True)
    return folder


# Pixels of one byte each, grey: what every picture that a test makes says of them.
GREY_BYTES = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelRepresentation": 0,
}


def make_an_instance(**attributes: Any) -> FileDataset:
    """Return a CT instance without pixels that can be saved; keywords set, or None deletes."""
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": "1.2.3.4.5.6",
        "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": "1.2.3.4.5",
        "Modality": "CT",
        "StudyDate": "20240229",
        "StudyTime": "101530",
        "PatientName": "Roe^Jane",
        "PatientID": "R-1001",
        "PatientBirthDate": "19610317",
        "PatientSex": "F",
    } | attributes
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3.4.5.6")
    return dataset
