"""The record of a run: AUDIT/runs/<run_id>.json, sealed."""

import hashlib
import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import pyarrow as pa

from beamstop.audit import (
    INSTANCES,
    Outcome,
    Row,
    record_mac,
    seal,
    sealed,
)
from beamstop.identity import Identity
from beamstop.recipe.model import Recipe
from beamstop.rules.profile import edition
from beamstop.signing import resolve_signing_key, sign, statement
from beamstop.steps.judge_face import MAY_SHOW, REMOVED
from beamstop_transforms.ledger.history import input_digests
from beamstop_transforms.ledger.sealed import RUNS, SIGNATURES, list_name
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.stores import is_dicomweb, is_remote, open_store
from beamstop_transforms.tables import Put

_MOST_NAMED = 1_000  # files that a record lists itself; more are in a list of their own
_PACKAGES = ("beamstop", "apache-beam", "pydicom", "numpy", "pyarrow")
_CODECS = ("imagecodecs", "pyjpegls", "pylibjpeg-openjpeg", "python-gdcm")
_NETWORKS = ("opencv-python-headless", "openvino", "easyocr", "torch")


def versions() -> dict[str, str]:
    """Return the versions of all software that can change a result."""
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *_CODECS, *_NETWORKS):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's settings for the run's record: of its own entries only the number."""
    return {
        "name": recipe.name,
        "given": recipe.given,
        "digest": recipe.digest,
        "profile": recipe.profile,
        "options": list(recipe.options),
        "unlisted": recipe.unlisted,
        "unknown": recipe.unknown,
        "unknown_words": recipe.unknown_words,
        "encapsulated": recipe.encapsulated,
        "attributes": len(recipe.attributes),
        "insert": sorted(recipe.insert),
        "bouncers": len(recipe.bouncer_instances),
        "text": {
            "hide": recipe.text.hide,
            "authorized_words": len(recipe.text.authorized_words),
            "regions": len(recipe.text.regions),
            "languages": list(recipe.text.languages),
            "recognizer": recipe.text.recognizer,
            "ultrasound_regions": recipe.text.ultrasound_regions,
        },
        "faces": recipe.face_action,
        "kskit": recipe.kskit is not None,
    }


class Recorded(NamedTuple):
    """The recipe in a run's record.

    Attributes:
        name: for people.
        digest: of the recipe as that version of beamstop parsed it.
        given: see `Recipe.given`; None in audits before 0.2.0.
    """

    name: str
    digest: str
    given: str | None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Recorded":
        """Parse a record's recipe, malformed or not."""
        recipe = record.get("recipe")
        said = recipe if isinstance(recipe, dict) else {}
        given = said.get("given")
        return cls(str(said.get("name")), str(said.get("digest")), None if given is None else str(given))

    def is_what_was_given(self, recipe: Recipe) -> bool:
        """Return whether the user gave this recipe, according to the record; before 0.2.0 by its name."""
        return self.name == recipe.name if self.given is None else self.given == recipe.given


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Run:
    """The facts about a run that go into its record.

    Attributes:
        target: output, audit, key and run_id.
        recipe: the recipe that was applied.
        crosswalk: the CROSSWALK folder or prefix, if wanted.
        attributes: the ATTRIBUTES folder or prefix, if wanted.
        png: the PNG folder or prefix, if wanted.
        detail: whether `changes` is wanted.
        inputs: patterns; the record has their keyed digests.
        prune: whether leftover clean files are removed; None if they are not searched for.
        options: the options of the run, without names of files and folders.
        subjects: the keyed digest of the table of subjects; None if there is none.
        signing_key: reference of the private key that signs the record; None for no signature.
        started: UTC, ISO 8601.
        versions: see `versions`.
    """

    target: Target
    recipe: Recipe
    crosswalk: str | None = None
    attributes: str | None = None
    png: str | None = None
    detail: bool = True
    inputs: tuple[str, ...] = field(default=(), repr=False)
    prune: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    subjects: str | None = None
    signing_key: str | None = field(default=None, repr=False)
    started: str = field(default_factory=_now)
    versions: Mapping[str, str] = field(default_factory=versions)

    @property
    def columns(self) -> dict[str, str]:
        """Columns of the audit that are the same for every row."""
        return {
            "run_id": self.target.run_id,
            "recipe_digest": self.recipe.digest,
            "beamstop_version": self.versions["beamstop"],
        }


