"""idiscore's insertions: elements that tell how a dataset was de-identified."""

from collections.abc import Iterable

from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence

from beamstop.errors import RecipeError
from beamstop.rules.profile import METHOD_CODES
from beamstop.rules.rules import RuleSet
from beamstop.steps import insert

PATIENT_IDENTITY_REMOVED = DataElement("PatientIdentityRemoved", "CS", "YES")


def get_idis_code_sequence(ruleset_names: Iterable[str | RuleSet]) -> DataElement:
    """Return a DeidentificationMethodCodeSequence.

    Args:
        ruleset_names: rule sets, of which others than the standard's have no code; or names as recipes have
            them.

    Raises:
        RecipeError: no rule set of the standard has this name.

    >>> [item.CodeValue for item in get_idis_code_sequence(["basic", "retain-uids"]).value]
    ['113100', '113110']
    """
    given = list(ruleset_names)
    for it in given:
        if isinstance(it, str) and it not in METHOD_CODES:
            raise RecipeError(f"{it!r}: no option of the standard; use one of {', '.join(METHOD_CODES)}")
    items = insert.code_items(it.name if isinstance(it, RuleSet) else it for it in given)
    return DataElement("DeidentificationMethodCodeSequence", "SQ", Sequence(items))


def get_deidentification_method(method: str | None = None) -> DataElement:
    """Return a DeidentificationMethod: the text given, else beamstop and its version."""
    return DataElement("DeidentificationMethod", "LO", method or insert.get_deidentification_method())
