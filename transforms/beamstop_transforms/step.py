"""The edge between Beam and the core: run one step on an instance, turn a refusal into an audit row."""

import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, ClassVar, NamedTuple

import apache_beam as beam
from apache_beam import pvalue

from beamstop.audit import Outcome, Row, outcome_of, refused
from beamstop.errors import PixelError, Refusal
from beamstop_transforms.instance import Instance
from beamstop_transforms.stores import StoreError

REFUSED = "refused"


class Branches(NamedTuple):
    """What a step returns: instances that go on, audit rows of those that do not."""

    instances: Any
    refused: Any


class StepFn(beam.DoFn):
    """Run `work` on each instance.

    This is the only place where any exception is caught: one instance must not stop a run, and its
    exception may quote a value, so that nothing but its class is kept.
    """

    step: ClassVar[str]
    column: ClassVar[str | None] = None

    def setup(self) -> None:
        """Silence warnings in this process: pydicom's quote values."""
        warnings.simplefilter("ignore")

    def work(self, instance: Instance) -> None:
        """Change the instance in place, or raise `Refusal` or `PixelError`."""
        raise NotImplementedError

    def process(self, instance: Instance) -> Iterator[Any]:
        """Yield the instance, or its row to the refused."""
        row = self.attempt(instance)
        yield instance if row is None else pvalue.TaggedOutput(REFUSED, row)

    def attempt(self, instance: Instance) -> Row | None:
        """Do the work; return the audit row if the instance goes no further."""
        try:
            with instance.timed(self.column) if self.column else nullcontext():
                instance.check_time()
                self.work(instance)
        except StoreError:
            raise  # no fault of this instance's: every other one would end like it
        except (Refusal, PixelError) as no:
            return refused(instance.row(), outcome_of(no), self.step, no.reason, no.detail)
        except MemoryError:
            return refused(instance.row(), Outcome.FAILED, self.step, "too_large", "memory")
        except Exception as fault:  # noqa: BLE001  see the docstring of the class
            return refused(instance.row(), Outcome.FAILED, self.step, "fault", type(fault).__name__)
        return None


def branches(instances: Any, work: StepFn) -> Branches:
    """Apply a step's DoFn and name its two outputs."""
    step = beam.ParDo(work).with_output_types(Instance)
    outputs = instances | work.step >> step.with_outputs(REFUSED, main="instances")
    return Branches(outputs["instances"], outputs[REFUSED])
