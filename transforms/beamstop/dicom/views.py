"""A view of a dataset: elements that are read through it are converted only in the view.

pydicom converts a raw element in place when it is read, and elements that are not raw are encoded again. So
without a view, reading text that declares no character set could change its bytes.
"""

from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence


class _View(Dataset):
    """Shares elements with another dataset until they are read; items of sequences are views as well."""

    def __getitem__(self, key: Any) -> Any:
        found: Any = super().__getitem__(key)
        if isinstance(found, Dataset):  # of a slice
            return view_of(found)
        if found.VR != "SQ" or not found.value or isinstance(found.value[0], _View):
            return found
        items = Sequence(map(view_of, found.value))
        viewed = self._dict[found.tag] = DataElement(found.tag, "SQ", items, already_converted=True)
        return viewed


def view_of(dataset: Dataset) -> Dataset:
    """Return a view of a dataset or item, file meta included, at the cost of one small dictionary.

    Elements may be set in it, too. Values are shared: they must not be changed in place.
    """
    view = _View.__new__(_View)  # skips pydicom's `__init__`: all attributes come from the dataset
    vars(view).update(vars(dataset))
    view._dict, view._private_blocks = {**dataset._dict}, {}
    return view
