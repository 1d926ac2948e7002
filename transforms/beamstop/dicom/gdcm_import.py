"""Importing gdcm in a working directory that has a folder named `dl`."""

import sys
from contextlib import suppress
from importlib.util import find_spec


def import_gdcm_beside_dl() -> None:
    """Import gdcm even if there is a folder that it would take for Python 2's module `dl`.

    gdcm imports `dl`, and finds any folder of that name on the path. pydicom's pixel modules import gdcm.
    Without such a folder, this does nothing.
    """
    if "gdcm" in sys.modules or "dl" in sys.modules or find_spec("dl") is None:
        return
    sys.modules["dl"] = None  # type: ignore[assignment]
    try:
        with suppress(ImportError):
            import gdcm  # noqa: F401
    finally:
        del sys.modules["dl"]