FACES = (MAY_SHOW, REMOVED)  # codes in the detail of written rows, and counts
MARKS = ("unchanged", "overturned")  # for the counts alone
# The rows in partial files: not complete, and with columns that only the record or `conclude` needs.
WITH_MARKS = pa.schema(
    [
        *INSTANCES,
        *((name, pa.bool_()) for name in MARKS),
        ("device", pa.list_(pa.string())),
        ("contested", pa.string()),
    ]
)


def complete(row: Row, columns: Mapping[str, str], identity: Identity) -> Row:
    """Return a row with the run's columns and its MAC, and with the values that only the record needs."""
    marks = {name: bool(row.get(name)) for name in MARKS}
    return {**sealed({**row, **columns}, identity), **marks, "device": row.get("device")}


def columns_of(row: Row) -> Row:
    """Return the columns of a complete row that the table has."""
    return {name: row[name] for name in INSTANCES.names}


def counts_of(row: Row) -> Counter[str]:
    """Return the counts that one complete row adds to the run's; a key with a slash is a detail."""
    counts = Counter({row["outcome"]: 1, "rows": 1})
    counts["bytes_in"] = row["bytes_in"]
    counts["bytes_out"] = row["bytes_out"]
    counts["text_boxes_hidden"] = row["text_boxes_hidden"] or 0
    if row["outcome"] == str(Outcome.WRITTEN):
        counts.update(it for it in (row["detail"] or "").split("; ") if it in FACES)
    counts["unchanged"] = int(row["unchanged"])
    counts["overturned"] = int(row["overturned"])
    if row["reason"]:
        counts[f"{row['outcome']}/{row['reason']}"] = 1
    if row["engine"]:
        counts[f"engine/{row['engine']}"] = 1
    return counts


