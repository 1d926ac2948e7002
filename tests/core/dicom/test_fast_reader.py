"""What is read the quick way is what pydicom reads."""

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset
from tests.core.test_conformance import bundled_files
from tests.core.test_invariants import as_bytes, instance

from beamstop.dicom.fast_reader import read_fast
from beamstop.dicom.files import _Truncation
from beamstop.errors import Failed


def quickly(data: bytes) -> FileDataset | None:
    watch = _Truncation(data)
    return read_fast(data, watch.stream, watch)


def raw(dataset: FileDataset) -> list[object]:
    dataset.get("SpecificCharacterSet")  # pydicom has looked at it
    return list(dataset._dict.items())


def test_every_bundled_file_is_read_as_pydicom_reads_it() -> None:
    read = 0
    for path in bundled_files():
        data = path.read_bytes()
        try:
            ours = quickly(data)
        except Failed:
            continue
        if ours is None:
            continue
        read += 1
        theirs = dcmread(BytesIO(data), force=True)
        assert raw(ours) == raw(theirs), path.name
        assert ours.file_meta == theirs.file_meta, path.name
        assert ours.original_encoding == theirs.original_encoding, path.name
        assert ours.original_character_set == theirs.original_character_set, path.name
        assert ours._character_set == theirs._character_set, path.name
        assert ours.preamble == theirs.preamble, path.name
    assert read > 150


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_cut_element_is_truncated(cut: int) -> None:
    data = as_bytes(instance())
    with pytest.raises(Failed, match="truncated"):
        quickly(data[:-cut])


@pytest.mark.parametrize("data", [b"", bytes(200), bytes(128) + b"DICM", b"\x08\0\x05\0CS\x0a\0ISO_IR 100"])
def test_what_is_not_plain_is_left_to_pydicom(data: bytes) -> None:
    assert quickly(data) is None
