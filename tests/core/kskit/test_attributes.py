import json
import sys
import warnings
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from beamstop.dicom.files import read_dicom
from beamstop.errors import DeidError
from beamstop.kskit.attributes import attributes_row, deidentify_attributes, dicom2df

KEY = b"k" * 32
CONCATENATION_UID = "1.123.123.1234.123456.12345678"

KSKIT_RECIPE = {
    "general_rules": {
        "0x00080016": ["SOPClassUID", "UI", "CONSERVER"],
        "0x00080018": ["SOPInstanceUID", "UI", "PSEUDONYMISER"],
        "0x0020000D": ["StudyInstanceUID", "UI", "PSEUDONYMISER"],
        "0x00209161": ["ConcatenationUID", "UI", "PSEUDONYMISER"],
        "0x00100010": ["PatientName", "PN", "PSEUDONYMISER"],
        "0x00100020": ["PatientID", "LO", "PSEUDONYMISER"],
        "0x00100030": ["PatientBirthDate", "DA", "PSEUDONYMISER"],
        "0x00080050": ["AccessionNumber", "SH", "EFFACER"],
        "0x00080060": ["Modality", "CS", "CONSERVER"],
        "0x00540220": ["ViewCodeSequence", "SQ", "CONSERVER"],
        "0x00080100": ["CodeValue", "SH", "RETIRER"],
    },
    "specific_rules": {"0x00080100": {"sequence": "0x00540220", "rule": "CONSERVER"}},
}


def make_dataset(**attributes: object) -> FileDataset:
    """A mammogram's header; keyword arguments add or replace attributes."""
    dataset = FileDataset(None, Dataset(), file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.6.7"
    dataset.StudyInstanceUID = "1.2.3.4.5.6"
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Doe^Jane", "HOSP-4711", "MG"
    dataset.PatientBirthDate, dataset.AccessionNumber = "19701224", "ACC-0815"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """An empty folder of originals, with a sub-folder, and an empty one for results."""
    indir, outdir = tmp_path / "in", tmp_path / "out"
    (indir / "deeper").mkdir(parents=True)
    outdir.mkdir()
    return indir, outdir


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(KSKIT_RECIPE))
    return path


# attributes_row


def test_column_is_the_keyword_and_value_its_text():
    row = attributes_row(item(PatientSex="F", Rows=12, SliceThickness="2.50", PatientAge=""))
    assert row == {"PatientSex": "F", "PatientAge": "", "SliceThickness": "2.50", "Rows": "12"}


@pytest.mark.parametrize("values", [["ORIGINAL"], ["ORIGINAL", "PRIMARY"], ["ORIGINAL", "PRIMARY", "AXIAL"]])
def test_attribute_of_several_values_is_one_column_of_lists(values):
    """kskit had a column per number of values."""
    assert attributes_row(item(ImageType=values)) == {"ImageType": json.dumps(values)}


def test_sequence_is_json_of_its_items():
    code = item(CodeValue="R-10242", CodeMeaning="cranio-caudal")
    row = attributes_row(item(ViewCodeSequence=Sequence([code, item(ImageType=["A", "B"])])))
    assert json.loads(str(row["ViewCodeSequence"])) == [
        {"CodeValue": "R-10242", "CodeMeaning": "cranio-caudal"},
        {"ImageType": ["A", "B"]},
    ]


def test_private_and_repeating_attributes_go_by_their_tag():
    dataset = item()
    block = dataset.private_block(0x0019, "ACME", create=True)
    block.add_new(0x08, "LO", "value")
    dataset.add_new(0x60000010, "US", 4)
    dataset.add_new(0x60020010, "US", 5)
    assert attributes_row(dataset) == {
        "(0019,0010)": "ACME",
        "(0019,1008)": "value",
        "(6000,0010)": "4",
        "(6002,0010)": "5",
    }


def test_attribute_tags_are_text():
    """A frame increment pointer, which every cine has, ended kskit's run."""
    assert attributes_row(item(FrameIncrementPointer=0x00181063)) == {
        "FrameIncrementPointer": '["(0018,1063)"]'
    }


def test_binary_values_and_group_lengths_are_left_out():
    dataset = item(PixelData=b"\0\0", ICCProfile=b"\0\0")
    dataset.add_new(0x00080000, "UL", 12)
    assert attributes_row(dataset) == {}


