"""Find the originals of an audit's rows; needs the key of the runs."""

from collections.abc import Iterator, Sequence

from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.job import check_inputs
from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.ledger.sealed import RUNS, sealed_records
from beamstop_transforms.match import find_sources
from beamstop_transforms.stores import check_remote, paths_in


def identity_of(audit: str, inputs: Sequence[str], key: str) -> Identity:
    """Return the identity that makes the audit's keyed digests.

    Args:
        audit: the AUDIT folder or prefix.
        inputs: patterns of the originals.
        key: reference to the key of the runs.

    Raises:
        ConfigurationError: there is no audit, no run has ended, or the key sealed none of them.
    """
    identity = Identity(resolve_key(key))
    check_remote([*inputs, audit], [])
    check_inputs(inputs)
    if not paths_in(audit, RUNS, ".json"):
        raise ConfigurationError(f"AUDIT {audit}: no run has ended there; check the path")
    if not any(sealed_records(audit, identity)):
        raise ConfigurationError("--key: no seal of this audit was made with it; name the key of the run")
    return identity


def originals(inputs: Sequence[str], identity: Identity) -> Iterator[tuple[str, Source]]:
    """Yield source_id and place of every original."""
    for pattern in inputs:
        for source in find_sources(pattern):
            yield source_id_of(source, identity), source


def check_subjects(audit: str, identity: Identity, digest: str | None) -> None:
    """Check that a table of subjects is that of the newest run.

    Args:
        audit: the AUDIT folder or prefix.
        identity: of the key of the runs.
        digest: of the table; None if there is none.

    Raises:
        ConfigurationError: it is another table.
    """
    *_, newest = sealed_records(audit, identity)
    recorded = newest.get("subjects")
    if recorded is not None and digest is None:
        raise ConfigurationError("--subjects: the newest run had a table; name it")
    if recorded != digest:
        raise ConfigurationError(
            "--subjects: the newest run had another table; name that one, or run again with this one"
        )
