"""Files readable by their owner only, which get their names only when they are complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from beamstop_pipeline.errors import ConfigurationError


@contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that, when it is written without an error, replaces any file of its name.

    Raises:
        ConfigurationError: it cannot be written there.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(
            os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb"
        ) as file:
            yield file
        os.replace(partial, path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; choose another place") from None
