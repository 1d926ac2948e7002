import io
from importlib.metadata import version
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from beamstop.dicom.elements import ElementWriter
from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import Refusal

FOLDER = Path(get_testdata_file("CT_small.dcm")).parent
NAMES = sorted(path.name for path in FOLDER.glob("*.dcm"))


def written_by_pydicom(dataset, implicit, little):
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    write_dataset(buffer, dataset)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("convert", [False, True])
def test_the_bytes_are_those_that_pydicom_writes(convert):
    compared = 0
    for name in NAMES:
        try:
            dataset = read_dicom((FOLDER / name).read_bytes())
        except Refusal:
            continue
        if convert:
            try:
                dataset.walk(lambda _, element: element.value)
            except (NotImplementedError, ValueError, TypeError):
                continue  # values that pydicom itself cannot read
        implicit, little = dataset.original_encoding
        try:
            expected = written_by_pydicom(dataset, implicit, little)
        except (ValueError, TypeError):
            continue  # nor write again
        writer = ElementWriter(implicit, little)
        assert writer.write(dataset, sorted(dataset._dict), "iso8859") == expected, name
        compared += 1
    assert compared > 60


def test_the_file_meta_is_what_pydicom_reads(make_dataset):
    meta = pydicom.dcmread(io.BytesIO(encode(make_dataset()).data)).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.4.5.6"
    assert meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
    assert meta.ImplementationVersionName == f"BEAMSTOP_{version('beamstop').rpartition('.')[0]}"
    assert meta.FileMetaInformationGroupLength == encode(make_dataset()).data.index(b"\x08\0\x16\0UI") - 144


@pytest.mark.filterwarnings("ignore")
def test_values_beyond_64_kibibytes_become_un_as_ps3_5_6_2_2_has_it(make_dataset):
    dataset = make_dataset(ImageComments="x" * 70000)
    dataset["ImageComments"].VR = "LT"
    again = pydicom.dcmread(io.BytesIO(encode(dataset).data))
    assert (again["ImageComments"].VR, again.ImageComments) == ("UN", b"x" * 70000)
