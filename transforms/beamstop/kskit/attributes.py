"""kskit's `deidentify_attributes` and its table.

The table differs from kskit's: a column is a keyword (a private element's is its tag), so that the same
attribute is one column whatever its multiplicity or encoding; sequences are JSON in one cell; binary values
are left out; there is no path of the original; and a file that cannot be read does not end the run.
"""

import json
import secrets
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VM
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from beamstop.chain import Steps, run_steps
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.files import read_dicom
from beamstop.dicom.pydicom_guards import guarded
from beamstop.dicom.tags import tag_text, vr_of
from beamstop.errors import DeidError, Refusal
from beamstop.identity import Identity
from beamstop.keys import KEY_LENGTH
from beamstop.recipe.load import load_recipe
from beamstop.recipe.model import Recipe
from beamstop.rules.operators import BYTES_VRS

if TYPE_CHECKING:
    import pandas as pd

META_FILE = "meta.csv"  # the file name that kskit's users know


@guarded()
def attributes_row(dataset: Dataset) -> dict[str, object]:
    """Return one instance's attributes as a row of the table, by column name.

    Every value is text, so that a column has one type: as it stands in the file where the data dictionary
    allows one value, a JSON list where it allows several, a JSON list of items for a sequence. An empty
    element is empty text; one that is not there has no column. Binary values, and values that cannot be
    read, are left out. Of the file meta group only what says how the file is encoded is there.

    Args:
        dataset: one clean instance; the caller says that it is clean.

    >>> from pydicom.dataset import Dataset
    >>> dataset = Dataset()
    >>> dataset.PatientSex, dataset.ImageType = "F", ["ORIGINAL", "PRIMARY"]
    >>> attributes_row(dataset)
    {'ImageType': '["ORIGINAL", "PRIMARY"]', 'PatientSex': 'F'}
    """
    row = _plain_row(dataset)
    syntax = getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID")
    if syntax:
        row["TransferSyntaxUID"] = str(syntax)
    return {name: value if isinstance(value, str) else _json(value) for name, value in row.items()}


def deidentify_attributes(
    indir: str | PathLike[str],
    outdir: str | PathLike[str],
    org_root: str | None = None,
    erase_outdir: bool = False,
    recipe: Recipe | str | PathLike[str] = "mammography-kskit",
    key: bytes | None = None,
) -> "pd.DataFrame":
    """De-identify the attributes of every DICOM file of a folder; return them as a table.

    Pixels are neither searched nor written, and the recipe's settings for them are ignored. Files that
    have no row, such as those that are not DICOM, are counted by reason in `frame.attrs["refused"]`, and a
    warning says so.

    Args:
        indir: searched with its sub-folders.
        outdir: a folder; the table is written there as `meta.csv`.
        org_root: root of the UIDs; the recipe's own where None.
        erase_outdir: first remove the files directly in `outdir`, which kskit did by default.
        recipe: a recipe, or what `load_recipe` takes: a name, a file, one of kskit's JSON files.
        key: 32 bytes; the same key gives the same pseudonyms. Where None they hold for this call alone.

    Returns:
        one row per clean instance, in the order of the paths, columns as `attributes_row` has them in
        alphabetical order; NaN where an instance does not have the attribute.

    Raises:
        DeidError: pandas is not installed.
        ValueError: `indir` or `outdir` is not a folder, or one lies inside the other.
        RecipeError: the recipe cannot be used.
    """
    source, target = Path(indir), Path(outdir)
    for name, folder in (("indir", source), ("outdir", target)):
        if not folder.is_dir():
            raise ValueError(f"{name}: not a folder")
    if target.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(target.resolve()):
        raise ValueError("indir, outdir: neither may lie inside the other")
    used = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    identity = used.identity(key or secrets.token_bytes(KEY_LENGTH))
    if org_root is not None:
        identity = replace(identity, uid_root=org_root)
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    frame = _frame(paths, partial(_clean_row, recipe=used, identity=identity))
    if erase_outdir:
        _erase_files(target)
    frame.to_csv(target / META_FILE, index=False)
    return frame


