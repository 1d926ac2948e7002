"""Types of attributes by IOD, and how they decide the compound action codes.

PS3.15 E.1-1 leaves the choice in `X/Z/D` and its kin to the Type (PS3.5 7.4) that the attribute has in
the instance's IOD. The types come from `data/iod_types.json`: by module at top level, by enclosing
sequence below it, since the standard's macros give an attribute the same Type wherever they are used.
Where modules of one IOD differ the strictest counts, optional modules included: an attribute that is
there may be there because of them.
"""

import json
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from beamstop.standard.actions import Action

_STRICTNESS = {"1": 0, "1C": 1, "2": 2, "2C": 3, "3": 4}
_D, _Z, _X, _U = Action.D, Action.Z, Action.X, Action.U

# What each compound becomes where the attribute is Type 1, Type 2, Type 3 or not in the IOD, and where
# the IOD is unknown (the choice that is valid whatever the Type). 1C and 2C count as 1 and 2.
_CHOICES = {
    Action.Z_D: {"1": _D, "2": _Z, "3": _Z, "?": _D},
    Action.X_Z: {"1": _Z, "2": _Z, "3": _X, "?": _Z},
    Action.X_D: {"1": _D, "2": _D, "3": _X, "?": _D},
    Action.X_Z_D: {"1": _D, "2": _Z, "3": _X, "?": _D},
    # Emptying a Type 2 reference breaks what counts on it: Source Image Sequence in Derivation Image.
    Action.X_Z_U: {"1": _U, "2": _U, "3": _X, "?": _U},
}


@cache
def _tables() -> dict[str, Any]:
    text = (files("beamstop") / "data" / "iod_types.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


@cache
def _types_of_iod(iod: str) -> dict[int, str]:
    """Return the types at top level: of several modules' types the strictest."""
    types: dict[int, str] = {}
    for module in _tables()["iods"][iod]:
        for tag, type_ in _tables()["modules"].get(module, {}).items():
            number = int(tag, 16)
            if _STRICTNESS[type_] < _STRICTNESS[types.get(number, "3")] or number not in types:
                types[number] = type_
    return types


def is_known(sop_class_uid: str) -> bool:
    """Return whether the IOD of this SOP class is in the table.

    >>> is_known("1.2.840.10008.5.1.4.1.1.2"), is_known("1.2.3")
    (True, False)
    """
    return sop_class_uid in _tables()["sop_classes"]


@lru_cache(maxsize=65536)
def attribute_type(sop_class_uid: str, path: tuple[int, ...]) -> str | None:
    """Return the Type of an attribute in the IOD of a SOP class.

    Below top level the Type is the one that the attribute has under its enclosing sequence anywhere in
    the standard, so that sequences of newer editions, of recursive content and of unknown IODs have one.

    Args:
        sop_class_uid: SOPClassUID of the instance.
        path: tags from top level to the attribute, sequences included, item numbers not.

    Returns:
        `1`, `1C`, `2`, `2C` or `3`; None where the IOD does not have the attribute, or is unknown.

    >>> attribute_type("1.2.840.10008.5.1.4.1.1.2", (0x00100010,))
    '2'
    """
    tables = _tables()
    iod = tables["sop_classes"].get(sop_class_uid)
    if len(path) == 1:
        return _types_of_iod(iod).get(path[0]) if iod else None
    tags = [f"{tag:08X}" for tag in path]
    for module in tables["iods"][iod] if iod else ():
        exception = tables["exceptions"].get(module, {}).get("/".join(tags))
        if exception is not None:
            return str(exception)
    nested: str | None = tables["nested"].get(tags[-2], {}).get(tags[-1])
    return nested


@lru_cache(maxsize=65536)
def resolve(code: Action, sop_class_uid: str, path: tuple[int, ...]) -> Action:
    """Return what a code of Table E.1-1 asks for in this place of this SOP class: D, Z, X, K, C or U.

    An attribute that is not in the IOD counts as Type 3. `X/D` in place of Type 2 is D: X would leave
    out what has to be there, and the code offers no Z.

    Args:
        code: any code of the table; what is not a compound comes back as it is.
        sop_class_uid: SOPClassUID of the instance.
        path: tags from top level to the attribute, sequences included, item numbers not.

    >>> resolve(Action.X_Z_D, "1.2.840.10008.5.1.4.1.1.2", (0x00080080,))  # Institution Name, Type 3
    <Action.X: 'X'>
    """
    choices = _CHOICES.get(code)
    if choices is None:
        return code
    type_ = attribute_type(sop_class_uid, path)
    if type_ is None:
        return choices["3" if is_known(sop_class_uid) else "?"]
    return choices[type_[0]]
