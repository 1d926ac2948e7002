"""Special files under options that name a file: refused at once, by a sentence that names the option."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beamstop.given_files import open_given, read_given
from beamstop_pipeline.cli import main

HUGE = 10 << 30


def fifo(path: Path) -> Path:
    os.mkfifo(path, 0o600)
    return path


def sparse(path: Path) -> Path:
    path.touch(0o600)
    os.truncate(path, HUGE)
    return path


def link(path: Path, to: str) -> Path:
    path.symlink_to(to)
    return path


SPECIAL: dict[str, Callable[[Path], Path]] = {
    "zeros": lambda path: link(path, "/dev/zero"),
    "random": lambda path: link(path, "/dev/urandom"),
    "nothing": lambda path: link(path, "/dev/null"),
    "terminal": lambda path: link(path, "/dev/tty"),
    "fifo": fifo,
    "folder": lambda path: path.mkdir() or path,  # type: ignore[func-returns-value]
    "link to a folder": lambda path: link(path, "/etc"),
    "sparse": sparse,
    "link to itself": lambda path: link(path, path.name),
}
# Option → the end of the file's name, and the command without it.
OPTIONS = {
    "--recipe": (".yaml", "run --key {key}"),
    "--subjects": (".csv", "run --key {key}"),
    "--subjects of Parquet": (".parquet", "run --key {key}"),
    "--key": ("", "run"),
    "--signing-key": ("", "run --key {key}"),
    "--about": (".yaml", "report {audit}"),
    "--verdicts": (".json", "report {audit}"),
    "--public-key": (".pub", "verify --audit {audit}"),
    "listed": (".txt", "run --key {key} --recipe {listing}"),
}


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_special_file_is_refused_by_a_sentence_that_names_the_option(
    option: str, kind: str, tmp_path: Path, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ending, command = OPTIONS[option]
    file = SPECIAL[kind](tmp_path / f"given{ending}")
    listing = tmp_path / "listing.yaml"
    listing.write_text(f"bouncers: [{{listed: {file}, attribute: PatientID}}]")
    audit = tmp_path / "audit"
    words = command.format(key=key_file, audit=audit, listing=listing).split()
    if words[0] == "run":
        words += ["--input", str(archive), "--output", str(tmp_path / "out"), "--audit", str(audit)]
    name = option.split()[0]
    if name.startswith("--"):
        words += [name, str(file)]
    assert main(words) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert name in told
    assert "Traceback" not in told
    assert not audit.exists()


def test_a_pipe_is_read_to_its_end_and_no_further_than_the_limit() -> None:
    def given(data: bytes, most: int = 1 << 20) -> bytes:
        ours, theirs = os.pipe()
        writer = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=theirs)
        os.close(theirs)
        try:
            writer.stdin.write(data)  # type: ignore[union-attr]
            writer.stdin.close()  # type: ignore[union-attr]
            return read_given(f"/dev/fd/{ours}", most)
        finally:
            os.close(ours)
            writer.wait()

    assert given(b"options: []") == b"options: []"
    assert given(b"x" * 60_000) == b"x" * 60_000
    with pytest.raises(OSError, match="larger than 0 MB"):
        given(b"x" * 5000, 4096)
    with pytest.raises(OSError, match="nobody writes"):
        given(b"")


def test_a_recipe_may_come_through_a_pipe(tmp_path: Path, archive: Path, key_file: Path) -> None:
    places = f"--input {archive} --output {tmp_path / 'out'} --audit {tmp_path / 'audit'} --key {key_file}"
    run = f"exec {sys.executable} -m beamstop_pipeline run {places} --workers 1"
    piped = f"echo 'profile: basic' | {run} --recipe /dev/stdin"
    ran = subprocess.run(["/bin/sh", "-c", piped], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_what_is_given_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "given"
    file.write_bytes(b"\0\xff")
    assert read_given(file) == read_given(link(tmp_path / "link", "given")) == b"\0\xff"
    with open_given(file, 2) as opened:
        assert opened.read() == b"\0\xff"
    with pytest.raises(OSError, match="larger"):
        open_given(file, 1)
