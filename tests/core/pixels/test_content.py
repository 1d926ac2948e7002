"""What duplicates are compared by: class and pixel values, or the dataset."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from pydicom import DataElement, config
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from beamstop.errors import PixelError, Refusal
from beamstop.pixels.content import content_digest
from beamstop.testing import as_bytes, make_image, make_instance

PICTURE = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


def picture(cells: Any = PICTURE, syntax: str = "", **more: Any) -> bytes:
    dataset = make_image(cells, **more)
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    return as_bytes(dataset)


def plain(syntax: str, **more: Any) -> bytes:
    dataset = make_instance(**more)
    dataset.file_meta.TransferSyntaxUID = syntax
    return as_bytes(dataset)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_pixel_values_agree_in_any_syntax(syntax: str) -> None:
    assert content_digest(picture(syntax=syntax)) == content_digest(picture())


def test_headers_beside_the_pixels_may_differ() -> None:
    assert content_digest(picture(KVP="100")) == content_digest(picture(KVP="120"))


def test_values_agree_in_any_width() -> None:
    narrow = np.arange(48, dtype=np.uint8).reshape(8, 6)
    assert content_digest(picture(narrow)) == content_digest(picture(narrow.astype(np.uint16)))


@pytest.mark.parametrize(
    "other",
    [
        picture(PICTURE + 1),
        picture(PICTURE.reshape(48, 64)),
        picture(SOPClassUID="1.2.840.10008.5.1.4.1.1.4"),
        plain(ExplicitVRLittleEndian),
    ],
    ids=["values", "shape", "class", "no pixels"],
)
def test_another_picture_differs(other: bytes) -> None:
    assert content_digest(other) != content_digest(picture())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_datasets_without_pixels_agree_in_any_syntax(syntax: str) -> None:
    one = plain(ExplicitVRLittleEndian, KVP="100")
    assert content_digest(plain(syntax, KVP="100")) == content_digest(one)
    assert content_digest(plain(syntax, KVP="120")) != content_digest(one)


def test_what_cannot_be_decoded_or_read_is_told() -> None:
    dataset = make_image(PICTURE)
    dataset.compress(RLELossless)
    dataset.PixelData = dataset.PixelData[:12] + b"\xff" * (len(dataset.PixelData) - 12)
    with pytest.raises((PixelError, Refusal)):
        content_digest(as_bytes(dataset))
    with pytest.raises(Refusal):
        content_digest(b"nothing")


def test_a_dataset_that_pydicom_would_warn_of_is_digested_without_a_word(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    name = "Wubbleford" * 8  # a Short String is 16 letters at most
    dataset = make_instance()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.add(DataElement("AccessionNumber", "SH", name, validation_mode=config.IGNORE))
    dataset.add(DataElement("SliceThickness", "DS", "1" * 17, validation_mode=config.IGNORE))
    data = as_bytes(dataset)
    recwarn.clear()
    caplog.clear()
    with suppress(PixelError):
        content_digest(data)
    assert (caplog.text, [str(warning.message) for warning in recwarn]) == ("", [])
