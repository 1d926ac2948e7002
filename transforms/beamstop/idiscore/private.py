"""idiscore's lists of private elements that are safe to keep."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED
from beamstop.rules.criteria import Criterion
from beamstop.rules.rules import Condition, Rule
from beamstop.rules.tag_identifiers import PrivateBlockTagIdentifier
from beamstop.standard.actions import Action


@dataclass(frozen=True)
class SafePrivateBlock:
    """Private elements that may stay as they are, and in which instances.

    Attributes:
        tags: each as `0023[SIEMENS MED SP DXMG WH AWS 1]10`, with or without a comma before the bracket.
        criterion: text as `Criterion` reads it, or a function of the dataset; None for every instance. If a
            function lacks an attribute, the elements are removed.
        comment: why, for the reader.
    """

    tags: tuple[PrivateBlockTagIdentifier, ...]
    criterion: Condition | None = None
    comment: str = ""

    def __init__(
        self,
        tags: Iterable[str | PrivateBlockTagIdentifier],
        criterion: Condition | str | None = None,
        comment: str = "",
    ) -> None:
        made = (PrivateBlockTagIdentifier(tag) if isinstance(tag, str) else tag for tag in tags)
        object.__setattr__(self, "tags", tuple(made))
        object.__setattr__(self, "criterion", as_condition(criterion))
        object.__setattr__(self, "comment", comment)

    def rules(self) -> Iterator[Rule]:
        """Yield the rules that keep these elements."""
        for tag in self.tags:
            yield Rule(tag, Action.K, f"safe private:{tag}", when=self.criterion)


@dataclass(frozen=True)
class SafePrivateDefinition:
    """Blocks of private elements that may stay; give it to `get_dicom_rule_sets` or `create_default_core`."""

    blocks: tuple[SafePrivateBlock, ...]

    def __init__(self, blocks: Iterable[SafePrivateBlock]) -> None:
        object.__setattr__(self, "blocks", tuple(blocks))

    def rules(self) -> Iterator[Rule]:
        """Yield the rules that keep the elements of all blocks."""
        for block in self.blocks:
            yield from block.rules()

    def is_safe(self, element: DataElement, dataset: Dataset) -> bool:
        """Return whether a private element of a dataset may stay."""
        creator = element.private_creator
        return any(
            block.criterion is None or block.criterion(dataset)
            for block in self.blocks
            for tag in block.tags
            if tag.matches(int(element.tag), creator)
        )


@dataclass(frozen=True)
class _Function:
    """A function as a condition, which is false if it cannot be evaluated."""

    function: Condition

    def __call__(self, dataset: Dataset) -> bool:
        try:
            return bool(self.function(dataset))
        except MALFORMED:
            return False


def as_condition(criterion: Condition | str | None) -> Condition | None:
    """Return a criterion, by its text or as a function, as a condition of rules."""
    if isinstance(criterion, str):
        return Criterion(criterion)
    return criterion if criterion is None or isinstance(criterion, Criterion) else _Function(criterion)
