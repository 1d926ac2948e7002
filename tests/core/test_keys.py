import stat

import pytest

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
    monkeypatch.setenv("BEAMSTOP_TEST_KEY", "k" * 32)
    assert resolve_key("env:BEAMSTOP_TEST_KEY") == b"k" * 32
    with pytest.raises(KeyReferenceError, match="no such environment variable"):
        resolve_key("env:BEAMSTOP_NO_SUCH_KEY")


def test_a_short_or_missing_key_is_refused(tmp_path):
    short = tmp_path / "short"
    short.write_bytes(b"k")
    short.chmod(0o600)
    with pytest.raises(KeyReferenceError, match="at least 16"):
        resolve_key(str(short))
    with pytest.raises(KeyReferenceError, match="keygen"):
        resolve_key(str(tmp_path / "missing"))
