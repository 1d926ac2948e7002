"""Box: an upright rectangle in stored pixels."""

from dataclasses import dataclass, replace
from typing import TypeVar

_B = TypeVar("_B", bound="Box")


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in stored pixels.

    Attributes:
        x, y: upper left pixel, columns and rows counted from 0.
        width, height: in pixels.
    """

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def of_edges(cls, left: int, top: int, right: int, bottom: int) -> "Box":
        """Return the box between edges; right and bottom are excluded."""
        return Box(left, top, right - left, bottom - top)

    @property
    def right(self) -> int:
        """The first column beyond it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row beyond it."""
        return self.y + self.height

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an array of shape (rows, columns) or (rows, columns, samples)."""
        return slice(self.y, self.bottom), slice(self.x, self.right)

    def between(self: _B, left: int, top: int, right: int, bottom: int) -> _B:
        """Return the same box with other edges; right and bottom are excluded."""
        return replace(self, x=left, y=top, width=right - left, height=bottom - top)

    def grown(self: _B, margin: int, rows: int, columns: int) -> _B:
        """Return the box with a margin on each side, cut to a picture; empty if outside it.

        >>> Box(2, 3, 4, 5).grown(3, rows=9, columns=9)
        Box(x=0, y=0, width=9, height=9)
        """
        left, top = max(self.x - margin, 0), max(self.y - margin, 0)
        right, bottom = min(self.right + margin, columns), min(self.bottom + margin, rows)
        return self.between(left, top, max(right, left), max(bottom, top))

    def cut(self: _B, rows: int, columns: int) -> _B | None:
        """Return the part inside a picture, None if there is none.

        >>> Box(90, -5, 50, 20).cut(rows=100, columns=100), Box(200, 0, 5, 5).cut(100, 100)
        (Box(x=90, y=0, width=10, height=15), None)
        """
        inside = self.grown(0, rows, columns)
        return inside if inside.width and inside.height else None

    def holds(self, other: "Box") -> bool:
        """Return whether another box lies wholly inside."""
        inside_across = self.x <= other.x and other.right <= self.right
        return inside_across and self.y <= other.y and other.bottom <= self.bottom

    def shared(self, other: "Box") -> int:
        """Return how many pixels both have."""
        across = min(self.right, other.right) - max(self.x, other.x)
        down = min(self.bottom, other.bottom) - max(self.y, other.y)
        return max(across, 0) * max(down, 0)
