"""Clients of S3 and Azure, one per bucket and process, with their credentials and errors."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from beamstop_transforms.stores.base import StoreError


class Address(NamedTuple):
    """The address of an object or prefix.

    Attributes:
        kind: `s3` or `az`.
        bucket: bucket or container.
        name: name of the object, or prefix of names.
    """

    kind: str
    bucket: str
    name: str

    @classmethod
    def of(cls, path: str) -> "Address":
        """Parse a path such as `s3://bucket/name`."""
        kind, _, rest = path.partition("://")
        bucket, _, name = rest.partition("/")
        return cls(kind, bucket, name)

    @property
    def place(self) -> str:
        """The bucket or container as people write it."""
        return f"{self.kind}://{self.bucket}"


# Throttling and outages end within minutes or not at all: retry after 0.5 s, 1 s, … 32 s.
_RETRIES: dict[str, Any] = {
    "max_retries": 10,
    "backoff": {"init_backoff": timedelta(seconds=0.5), "base": 2, "max_backoff": timedelta(seconds=32)},
    "retry_timeout": timedelta(seconds=280),
}
_OPTIONS = {"connect_timeout": "5s", "read_timeout": "60s", "timeout": "30m"}


@cache
def bucket_of(kind: str, name: str) -> Any:
    """Return this process's client of a bucket."""
    return KINDS[kind](name, _RETRIES, _OPTIONS)


def _s3(bucket: str, retries: Any, options: Any) -> Any:
    from obstore.store import S3Store

    session = _aws_session()
    profile = session.get_scoped_config() if session.profile else {}
    endpoint = next(
        filter(None, (*(os.environ.get(it) for it in _AWS_ENDPOINTS), profile.get("endpoint_url"))), None
    )
    region = os.environ.get("AWS_REGION") or session.get_config_variable("region")
    # Buckets with Object Lock refuse objects without a checksum.
    config: Any = {"region": region or "us-east-1", "checksum_algorithm": "SHA256"}
    if endpoint is not None:
        config["endpoint"] = endpoint
        options = {**options, "allow_http": endpoint.startswith("http://")}
    found = find_aws_credentials()
    provider: Any = {"credential_provider": _AwsCredentials(found)} if found is not None else {}
    return S3Store(bucket, config=config, client_options=options, retry_config=retries, **provider)


_AWS_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def _aws_session() -> Any:
    from botocore.session import get_session

    return get_session()


def find_aws_credentials() -> Any | None:
    """Return the credentials that AWS's own tools would use: environment, profiles, roles, machines."""
    return None if is_public() else _aws_session().get_credentials()


def is_public() -> bool:
    """Return whether requests to S3 are sent without credentials, as for public data."""
    return os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true")


class _AwsCredentials:
    """Passes the credentials that botocore found, and renews, to the store's client."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def __call__(self) -> Any:
        now = self._found.get_frozen_credentials()
        # botocore renews credentials ten minutes before they expire.
        lapses = datetime.now(UTC) + timedelta(minutes=10) if hasattr(self._found, "refresh_needed") else None
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": lapses,
        }


def _azure(container: str, retries: Any, options: Any) -> Any:
    from obstore.store import AzureStore

    config: Any = {}
    if not any(map(os.environ.get, AZURE_CREDENTIALS)) and shutil.which("az"):
        config["use_azure_cli"] = True
    if any(os.environ.get(it, "").startswith("http://") for it in _AZURE_ENDPOINTS):
        options = {**options, "allow_http": True}
    return AzureStore(container, config=config, client_options=options, retry_config=retries)


AZURE_ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"
_AZURE_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
AZURE_CREDENTIALS = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_MSI_ENDPOINT",
    "IDENTITY_ENDPOINT",
)
KINDS: dict[str, Callable[..., Any]] = {"s3": _s3, "az": _azure}

SIGN_IN = {
    "s3": "run aws sso login, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "az": "run az login, or set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
_LAPSED = frozenset(
    {
        "AuthenticationFailed",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})
_CODE, _STATUS = re.compile(r"<Code>([A-Za-z]{3,64})</Code>"), re.compile(r"status code: (\d{3})")


def code_of(error: Exception) -> str:
    """Return the store's error code, or else the HTTP status or the class of the error.

    The full text is not shown: it may name objects.
    """
    found = _CODE.search(str(error)) or _STATUS.search(str(error))
    return found[1] if found else type(error).__name__


def status_of(error: Exception) -> int | None:
    """Return the HTTP status of an error; None if there was no response."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def is_invalid_name(error: Exception) -> bool:
    """Return whether the client cannot request an object of this name; see `docs/stores.md`, Names."""
    from obstore.exceptions import InvalidPathError

    return isinstance(error, InvalidPathError) or str(error).startswith("Could not parse path")


def is_lapsed(error: Exception) -> bool:
    """Return whether a store rejects the credentials: they are invalid or have expired."""
    from obstore.exceptions import UnauthenticatedError

    code = code_of(error)
    # A response to HEAD has no body: for an expired token S3 says only 400.
    return isinstance(error, UnauthenticatedError) or status_of(error) == 401 or code in {*_LAPSED, "400"}


def is_denied(error: Exception) -> bool:
    """Return whether a store accepts the credentials but denies permission."""
    from obstore.exceptions import PermissionDeniedError

    return not is_lapsed(error) and (isinstance(error, PermissionDeniedError) or status_of(error) == 403)


def is_kept(error: Exception) -> bool:
    """Return whether a store refuses to remove an object: no permission, a policy, a lease or a lock."""
    of_one = _OF_ONE.search(str(error))  # one of many in a request to remove
    return is_denied(error) or status_of(error) == 409 or (of_one is not None and of_one[1] in _KEPT)


_OF_ONE = re.compile(r"\(code: (\w+)\)")
_KEPT = frozenset({"403", "409", "412", "AccessDenied", "AccessForbidden"})


@contextmanager
def signed_in(at: Address) -> Iterator[None]:
    """Raise StoreError if credentials have expired: every other object would fail as well."""
    from obstore.exceptions import BaseError

    try:
        yield
    except BaseError as error:
        if is_lapsed(error):
            lapsed = f"{at.place}: the credentials are no longer valid ({code_of(error)})"
            raise StoreError(f"{lapsed}; {SIGN_IN[at.kind]}") from None
        raise


@contextmanager
def usable(at: Address) -> Iterator[None]:
    """Raise StoreError if the whole bucket, or the credentials, cannot be used, not one object alone."""
    from obstore.exceptions import BaseError, InvalidPathError

    try:
        with signed_in(at):
            yield
    except (InvalidPathError, ValueError) as error:
        if not is_invalid_name(error):
            raise
        raise StoreError(
            f"{at.place}: the name of an object has an empty part (//), a part . or .., or a line break, "
            "and cannot be requested; rename the object, or leave its folder out"
        ) from None
    except BaseError as error:
        if is_denied(error):
            raise StoreError(f"{at.place}: no longer permitted; grant it to these credentials") from None
        if code_of(error) in NO_BUCKET:
            raise no_bucket(at) from None
        raise StoreError(f"{at.place}: {code_of(error)}; is the store reachable?") from None


def no_bucket(at: Address) -> StoreError:
    """Return the error for a bucket or container that does not exist."""
    what = "bucket" if at.kind == "s3" else "container"
    return StoreError(f"{at.place}: no such {what}; make it, or check the name")
