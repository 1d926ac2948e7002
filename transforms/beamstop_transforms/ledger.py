"""The ledger: what earlier runs wrote, read from their audit."""

import hashlib
from functools import cached_property

import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems


class Ledger:
    """What the audit of earlier runs says was written; loaded when first asked, columns needed only.

    Args:
        audit: the AUDIT folder or prefix.
    """

    def __init__(self, audit: str) -> None:
        self._audit = audit

    def writer(self, path: str, sha256: str) -> str | None:
        """Return the source_id of what a run wrote at this path with this content, None if none did."""
        return self._writers.get(_key(path, sha256))

    @cached_property
    def _writers(self) -> dict[bytes, str]:
        columns = ["output_path", "output_sha256", "source_id"]
        found: dict[bytes, str] = {}
        pattern = FileSystems.join(self._audit, "instances", "*.parquet")
        files = FileSystems.match([pattern])[0].metadata_list
        for path in sorted(about.path for about in files):  # by run: the newest has the last word
            with FileSystems.open(path) as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=columns):
                    for output, sha256, source_id in zip(
                        *(it.to_pylist() for it in batch.columns), strict=True
                    ):
                        if output is not None:
                            found[_key(output, sha256)] = source_id
        return found


def _key(path: str, sha256: str) -> bytes:
    # 16 bytes for each of millions of files instead of their names
    return hashlib.sha256(f"{path}\0{sha256}".encode()).digest()[:16]
