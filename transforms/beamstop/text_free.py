"""Objects whose pixels are computed and cannot carry text, so that nobody looks for any in them.

A detector sees letters in the edge of a mask now and then; hiding them would spoil the result. What
is not in this table is looked at. Instances of these classes do not claim Clean Pixel Data (113101).
"""

from pydicom.dataset import Dataset

# SOP class → why (PS3.3, the pixel description of the IOD).
TEXT_FREE = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation: a pixel says whether it belongs to a segment",  # C.8.20.2
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation: a pixel is the number of a segment",  # C.8.20.5
    "1.2.840.10008.5.1.4.1.1.481.2": "RT Dose: a pixel is a computed dose",  # C.8.8.3
    "1.2.840.10008.5.1.4.1.1.30": "Parametric Map: a pixel is a derived quantity",  # C.8.32
}


def is_text_free(dataset: Dataset) -> bool:
    """Say whether the pixels of an instance cannot carry text, by its SOP class."""
    return str(dataset.get("SOPClassUID") or "") in TEXT_FREE
