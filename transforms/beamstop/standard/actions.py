"""The action codes of PS3.15 Table E.1-1."""

from enum import StrEnum


class Action(StrEnum):
    """What is done to an attribute (PS3.15 E.1.1), compounds resolved by its type in the IOD.

    >>> Action("X/Z/D")
    <Action.X_Z_D: 'X/Z/D'>
    """

    D = "D"  # replace with a dummy value consistent with the VR
    Z = "Z"  # empty, or a dummy value consistent with the VR
    X = "X"  # remove
    K = "K"  # keep; clean the items of a sequence
    C = "C"  # clean: keep the meaning, lose the identity
    U = "U"  # replace with a UID that is consistent within the set
    Z_D = "Z/D"  # Z, D where Type 1
    X_Z = "X/Z"  # X, Z where Type 2
    X_D = "X/D"  # X, D where Type 1
    X_Z_D = "X/Z/D"  # X, Z where Type 2, D where Type 1
    X_Z_U = "X/Z/U*"  # X where Type 3, else the contained UIDs are remapped
