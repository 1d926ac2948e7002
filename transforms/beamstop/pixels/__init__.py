"""Frames of an instance: decoding, rendering, blanking and encoding them."""
