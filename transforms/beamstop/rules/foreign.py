"""Custom operators and bouncers: their exceptions become a fault that names their class."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from pydicom.dataelem import DataElement

from beamstop.dicom.elements import value_bytes
from beamstop.errors import DeidError, Failed
from beamstop.rules.operators import CannotCleanError, Context, GuardBirthDate, Operator


@lru_cache(maxsize=1024)
def is_foreign(kind: type) -> bool:
    """Return whether a class is not beamstop's."""
    return kind.__module__.partition(".")[0] != "beamstop"


@contextmanager
def blaming(thing: object) -> Iterator[None]:
    """Turn any exception raised inside into a `fault` of the class of `thing`, except beamstop's own.

    Raises:
        Failed: `fault`; the detail is the path of the class and the class of the exception, since its message
            may quote a value.
    """
    try:
        yield
    except (DeidError, CannotCleanError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  custom code may raise anything
        kind = type(thing)
        detail = f"{kind.__module__}.{kind.__qualname__}: {type(error).__name__}"
        raise Failed("fault", detail) from None


def apply_foreign(operator: Operator, element: DataElement, context: Context) -> DataElement | None:
    """Apply a custom operator, and check that its result can be written to a file.

    Raises:
        CannotCleanError: it raised that.
        Failed: `fault`: it raised something else, or its result is no such element.
    """
    with blaming(operator.guarded if isinstance(operator, GuardBirthDate) else operator):
        result = operator.apply(element, context)
        if result is not None:
            if not isinstance(result, DataElement) or result.tag != element.tag:
                raise TypeError
            if result.VR != "SQ":
                value_bytes(result)
    return result
