"""Output of a run for people: progress line, log lines, summary."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from beamstop.audit import Outcome
from beamstop_pipeline.running.set_aside import SetAside
from beamstop_transforms.metrics import LISTED, StepFigures

_LOG_EVERY = 10.0  # seconds


class Display(Protocol):
    """Shows the counts of a run while it goes on."""

    def __call__(self, counts: Counter[str]) -> None:
        """Show them."""

    def close(self) -> None:
        """Remove the display."""


class Quiet:
    """Shows nothing."""

    def __call__(self, counts: Counter[str]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to remove."""


class Line:
    """One moving line on a terminal: done, rate, rejected, set aside, time left."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None, rest="")
        self._progress.start()

    def __call__(self, counts: Counter[str]) -> None:
        """Show them."""
        done = finished(counts)
        rate = done / max(time.monotonic() - self._started, 1e-3)
        rest = f"{_per_time(rate)}, {_aside(counts)}"
        description = "de-identifying" if counts[LISTED] else "listing"
        self._progress.update(
            self._task, description=description, total=counts[LISTED] or None, completed=done, rest=rest
        )

    def close(self) -> None:
        """Clear the line."""
        self._progress.stop()


class Log:
    """A plain line on stderr now and then."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()

    def __call__(self, counts: Counter[str]) -> None:
        """Show them, if the last line was long enough ago."""
        now = time.monotonic()
        if now - self._last < _LOG_EVERY:
            return
        self._last = now
        if not counts[LISTED]:
            sys.stderr.write(f"beamstop: {now - self._started:.0f} s, nothing is counted yet\n")
            return
        done = finished(counts)
        rate = done / (now - self._started)
        sys.stderr.write(f"beamstop: {done} of {counts[LISTED]} done, {_per_time(rate)}, {_aside(counts)}\n")

    def close(self) -> None:
        """Nothing to remove."""


def display(quiet: bool) -> Display:
    """Return the display: a line on a terminal, log lines elsewhere, nothing with --quiet."""
    if quiet:
        return Quiet()
    return Line() if sys.stderr.isatty() else Log()


def finished(counts: Counter[str]) -> int:
    """Return how many sources have an outcome; a retried one counts once."""
    return min(sum(counts[str(outcome)] for outcome in Outcome), counts[LISTED])


def _per_time(rate: float) -> str:
    return f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"


def _aside(counts: Counter[str]) -> str:
    aside = counts[Outcome.QUARANTINED] + counts[Outcome.FAILED]
    return f"{counts[Outcome.REJECTED]} rejected, {aside} quarantined or failed"


def summary(
    record: Mapping[str, Any],
    aside: SetAside,
    figures: Mapping[str, StepFigures],
    output: str,
    audit: str,
) -> Table:
    """Return the summary table of a run.

    Args:
        record: the run's JSON.
        aside: sources that it quarantined or failed.
        figures: of each step, from the metrics; empty if the runner has none.
        output: where the clean files are.
        audit: where the audit is.
    """
    counts = record["counts"]
    table = Table(title=f"run {record['run_id']}", title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="left", overflow="fold")
    rate = _per_time(counts["sources"] / max(record["seconds"], 1e-3))
    table.add_row("sources", f"{counts['sources']} in {record['seconds']:.1f} s, {rate}")
    table.add_row("written", f"{counts['written']} ({counts['unchanged']} of them unchanged)")
    for outcome in (Outcome.REJECTED, Outcome.QUARANTINED, Outcome.FAILED):
        table.add_row(str(outcome), _with_reasons(outcome, counts))
    if record["options"]["incremental"]:
        table.add_row("known", _known(aside.known))
        table.add_row("skipped", f"{counts['skipped']} that an earlier run decided")
    if aside.unheard:
        table.add_row("runs that broke", f"had set aside {_listed(aside.unheard)}")
    if "since" in record:
        table.add_row("sources since", _since(record["since"]))
        table.add_row("clean files left", _left(record["since"]))
    table.add_row("text boxes hidden", str(counts["text_boxes_hidden"]))
    for code, said in (("face_may_show", "a face may show"), ("face_removed", "faces removed")):
        if number := counts.get(code):
            table.add_row(
                said, f"in {number} of those written" if code == "face_may_show" else f"from {number}"
            )
    if "png" in record:
        table.add_row("PNG", ", ".join(f"{code.replace('_', ' ')} {n}" for code, n in record["png"].items()))
    table.add_row("size", f"{decimal(counts['bytes_in'])} read, {decimal(counts['bytes_out'])} written")
    if figures:
        table.add_row("time an instance", ", ".join(f"{verb} {_mean(it)}" for verb, it in figures.items()))
    table.add_row("clean files", output)
    table.add_row("audit", audit)
    return table


def _mean(figures: StepFigures) -> str:
    return f"{figures.milliseconds / figures.instances:.1f} ms"


def _known(known: Counter[tuple[str, str]]) -> str:
    """Return how many of the sources set aside were reported by an earlier run."""
    return f"{known.total()} of these, reported before: {_listed(known)}" if known else "0 of these"


def _listed(counts: Counter[tuple[str, str]]) -> str:
    """Return counts by outcome and reason, most first.

    >>> _listed(Counter({("failed", "truncated"): 1, ("quarantined", "leak"): 2}))
    'quarantined leak 2, failed truncated 1'
    """
    return ", ".join(f"{outcome} {reason} {number}" for (outcome, reason), number in counts.most_common())


def _since(since: Mapping[str, Any]) -> str:
    """Return how many sources of earlier runs are gone or changed.

    >>> _since({"judged": True, "gone": 1, "changed": 2})
    '1 gone, 2 changed'
    """
    gone = f"{since['gone']} gone" if since["judged"] else "a folder cannot be listed: none counts as gone"
    return f"{gone}, {since['changed']} changed"


def _left(since: Mapping[str, Any]) -> str:
    """Return how many clean files have no source any more, and how many of them were removed.

    >>> _left({"left": {"gone": 2, "moved": 1}, "pruned": 2})
    '3 without a source (gone 2, moved 1): 2 removed, 1 stays'
    """
    found = sum(since["left"].values())
    if not found:
        return "0 without a source"
    why = ", ".join(f"{why} {number}" for why, number in since["left"].items())
    stay = found - since["pruned"]
    if not since["pruned"]:
        done = "all stay; --prune removes them" if found > 1 else "it stays; --prune removes it"
    else:
        staying = f", {stay} stay{'' if stay > 1 else 's'}" if stay else ""
        done = f"{since['pruned']} removed{staying}"
    return f"{found} without a source ({why}): {done}"


def _with_reasons(outcome: Outcome, counts: Mapping[str, Any]) -> str:
    reasons = [
        f"{key.partition('/')[2]} {number}"
        for key, number in counts["reasons"].items()
        if key.startswith(f"{outcome}/")
    ]
    return f"{counts[outcome]}" + (f": {', '.join(reasons)}" if reasons else "")
