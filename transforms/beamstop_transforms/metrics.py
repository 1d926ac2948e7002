"""Beam metrics of each step. Their names are verbs, outcomes and reason codes, nothing else.

The namespace is the verb. Counters: `passed`; an outcome (`written`, `rejected`, `quarantined`, `failed`); an
outcome with its reason (`rejected/encapsulated_document`); in Redistribute `listed`, the sources to process.
Distributions: `ms`, milliseconds per instance; in ReadDicom `bytes_in`; in HideText `text_boxes_hidden`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from apache_beam.metrics.metric import Metrics, MetricsFilter

from beamstop.audit import Outcome, Row
from beamstop_transforms.instance import Instance

LISTED = "listed"
PASSED, MILLISECONDS, BYTES_IN, BOXES_HIDDEN = "passed", "ms", "bytes_in", "text_boxes_hidden"


class Counters:
    """The metrics of one step in one worker process.

    Args:
        verb: of the step.
    """

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._counters: dict[str, Any] = {}
        self._left = 0.0
        self._ms = Metrics.distribution(verb, MILLISECONDS)
        self._bytes = Metrics.distribution(verb, BYTES_IN) if verb == "ReadDicom" else None
        self._boxes = Metrics.distribution(verb, BOXES_HIDDEN) if verb == "HideText" else None

    def count(self, instance: Instance, milliseconds: float, row: Row | None, passed: str = PASSED) -> None:
        """Count one instance.

        Args:
            instance: as the step left it.
            milliseconds: that the step took.
            row: the audit row if the instance was refused, otherwise None.
            passed: the counter for an instance that was not refused.
        """
        if row is None:
            self._inc(passed)
        else:
            self._inc(row["outcome"])
            self._inc(f"{row['outcome']}/{row['reason']}")
        spent = int(milliseconds + self._left)  # whole milliseconds; the rest is added to the next instance
        self._left += milliseconds - spent
        self._ms.update(spent)
        if self._bytes is not None and instance.bytes_in:
            self._bytes.update(instance.bytes_in)
        if self._boxes is not None and instance.pixels is not None:
            self._boxes.update(instance.pixels.text_boxes_hidden)

    def _inc(self, name: str) -> None:
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = Metrics.counter(self._verb, name)
        counter.inc()


class StepFigures(NamedTuple):
    """The figures of one step in a run: number of instances, and total milliseconds."""

    instances: int
    milliseconds: int


def figures_by_step(result: Any) -> dict[str, StepFigures]:
    """Return verb → figures, from the metrics of a pipeline's result; empty if the runner has no metrics.

    Args:
        result: of Beam's `Pipeline.run`.
    """
    found = result.metrics().query(MetricsFilter().with_name(MILLISECONDS))
    spent: dict[str, list[Any]] = defaultdict(list)
    for it in found["distributions"]:
        value = it.committed if it.committed is not None else it.attempted
        if value is not None and value.count:
            spent[it.key.metric.namespace].append(value)
    return {
        verb: StepFigures(sum(it.count for it in values), sum(it.sum for it in values))
        for verb, values in spent.items()
    }


def counts_by_step(result: Any) -> Mapping[str, Mapping[str, int]]:
    """Return verb → counter → number, from the metrics of a pipeline's result."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    names: Iterable[str] = (PASSED, LISTED, *map(str, Outcome))
    for it in result.metrics().query(MetricsFilter())["counters"]:
        name = it.key.metric.name
        if name.partition("/")[0] in names:
            counts[it.key.metric.namespace][name] += (
                it.committed if it.committed is not None else it.attempted
            )
    return counts


def progress_of(result: Any) -> Counter[str]:
    """Return how many sources are listed, and how many have each outcome, according to the metrics.

    Sources of a bundle that was retried may count twice.

    Args:
        result: of Beam's `Pipeline.run`, for a running or finished job.
    """
    by_step = counts_by_step(result)
    names = (LISTED, *map(str, Outcome))
    return Counter({name: sum(counts[name] for counts in by_step.values()) for name in names})
