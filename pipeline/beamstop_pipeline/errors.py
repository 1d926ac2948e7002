"""What makes a command refuse to start."""

from beamstop.errors import DeidError


class ConfigurationError(DeidError):
    """A setting that cannot be used; the message says the remedy."""
