"""Constants of the modules that decide which boxes are found, blanked and kept, for the fingerprint."""

import re
from dataclasses import asdict, is_dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

_PACKAGES = "beamstop.ocr", "beamstop.text"
_MODULES = ("beamstop.pixels.box", "beamstop.pixels.cover", "beamstop.pixels.renditions")
_PLAIN = int, float, str, tuple, dict, frozenset, re.Pattern


def constants() -> dict[str, Any]:
    """Return every constant of these modules by its full name, as JSON has it; equal in every process."""
    found = [f"{name}.{it.name}" for name in _PACKAGES for it in iter_modules(import_module(name).__path__)]
    return {
        f"{module}.{name}": _as_json(value)
        for module in (*found, *_MODULES)
        for name, value in vars(import_module(module)).items()
        if name.isupper() and (isinstance(value, _PLAIN) or is_dataclass(value))
    }


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _as_json(asdict(value))
    if isinstance(value, dict):
        return [[_as_json(key), _as_json(it)] for key, it in value.items()]
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple | list):
        return [_as_json(it) for it in value]
    if isinstance(value, re.Pattern):
        return value.pattern
    return value if isinstance(value, str | int | float) else type(value).__name__
