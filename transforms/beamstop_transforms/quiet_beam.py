"""Imports Beam without its warning about a package that beamstop does not need."""

import logging


def _is_about_something_else(record: logging.LogRecord) -> bool:
    return "apitools not found" not in record.getMessage()


# Beam logs to the root logger, which may be the user's: the filter is there only while Beam is imported.
logging.getLogger().addFilter(_is_about_something_else)
try:
    import apache_beam  # noqa: F401
finally:
    logging.getLogger().removeFilter(_is_about_something_else)
