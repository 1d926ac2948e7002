"""DICOM files, datasets and elements as they are; no policy."""
