"""Transfer syntaxes, those newer than pydicom's dictionary among them."""

from pydicom.uid import UID

# PS3.6 table A-1; all are encapsulated, in explicit VR little endian.
NEWER = {
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}


class _NewerSyntax(UID):
    """What pydicom's UID would say if its dictionary had the syntax."""

    is_transfer_syntax = True
    is_implicit_VR = False  # noqa: N815  pydicom's name
    is_little_endian = True
    is_deflated = False
    is_encapsulated = True
    is_compressed = True

    @property
    def name(self) -> str:
        """Of the syntax, as PS3.6 has it."""
        return NEWER[self]


def transfer_syntax(uid: str) -> UID:
    """Return a UID that knows how its transfer syntax encodes, newer ones included.

    Those of a private or unknown syntax raise ValueError when asked, as pydicom's do.

    >>> transfer_syntax("1.2.840.10008.1.2.4.110").is_encapsulated
    True
    """
    return _NewerSyntax(uid) if uid in NEWER else UID(uid)
