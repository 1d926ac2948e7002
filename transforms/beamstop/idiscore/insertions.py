"""idiscore's insertions: elements that tell how a dataset was de-identified."""

from collections.abc import Iterable

from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence

from beamstop.rules.rules import RuleSet
from beamstop.steps import insert

PATIENT_IDENTITY_REMOVED = DataElement("PatientIdentityRemoved", "CS", "YES")


def get_idis_code_sequence(ruleset_names: Iterable[str | RuleSet]) -> DataElement:
    """Return a DeidentificationMethodCodeSequence.

    Args:
        ruleset_names: rule sets of the standard, or their names, which are those that recipes use.

    >>> [item.CodeValue for item in get_idis_code_sequence(["basic", "retain-uids"]).value]
    ['113100', '113110']
    """
    names = [it.name if isinstance(it, RuleSet) else it for it in ruleset_names]
    items = insert.code_items(names)
    return DataElement("DeidentificationMethodCodeSequence", "SQ", Sequence(items))


def get_deidentification_method(method: str | None = None) -> DataElement:
    """Return a DeidentificationMethod: the text given, else beamstop and its version."""
    return DataElement("DeidentificationMethod", "LO", method or insert.get_deidentification_method())
