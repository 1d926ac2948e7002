"""Checks of S3 and Azure before anything is read: permissions, and conditions on writes."""

import os
import threading
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from beamstop_transforms.stores.base import PARTIAL, StoreError
from beamstop_transforms.stores.clients import (
    AZURE_ACCOUNT,
    KINDS,
    NO_BUCKET,
    SIGN_IN,
    Address,
    code_of,
    find_aws_credentials,
    is_denied,
    is_kept,
    is_lapsed,
    is_public,
    no_bucket,
    status_of,
)


def check_objects(inputs: Iterable[str], targets: Iterable[str]) -> set[str]:
    """Check that there are credentials, buckets exist and may be listed, and targets honour conditions.

    Args:
        inputs: addresses to read from.
        targets: addresses to write to and read back.

    Returns:
        the buckets of targets in which objects cannot be removed.

    Raises:
        StoreError: a bucket may not be used, or ignores conditions on writes; the message says the remedy.
    """
    read, written = map(Address.of, inputs), [Address.of(it) for it in targets]
    first = {(it.kind, it.bucket): it for it in [*written, *read]}
    for at in first.values():
        _check_credentials(at.kind)
        _check_bucket(at)
    probed = {(it.kind, it.bucket): it for it in reversed(written)}.values()
    return {at.place for at in probed if _check_conditions(at)}


def _check_credentials(kind: str) -> None:
    """Look for credentials for some seconds; outside of a cloud the search would take long.

    Raises:
        StoreError: there are none.
    """
    if kind == "az":
        if not os.environ.get(AZURE_ACCOUNT):
            raise StoreError(f"az:// needs to know the storage account: set {AZURE_ACCOUNT}")
        return  # the last credentials of the chain are the machine's: only a request shows whether they exist
    if is_public():
        return
    found: list[Any] = []
    search = threading.Thread(target=_search_aws, args=(found,), daemon=True)
    search.start()
    search.join(_CREDENTIALS_WITHIN)
    if not found:
        raise StoreError(f"AWS needs credentials and there are none: {SIGN_IN['s3']}")


_CREDENTIALS_WITHIN = 5.0  # seconds


def _search_aws(found: list[Any]) -> None:
    from botocore.exceptions import BotoCoreError

    with suppress(BotoCoreError):
        credentials = find_aws_credentials()
        if credentials is not None:
            credentials.get_frozen_credentials()
            found.append(credentials)


def _check_bucket(at: Address) -> None:
    import obstore
    from obstore.exceptions import BaseError

    try:
        quick = KINDS[at.kind](at.bucket, _QUICK_RETRIES, _QUICK)
        next(iter(obstore.list(quick, f"{PARTIAL}/none", chunk_size=1)), None)
    except FileNotFoundError:
        raise no_bucket(at) from None
    except BaseError as error:
        code = code_of(error)
        if code in NO_BUCKET:
            raise no_bucket(at) from None
        if code in _ELSEWHERE or "redirect" in str(error):
            raise StoreError(f"{at.place}: the bucket is in another region; set AWS_REGION to it") from None
        if is_lapsed(error):
            refused = f"{at.place}: the credentials are refused ({code})"
            raise StoreError(f"{refused}; {SIGN_IN[at.kind]}") from None
        if is_denied(error):
            denied = f"{at.place}: not permitted: {_LISTING[at.kind]}"
            raise StoreError(f"{denied}; grant it to these credentials") from None
        # The chain for Azure ends with the credentials of an Azure machine; elsewhere they do not answer.
        hint = f" Else {SIGN_IN['az']}" if at.kind == "az" and status_of(error) is None else ""
        raise StoreError(f"{at.place}: {code}; is the store reachable?{hint}") from None


_ELSEWHERE = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "307"})
_LISTING = {"s3": "s3:ListBucket", "az": "Storage Blob Data Contributor (or Reader, to read)"}


def _check_conditions(at: Address) -> bool:
    """Write one object twice, below `.partial`: a store that ignores conditions on writes would lose files.

    Returns:
        whether the object cannot be removed.

    Raises:
        StoreError: the store ignores conditions, or does not let us write.
    """
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

    bucket = KINDS[at.kind](at.bucket, _QUICK_RETRIES, _QUICK)
    home = f"{at.name.rstrip('/')}/" if at.name.rstrip("/") else ""
    name = f"{home}{PARTIAL}/conditions/{uuid.uuid4().hex}"  # a run that tidies up removes leftovers

    def is_refused(mode: Any) -> bool:
        try:
            obstore.put(bucket, name, b"2", mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return True
        return False

    try:
        obstore.put(bucket, name, b"1", mode="create", use_multipart=False)
        keeps_apart = is_refused("create") and is_refused({"e_tag": '"0123456789abcdef0123456789abcdef"'})
    except BaseError as error:
        if is_denied(error):
            denied = f"{at.place}: not permitted: {_WRITING[at.kind]}"
            raise StoreError(f"{denied}; grant it to these credentials") from None
        raise StoreError(f"{at.place}: cannot be written to ({code_of(error)}); {_CONDITIONS}") from None
    finally:
        stays = _has_to_stay(bucket, name)
    if not keeps_apart:
        raise StoreError(f"{at.place}: the store ignores conditions on a write; {_CONDITIONS}")
    return stays


def _has_to_stay(bucket: Any, name: str) -> bool:
    import obstore
    from obstore.exceptions import BaseError

    try:
        obstore.delete(bucket, [name])
    except FileNotFoundError:
        return False
    except BaseError as error:
        return is_kept(error)
    return False


_WRITING = {"s3": "s3:PutObject", "az": "Storage Blob Data Contributor"}
_CONDITIONS = "a target must honour If-None-Match and If-Match, as S3 and new MinIO do"
# Nobody should wait long, before anything is read, for a store that does not answer.
_QUICK_RETRIES = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
_QUICK = {"connect_timeout": "3s", "timeout": "5s"}
