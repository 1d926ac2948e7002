"""A digest by which two clean files with one SOP Instance UID count as the same instance."""

import hashlib
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from beamstop.dicom.elements import MALFORMED, text_of
from beamstop.dicom.files import read_dicom
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import PixelError
from beamstop.pixels.frames import open_frames

_SOP_CLASS_UID = 0x00080016


@guarded()
def content_digest(clean: bytes) -> str:
    """Return a SHA-256, in hex, that is the same for equal instances in any transfer syntax.

    It is over the SOP class and the stored pixel values of every frame; without pixel data, over the dataset
    apart from file meta.

    Args:
        clean: a clean file.

    Raises:
        Refusal: it cannot be read.
        PixelError: a frame cannot be decoded, or the dataset cannot be written in one form.
    """
    dataset = read_dicom(clean)
    digest = hashlib.sha256(text_of(dataset, _SOP_CLASS_UID).encode())
    frames = open_frames(dataset)
    if frames is None:
        digest.update(_in_one_form(dataset))
        return digest.hexdigest()
    for index in range(len(frames)):
        values: Any = frames.decode(index).values()
        digest.update(repr(values.shape).encode())
        digest.update(values.astype("<f8" if values.dtype.kind == "f" else "<i8").tobytes())
    return digest.hexdigest()


def _in_one_form(dataset: Dataset) -> bytes:
    """Return a dataset in explicit VR little endian."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    try:
        write_dataset(buffer, dataset)
    except MALFORMED as error:
        raise PixelError("attributes_uncertain", type(error).__name__) from None
    return buffer.getvalue()
