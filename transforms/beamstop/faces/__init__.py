"""Faces in slices of the head: which instances may show one, where it lies, and which pixels to blank."""
