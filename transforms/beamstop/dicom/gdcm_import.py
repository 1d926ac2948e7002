"""Importing gdcm in a working directory that has a folder named `dl`."""

import sys
from contextlib import suppress
from importlib.util import find_spec


def import_gdcm_beside_dl() -> None:
    """Import gdcm where it would take something else for the module `dl` of Python 2, and fail.

    It asks for one when it is imported, which pydicom's pixel modules do, and finds any folder of that name
    on the path. Where there is none, gdcm is left to whoever needs it.
    """
    if "gdcm" in sys.modules or "dl" in sys.modules or find_spec("dl") is None:
        return
    sys.modules["dl"] = None  # type: ignore[assignment]
    try:
        with suppress(ImportError):
            import gdcm  # noqa: F401
    finally:
        del sys.modules["dl"]
