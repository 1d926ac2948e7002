"""Steps, between Beam and the core: a step works on every instance; a refusal becomes an audit row."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass
from time import perf_counter
from typing import Any, NamedTuple, get_origin

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.pipeline import Pipeline
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.display import DisplayDataItem
from apache_beam.typehints.decorators import IOTypeHints

from beamstop.audit import Outcome, Row, outcome_of, refused
from beamstop.dicom.deadline import check_time, working_until
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import PixelError, Refusal
from beamstop.recipe.model import Recipe
from beamstop_transforms import metrics
from beamstop_transforms.instance import Instance
from beamstop_transforms.stores import StoreError

REFUSED = "refused"

# The work changes the instance in place, or raises `Refusal` or `PixelError`.
Work = Callable[[Instance], None]


class Branches(NamedTuple):
    """What a step returns: instances that continue, and audit rows of refused ones."""

    instances: Any
    refused: Any


class Transform(beam.PTransform):
    """A PTransform as a dataclass, with its settings as display data.

    Keys, folder and file names, and a recipe's lists are not shown: they may identify somebody.
    """

    def display_data(self) -> dict[str, Any]:
        """Return the settings that may be shown, by name."""
        return dict(_shown(self))

    def default_type_hints(self) -> IOTypeHints:
        """Return the types of `expand`'s annotations; Beam itself warns about several outputs."""
        hints = IOTypeHints.from_callable(self.expand) or IOTypeHints.empty()
        known = hints._replace(
            input_types=_of_a_collection(hints.input_types), output_types=_of_a_collection(hints.output_types)
        )
        return known.strip_pcoll()


def _of_a_collection(types: Any) -> Any:
    if not types or not types[0]:
        return None
    first = types[0][0]
    return types if (get_origin(first) or first) in (PCollection, PBegin, Pipeline) else None


def _shown(settings: Any) -> Iterator[tuple[str, Any]]:
    for it in fields(settings) if is_dataclass(settings) else ():
        value = getattr(settings, it.name)
        if isinstance(value, Recipe):
            yield "recipe", DisplayDataItem(value.name, label="recipe")
            yield "recipe_digest", DisplayDataItem(value.digest, label="SHA-256 of the recipe")
        elif isinstance(value, bool | int | float):
            yield it.name, DisplayDataItem(value, label=it.name.replace("_", " "))
        elif is_dataclass(value):
            yield from ((f"{it.name}.{name}", item) for name, item in _shown(value))


class Step(Transform):
    """One verb on instances: `expand` returns `Branches`.

    Subclasses are dataclasses that define how the work begins on a worker (`begin`).

    Attributes:
        column: of the audit, for the time spent; None if there is none.
    """

    column: str | None = None

    def begin(self) -> Work:
        """Return the work on an instance; called once on each worker process, before the first."""
        raise NotImplementedError

    def expand(self, instances: PCollection[Instance]) -> Branches:
        """Return the instances that continue, and the audit rows of refused ones."""
        return branches(self.attempted(instances))

    def attempted(self, instances: PCollection[Instance]) -> PCollection[Instance]:
        """Return all instances, including refused ones: a chain of steps branches once, at its end."""
        return attempted(type(self).__name__, self.column, self.begin, instances)


@dataclass(eq=False)
class Attempted(Transform):
    """A transform's `attempted` as a transform: refused instances stay among the others.

    A chain branches once, at its end.
    """

    step: Any

    def expand(self, elements: PCollection[Any]) -> PCollection[Instance]:
        """Return all instances, including refused ones."""
        result: PCollection[Instance] = self.step.attempted(elements)
        return result

    def display_data(self) -> dict[str, Any]:
        """Return the settings that the transform shows."""
        shown: dict[str, Any] = self.step.display_data()
        return shown


def attempted(
    verb: str, column: str | None, begin: Callable[[], Work], instances: PCollection[Instance]
) -> PCollection[Instance]:
    """Do a step's work on instances; return all, including refused ones."""
    return instances | "Attempt" >> beam.ParDo(_StepFn(verb, column, begin)).with_output_types(Instance)


def branches(instances: PCollection[Instance]) -> Branches:
    """Separate instances from the rows of refused ones."""
    branch = beam.ParDo(_BranchFn()).with_output_types(Instance)
    outputs = instances | "Branch" >> branch.with_outputs(REFUSED, main="instances")
    return Branches(outputs["instances"], outputs[REFUSED])


class _BranchFn(beam.DoFn):
    def process(self, instance: Instance) -> Iterator[Any]:
        refusal = instance.refusal
        yield instance if refusal is None else pvalue.TaggedOutput(REFUSED, refusal)


class _StepFn(beam.DoFn):
    def __init__(self, verb: str, column: str | None, begin: Callable[[], Work]) -> None:
        super().__init__()
        self._verb = verb
        self._column = column
        self._begin = begin

    def setup(self) -> None:
        self._work = self._begin()
        self._counters = metrics.Counters(self._verb)

    def process(self, instance: Instance) -> Iterator[Instance]:
        if instance.refusal is None:
            began = perf_counter()
            row = attempt(self._verb, self._column, self._work, instance)
            self._counters.count(instance, 1000 * (perf_counter() - began), row)
            if row is not None:
                instance.refuse(row)
        yield instance


def attempt(verb: str, column: str | None, work: Work, instance: Instance) -> Row | None:
    """Do the work on an instance; return the audit row if it is refused.

    Every exception of a step is caught here: one instance must not stop a run. Only its class is kept,
    because its message may quote a value.
    """
    try:
        timed = instance.timed(column) if column else nullcontext()
        with timed, guarded(), working_until(instance.deadline):
            check_time()
            work(instance)
    except StoreError:
        raise  # not the instance's fault: all others would fail the same way
    except (Refusal, PixelError) as no:
        return refused(instance.row(), outcome_of(no), verb, no.reason, no.detail)
    except MemoryError:
        return refused(instance.row(), Outcome.FAILED, verb, "too_large", "memory")
    except Exception as fault:  # noqa: BLE001  see the docstring
        return refused(instance.row(), Outcome.FAILED, verb, "fault", type(fault).__name__)
    return None
