"""DICOM files, datasets and elements; no policy."""
