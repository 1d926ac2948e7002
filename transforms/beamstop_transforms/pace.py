"""Pace: when what waits to be put in its place is due, so that little is lost if the process dies."""

from time import perf_counter

_SHARE = 20  # of the time since the process began to work, a part of so many may wait


class Pace:
    """Says when it is time again: soon at first, later less often, never so often that it costs much.

    It decides when something is written, never what.

    Args:
        longest: seconds that anything waits at most, where writing takes little.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._began = self._last = perf_counter()
        self._cost = 0.0

    def is_due(self) -> bool:
        """Return whether it is time."""
        now = perf_counter()
        wait = max(4 * self._cost, min((now - self._began) / _SHARE, self._longest))
        return now - self._last >= wait

    def done(self, cost: float = 0.0) -> None:
        """Begin to wait again.

        Args:
            cost: seconds that it took, if it is not to take more than a fifth of all time.
        """
        self._last, self._cost = perf_counter(), cost
