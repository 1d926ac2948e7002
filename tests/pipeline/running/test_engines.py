"""Engines elsewhere that are not there, or do not take a job."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.runners.runner import PipelineRunner

from beamstop_pipeline.cli import main
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.running import engines
from beamstop_pipeline.running.beam_options import parse_beam_options


@pytest.fixture
def refused(
    archive: Path, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that runs the job, which must end with exit code 2, and says what was said."""

    def _refused(*options: str) -> str:
        places = [
            "--input",
            str(archive),
            "--output",
            str(tmp_path / "out"),
            "--audit",
            str(tmp_path / "audit"),
        ]
        assert main(["run", *places, "--key", str(key_file), "--recipe", "basic", *options]) == 2
        assert not list(tmp_path.glob("out/*/*"))
        return capsys.readouterr().err

    return _refused


def test_a_runner_that_nobody_knows_is_named_with_those_that_are(refused: Callable[..., str]) -> None:
    said = refused("--runner", "NoSuchRunner")
    assert said.startswith("beamstop: --runner NoSuchRunner: Unexpected pipeline runner: NoSuchRunner. Valid")
    assert "FlinkRunner" in said


def test_a_runner_whose_module_is_not_there_is_refused(refused: Callable[..., str]) -> None:
    assert refused("--runner=mine.own.Runner") == (
        "beamstop: --runner mine.own.Runner: No module named 'mine'\n"
    )


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam.runners.dataflow.dataflow_runner", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'beamstop\[gcp\]'"):
        engines.check_engine(PipelineOptions(["--runner", "DataflowRunner"]))


def test_a_job_server_that_nobody_reaches_is_named_soon(
    refused: Callable[..., str], free_port: Callable[[], int]
) -> None:
    address = f"localhost:{free_port()}"
    said = refused("--runner=PortableRunner", f"--job_endpoint={address}", "--job_server_timeout=1")
    why = "nobody answers there (Connection refused); start the server, or name another"
    assert said == f"beamstop: --job_endpoint {address}: {why}\n"


def test_a_server_that_speaks_something_else_is_refused_by_what_beam_says(
    refused: Callable[..., str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"localhost:{silent.getsockname()[1]}"
        said = refused("--runner=PortableRunner", f"--job_endpoint={address}", "--job_server_timeout=1")
    why = "the program that listens there is not a job server; name another"
    assert said == f"beamstop: --job_endpoint {address}: {why}\n"


def test_beam_listens_to_a_job_server_for_as_long_as_the_job_takes() -> None:
    """It would end the stream of states with --job_server_timeout, which is 300 seconds."""
    options = parse_beam_options(["--runner=PortableRunner", "--job_endpoint=embed"])
    engines.check_engine(options)
    assert options.view_as(PortableOptions).job_server_timeout > 30 * 24 * 3600


def test_a_flink_that_nobody_reaches_is_named(
    refused: Callable[..., str], free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_WAIT", 0.0)
    address = f"localhost:{free_port()}"
    said = refused("--runner=FlinkRunner", f"--flink_master={address}")
    assert said.startswith(f"beamstop: --flink_master {address}: nobody answers there (Connection refused)")


def test_what_is_no_address_is_said_so(refused: Callable[..., str]) -> None:
    assert "--job_endpoint nowhere: not an address" in refused(
        "--runner=PortableRunner", "--job_endpoint=nowhere"
    )


def test_what_beam_misses_is_said_in_its_own_words(refused: Callable[..., str]) -> None:
    assert "You must specify a --job_endpoint when using --runner=PortableRunner" in refused(
        "--runner=PortableRunner"
    )


def test_options_of_a_runner_from_elsewhere_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are once its module is imported: without it they were refused."""
    elsewhere = ModuleType("elsewhere")

    class TheirRunner(PipelineRunner):
        pass

    def _load(name: str) -> Any:
        assert name == "elsewhere"

        class TheirOptions(PipelineOptions):
            @classmethod
            def _add_argparse_args(cls, parser: Any) -> None:
                parser.add_argument("--their_cluster")

        elsewhere.TheirRunner, elsewhere.options = TheirRunner, TheirOptions  # type: ignore[attr-defined]
        return elsewhere

    monkeypatch.setattr(engines.importlib, "import_module", _load)
    options = parse_beam_options(["--runner=elsewhere.TheirRunner", "--their_cluster=one"])
    assert options.get_all_options()["their_cluster"] == "one"


def test_a_run_without_options_of_beam_names_no_runner() -> None:
    assert parse_beam_options([]).get_all_options()["runner"] is None


def test_a_reason_is_one_line_of_bearable_length() -> None:
    assert engines.reason_of(ValueError("one\n  two." + "x" * 1000)) == ("one two." + "x" * 1000)[:300]
    assert engines.reason_of(ValueError()) == "ValueError"


def test_nothing_is_said_when_the_transforms_are_imported() -> None:
    """Beam warns of a package that nothing here needs."""
    ran = subprocess.run(
        [sys.executable, "-c", "import beamstop_transforms"], capture_output=True, check=True
    )
    assert (ran.stdout, ran.stderr) == (b"", b"")
