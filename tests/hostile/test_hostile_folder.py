"""A folder of everything that nobody wants to find there: one row each, and the run ends."""

import os
import signal
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileDataset
from tests.hostile.mutations import dissect

from beamstop.dicom.files import encode
from beamstop.dicom.limits import DEEPEST
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop.testing import GREY_BYTES
from beamstop_pipeline.cli import main
from beamstop_pipeline.running.suspects import note_suspect
from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.read import read_source

Run = Callable[..., Any]
MakeDataset = Callable[..., FileDataset]
NAMES = (
    b"plain.dcm",
    b"line\nbreak.dcm",
    b"not utf-8 \xff\xfe.dcm",
    b"-option.dcm",
    b" .dcm ",
    b"[0-9]*?.dcm",
    "Jos\u00e9 \u5c71\u7530.dcm".encode(),
    b"tab\tquote'\"$(x)`x`.dcm",
    b"x" * 250 + b".dcm",
)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """End what hangs."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    former = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def test_names_of_any_bytes(tmp_path: Path, make_dataset: MakeDataset, run: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        data = encode(make_dataset(SOPInstanceUID=f"1.2.3.4.5.{number}")).data
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(data)
    ran = run(folder)
    assert ran.outcomes == Counter({("written", None): len(NAMES)})
    assert len({row["source_id"] for row in ran.table("instances")}) == len(NAMES)


def test_what_is_no_file_is_read_by_nobody_and_hangs_nothing(
    tmp_path: Path, make_dataset: MakeDataset, run: Run
) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "good.dcm").write_bytes(encode(make_dataset()).data)
    (folder / "empty.dcm").write_bytes(b"")
    os.mkfifo(folder / "pipe.dcm")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.dcm"))
        (folder / "zeros.dcm").symlink_to("/dev/zero")
        (folder / "terminal.dcm").symlink_to("/dev/tty")
        (folder / "memory.dcm").symlink_to("/proc/self/mem")
        (folder / "itself.dcm").symlink_to("itself.dcm")
        (folder / "gone.dcm").symlink_to("nowhere.dcm")
        (folder / "deep" / "up").symlink_to("..")
        (folder / "here").symlink_to(".")
        with within(120):
            ran = run(folder)
    reasons = Counter(
        {("written", None): 1, ("rejected", "not_dicom"): 1, ("failed", "source_unreadable"): 7}
    )
    assert ran.outcomes == reasons


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_failed(tmp_path: Path, make_dataset: MakeDataset, run: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "closed.dcm").write_bytes(encode(make_dataset()).data)
    (folder / "closed.dcm").chmod(0)
    assert run(folder).outcomes == Counter({("failed", "source_unreadable"): 1})


def hostile(make_dataset: MakeDataset) -> dict[str, bytes]:
    """Return files that each try something else; all but the broken ones of instances of their own."""

    def instance(uid: str, **attributes: Any) -> FileDataset:
        return make_dataset(SOPInstanceUID=f"1.2.3.4.5.{uid}", **attributes)

    good = encode(instance("1")).data
    file = dissect(good)
    deep = (file.head(0x00081140, "SQ", 0xFFFFFFFF) + file.head(0xFFFEE000, None, 0xFFFFFFFF)) * 10_000
    gigapixel = instance("2", Rows=65535, Columns=65535, **GREY_BYTES)
    gigapixel.add_new(0x7FE00010, "OB", bytes(16))
    outside = instance("3", StudyInstanceUID="../../../x", SeriesInstanceUID="/etc/x", PatientID="../..")
    return {
        "good": good,
        "again": good,
        "deep": good + deep,
        "gigapixel": encode(gigapixel).data,
        "outside": encode(outside).data,
        "claims 4 GB": good + struct.pack("<HH2s2xL", 0x7FE0, 0x0010, b"OB", 0xFFFFFFF0),
        "cut": good[:-5],
        "no dicom": b"%PDF-1.4 " * 40,
        "absurd": encode(
            instance("4", PatientAge="-99Y", StudyDate="99999999", SeriesNumber="-2147483648")
        ).data,
        "alone in its set": encode(
            instance("5", SpecificCharacterSet="ISO_IR 999", PatientName="R\u00f6")
        ).data,
    }


def test_every_hostile_file_ends_in_a_row(tmp_path: Path, make_dataset: MakeDataset, run: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in hostile(make_dataset).items():
        (folder / name).write_bytes(data)
    with within(300):
        ran = run(folder)
    assert ran.outcomes == Counter(
        {
            ("written", None): 4,
            ("rejected", "duplicate"): 1,
            ("rejected", "not_dicom"): 1,
            ("failed", "truncated"): 2,
            ("failed", "too_deep"): 1,
            ("failed", "too_large"): 1,
        }
    )
    inside = {path.relative_to(ran.output).parts for path in ran.output.rglob("*.dcm")}
    assert {len(parts) for parts in inside} == {4}
    assert not any(part.startswith((".", "/")) for parts in inside for part in parts)


def nested(dataset: FileDataset, depth: int) -> bytes:
    """Return a file that ends in a Content Sequence with that many items in items."""
    file, open_ended = dissect(encode(dataset).data), 0xFFFFFFFF
    start = file.head(0x0040A730, "SQ", open_ended) + file.head(0xFFFEE000, None, open_ended)
    return (
        file.data + start * depth + (file.head(0xFFFEE00D, None, 0) + file.head(0xFFFEE0DD, None, 0)) * depth
    )


def test_items_may_lie_as_deep_as_an_option_says(tmp_path: Path, make_dataset: MakeDataset, run: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for depth in (3, 4, DEEPEST, DEEPEST + 1, 10_000):
        data = nested(make_dataset(SOPInstanceUID=f"1.2.3.4.5.{depth}"), depth)
        (folder / f"{depth:05}.dcm").write_bytes(data)
    for limit, written in ((3, 1), (DEEPEST, 3)):
        ran = run(folder, to=str(limit), more=("--max-depth", str(limit)))
        assert ran.outcomes == Counter({("written", None): written, ("failed", "too_deep"): 5 - written})


def test_more_depth_than_the_stack_allows_for_is_bad_configuration(
    archive: Path, key_file: Path, tmp_path: Path
) -> None:
    targets = ["--output", str(tmp_path / "o"), "--audit", str(tmp_path / "a"), "--key", str(key_file)]
    assert main(["run", "--input", str(archive), *targets, "--max-depth", str(DEEPEST + 1)]) == 2


@pytest.mark.parametrize("kept", ["../../../escaped", "/escaped", "..", ".", "a/b"])
def test_a_kept_identifier_is_no_way_out_of_the_output(
    tmp_path: Path, make_dataset: MakeDataset, run: Run, kept: str
) -> None:
    """Where a recipe keeps PatientID, it is a name of a folder."""
    folder, recipe = tmp_path / "in", tmp_path / "keeping.yaml"
    folder.mkdir()
    recipe.write_text("options: [retain-uids]\nattributes: {PatientID: K}\n")
    (folder / "x.dcm").write_bytes(encode(make_dataset(PatientID=kept)).data)
    ran = run(folder, recipe=str(recipe))
    ((outcome, _),) = ran.outcomes
    assert outcome == "quarantined"
    assert [path for path in tmp_path.rglob("*") if "escaped" in path.name] == []
    assert list(ran.output.rglob("*.dcm")) == []


def test_a_file_that_changes_while_it_is_read_is_one_row(
    tmp_path: Path, make_dataset: MakeDataset, run: Run
) -> None:
    """Two versions are written in turn, in place and all the time."""
    folder = tmp_path / "in"
    folder.mkdir()
    versions = [make_dataset(StudyDescription=letter * 3000) for letter in "AB"]
    files = [tmp_path / letter for letter in "AB"]
    for path, dataset in zip(files, versions, strict=True):
        path.write_bytes(encode(dataset).data)
    program = """if True:
        import sys
        one, other = (open(path, "rb").read() for path in sys.argv[1:3])
        with open(sys.argv[3], "r+b", buffering=0) as file:
            while True:
                for data in (one, other):
                    for start in range(0, len(data), 512):
                        file.seek(start)
                        file.write(data[start:start + 512])
    """
    target = folder / "x.dcm"
    target.write_bytes(files[0].read_bytes())
    writer = subprocess.Popen([sys.executable, "-c", program, *map(str, files), str(target)])
    try:
        ran = run(folder, recipe=str(_descriptions(tmp_path)))
    finally:
        writer.kill()
        writer.wait()
    assert ran.outcomes.total() == 1


def _descriptions(home: Path) -> Path:
    recipe = home / "descriptions.yaml"
    recipe.write_text("attributes: {StudyDescription: K}\n")
    return recipe


def test_a_source_that_grew_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    """What was listed as small may be large, or without end, when it is opened."""
    path = tmp_path / "x.dcm"
    path.write_bytes(bytes(1000))
    with pytest.raises(Exception, match="too_large"):
        read_source(Source(str(path), 10, ""), 100)


def test_what_killed_a_worker_is_left_alone_by_the_next_run_and_said(
    archive: Path, tmp_path: Path, key_file: Path, run: Run
) -> None:
    (tmp_path / "audit1").mkdir()
    source = Source(str(archive / "1.dcm"), 0, "")
    source_id = source_id_of(source, Identity(resolve_key(str(key_file))))
    note_suspect(str(tmp_path / "audit1"), source_id, "killed_worker")
    first = run(archive)
    assert first.outcomes == Counter({("failed", "killed_worker"): 1, ("written", None): 2})
    (row,) = (row for row in first.table("instances") if row["outcome"] == "failed")
    assert row["source_id"] == source_id
    assert run(archive).outcomes == Counter({("written", None): 3})
