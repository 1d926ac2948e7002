"""What starts the job every night: each schedule is read by what will read it."""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3 import LaunchFlexTemplateRequest

from beamstop_pipeline import launch
from beamstop_pipeline.exit_codes import Exit

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "templates" / "schedule"
NIGHTLY = "0 2 * * *"


@pytest.fixture
def launched() -> Any:
    """Return the body for Cloud Scheduler, as Dataflow reads it."""
    body = (HERE / "cloud-scheduler.json").read_text()
    return LaunchFlexTemplateRequest.from_json(body, ignore_unknown_fields=False).launch_parameter


def test_the_body_gives_what_the_template_asks_for(launched: Any, read: Callable[..., Any]) -> None:
    metadata = json.loads((ROOT / "templates" / "dataflow" / "metadata.json").read_text())
    offered = {it["name"]: it for it in metadata["parameters"]}
    given = dict(launched.parameters)
    assert set(given) <= set(offered)
    assert {name for name, it in offered.items() if not it["isOptional"]} <= set(given)
    for name, value in given.items():
        assert all(re.fullmatch(it, value) for it in offered[name].get("regexes", [])), name
    options = [it for name, value in given.items() for it in launch.as_options(f"--{name}={value}")]
    command = read(options)
    assert command.ours["incremental"] is True
    assert command.ours["inputs"] == ["gs://ARCHIVE/**"]


def test_the_body_names_a_job_that_cannot_run_twice_at_once(launched: Any) -> None:
    """Dataflow refuses a second job of a name that runs; a name made anew each night would let it."""
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", launched.job_name)
    assert launched.environment.ip_configuration.name == "WORKER_IP_PRIVATE"
    assert launched.container_spec_gcs_path.startswith("gs://")


def test_the_dag_is_one_that_airflow_takes() -> None:
    pytest.importorskip("airflow.providers.google", reason="Airflow is not installed here")
    dag = runpy.run_path(str(HERE / "beamstop_dag.py"))["dag"]
    (task,) = dag.tasks
    assert (dag.dag_id, dag.schedule, dag.max_active_runs) == ("beamstop", NIGHTLY, 1)
    assert task.body == json.loads((HERE / "cloud-scheduler.json").read_text())


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed here (Debian: systemd)")
    for unit in ("beamstop.service", "beamstop.timer"):
        text = (HERE / unit).read_text().replace("/opt/beamstop/bin/beamstop", "/bin/true")
        (tmp_path / unit).write_text(text)
    done = subprocess.run(
        [program, "verify", *map(str, tmp_path.iterdir())],
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "beamstop" in line]) == (0, [])


def test_systemd_tries_again_only_what_broke() -> None:
    service = (HERE / "beamstop.service").read_text()
    assert re.findall(r"^Restart=(.*)$", service, re.MULTILINE) == ["on-failure"]
    (left,) = re.findall(r"^RestartPreventExitStatus=(.*)$", service, re.MULTILINE)
    assert left == f"{Exit.SET_ASIDE} {Exit.BAD_CONFIGURATION}"


def test_the_commands_of_systemd_and_cron_are_understood_and_the_same(read: Callable[..., Any]) -> None:
    (started,) = re.findall(r"^ExecStart=(.*)$", (HERE / "beamstop.service").read_text(), re.MULTILINE)
    lines = (HERE / "beamstop.cron").read_text().splitlines()
    (line,) = (it for it in lines if not re.match(r"#|\w+=", it))
    *when, user, command = line.split(maxsplit=6)
    assert (" ".join(when), user) == (NIGHTLY, "beamstop")
    assert "%" not in command  # cron makes line ends of them
    (writable,) = re.findall(r"^ReadWritePaths=(.*)$", (HERE / "beamstop.service").read_text(), re.MULTILINE)
    for words in (shlex.split(started), shlex.split(command)):
        assert words[:2] == ["/opt/beamstop/bin/beamstop", "run"]
        read_ = read(words[2:])
        assert (read_.elsewhere, read_.ours["incremental"]) == (False, True)
        assert [read_.ours["output"], read_.ours["audit"]] == writable.split()
    assert shlex.split(command) == [*shlex.split(started), "--quiet"]
