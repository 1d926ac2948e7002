"""Importing Beam without its warning of a package that nothing here needs."""

import logging


def _is_about_something_else(record: logging.LogRecord) -> bool:
    return "apitools not found" not in record.getMessage()


# Beam logs to the root logger, which may be the user's: it has the filter while Beam is imported, no longer.
logging.getLogger().addFilter(_is_about_something_else)
try:
    import apache_beam  # noqa: F401
finally:
    logging.getLogger().removeFilter(_is_about_something_else)
