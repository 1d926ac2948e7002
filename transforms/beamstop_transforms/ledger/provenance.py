"""Provenance: a sealed line in an object's metadata that says which run and source made it."""

import hmac
from typing import NamedTuple

from beamstop.identity import Identity
from beamstop_transforms.ledger.claims import Claimant
from beamstop_transforms.stores import Found


class Maker(NamedTuple):
    """The maker of a clean object: run_id, source_id and source_digest, as in the audit."""

    run_id: str
    source_id: str
    source_digest: str

    def claimant(self, path: str, sha256: str) -> Claimant:
        """Return the source as a claimant of this object's UID."""
        return Claimant(self.source_digest, path, sha256)


class Provenance:
    """Writes and reads these lines.

    Args:
        identity: of the run's key.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def line(self, maker: Maker, path: str, sha256: str) -> str:
        """Return the line of an object with this content at this path."""
        return " ".join([*maker, self._mac(maker, path, sha256)])

    def maker(self, path: str, found: Found) -> Maker | None:
        """Return who made what was found at a path; None if no line says so, or not one of this key's."""
        *said, mac = found.about.split(" ")
        if len(said) != len(Maker._fields):
            return None
        maker = Maker(*said)
        expected = self._mac(maker, path, found.sha256)
        return maker if hmac.compare_digest(mac.encode(), expected.encode()) else None

    def _mac(self, maker: Maker, path: str, sha256: str) -> str:
        return self._identity.digest("provenance", path, sha256, *maker).hex()
