import stat
import sys
from types import ModuleType

import pytest
from google.auth.exceptions import DefaultCredentialsError

from beamstop.errors import KeyReferenceError
from beamstop.keys import generate_key, resolve_key


def test_a_new_key_has_32_bytes_and_only_its_owner_reads_it(tmp_path):
    generate_key(tmp_path / "key")
    assert len(resolve_key(f"file:{tmp_path / 'key'}")) == 32
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path):
    generate_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(KeyReferenceError, match="exists already"):
        generate_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode):
    generate_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(KeyReferenceError, match="chmod 600"):
        resolve_key(str(tmp_path / "key"))


def test_a_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("BEAMSTOP_TEST_KEY", "0123456789abcdef" * 2)
    assert resolve_key("env:BEAMSTOP_TEST_KEY") == b"0123456789abcdef" * 2
    with pytest.raises(KeyReferenceError, match="no such environment variable"):
        resolve_key("env:BEAMSTOP_NO_SUCH_KEY")


def test_what_google_says_of_a_secret_is_said_in_one_line(monkeypatch):
    class SecretManagerServiceClient:
        def access_secret_version(self, name):
            raise DefaultCredentialsError("Your default credentials\n were not found. See ".ljust(1000, "x"))

    module = ModuleType("google.cloud.secretmanager")
    module.SecretManagerServiceClient = SecretManagerServiceClient
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(KeyReferenceError) as refusal:
        resolve_key("secret:projects/p/secrets/s/versions/1")
    assert str(refusal.value).startswith("--key secret:…: Your default credentials were not found. See x")
    assert len(str(refusal.value)) < 350


def test_a_short_or_missing_key_is_refused(tmp_path):
    short = tmp_path / "short"
    short.write_bytes(b"k")
    short.chmod(0o600)
    with pytest.raises(KeyReferenceError, match="at least 16"):
        resolve_key(str(short))
    with pytest.raises(KeyReferenceError, match="keygen"):
        resolve_key(str(tmp_path / "missing"))


@pytest.mark.parametrize("content", [bytes(32), b"k" * 64, b"0123456" * 9])
def test_a_key_of_few_different_bytes_is_refused(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(KeyReferenceError, match="few different bytes"):
        resolve_key(str(tmp_path / "key"))


@pytest.mark.parametrize(
    "value",
    [
        "3f2b9c1d7e8a4f60b5d2c3e4f5a60718293a4b5c6d7e8f9001122334455667788",
        "vQx0sY3m8Zk1Tn5Rb7Lc9Wd2Xe4Fg6Hj8Kp0Mq1Nr3=",
        "file:vQx0/Y3m8Zk1Tn5Rb7Lc9Wd2Xe4Fg6Hj8Kp0Mq1Nr3=",
        "correct horse battery staple",
    ],
)
def test_a_key_given_in_place_of_a_reference_is_not_repeated(value):
    with pytest.raises(KeyReferenceError, match="may be a key itself") as refusal:
        resolve_key(value)
    assert value[-12:] not in str(refusal.value)