def dicom2df(
    search_dir: str | PathLike[str],
    with_private: bool = False,
    with_seqs: bool = True,
) -> "pd.DataFrame":
    """Return the attributes of every DICOM file of a folder as a table, as they are.

    **Nothing is de-identified: the table is as sensitive as the files.** `deidentify_attributes` gives the
    clean one. Files that cannot be read are counted as there.

    Args:
        search_dir: searched with its sub-folders.
        with_private: with private elements, at top level.
        with_seqs: with sequences, as JSON.

    Returns:
        one row per instance, in the order of the paths, columns as `attributes_row` has them.

    Raises:
        DeidError: pandas is not installed.
        ValueError: `search_dir` is not a folder.
    """
    source = Path(search_dir)
    if not source.is_dir():
        raise ValueError("search_dir: not a folder")
    paths = sorted(path for path in source.rglob("*") if path.is_file())

    def row(data: bytes) -> dict[str, object]:
        dataset = read_dicom(data)
        left_out = {
            _column(tag)
            for tag, element in dataset._dict.items()
            if (tag & 0x10000 and not with_private) or (vr_of(tag, element.VR) == "SQ" and not with_seqs)
        }
        return {name: value for name, value in attributes_row(dataset).items() if name not in left_out}

    return _frame(paths, row)


def _frame(paths: list[Path], row: Callable[[bytes], dict[str, object]]) -> "pd.DataFrame":
    """Return a table of rows, with what has none in `attrs["refused"]`, and a warning."""
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise DeidError("the table is a DataFrame of pandas: pip install 'beamstop[kskit]'") from None

    rows, refused = _rows(paths, row)
    frame = pd.DataFrame(rows, columns=sorted({name for it in rows for name in it}), dtype="object")
    frame.attrs["refused"] = dict(refused)
    if refused:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(refused.items()))
        warnings.warn(f"{refused.total()} of {len(paths)} files have no row: {reasons}", stacklevel=3)
    return frame


def _rows(
    paths: list[Path], row: Callable[[bytes], dict[str, object]]
) -> tuple[list[dict[str, object]], Counter[str]]:
    rows: list[dict[str, object]] = []
    refused: Counter[str] = Counter()
    for path in paths:
        try:
            rows.append(row(path.read_bytes()))
        except Refusal as refusal:
            refused[refusal.reason] += 1
        except OSError:
            refused["source_unreadable"] += 1
    return rows, refused


def _clean_row(data: bytes, recipe: Recipe, identity: Identity) -> dict[str, object]:
    """Run the chain without its step on pixels, CheckLeaks included."""
    dataset = read_dicom(data)
    run_steps(dataset, replace(Steps.of(recipe, None, identity), hide_text=None), identity)
    return attributes_row(dataset)


def _erase_files(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_file():
            entry.unlink()


def _plain_row(dataset: Dataset) -> dict[str, Any]:
    row = {}
    for tag in sorted(dataset.keys()):
        try:
            element = dataset[tag]
            if not (_is_binary(element) or element.tag.element == 0):  # element 0: a group length
                row[_column(element.tag)] = _plain_value(element)
        except MALFORMED:
            continue
    return row


def _plain_value(element: DataElement) -> Any:
    if element.VR == "SQ":
        return [_plain_row(item) for item in element.value]
    if element.is_empty:
        return ""
    if isinstance(element.value, MultiValue | list | tuple):
        return [str(value) for value in element.value]
    allows_several = dictionary_has_tag(element.tag) and dictionary_VM(element.tag) != "1"
    return [str(element.value)] if allows_several else str(element.value)


def _column(tag: BaseTag) -> str:
    """Return the keyword; the tag for private elements, and for repeating groups, which share keywords."""
    return (dictionary_keyword(tag) if dictionary_has_tag(tag) else "") or tag_text(tag)


def _is_binary(element: DataElement) -> bool:
    return element.VR in BYTES_VRS or isinstance(element.value, bytes)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
