"""Beam metrics: what each step counts. Names are verbs, outcomes and reason codes, and nothing else.

Namespace is the verb. Counters: `passed`; an outcome (`written`, `rejected`, `quarantined`, `failed`); an
outcome with its reason (`rejected/encapsulated_document`); of Redistribute `listed`, the sources to be worked
on. Distributions: `ms`, milliseconds an instance; of
ReadDicom `bytes_in`; of HideText `text_boxes_hidden`.
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
    """What one step counts in one worker process.

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
            row: of the audit if the instance was refused, else None.
            passed: the counter of an instance that was not.
        """
        if row is None:
            self._inc(passed)
        else:
            self._inc(row["outcome"])
            self._inc(f"{row['outcome']}/{row['reason']}")
        spent = int(milliseconds + self._left)  # whole ones only: the rest is counted with the next
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
    """What a run's metrics say of one step: instances that came, and milliseconds spent on them together."""

    instances: int
    milliseconds: int


def figures_by_step(result: Any) -> dict[str, StepFigures]:
    """Return verb → what the metrics of a pipeline's result say of it; nothing where the runner has none.

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
    """Return verb → counter → number, as the metrics of a pipeline's result have them."""
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
    """Return how many sources are listed, and how many ended in each outcome, as far as the metrics tell.

    Sources of a bundle that was tried again may count twice.

    Args:
        result: of Beam's `Pipeline.run`, for a running or finished job.
    """
    by_step = counts_by_step(result)
    names = (LISTED, *map(str, Outcome))
    return Counter({name: sum(counts[name] for counts in by_step.values()) for name in names})
