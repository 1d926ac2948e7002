"""Keys: how the run's key is made and read."""

import importlib
import os
import secrets
import stat
from pathlib import Path

from beamstop.errors import KeyReferenceError
from beamstop.given_files import read_given
from beamstop.identity import MIN_KEY_LENGTH

KEY_LENGTH = 32
_LARGEST = 1 << 20  # bytes of a key
_LONGEST_REASON = 300  # characters quoted from Google's messages
_FEWEST_DIFFERENT = 8  # different bytes; on average, 32 random bytes have 30, 16 hexadecimal digits have 10


def generate_key(path: str | os.PathLike[str]) -> None:
    """Write 32 random bytes to a new file that only its owner can read (mode 0600).

    Raises:
        KeyReferenceError: the file exists or cannot be made; an existing key is never replaced.
    """
    write_new(path, secrets.token_bytes(KEY_LENGTH), 0o600)


def write_new(path: str | os.PathLike[str], content: bytes, mode: int) -> None:
    """Write a file of a key that does not exist yet.

    Raises:
        KeyReferenceError: it exists or cannot be made.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise KeyReferenceError(
            f"{path}: exists already; a key is never overwritten, choose another name"
        ) from None
    except OSError as error:
        raise KeyReferenceError(
            f"{path}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def resolve_key(reference: str) -> bytes:
    """Return the key that a reference names.

    Args:
        reference: see `resolve`.

    Raises:
        KeyReferenceError: the key cannot be read, can be read by group or others, has less than 16 bytes, or
            few different ones. The message does not repeat the reference if it may be a key itself.
    """
    key = resolve(reference, "--key", "beamstop keygen")
    if len(key) < MIN_KEY_LENGTH:
        raise KeyReferenceError(
            f"--key: the key has {len(key)} bytes, at least {MIN_KEY_LENGTH} are needed; use beamstop keygen"
        )
    if len(set(key)) < _FEWEST_DIFFERENT:
        raise KeyReferenceError("--key: a key of few different bytes can be guessed; use beamstop keygen")
    return key


def resolve(reference: str, option: str, maker: str) -> bytes:
    """Return the secret that a reference names, of any kind.

    Args:
        reference: `file:PATH` or a bare path, `env:NAME`, or
            `secret:projects/PROJECT/secrets/NAME/versions/VERSION` (Google Secret Manager).
        option: the option with the reference, for messages.
        maker: the command that makes such a secret, for messages.

    Raises:
        KeyReferenceError: the secret cannot be read, or can be read by group or others. The message does not
            repeat the reference if it may be a key itself.
    """
    scheme, separator, rest = reference.partition(":")
    if separator and scheme == "env":
        return _from_environment(rest, option)
    if separator and scheme == "secret":
        return _from_secret_manager(rest, option)
    return _from_file(Path(rest if separator and scheme == "file" else reference), option, maker)


def _from_environment(name: str, option: str) -> bytes:
    value = os.environ.get(name)
    if value is None:
        raise KeyReferenceError(f"{option} env:{name}: no such environment variable; set it or use file:PATH")
    return value.encode()


def _from_file(path: Path, option: str, maker: str) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise KeyReferenceError(f"{option} {path}: not a regular file; make one with {maker}")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyReferenceError(f"{option} {path}: readable by group or others; run chmod 600 on it")
        return read_given(path, _LARGEST)
    except OSError as error:
        named = (
            f"{option} {path}"
            if _is_name(path)
            else f"{option}: is not the name of a file, and may be a key itself"
        )
        raise KeyReferenceError(f"{named}: {error.strerror}; make one with {maker}") from None


def _is_name(path: Path) -> bool:
    """Return whether a path without a file is the name of a file, and not a key that somebody typed."""
    text = str(path)
    return len(text) < MIN_KEY_LENGTH or bool(path.suffix) or (os.sep in text and path.parent.is_dir())


def _from_secret_manager(name: str, option: str) -> bytes:
    try:
        secretmanager = importlib.import_module("google.cloud.secretmanager")
    except ImportError as error:
        raise KeyReferenceError(
            f"{option} secret:…: pip install 'beamstop[gcp]', or use file:PATH"
        ) from error
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        client = secretmanager.SecretManagerServiceClient()
        payload: bytes = client.access_secret_version(name=name).payload.data
    except (GoogleAPIError, GoogleAuthError) as error:
        said = " ".join(str(error).split()).rstrip(".")[:_LONGEST_REASON]
        raise KeyReferenceError(f"{option} secret:…: {said or type(error).__name__}") from None
    return payload
