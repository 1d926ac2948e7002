"""Places of a picture that CRAFT has to examine, each with a scale."""

from math import ceil
from typing import NamedTuple

import numpy as np

from beamstop.pixels.box import Box
from beamstop.pixels.renditions import Picture
from beamstop.text.boxes import TextBox


class Place(NamedTuple):
    """A part of a picture, and the scale to which it is resized."""

    box: TextBox
    scale: float

    @property
    def area(self) -> int:
        """In pixels of the picture."""
        return self.box.width * self.box.height

    def cut(self, picture: Picture) -> Picture:
        """Return the part, resized for CRAFT."""
        return resized(picture[self.box.pixels], self.scale)

    def to_picture(self, box: TextBox) -> TextBox:
        """Return a box in the resized part in pixels of the picture."""
        found = shrunk(box, self.scale)
        left, top = found.x + self.box.x, found.y + self.box.y
        return found.between(left, top, left + found.width, top + found.height)


def around(box: Box, margin: float, shape: tuple[int, ...]) -> TextBox:
    """Return the box with a margin, cut to the picture's shape."""
    left, top = max(int(box.x - margin), 0), max(int(box.y - margin), 0)
    right, bottom = min(ceil(box.right + margin), shape[1]), min(ceil(box.bottom + margin), shape[0])
    return TextBox(left, top, right - left, bottom - top)


def joined(places: list[Place], sparse: float) -> list[Place]:
    """Join places of one scale that touch, so that nothing is examined twice.

    Args:
        places: in any order.
        sparse: the joined place is at most this many times as large as the two together.
    """
    rest, done = sorted(places, key=_by_edges), []
    while rest:
        one = rest.pop()
        for other in rest:
            if _touch(one, other) and _together(one, other).area <= sparse * (one.area + other.area):
                rest.remove(other)
                rest.append(_together(one, other))
                break
        else:
            done.append(one)
    return done


def _by_edges(place: Place) -> tuple[float, ...]:
    return place.box.x, place.box.y, place.box.right, place.box.bottom, place.scale


def _together(one: Place, other: Place) -> Place:
    left, top = min(one.box.x, other.box.x), min(one.box.y, other.box.y)
    right, bottom = max(one.box.right, other.box.right), max(one.box.bottom, other.box.bottom)
    return Place(TextBox(left, top, right - left, bottom - top), one.scale)


def _touch(one: Place, other: Place) -> bool:
    return one.scale == other.scale and one.box.shared(other.box) > 0


def resized(picture: Picture, scale: float) -> Picture:
    """Return a picture resized; itself at scale 1."""
    import cv2

    if scale == 1:
        return picture
    how = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def shrunk(box: TextBox, scale: float) -> TextBox:
    """Return the smallest box of whole pixels around a box in a picture that was resized by a scale."""
    left, top = int(box.x / scale), int(box.y / scale)
    right, bottom = ceil(box.right / scale), ceil(box.bottom / scale)
    return TextBox(left, top, right - left, bottom - top, legible=box.legible, agreed=box.agreed)
