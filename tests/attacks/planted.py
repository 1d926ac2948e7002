"""One CT-like object with identifiers of its patient in fifty places."""

import base64
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from beamstop.testing import GREY_BYTES

MakeDataset = Callable[..., FileDataset]
NAME, GIVEN, NUMBER, UID = "Zyxwander", "Quillbert", "MRN7734501", "1.2.826.0.1.3680043.8.498.77001"
TEXT = f"of {NAME}"


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def code(meaning: str) -> Sequence:
    return Sequence([item(CodeValue="T-1", CodingSchemeDesignator="99X", CodeMeaning=meaning)])


Plant = Callable[[FileDataset], object]


def keyword(name: str, value: object = TEXT) -> Plant:
    return lambda dataset: setattr(dataset, name, value)


def element(tag: int, vr: str, value: object) -> Plant:
    return lambda dataset: dataset.add_new(tag, vr, value)


def private(vr: str, value: object) -> Plant:
    return lambda dataset: dataset.private_block(0x0011, "MAKER", create=True).add_new(1, vr, value)


_STREAM = zlib.compress(f"BT [({NAME[:4]}) -20 ({NAME[4:]})] TJ ET".encode())
_HIDDEN = b"\xfe\xff\0\xe0\x12\0\0\0\x10\0\x10\0\x0a\0\0\0" + f"{NAME} ".encode()


def _icon() -> Dataset:
    icon = item(
        Rows=2,
        Columns=6,
        **GREY_BYTES,
    )
    icon.add_new(0x7FE00010, "OB", TEXT.encode())
    return icon


_TABLED = """PatientComments OtherPatientNames PatientAddress AdditionalPatientHistory StudyDescription
    SeriesDescription ProtocolName ImageComments InstitutionName StationName DerivationDescription
    RequestedProcedureDescription AcquisitionComments OperatorsName"""
_NOT_TABLED = """ManufacturerModelName FilterType SoftwareVersions ConvolutionKernel Manufacturer
    PositionReferenceIndicator DocumentTitle"""
PLACES: dict[str, Plant] = {
    # what the Basic Profile knows
    **{name: keyword(name) for name in _TABLED.split()},
    "AccessionNumber": keyword("AccessionNumber", NUMBER),
    "OtherPatientIDs": keyword("OtherPatientIDs", NUMBER),
    "ReferencedImageSequence": keyword(
        "ReferencedImageSequence",
        [item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=UID)],
    ),
    # what its table does not name
    **{name: keyword(name) for name in _NOT_TABLED.split()},
    "ImageType": keyword("ImageType", ["ORIGINAL", "PRIMARY", NAME.upper()]),
    "ProcedureCodeSequence": keyword("ProcedureCodeSequence", code(TEXT)),
    "code meaning two levels down": keyword(
        "RequestAttributesSequence", [item(ScheduledProtocolCodeSequence=code(TEXT))]
    ),
    "unknown attribute": element(0x00102345, "LO", TEXT),
    "unknown group": element(0x00440099, "LO", TEXT),
    # reports and drawings
    "person in a report": keyword("ContentSequence", [item(ValueType="PNAME", PersonName=f"{NAME}^{GIVEN}")]),
    "text in a report": keyword(
        "ContentSequence",
        [item(ValueType="CONTAINER", ContentSequence=[item(ValueType="TEXT", TextValue=TEXT)])],
    ),
    "graphic annotation": keyword(
        "GraphicAnnotationSequence", [item(TextObjectSequence=[item(UnformattedTextValue=TEXT)])]
    ),
    "waveform annotation": keyword("WaveformAnnotationSequence", [item(UnformattedTextValue=TEXT)]),
    "OverlayDescription": element(0x60000022, "LO", TEXT),
    "OverlayLabel": element(0x60001500, "LO", TEXT),
    "OverlayData": element(0x60003000, "OW", f"{TEXT} ".encode()),
    "curve description": element(0x50000022, "LO", TEXT),
    "curve data": element(0x50003000, "OW", f"{TEXT} ".encode()),
    "icon": keyword("IconImageSequence", [_icon()]),
    # private elements
    "private text": private("LO", TEXT),
    "private bytes": private("UN", b"\x01\x02" + TEXT.encode() + b"\0\0"),
    "private UTF-16": private("UN", b"\x01\x02" + TEXT.encode("utf-16-le")),
    "private base64": private("OB", base64.b64encode(f"the name is {NAME}".encode())),
    "private gzip": private("OB", zlib.compress(f"the name is {NAME}".encode())),
    "private sequence": private("SQ", [item(PatientName=NAME)]),
    "private UN that is a sequence": private("UN", _HIDDEN),
    "private creator": lambda dataset: dataset.private_block(0x0013, TEXT, create=True).add_new(1, "LO", "x"),
    "odd group without creator": element(0x00251010, "LO", TEXT),
    # beside the attributes
    "certificate": element(0x04000115, "OB", f"{TEXT} ".encode()),
    "encrypted attributes": element(0x04000520, "OB", f"{TEXT} ".encode()),
    "original attributes": keyword(
        "OriginalAttributesSequence", [item(ModifiedAttributesSequence=[item(PatientName=NAME)])]
    ),
    "DataSetTrailingPadding": element(0xFFFCFFFC, "OB", f"{TEXT} ".encode()),
    "behind the NUL of a text": element(0x00081090, "LO", f"CT\0\0{TEXT}"),
    "SourceApplicationEntityTitle": lambda dataset: setattr(
        dataset.file_meta, "SourceApplicationEntityTitle", NAME
    ),
    "PrivateInformation": lambda dataset: dataset.file_meta.update(
        item(PrivateInformationCreatorUID=UID, PrivateInformation=TEXT.encode() + b" ")
    ),
    "ImplementationVersionName": lambda dataset: setattr(
        dataset.file_meta, "ImplementationVersionName", NAME
    ),
    "preamble": lambda dataset: setattr(dataset, "preamble", TEXT.encode().ljust(128, b"\0")),
}


def ct(make_dataset: MakeDataset) -> FileDataset:
    """Return the object before anything is planted: only where they belong are its identifiers."""
    return make_dataset(
        PatientName=f"{NAME}^{GIVEN}", PatientID=NUMBER, StudyInstanceUID=UID, KVP="120", SliceThickness="2"
    )


def file_of(dataset: FileDataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def left_in(data: bytes) -> set[str]:
    """Return which identifiers bytes hold, also as UTF-16, in base64, and inflated."""
    found = set()
    for secret in (NAME, GIVEN, NUMBER, UID):
        forms = [secret.encode(), secret.encode("utf-16-le")]
        forms += [base64.b64encode(b" " * skipped + secret.encode())[4:-4] for skipped in (3, 4, 5)]
        if any(form.lower() in data.lower() for form in forms):
            found.add(secret)
    at = data.find(b"\x78\x9c")
    while at >= 0:
        with suppress(zlib.error):
            found |= left_in(zlib.decompressobj().decompress(data[at:]))
        at = data.find(b"\x78\x9c", at + 1)
    return found
