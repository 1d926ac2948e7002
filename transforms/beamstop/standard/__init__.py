"""What the DICOM standard lists, read from generated tables in `data/`."""
