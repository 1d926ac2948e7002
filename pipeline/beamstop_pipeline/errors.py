"""The error with which a command refuses to start."""

from beamstop.errors import DeidError


class ConfigurationError(DeidError):
    """A setting that cannot be used; the message says the remedy."""
