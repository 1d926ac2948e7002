"""S3 and Azure that throttle, lose answers, refuse, ignore conditions, or hold names of all kinds."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from tests import buckets
from tests.between import Between, between
from tests.buckets import Bucket

from beamstop.errors import Failed
from beamstop_transforms import match
from beamstop_transforms.instance import Source
from beamstop_transforms.match import find_sources
from beamstop_transforms.read import read_source
from beamstop_transforms.stores import (
    StoreError,
    check_remote,
    clients,
    list_level,
    list_remote,
    objects,
    open_seekable,
    open_store,
)

EXPIRED = "<Error><Code>ExpiredToken</Code><Message>Doe^Jane</Message></Error>"
DENIED = "<Error><Code>AccessDenied</Code><Message>Doe^Jane</Message></Error>"


@pytest.fixture(params=["s3", "az"])
def bucket(request: pytest.FixtureRequest, make_bucket: Callable[[str], Bucket]) -> Bucket:
    """Return an empty bucket of S3, and of Azure."""
    return make_bucket(request.param)


@pytest.fixture
def way(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """Return what stands between the bucket and its clients."""
    quick = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}
    monkeypatch.setitem(clients._RETRIES, "backoff", quick)
    with between(bucket.server.url) as way:
        for name, value in bucket.server.environment.items():
            monkeypatch.setenv(name, value.replace(bucket.server.url, way.url))
        buckets.forget_clients()
        yield way
        buckets.forget_clients()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_store_that_throttles_or_fails_is_asked_again(bucket: Bucket, way: Between, status: int) -> None:
    way.trouble = [(status, "")] * 2
    assert open_store(bucket.root).write("a.dcm", b"data", None)
    assert len(way.requests) == 3
    way.trouble = [(status, "")] * 2
    assert open_store(bucket.root).find("a.dcm") is not None
    way.trouble = [(status, "")] * 2
    assert [path for path, _, _ in list_remote(f"{bucket.root}/")] == [f"{bucket.root}/a.dcm"]


def test_an_upload_whose_answer_was_lost_counts_as_written(bucket: Bucket, way: Between) -> None:
    way.lose_answer = True
    assert open_store(bucket.root).write("a.dcm", b"data", None)
    assert not open_store(bucket.root).write("a.dcm", b"other", None)
    assert bucket.get("a.dcm") == b"data"


def test_an_object_that_says_it_is_ours_is_looked_into(bucket: Bucket) -> None:
    """Its metadata may be copied from elsewhere."""
    store = open_store(bucket.root)
    store.write("a.dcm", b"data", None)
    named = objects._attributes(b"data", "")
    objects.bucket_of(bucket.server.kind, bucket.name).put("a.dcm", b"other", attributes=named)
    assert not store.write("a.dcm", b"data", None)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ((403, DENIED), "no longer permitted; grant it to these credentials"),
        ((400, EXPIRED), "the credentials are no longer valid ({code}); {sign_in}"),
        ((401, ""), "the credentials are no longer valid (401); {sign_in}"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda root: open_store(root).find("a.dcm"),
        lambda root: open_store(root).read("a.dcm"),
        lambda root: open_store(root).write("a.dcm", b"data", None),
        lambda root: list(open_store(root).names("")),
        lambda root: open_store(root).folders(""),
        lambda root: list(list_remote(f"{root}/")),
        lambda root: list(list_level(f"{root}/")),
    ],
)
def test_what_is_refused_breaks_the_run_with_the_remedy(
    bucket: Bucket, way: Between, use: Callable[[str], object], trouble: tuple[int, str], said: str
) -> None:
    way.trouble = [trouble] * 2
    with pytest.raises(StoreError) as refusal:
        use(bucket.root)
    sign_in = clients.SIGN_IN[bucket.server.kind]
    code = "400" if way.requests[-1].startswith("HEAD") else "ExpiredToken"  # its answer has no text
    assert str(refusal.value) == f"{bucket.root}: {said.format(sign_in=sign_in, code=code)}"


def test_a_bucket_that_went_away_breaks_the_run(bucket: Bucket) -> None:
    with pytest.raises(StoreError, match="no such"):
        open_store(f"{bucket.server.kind}://nowhere").write("a.dcm", b"data", None)


@pytest.mark.parametrize(("status", "detail"), [(403, "PermissionError"), (404, "FileNotFoundError")])
def test_one_source_that_cannot_be_had_is_its_own_trouble(
    bucket: Bucket, way: Between, status: int, detail: str
) -> None:
    way.trouble = [(status, DENIED)]
    with pytest.raises(Failed) as failure:
        read_source(Source(f"{bucket.root}/a.dcm", 4, "7"), 100)
    assert (failure.value.reason, failure.value.detail) == ("source_unreadable", detail)


def test_credentials_that_are_not_known_any_more_are_no_trouble_of_one_source(
    bucket: Bucket, way: Between
) -> None:
    way.trouble = [(400, EXPIRED)]
    with pytest.raises(StoreError, match="the credentials are no longer valid"):
        read_source(Source(f"{bucket.root}/a.dcm", 4, "7"), 100)


def test_what_may_be_used_passes_and_nothing_is_left_of_the_check(bucket: Bucket) -> None:
    check_remote([f"{bucket.root}/in/**"], [f"{bucket.root}/out", f"{bucket.root}/audit"])
    assert bucket.versions() == {}


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)  # of Azure's, no others speak the protocol
@pytest.mark.parametrize("ignored", ["if-none-match", "if-match"])
def test_a_store_that_ignores_conditions_is_refused(bucket: Bucket, way: Between, ignored: str) -> None:
    way.dropped = frozenset({ignored})
    with pytest.raises(StoreError) as refusal:
        check_remote([], [f"{bucket.root}/out"])
    said = "the store ignores conditions on a write; a target must honour If-None-Match"
    assert str(refusal.value).startswith(f"{bucket.root}: {said}")
    assert bucket.versions() == {}


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_a_store_without_conditions_is_refused(bucket: Bucket, way: Between) -> None:
    way.answers = {"PUT": (501, "<Error><Code>NotImplemented</Code></Error>")}
    with pytest.raises(StoreError, match=r"cannot be written to \(NotImplemented\); a target must"):
        check_remote([], [f"{bucket.root}/out"])


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        ("GET", {"s3": "not permitted: s3:ListBucket", "az": "not permitted: Storage Blob Data"}),
        ("PUT", {"s3": "not permitted: s3:PutObject", "az": "not permitted: Storage Blob Data"}),
    ],
)
def test_what_is_not_permitted_is_said_before_anything_is_read(
    bucket: Bucket, way: Between, refused: str, said: dict[str, str]
) -> None:
    way.answers = {refused: (403, DENIED)}
    with pytest.raises(StoreError, match=said[bucket.server.kind]):
        check_remote([], [f"{bucket.root}/out"])


def test_a_bucket_that_is_not_there_is_said_before_anything_is_read(bucket: Bucket) -> None:
    with pytest.raises(StoreError, match=r"no such (bucket|container); make it, or check"):
        check_remote([f"{bucket.server.kind}://nowhere/in"], [])


def test_a_store_that_does_not_answer_is_said_soon(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{buckets.free_port()}"
    for name, value in bucket.server.environment.items():
        monkeypatch.setenv(name, value.replace(bucket.server.url, nobody))
    started = time.monotonic()
    with pytest.raises(StoreError, match="is the store reachable"):
        check_remote([f"{bucket.root}/in"], [])
    assert time.monotonic() - started < 20


def test_without_credentials_for_s3_the_remedy_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreError, match="AWS needs credentials and there are none: run aws sso login"):
        check_remote(["s3://bucket/in"], [])


def test_without_an_account_for_azure_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreError, match="needs to know the storage account: set AZURE_STORAGE_ACCOUNT_NAME"):
        check_remote(["az://container/in"], [])


def test_without_credentials_for_azure_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in clients.AZURE_CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")  # no az
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    # In place of the address of Azure's machines that gives them credentials.
    monkeypatch.setenv("AZURE_MSI_ENDPOINT", f"http://127.0.0.1:{buckets.free_port()}/token")
    with pytest.raises(StoreError, match="Else run az login, or set AZURE_STORAGE_ACCOUNT_KEY"):
        check_remote(["az://container/in"], [])


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_the_profile_of_aws_own_tools_is_used(
    bucket: Bucket, way: Between, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        "[study]\naws_access_key_id = OF-THE-STUDY\naws_secret_access_key = x\n"
    )
    (tmp_path / "config").write_text(f"[profile study]\nregion = eu-west-1\nendpoint_url = {way.url}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "study")
    assert open_store(bucket.root).write("a.dcm", b"data", None)
    assert "Credential=OF-THE-STUDY/" in way.authorizations[-1]
    assert "/eu-west-1/s3/" in way.authorizations[-1]


def test_what_stands_for_a_folder_is_no_source(bucket: Bucket) -> None:
    bucket.put("in/a.dcm", b"x")
    bucket.put("in/empty", b"")
    if bucket.server.kind == "s3":
        requests.put(f"{bucket.server.url}/{bucket.name}/in/", data=b"", timeout=20).raise_for_status()
        requests.put(f"{bucket.server.url}/{bucket.name}/in/b/", data=b"", timeout=20).raise_for_status()
    else:
        bucket._other.put("in/b", b"", attributes={"hdi_isfolder": "true"})
    bucket.put("in/b/c.dcm", b"x")
    found = sorted(it.path for it in find_sources(f"{bucket.root}/in"))
    assert found == [f"{bucket.root}/in/{name}" for name in ("a.dcm", "b/c.dcm", "empty")]


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_names_that_no_client_can_ask_for_are_not_passed_over(bucket: Bucket) -> None:
    url = f"{bucket.server.url}/{bucket.name}/in/Doe//a.dcm"
    requests.put(url, data=b"x", timeout=20).raise_for_status()
    with pytest.raises(StoreError, match=r"an empty part \(//\)") as refusal:
        list(find_sources(f"{bucket.root}/in"))
    assert "Doe" not in str(refusal.value)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("in", ["in/1.2/a.dcm", "in/1.2/deep/b.dcm", "in/1.20.dcm", "in/1.3/c.dcm"]),
        ("in/", ["in/1.2/a.dcm", "in/1.2/deep/b.dcm", "in/1.20.dcm", "in/1.3/c.dcm"]),
        ("in/1.2", ["in/1.2/a.dcm", "in/1.2/deep/b.dcm"]),
        ("in/1.20.dcm", ["in/1.20.dcm"]),
        ("in/1.2**", ["in/1.2/a.dcm", "in/1.2/deep/b.dcm", "in/1.20.dcm"]),
        ("in/1.2*", ["in/1.20.dcm"]),
        ("in/*/*.dcm", ["in/1.2/a.dcm", "in/1.3/c.dcm"]),
        ("", ["in-old/d.dcm", "in/1.2/a.dcm", "in/1.2/deep/b.dcm", "in/1.20.dcm", "in/1.3/c.dcm", "z.dcm"]),
        ("none", []),
    ],
)
@pytest.mark.parametrize("largest", [10_000, 1])
def test_patterns_find_the_same_however_they_are_listed(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, pattern: str, found: list[str], largest: int
) -> None:
    for name in ("in/1.2/a.dcm", "in/1.2/deep/b.dcm", "in/1.20.dcm", "in/1.3/c.dcm", "in-old/d.dcm", "z.dcm"):
        bucket.put(name, b"x")
    bucket.put("in/.partial/x", b"x")
    monkeypatch.setattr(objects, "_LARGEST_LEVEL", largest)
    address = f"{bucket.root}/{pattern}".rstrip("/") if not pattern else f"{bucket.root}/{pattern}"
    expected = [f"{bucket.root}/{name}" for name in found]
    assert sorted(it.path for it in find_sources(address)) == sorted(expected)
    branches = list(match.branch(address))
    every = [it.path for it in branches if isinstance(it, Source)]
    every += [it.path for one in branches if isinstance(one, match.Branch) for it in match.list_branch(one)]
    assert sorted(every) == sorted(expected)


def test_what_goes_wrong_with_the_reader_is_no_trouble_of_the_store(bucket: Bucket) -> None:
    bucket.put("a.dcm", b"data")
    with pytest.raises(ValueError, match="theirs"), open_seekable(f"{bucket.root}/a.dcm"):
        raise ValueError("theirs")


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
@pytest.mark.parametrize("said", ["", "<Error><Code>PermanentRedirect</Code></Error>"])
def test_a_bucket_of_another_region_is_said(bucket: Bucket, way: Between, said: str) -> None:
    way.answers = {"GET": (301, said)}
    with pytest.raises(StoreError, match="the bucket is in another region; set AWS_REGION to it"):
        check_remote([f"{bucket.root}/in"], [])


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_credentials_of_a_process_are_used(
    bucket: Bucket, way: Between, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As those of SSO and roles they lapse: botocore is asked again before they do."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    lapses = (datetime.now(UTC) + timedelta(minutes=11)).isoformat()
    found = {
        "Version": 1,
        "AccessKeyId": "MADE",
        "SecretAccessKey": "x",
        "SessionToken": "t",
        "Expiration": lapses,
    }
    (tmp_path / "made.json").write_text(json.dumps(found))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = /bin/cat {tmp_path}/made.json\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    check_remote([f"{bucket.root}/in"], [])
    credentials = clients._AwsCredentials(clients.find_aws_credentials())()
    assert (credentials["access_key_id"], credentials["token"]) == ("MADE", "t")
    assert credentials["expires_at"] < datetime.now(UTC) + timedelta(minutes=11)
    assert "Credential=MADE/" in way.authorizations[-1]
