"""A mapping on disk, for millions of names in constant memory."""

import json
import sqlite3
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Generic, TypeVar

K = TypeVar("K", str, bytes)
V = TypeVar("V")

_CACHE = 16 << 10  # KiB of pages that SQLite keeps in memory


class DiskMap(MutableMapping[K, V], Generic[K, V]):
    """Names → values, sorted by name, in a temporary SQLite file, which SQLite deletes on closing.

    Args:
        decode: turns parsed JSON back into a value.
    """

    def __init__(self, decode: Callable[[Any], V] = lambda it: it) -> None:
        self._decode = decode
        self._db = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            f"PRAGMA cache_size = -{_CACHE}",
            "CREATE TABLE kept (name BLOB PRIMARY KEY, value TEXT) WITHOUT ROWID",
            # Never committed: nobody else reads the file.
            "BEGIN",
        ):
            self._db.execute(statement)

    def __getitem__(self, name: K) -> V:
        found = self._db.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise KeyError(name)
        return self._decode(json.loads(found[0]))

    def __setitem__(self, name: K, value: V) -> None:
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, json.dumps(value)))

    def __delitem__(self, name: K) -> None:
        if not self._db.execute("DELETE FROM kept WHERE name = ?", (name,)).rowcount:
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return self._db.execute("SELECT 1 FROM kept WHERE name = ?", (name,)).fetchone() is not None

    def __iter__(self) -> Iterator[K]:
        yield from (name for (name,) in self._db.execute("SELECT name FROM kept ORDER BY name"))

    def __len__(self) -> int:
        count: int = self._db.execute("SELECT count(*) FROM kept").fetchone()[0]
        return count

    def between(self, low: K, high: K) -> Iterator[tuple[K, V]]:
        """Yield names and values with low <= name < high, in order."""
        found = self._db.execute("SELECT * FROM kept WHERE name >= ? AND name < ? ORDER BY name", (low, high))
        yield from ((name, self._decode(json.loads(value))) for name, value in found)
