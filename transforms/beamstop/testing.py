"""Help for tests of programs that use beamstop: instances made in code, text detectors without networks.

Everything here is invented: no picture, name or number is a patient's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from beamstop.pixels.renditions import Picture
from beamstop.text.boxes import TextBox

__all__ = [
    "GREY_BYTES",
    "BlockDetector",
    "NoTextDetector",
    "as_bytes",
    "load_block_detector",
    "load_no_text_detector",
    "make_image",
    "make_instance",
]

# The header of grey pixels of one byte each.
GREY_BYTES = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelRepresentation": 0,
}


def make_instance(**attributes: Any) -> FileDataset:
    """Return a CT instance without pixels that can be saved.

    Args:
        attributes: keyword → value; None leaves the attribute out.

    >>> make_instance(PatientName="Poe^Edgar", StudyTime=None).get("StudyTime", "none")
    'none'
    """
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


def make_image(frames: NDArray[Any], photometric: str = "MONOCHROME2", **header: Any) -> FileDataset:
    """Return a secondary capture with native pixel data.

    Args:
        frames: (rows, columns[, 3]) or (frames, rows, columns[, 3]), of the dtype to be stored.
        photometric: PhotometricInterpretation.
        header: further attributes by keyword.
    """
    samples = 3 if frames.shape[-1] == 3 else 1
    many = frames.reshape(-1, *frames.shape[-3 if samples == 3 else -2 :])
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3.4.5"
    dataset.Rows, dataset.Columns = many.shape[1:3]
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = frames.dtype.itemsize * 8
    dataset.BitsStored = dataset.BitsAllocated
    dataset.PixelRepresentation = int(np.issubdtype(frames.dtype, np.signedinteger))
    if samples == 3:
        dataset.PlanarConfiguration = 0
    if len(many) > 1:
        dataset.NumberOfFrames = len(many)
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    if "HighBit" not in dataset:
        dataset.HighBit = dataset.BitsStored - 1
    if dataset.get("PlanarConfiguration") == 1:
        many = np.moveaxis(many, -1, 1)
    data = many.tobytes()
    vr = "OB" if dataset.BitsAllocated <= 8 else "OW"
    dataset["PixelData"] = DataElement("PixelData", vr, data + bytes(len(data) % 2))
    return dataset


def as_bytes(dataset: FileDataset) -> bytes:
    """Return an instance as a Part 10 file."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@dataclass
class BlockDetector:
    """Finds bright blocks, more than 4 pixels wide and high, where real detectors find text.

    Attributes:
        words: the texts of the boxes, from top to bottom; further boxes cannot be read.
        looks: rows and columns of every picture that was searched.
    """

    words: Sequence[str] = ()
    looks: list[tuple[int, int]] = field(default_factory=list)
    fingerprint: str = "blocks"

    def find(self, picture: Picture) -> list[TextBox]:
        """Return a box for each block."""
        import cv2

        self.looks.append((picture.shape[0], picture.shape[1]))
        count, _, stats, _ = cv2.connectedComponentsWithStats((picture > 170).astype(np.uint8))
        boxes = [TextBox(left, top, width, height) for left, top, width, height, _ in stats[1:count].tolist()]
        return [box for box in boxes if box.width > 4 and box.height > 4]

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        """Return the boxes with the words."""
        read = [replace(box, text=word, confidence=0.9) for box, word in zip(boxes, self.words, strict=False)]
        return read + list(boxes)[len(read) :]


class NoTextDetector:
    """Finds nothing."""

    fingerprint = "none"

    def find(self, picture: Picture) -> list[TextBox]:
        """Return no box."""
        return []

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        """Return the boxes unread."""
        return list(boxes)


def load_block_detector(languages: tuple[str, ...] = ()) -> BlockDetector:
    """Return a detector of blocks; can be passed as `load_detector`, and pickled."""
    return BlockDetector()


def load_no_text_detector(languages: tuple[str, ...] = ()) -> NoTextDetector:
    """Return a detector that finds nothing; can be passed as `load_detector`, and pickled."""
    return NoTextDetector()
