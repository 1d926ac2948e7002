"""The text detector: networks that find and read text in a picture."""
