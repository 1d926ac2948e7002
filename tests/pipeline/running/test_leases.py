"""One run at a time in a bucket, and what a run that died leaves there."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.buckets import Bucket

from beamstop_pipeline.cli import main
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.running import leases
from beamstop_pipeline.running.leases import leased

RUN0, RUN1 = (f"2026010{number}T000000Z-00000000000" for number in (1, 2))
MARK = "audit/.partial/run"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_RENEW_EVERY", 0.1)
    monkeypatch.setattr(leases, "_LOOK_EVERY", 0.1)
    monkeypatch.setattr(leases, "_DEAD_AFTER", 2.0)


def hold(bucket: Bucket, run_id: str, lost: Callable[[str], None] = pytest.fail):  # type: ignore[no-untyped-def]
    return leased([f"{bucket.root}/audit"], run_id, lambda _: None, lost)


@pytest.fixture
def run(
    bucket: Bucket, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[], tuple[int, str]]:
    """Return a function that runs the job into a bucket and returns its exit code and what it says."""

    def _run() -> tuple[int, str]:
        places = [
            "--input",
            str(archive),
            "--output",
            f"{bucket.root}/out",
            "--audit",
            f"{bucket.root}/audit",
        ]
        more = ["--key", str(key_file), "--recipe", "basic", "--workers", "1", "--incremental"]
        code = main(["run", *places, *more])
        return code, capsys.readouterr().err

    return _run


def test_a_run_beside_another_is_refused_before_it_writes(
    bucket: Bucket, run: Callable[[], tuple[int, str]]
) -> None:
    with hold(bucket, RUN0):
        before = bucket.versions().keys()
        code, said = run()
        assert (code, bucket.versions().keys()) == (2, before)
    assert f"run {RUN0} is writing to {bucket.root}/audit: wait until it ends" in said
    assert bucket.versions() == {}
    assert run() == (0, "")


def test_what_a_killed_run_left_stands_in_the_way_of_the_next_no_longer_than_it_takes_to_see_that_it_is_dead(
    bucket: Bucket, run: Callable[[], tuple[int, str]]
) -> None:
    bucket.put(MARK, f"{RUN0} 0123456789abcdef".encode())
    code, said = run()
    assert code == 0
    assert said == f"{bucket.root}/audit: run {RUN0} is writing there, or was killed; a minute will show\n"
    assert not [name for name in bucket.versions() if ".partial" in name]


def test_marks_of_a_killed_run_in_several_targets_are_watched_together(bucket: Bucket) -> None:
    for target in ("audit", "out"):
        bucket.put(f"{target}/.partial/run", f"{RUN0} 0123456789abcdef".encode())
    said: list[str] = []
    began = time.monotonic()
    with leased([f"{bucket.root}/audit", f"{bucket.root}/out"], RUN1, said.append, pytest.fail):
        assert time.monotonic() - began < 2 * leases._DEAD_AFTER
        marks = bucket.versions()
        assert {bucket.get(it).split()[0].decode() for it in marks} == {RUN1}
        assert len(marks) == 2
    assert len(said) == 1


def test_text_in_a_mark_that_names_no_run_is_not_printed(bucket: Bucket) -> None:
    bucket.put(MARK, b"Doe^Jane 1")
    said: list[str] = []
    with leased([f"{bucket.root}/audit"], RUN0, said.append, pytest.fail):
        pass
    assert said == [f"{bucket.root}/audit: another run is writing there, or was killed; a minute will show"]


def test_of_runs_that_find_a_dead_one_at_once_one_goes_on(bucket: Bucket) -> None:
    bucket.put(MARK, f"{RUN0} 0123456789abcdef".encode())
    entered, refused = [], []
    over = threading.Event()

    def enter(run_id: str) -> None:
        try:
            with hold(bucket, run_id):
                entered.append(run_id)
                over.wait(30)
        except ConfigurationError:
            refused.append(run_id)

    threads = [threading.Thread(target=enter, args=(RUN1[:-1] + letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while len(refused) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    over.set()
    for thread in threads:
        thread.join()
    assert (len(entered), len(refused)) == (1, 3)


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "removed"])
def test_a_run_whose_mark_is_its_own_no_more_is_told(bucket: Bucket, taken: bool) -> None:
    """Its machine slept: another run took it for dead."""
    told = threading.Event()
    said: list[str] = []

    def lost(sentence: str) -> None:
        said.append(sentence)
        told.set()

    with hold(bucket, RUN0, lost):
        if taken:
            bucket.put(MARK, f"{RUN1} 0123456789abcdef".encode())
        else:
            bucket.delete(MARK)
        assert told.wait(30)
    assert said == [f"another run took {bucket.root}/audit, as this one did not renew its mark for a minute"]
    assert bucket.versions().keys() == ({MARK} if taken else set())
