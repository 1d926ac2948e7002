"""Where the key is and is not, and who may read what."""

import base64
import binascii
import bz2
import re
import shutil
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest

from beamstop.recipe.load import load_recipe
from beamstop_pipeline.cli import main
from beamstop_pipeline.graph import build
from beamstop_pipeline.job import Job

BASE64 = re.compile(rb"[A-Za-z0-9+/]{32,}={0,2}")


def layers(data: bytes) -> Iterator[bytes]:
    """Yield a serialised graph and what is pickled, compressed and in base64 in it, to any depth."""
    yield data
    for match in BASE64.finditer(data):
        try:
            packed = base64.b64decode(match[0], validate=True)
        except binascii.Error:
            continue
        for decompress in (bz2.decompress, zlib.decompress):
            try:
                yield from layers(decompress(packed))
            except (OSError, ValueError, zlib.error):
                continue


def graph(job: Job) -> bytes:
    """Return what is sent to a runner elsewhere: the graph as protocol buffer, every DoFn pickled in it."""
    pipeline = beam.Pipeline()
    build(pipeline, job)
    proto: bytes = pipeline.to_runner_api().SerializeToString()
    shutil.rmtree(pipeline.local_tempdir)  # Beam removes that of a pipeline that it runs
    return proto


def test_the_graph_has_the_key_s_reference_and_not_the_key(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is found in the pickles, so the key would be, too."""
    secret = "".join(f"{number:02x}" for number in range(77, 109))
    monkeypatch.setenv("BEAMSTOP_TEST_KEY", secret)
    job = Job(
        inputs=(str(archive),),
        output=str(tmp_path / "out"),
        audit=str(tmp_path / "audit"),
        recipe=load_recipe("basic"),
        key="env:BEAMSTOP_TEST_KEY",
        run_id="r",
        started="2026-01-01T00:00:00.000+00:00",
    )
    found = list(layers(graph(job)))
    assert any(b"env:BEAMSTOP_TEST_KEY" in layer for layer in found[1:])
    assert not any(shape in layer for layer in found for shape in (secret.encode(), bytes.fromhex(secret)))
    assert "BEAMSTOP_TEST_KEY" not in repr(job)


@pytest.mark.parametrize("option", ["--crosswalk", "--attributes", "--png", "--audit"])
@pytest.mark.parametrize("place", ["{out}", "{out}/inside", "{out}/a/..", "{home}"])
def test_nothing_else_goes_under_or_around_the_output(
    tmp_path: Path,
    archive: Path,
    key_file: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    place: str,
) -> None:
    out, audit = tmp_path / "x" / "out", tmp_path / "audit"
    places = {"--output": str(out), "--audit": str(audit)}
    places[option] = place.format(out=out, home=tmp_path / "x")
    given = [part for pair in places.items() for part in pair]
    code = main(["run", "--input", str(archive), "--key", str(key_file), "--recipe", "basic", *given])
    assert code == 2
    assert "lie inside one another" in capsys.readouterr().err
    assert not out.exists()


def test_a_link_into_the_output_is_no_way_around(
    tmp_path: Path, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "out")
    places = ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit")]
    more = ["--crosswalk", str(tmp_path / "elsewhere" / "walk"), "--key", str(key_file), "--recipe", "basic"]
    assert main(["run", "--input", str(archive), *places, *more]) == 2
    assert "lie inside one another" in capsys.readouterr().err


def test_a_crosswalk_is_its_owners_alone(
    tmp_path: Path, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = {name: tmp_path / name for name in ("output", "audit", "crosswalk")}
    command = ["run", "--input", str(archive), "--recipe", "basic", "--key", str(key_file), "--quiet"]
    command += [part for name, place in targets.items() for part in (f"--{name}", str(place))]
    assert main(command) == 0
    modes = {stat.S_IMODE(it.stat().st_mode) for it in targets["crosswalk"].rglob("*.parquet")}
    assert modes == {0o600}
    targets["crosswalk"].chmod(0o750)
    assert main(command) == 2
    assert "chmod 700" in capsys.readouterr().err
