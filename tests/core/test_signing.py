"""Keys that sign, and envelopes that any other program can check."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from beamstop.errors import KeyReferenceError
from beamstop.signing import (
    SignatureError,
    generate_pair,
    open_envelope,
    read_public_key,
    resolve_signing_key,
    sign,
    statement,
)

NAME, CONTENT = "runs/r.json", b"{}"
SHA256_OF_CONTENT = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    generate_pair(tmp_path / "pair")
    return tmp_path / "pair"


def test_of_a_pair_one_file_is_its_owners_alone_and_one_is_for_all(pair: Path) -> None:
    public = pair.with_name("pair.pub")
    assert stat.S_IMODE(pair.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) & 0o444 == 0o444
    assert resolve_signing_key(f"file:{pair}").public_key() == read_public_key(public)


@pytest.mark.parametrize("there", ["pair", "pair.pub"])
def test_neither_file_of_a_pair_is_ever_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_bytes(b"mine")
    with pytest.raises(KeyReferenceError, match="exists already"):
        generate_pair(tmp_path / "pair")
    assert [(it.name, it.read_bytes()) for it in tmp_path.iterdir()] == [(there, b"mine")]


def test_a_signing_key_comes_from_the_environment(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMSTOP_TEST_PAIR", pair.read_text())
    assert resolve_signing_key("env:BEAMSTOP_TEST_PAIR").public_key() == read_public_key(f"{pair}.pub")


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (None, 0o644, "chmod 600"),
        (bytes(range(32)), 0o600, "not a private key of Ed25519"),
        (
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            0o600,
            "not a private key of Ed25519",
        ),
    ],
)
def test_a_signing_key_that_is_open_or_none_is_refused(
    pair: Path, content: bytes | None, mode: int, message: str
) -> None:
    if content is not None:
        pair.write_bytes(content)
    pair.chmod(mode)
    with pytest.raises(KeyReferenceError, match=f"^--signing-key.*{message}"):
        resolve_signing_key(str(pair))


def test_a_public_key_that_is_none_is_refused(pair: Path, tmp_path: Path) -> None:
    for path, message in ((pair, "not a public key of Ed25519"), (tmp_path / "none", "No such file")):
        with pytest.raises(KeyReferenceError, match=message):
            read_public_key(path)


def test_the_envelope_is_what_dsse_and_in_toto_ask_for(pair: Path) -> None:
    envelope = json.loads(sign(statement(NAME, CONTENT, {"rows": 3}), resolve_signing_key(str(pair))))
    payload = base64.b64decode(envelope["payload"])
    assert json.loads(payload) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": NAME, "digest": {"sha256": SHA256_OF_CONTENT}}],
        "predicateType": "urn:beamstop:run:v1",
        "predicate": {"rows": 3},
    }
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    (signature,) = envelope["signatures"]
    public = load_pem_public_key(Path(f"{pair}.pub").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    # PAE as DSSE 1.0 spells it out; the other program raises InvalidSignature if it does not fit.
    signed = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    public.verify(base64.b64decode(signature["sig"]), signed)


def test_an_envelope_gives_back_its_statement_under_its_key_alone(pair: Path) -> None:
    key = resolve_signing_key(str(pair))
    envelope = sign(statement(NAME, CONTENT, {}), key)
    assert open_envelope(envelope, key.public_key())["subject"][0]["name"] == NAME
    with pytest.raises(SignatureError, match="no signature by this key"):
        open_envelope(envelope, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    "changed",
    [
        {"payload": base64.b64encode(b"{}").decode()},
        {"payloadType": "application/json"},
        {"signatures": []},
        {"signatures": [{"sig": "AAAA"}]},
        {"signatures": [{"sig": "?"}]},
        {"payload": 7},
    ],
    ids=["payload", "type", "no signature", "short", "no base64", "a number"],
)
def test_an_envelope_that_was_changed_is_refused(pair: Path, changed: dict[str, Any]) -> None:
    key = resolve_signing_key(str(pair))
    envelope = json.loads(sign(statement(NAME, CONTENT, {}), key)) | changed
    with pytest.raises(SignatureError):
        open_envelope(json.dumps(envelope).encode(), key.public_key())


def test_what_a_key_signed_of_another_kind_is_no_statement_about_a_run(pair: Path) -> None:
    key = resolve_signing_key(str(pair))
    for payload in (b"[]", b"no JSON", statement(NAME, CONTENT, {}).replace(b"run:v1", b"other")):
        with pytest.raises(SignatureError, match="no statement about a run"):
            open_envelope(sign(payload, key), key.public_key())
