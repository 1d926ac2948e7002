"""The error with which a command refuses to start."""

from beamstop.errors import DeidError


class ConfigurationError(DeidError):
    """A setting is unusable; the message names the remedy."""
