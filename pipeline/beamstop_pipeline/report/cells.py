"""Rows of the audit, added up: one cell for each combination of codes that occurs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Cells:
    """Cells: codes by name, and sums over the rows with these codes; a few hundred for any archive."""

    cells: list[Cell] = field(default_factory=list)

    @classmethod
    def joined(cls, parts: Iterable["Cells"], keys: list[str], sums: list[str]) -> "Cells":
        """Return the cells of several parts of an audit, added up.

        Args:
            parts: tables of cells.
            keys: names of the codes.
            sums: names of the columns that are added up.
        """
        whole: dict[tuple[Any, ...], dict[str, Any]] = {}
        for cell in (cell for part in parts for cell in part.cells):
            codes = tuple(cell[key] for key in keys)
            sofar = whole.setdefault(codes, {**dict(zip(keys, codes, strict=True)), **dict.fromkeys(sums, 0)})
            for name in sums:
                sofar[name] += cell[name]
        return cls([whole[codes] for codes in sorted(whole)])

    def where(self, **codes: str) -> "Cells":
        """Return the cells with these codes."""
        return self.that(lambda cell: all(cell[name] == code for name, code in codes.items()))

    def that(self, is_wanted: Callable[[Cell], bool]) -> "Cells":
        """Return the cells that pass a test."""
        return Cells([cell for cell in self.cells if is_wanted(cell)])

    def total(self, name: str) -> Any:
        """Return a sum over all cells."""
        return sum(cell[name] for cell in self.cells)

    def by(self, key: str | Callable[[Cell], str]) -> dict[str, "Cells"]:
        """Return code → its cells, in the order of the codes.

        Args:
            key: name of the code, or a function from cell to code.
        """
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell[key] if isinstance(key, str) else key(cell), []).append(cell)
        return {code: Cells(found[code]) for code in sorted(found)}

    def sums(self, key: str, name: str = "n") -> dict[str, int]:
        """Return code → a sum over its cells, the largest first."""
        counted = {code: int(cells.total(name)) for code, cells in self.by(key).items()}
        return dict(sorted(counted.items(), key=lambda item: -item[1]))
