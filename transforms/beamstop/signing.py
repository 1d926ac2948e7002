"""Signatures that anybody can check: an in-toto statement in a DSSE envelope, signed with Ed25519."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamstop.errors import DeidError, KeyReferenceError
from beamstop.given_files import read_given
from beamstop.keys import resolve, write_new

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_OPTION, _MAKER = "--signing-key", "beamstop keygen --signing"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:beamstop:run:v1"  # the name of the predicate's type; it is not an address


class SignatureError(DeidError):
    """The envelope is malformed, or was not signed by this key; the message says which."""


def generate_pair(path: str | os.PathLike[str]) -> Path:
    """Write a private key to a new file for its owner only, the public key to FILE.pub; return FILE.pub.

    Raises:
        KeyReferenceError: one of the two exists or cannot be made.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Path(f"{os.fspath(path)}.pub")
    if public.exists():
        raise KeyReferenceError(f"{public}: exists already; a key is never overwritten, choose another name")
    key = Ed25519PrivateKey.generate()
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    write_new(path, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password), 0o600)
    of_public = serialization.PublicFormat.SubjectPublicKeyInfo
    write_new(public, key.public_key().public_bytes(pem, of_public), 0o644)
    return public


def resolve_signing_key(reference: str) -> "Ed25519PrivateKey":
    """Return the private key that a reference names.

    Args:
        reference: see `beamstop.keys.resolve`; a file, variable or secret in PEM.

    Raises:
        KeyReferenceError: the key cannot be read, can be read by group or others, or is no private key of
            Ed25519.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = resolve(reference, _OPTION, _MAKER)
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyReferenceError(f"{_OPTION}: not a private key of Ed25519 without password; use {_MAKER}")
    return key


def read_public_key(path: str | os.PathLike[str]) -> "Ed25519PublicKey":
    """Return the public key in a file.

    Raises:
        KeyReferenceError: it cannot be read, or is not of Ed25519.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(read_given(path))
    except OSError as error:
        raise KeyReferenceError(f"--public-key {path}: {error.strerror}; name FILE.pub of {_MAKER}") from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyReferenceError(
            f"--public-key {path}: not a public key of Ed25519; name FILE.pub of {_MAKER}"
        )
    return key


def statement(name: str, content: bytes, predicate: dict[str, Any]) -> bytes:
    """Return the in-toto statement about one file."""
    subject = {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
    said = {
        "_type": STATEMENT_TYPE,
        "subject": [subject],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    return json.dumps(said, sort_keys=True).encode()


def sign(payload: bytes, key: "Ed25519PrivateKey") -> bytes:
    """Return the DSSE envelope of a statement."""
    signature = key.sign(_pre_authentication(PAYLOAD_TYPE, payload))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope, indent=1).encode()


def key_id(key: "Ed25519PublicKey") -> str:
    """Return the SHA-256 of a public key, in hex: a hint which key was used, never trusted."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def open_envelope(envelope: bytes, key: "Ed25519PublicKey") -> dict[str, Any]:
    """Return the statement in a DSSE envelope that a key signed.

    Raises:
        SignatureError: it is not an envelope of a statement, or no signature in it is by this key.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        said = json.loads(envelope)
        payload = base64.b64decode(said["payload"], validate=True)
        signatures = [base64.b64decode(it["sig"], validate=True) for it in said["signatures"]]
        signed = _pre_authentication(str(said["payloadType"]), payload)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise SignatureError("no DSSE envelope") from None
    for signature in signatures:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            continue
        return _statement_in(said["payloadType"], payload)
    raise SignatureError("no signature by this key")


def _statement_in(payload_type: str, payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        found = None
    is_ours = isinstance(found, dict) and found.get("_type") == STATEMENT_TYPE
    if payload_type != PAYLOAD_TYPE or not is_ours or found.get("predicateType") != PREDICATE_TYPE:
        raise SignatureError("no statement about a run")
    return dict(found)


def _pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: type and payload, each with its length (DSSE 1.0, PAE)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