def put_record(
    run: Run,
    counted: Mapping[str, Any],
    tally: Mapping[str, int],
    buckets: Mapping[int, bytes],
    files: Iterable[Put],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Write AUDIT/runs/<run_id>.json, sealed, replacing that of an earlier try; return the record.

    Args:
        run: the run.
        counted: the counts for the record.
        tally: sum of `counts_of` over all rows.
        buckets: number → inner node of the tree over the rows.
        files: all other files; those in a folder of AUDIT are sealed.
        more: further entries of the record.
    """
    identity = run.target.identity()
    ended = datetime.now(UTC)
    return put_sealed(
        run.target.audit,
        {
            **head_of(run, identity),
            "engines": _details(tally, "engine"),
            "counts": dict(counted),
            "ended": ended.isoformat(timespec="milliseconds"),
            "seconds": round((ended - datetime.fromisoformat(run.started)).total_seconds(), 3),
            **_seals(run.target.audit, files, buckets, tally["rows"], run.target.run_id, identity),
            **more,
        },
        identity,
        run.signing_key,
    )


def head_of(run: Run, identity: Identity) -> dict[str, Any]:
    """Return the part of a run's record that is known when the run starts."""
    return {
        "run_id": run.target.run_id,
        "versions": dict(run.versions),
        "recipe": settings_of(run.recipe),
        "standard": edition(),
        "options": dict(run.options),
        "inputs": input_digests(run.inputs, identity),
        "subjects": run.subjects,
        "output": output_digest(run.target.output, identity),
        "started": run.started,
    }


def _seals(
    audit: str, files: Iterable[Put], buckets: Mapping[int, bytes], rows: int, run_id: str, identity: Identity
) -> dict[str, Any]:
    put = sorted(files)
    said: dict[str, Any] = {
        "files": [it.name for it in put],
        "sha256": {it.name: it.sha256 for it in put if "/" in it.name},
    }
    if len(put) > _MOST_NAMED:
        name, content = list_name(run_id), json.dumps(said, indent=1).encode()
        _put(audit, name, content)
        digest = hashlib.sha256(content).hexdigest()
        said = {"list": {"sha256": digest, "files": len(put)}}
    return {**said, "integrity": seal(buckets, rows, run_id, identity)}


def put_broken_record(
    audit: str,
    head: Mapping[str, Any],
    tally: Mapping[str, int],
    buckets: Mapping[int, bytes],
    files: Iterable[Put],
    more: Mapping[str, Any],
    identity: Identity,
    signing_key: str | None,
) -> dict[str, Any]:
    """Write the record of a run that broke, for the rows that it had sealed; return the record.

    Args:
        audit: the AUDIT folder or prefix.
        head: see `head_of`.
        tally: see `put_record`.
        buckets: see `put_record`.
        files: see `put_record`.
        more: see `put_record`.
        identity: of the run's key.
        signing_key: reference of the key that signs it, if any.
    """
    rows = tally["rows"]
    record = {
        **head,
        "broken": True,
        "engines": _details(tally, "engine"),
        "counts": counts(rows, 0, Counter(tally)),
        "ended": None,
        "seconds": None,
        **_seals(audit, files, buckets, rows, head["run_id"], identity),
        **more,
    }
    return put_sealed(audit, record, identity, signing_key)


def put_sealed(
    audit: str, record: dict[str, Any], identity: Identity, signing_key: str | None
) -> dict[str, Any]:
    """Seal and write a record, replacing that of an earlier try; return the record.

    Its signature is written first, so that a record always has its signature.
    """
    record["mac"] = record_mac(record, identity)
    content = json.dumps(record, indent=1).encode()
    if signing_key is not None:
        _put(audit, signature_name(record["run_id"]), _signed(audit, record, content, signing_key))
    _put(audit, record_name(record["run_id"]), content)
    return record


def _put(audit: str, name: str, content: bytes) -> None:
    store = open_store(audit)
    found = store.find(name)
    store.write(name, content, found and found.version)


def _signed(audit: str, record: Mapping[str, Any], content: bytes, signing_key: str) -> bytes:
    """Return the signed envelope of a record, which names the record before it: no removal goes unnoticed."""
    run_id, seal = record["run_id"], record["integrity"]
    names = open_store(audit).names(RUNS)
    others = (it.removesuffix(".json") for it in names if it.endswith(".json"))
    before = max((it for it in others if it < f"{RUNS}/{run_id}"), default=None)
    predicate = {
        "run_id": run_id,
        "previous": before and f"{before}.json",
        "rows": seal["rows"],
        "root": seal["root"],
    }
    return sign(statement(record_name(run_id), content, predicate), resolve_signing_key(signing_key))


def place_digests(run: Run, identity: Identity) -> dict[str, str]:
    """Return name → keyed digest of every folder or prefix that a run writes to."""
    places = {
        "output": run.target.output,
        "crosswalk": run.crosswalk,
        "attributes": run.attributes,
        "png": run.png,
    }
    return {name: output_digest(it, identity) for name, it in places.items() if it is not None}


def output_digest(output: str, identity: Identity) -> str:
    """Return a keyed digest of OUTPUT, the same for all spellings of its path."""
    remote = is_remote(output) or is_dicomweb(output)
    named = output.rstrip("/") if remote else os.path.realpath(output)
    return identity.digest("output", os.fsencode(named)).hex()[:32]


def counts(sources: int, skipped: int, tally: Counter[str]) -> dict[str, Any]:
    """Return the counts of a run as its record has them."""
    return {
        "sources": sources,
        **{str(outcome): tally[str(outcome)] for outcome in Outcome},
        "unchanged": tally["unchanged"],
        "skipped": skipped,
        "bytes_in": tally["bytes_in"],
        "bytes_out": tally["bytes_out"],
        "text_boxes_hidden": tally["text_boxes_hidden"],
        **{code: tally[code] for code in FACES},
        "reasons": {
            key: n for key, n in sorted(tally.items()) if "/" in key and not key.startswith("engine/")
        },
    }


def _details(tally: Mapping[str, int], kind: str) -> list[str]:
    return sorted(key.partition("/")[2] for key in tally if key.startswith(f"{kind}/"))


def record_name(run_id: str) -> str:
    """Return the name of a run's record below AUDIT."""
    return f"{RUNS}/{run_id}.json"


def signature_name(run_id: str) -> str:
    """Return the name of the envelope about a run's record, below AUDIT."""
    return f"{SIGNATURES}/{run_id}.dsse.json"
