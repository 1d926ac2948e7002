"""The ancestors' plainest example: what came out is saved, and other programs open it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from beamstop import deidentify, load_recipe
from beamstop.idiscore import Core

KEY = bytes(range(32))
WAYS: dict[str, Callable[[Dataset], Dataset]] = {
    "deidentify": lambda dataset: deidentify(dataset, load_recipe("basic"), KEY).dataset,
    "core": lambda dataset: Core().deidentify(dataset),
}


def made_in_code() -> Dataset:
    """Return a dataset as a program makes it: no preamble, no file meta, no transfer syntax."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3.4.5"
    dataset.PatientID, dataset.PatientName = "R-1001", "Roe^Jane"
    dataset.Rows = dataset.Columns = 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = np.arange(4, dtype="<u2").tobytes()
    return dataset


FROM = {
    "code": made_in_code,
    "file": lambda: dcmread(str(get_testdata_file("CT_small.dcm"))),
    "file-without-preamble": lambda: dcmread(str(get_testdata_file("ExplVR_LitEndNoMeta.dcm")), force=True),
    "big-endian": lambda: dcmread(str(get_testdata_file("MR_small_bigendian.dcm"))),
    "compressed": lambda: dcmread(str(get_testdata_file("MR_small_RLE.dcm"))),
    "deflated": lambda: dcmread(str(get_testdata_file("image_dfl.dcm"))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("origin", FROM)
def test_what_came_out_is_saved_as_a_file_that_readers_open(way: str, origin: str, tmp_path: Path) -> None:
    before: Any = FROM[origin]()
    clean = WAYS[way](before)
    clean.save_as(tmp_path / "clean.dcm")
    again = dcmread(tmp_path / "clean.dcm")
    assert again.SOPClassUID == before.SOPClassUID == again.file_meta.MediaStorageSOPClassUID
    assert again.SOPInstanceUID == clean.SOPInstanceUID == again.file_meta.MediaStorageSOPInstanceUID
    assert again.SOPInstanceUID != before.SOPInstanceUID
    assert again.get("PixelData") == clean.get("PixelData")
    if dcmdump := shutil.which("dcmdump"):
        opened = subprocess.run([dcmdump, "-q", tmp_path / "clean.dcm"], capture_output=True, check=True)
        assert opened.stderr == b""


def test_a_dataset_made_in_code_becomes_explicit_vr_little_endian(tmp_path: Path) -> None:
    WAYS["deidentify"](made_in_code()).save_as(tmp_path / "clean.dcm")
    again = dcmread(tmp_path / "clean.dcm")
    assert again.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert again.pixel_array.tolist() == [[0, 1], [2, 3]]


def test_a_core_takes_a_dataset_without_uids_too(tmp_path: Path) -> None:
    dataset = made_in_code()
    del dataset.SOPInstanceUID
    Core().deidentify(dataset).save_as(tmp_path / "clean.dcm")
    assert dcmread(tmp_path / "clean.dcm").pixel_array.tolist() == [[0, 1], [2, 3]]
