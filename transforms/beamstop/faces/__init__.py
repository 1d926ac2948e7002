"""Faces that slices of a head show: which instances may show one, where it is, and what is blanked."""
