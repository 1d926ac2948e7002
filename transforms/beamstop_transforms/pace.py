"""Pace: when waiting files are due to be put in place, so that a dying process loses little."""

from time import perf_counter

_SHARE = 20  # the fraction of the process's working time that may wait


class Pace:
    """Decides when files are written: soon at first, later less often, and never at great cost.

    It decides when something is written, never what.

    Args:
        longest: the most seconds that anything waits, if writing is quick.
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
        """Start waiting again.

        Args:
            cost: seconds that writing took; given if it must not take more than a fifth of all time.
        """
        self._last, self._cost = perf_counter(), cost