def test_value_that_cannot_be_read_is_left_out(tmp_path):
    """Four bytes that say they are a double of eight."""
    dataset = make_dataset(Rows=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.add_new(0x00189073, "LO", "long")
    dataset.save_as(tmp_path / "one.dcm")
    data = (tmp_path / "one.dcm").read_bytes()
    row = attributes_row(read_dicom(data.replace(b"\x18\0\x73\x90LO", b"\x18\0\x73\x90FD")))
    assert "AcquisitionDuration" not in row
    assert row["Rows"] == "1"


def test_encoding_of_the_file_is_there():
    assert attributes_row(make_dataset())["TransferSyntaxUID"] == "1.2.840.10008.1.2.1"


# deidentify_attributes


def test_one_row_per_instance_with_values_after_the_recipe(folders, recipe):
    indir, outdir = folders
    code = item(CodeValue="R-10242", CodeMeaning="cranio-caudal")
    make_dataset(ViewCodeSequence=Sequence([code])).save_as(indir / "one.dcm")
    frame = deidentify_attributes(indir, outdir, "9.9.9.9.9", recipe=recipe, key=KEY)
    assert len(frame) == 1
    row = frame.iloc[0]
    assert row.Modality == "MG"
    assert row.AccessionNumber == ""
    assert row.PatientBirthDate == "19700101"
    assert row.PatientName.startswith("PATIENT^")
    assert row.StudyInstanceUID.startswith("9.9.9.9.9.")
    assert json.loads(row.ViewCodeSequence) == [{"CodeValue": "R-10242"}]
    assert row.PatientIdentityRemoved == "YES"
    assert "4711" not in frame.to_csv()


def test_patient_is_one_patient_in_all_rows(folders, recipe):
    """kskit drew another name and another ID for every file."""
    indir, outdir = folders
    make_dataset().save_as(indir / "one.dcm")
    make_dataset(SOPInstanceUID="1.2.3.4.5.6.8").save_as(indir / "deeper" / "two.dcm")
    frame = deidentify_attributes(indir, outdir, "9.9.9.9.9", recipe=recipe, key=KEY)
    assert len(frame) == 2
    for column in ("PatientID", "PatientName", "StudyInstanceUID"):
        assert frame[column].nunique() == 1
    assert frame.SOPInstanceUID.nunique() == 2


def test_same_key_same_table(folders, recipe):
    indir, outdir = folders
    make_dataset().save_as(indir / "one.dcm")
    first = deidentify_attributes(indir, outdir, recipe=recipe, key=KEY)
    again = deidentify_attributes(indir, outdir, recipe=recipe, key=KEY)
    assert first.equals(again)
    assert not first.equals(deidentify_attributes(indir, outdir, recipe=recipe))


def test_uid_of_the_documentation_comes_out(folders, tmp_path):
    indir, outdir = folders
    make_dataset(ConcatenationUID=CONCATENATION_UID).save_as(indir / "one.dcm")
    path = tmp_path / "guessable.json"
    uids = {"method": "kskit", "root": "1.2.3"}
    path.write_text(
        json.dumps({"kskit": KSKIT_RECIPE, "profile": "none", "unlisted": "remove", "uids": uids})
    )
    frame = deidentify_attributes(indir, outdir, "9.9.9.9.9", recipe=path, key=KEY)
    assert frame.ConcatenationUID[0] == "9.9.9.9.9.474079559915109435636573090782"


def test_files_without_a_row_are_counted_by_reason(folders, recipe):
    indir, outdir = folders
    make_dataset().save_as(indir / "one.dcm")
    (indir / "notes.txt").write_text("Jane Doe came on Monday")
    (indir / "deeper" / "cut.dcm").write_bytes((indir / "one.dcm").read_bytes()[:-3])
    with pytest.warns(UserWarning, match="^2 of 3 files have no row: not_dicom 1, truncated 1$"):
        frame = deidentify_attributes(indir, outdir, recipe=recipe, key=KEY)
    assert len(frame) == 1
    assert frame.attrs["refused"] == {"not_dicom": 1, "truncated": 1}


def test_attribute_of_some_instances_is_missing_in_the_others(folders, recipe):
    indir, outdir = folders
    make_dataset().save_as(indir / "one.dcm")
    make_dataset(ConcatenationUID=CONCATENATION_UID).save_as(indir / "two.dcm")
    frame = deidentify_attributes(indir, outdir, recipe=recipe, key=KEY)
    assert frame.ConcatenationUID.isna().tolist() == [True, False]
    assert list(frame.columns) == sorted(frame.columns)


def test_table_is_written_beside(folders, recipe):
    indir, outdir = folders
    make_dataset().save_as(indir / "one.dcm")
    (outdir / "old.txt").write_text("old")
    frame = deidentify_attributes(indir, outdir, recipe=recipe, key=KEY)
    assert (outdir / "meta.csv").read_text() == frame.to_csv(index=False)
    assert (outdir / "old.txt").exists()


def test_outdir_is_emptied_of_files_when_asked(folders, recipe):
    indir, outdir = folders
    make_dataset().save_as(indir / "one.dcm")
    (outdir / "old.txt").write_text("old")
    (outdir / "folder").mkdir()
    deidentify_attributes(indir, outdir, erase_outdir=True, recipe=recipe, key=KEY)
    assert sorted(path.name for path in outdir.iterdir()) == ["folder", "meta.csv"]


@pytest.mark.parametrize(
    ("indir", "outdir"), [("in", "absent"), ("absent", "in"), ("in", "in/deeper"), ("in", "in")]
)
def test_folders_that_cannot_be_used_are_refused(folders, recipe, indir, outdir):
    base = folders[0].parent
    with pytest.raises(ValueError, match=r"folder|inside"):
        deidentify_attributes(base / indir, base / outdir, erase_outdir=True, recipe=recipe, key=KEY)


def test_where_pandas_is_missing_it_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.setitem(sys.modules, "pandas", None)
    said = r"^the table is a DataFrame of pandas: pip install 'beamstop\[kskit\]'$"
    with pytest.raises(DeidError, match=said):
        deidentify_attributes(tmp_path / "in", tmp_path / "out")
    with pytest.raises(DeidError, match=said):
        dicom2df(tmp_path / "in")
    assert list((tmp_path / "out").iterdir()) == []
