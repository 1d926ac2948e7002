import struct
from io import BytesIO

import pytest
from PIL import Image, ImageCms
from pydicom import dcmread
from pydicom.data import get_palette_files
from pydicom.dataset import Dataset
from pydicom.uid import VLWholeSlideMicroscopyImageStorage
from tests.core.test_invariants import as_bytes, instance

from beamstop import deidentify_bytes, load_recipe
from beamstop.rules.icc_profiles import clean_icc_profile
from beamstop.testing import load_no_text_detector

KEY = bytes(range(32))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PICTURE = Image.merge("RGB", [Image.linear_gradient("L").rotate(angle) for angle in (0, 90, 180)])


def profile_of_a_palette() -> bytes:
    return bytes(dcmread(get_palette_files("hotiron.dcm")[0]).ICCProfile)


def in_lab(profile: bytes) -> bytes:
    """Return a picture's colours as a profile has them."""
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("LAB"), "RGB", "LAB")
    return ImageCms.applyTransform(PICTURE, transform).tobytes()


@pytest.mark.parametrize("profile", [SRGB, profile_of_a_palette()], ids=["version 4", "version 2"])
def test_colours_stay_and_nothing_else_is_said(profile: bytes) -> None:
    clean = clean_icc_profile(profile)
    assert in_lab(clean) == in_lab(profile)
    assert clean_icc_profile(clean) == clean
    read = ImageCms.ImageCmsProfile(BytesIO(clean)).profile
    assert (read.copyright, read.profile_description) == ("none", "none")
    assert (read.manufacturer, read.model, read.target) == (None, None, None)
    assert clean[24:36] == bytes(12)  # date of creation
    assert not any(clean[48:64] + clean[80:128])  # device, program, checksum


@pytest.mark.parametrize("data", [b"", b"Wubbleford" * 20, SRGB[:140], SRGB[:-400]])
def test_what_is_no_profile_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an ICC profile"):
        clean_icc_profile(data)


def test_strict_keeps_the_colours_of_a_whole_slide_and_not_what_the_profile_tells() -> None:
    path = Dataset()
    path.ICCProfile = SRGB.replace(b"s\0R\0G\0B", b"\0W\0u\0b\0b"[:7])
    data = as_bytes(instance(SOPClassUID=VLWholeSlideMicroscopyImageStorage, OpticalPathSequence=[path]))
    clean = dcmread(BytesIO(deidentify_bytes(data, load_recipe("strict"), KEY, load_no_text_detector)))
    assert in_lab(clean.OpticalPathSequence[0].ICCProfile) == in_lab(SRGB)


def test_of_the_header_stays_what_the_colours_need_to_the_byte() -> None:
    filled = bytes(range(1, 256)) + SRGB[255:]
    data = SRGB[:4] + filled[4:36] + SRGB[36:40] + filled[40:128] + SRGB[128:]
    stays = [*range(8, 24), *range(36, 40), *range(44, 48), *range(64, 80)]
    assert clean_icc_profile(data)[4:128] == bytes(data[at] if at in stays else 0 for at in range(4, 128))


def profile(*parts: tuple[bytes, bytes], version: int = 4, cut: int = 0) -> bytes:
    start, table, body = 132 + 12 * len(parts), b"", b""
    for name, part in parts:
        table += struct.pack(">4sLL", name, start + len(body), len(part))
        body += part
    header = bytes(8) + bytes([version]) + bytes(27) + b"acsp" + bytes(88)
    return (header + struct.pack(">L", len(parts)) + table + body)[: -cut or None]


CURVE = b"curv" + bytes(8)


def parts_of(data: bytes) -> dict[bytes, bytes]:
    (size,), (count,) = struct.unpack_from(">L", data), struct.unpack_from(">L", data, 128)
    assert size == len(data)
    entries = [struct.unpack_from(">4sLL", data, 132 + 12 * number) for number in range(count)]
    return {name: data[start : start + length] for name, start, length in entries}


def test_parts_that_are_numbers_stay_and_required_texts_say_none() -> None:
    data = profile(
        (b"rTRC", CURVE), (b"dmnd", b"desc" + b"Wubbleford"), (b"odd ", b"curve?"), (b"gTRC", CURVE)
    )
    text = b"mluc" + bytes(4) + struct.pack(">LL4sLL", 1, 12, b"enUS", 8, 28) + "none".encode("utf-16-be")
    assert parts_of(clean_icc_profile(data)) == {
        b"rTRC": CURVE,
        b"gTRC": CURVE,
        b"odd ": b"curve?",
        b"desc": text,
        b"cprt": text,
    }


@pytest.mark.parametrize("version", [2, 3])
def test_texts_of_old_profiles_are_of_the_old_types(version: int) -> None:
    parts = parts_of(clean_icc_profile(profile((b"rTRC", CURVE), version=version)))
    assert parts[b"cprt"] == b"text" + bytes(4) + b"none\0"
    assert parts[b"desc"] == b"desc" + bytes(4) + struct.pack(">L", 5) + b"none\0" + bytes(78)


def test_equal_parts_are_written_once_and_parts_begin_at_words() -> None:
    clean = clean_icc_profile(profile((b"rTRC", CURVE + b"x"), (b"gTRC", CURVE + b"x"), (b"bTRC", CURVE)))
    starts = {name: start for name, start, _ in struct.iter_unpack(">4sLL", clean[132 : 132 + 12 * 5])}
    assert starts[b"rTRC"] == starts[b"gTRC"] != starts[b"bTRC"]
    assert {start % 4 for start in starts.values()} == {0}
    assert min(starts.values()) == 132 + 12 * 5


def test_a_profile_has_at_most_100_parts_and_is_whole() -> None:
    parts = [(b"%04d" % number, CURVE) for number in range(101)]
    assert len(parts_of(clean_icc_profile(profile(*parts[:100])))) == 102
    for data in (profile(*parts), profile((b"rTRC", CURVE), cut=1), profile()[:131], bytes(1) + profile()):
        with pytest.raises(ValueError, match="not an ICC profile"):
            clean_icc_profile(data)
    for ends_with_its_table in (profile(), profile((b"rTRC", b""))):
        assert set(parts_of(clean_icc_profile(ends_with_its_table))) == {b"desc", b"cprt"}
        with pytest.raises(ValueError, match="not an ICC profile"):
            clean_icc_profile(ends_with_its_table[:-1])
