"""The originals again: which rows of an audit are about them; needs the key of its runs."""

from collections.abc import Iterator, Sequence

from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_pipeline.job import ConfigurationError, check_inputs
from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.ledger.sealed import RUNS, sealed_records
from beamstop_transforms.match import find_sources
from beamstop_transforms.stores import check_remote, paths_in


def identity_of(audit: str, inputs: Sequence[str], key: str) -> Identity:
    """Return what makes the audit's keyed digests.

    Args:
        audit: the AUDIT folder or prefix.
        inputs: patterns of the originals.
        key: reference to the key of the runs.

    Raises:
        ConfigurationError: nothing is there, no run has ended, or the key sealed none of them.
    """
    identity = Identity(resolve_key(key))
    check_remote([*inputs, audit], [])
    check_inputs(inputs)
    if not paths_in(audit, RUNS, ".json"):
        raise ConfigurationError(f"AUDIT {audit}: no run has ended there; check the path")
    if not any(sealed_records(audit, identity)):
        raise ConfigurationError("--key: it made not one seal of this audit; name the key of the run")
    return identity


def originals(inputs: Sequence[str], identity: Identity) -> Iterator[tuple[str, Source]]:
    """Yield source_id and place of every original."""
    for pattern in inputs:
        for source in find_sources(pattern):
            yield source_id_of(source, identity), source
