"""The Flex Template against the real options, Dataflow's own client, and what else pins a version."""

import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3 import ContainerSpec, ParameterType

from beamstop_pipeline.launch import main, parameters
from beamstop_pipeline.running.beam_options import LOCAL_ONLY

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "templates" / "dataflow"
IMAGE, PLACE = "europe-docker.pkg.dev/clinic-imaging/beamstop/beamstop:1", "gs://clinic/template.json"
# Nobody looks at the terminal of a launch; a local run's options mean nothing there.
NOT_OFFERED = {"quiet", "json", *(option.removeprefix("--").replace("-", "_") for option in LOCAL_ONLY)}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[ContainerSpec, list[str]]:
    """Return the specification that `make template` writes, as Dataflow reads it, and what is printed."""
    file = tmp_path_factory.mktemp("build") / "template.json"
    command = [sys.executable, str(HERE / "plan.py"), "--image", IMAGE, "--place", PLACE, "--file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return ContainerSpec.from_json(file.read_text(), ignore_unknown_fields=False), done.stdout.splitlines()


def offered(planned: tuple[ContainerSpec, list[str]]) -> dict[str, Any]:
    return {parameter.name: parameter for parameter in planned[0].metadata.parameters}


def test_the_parameters_are_the_options(planned: tuple[ContainerSpec, list[str]]) -> None:
    there, real = set(offered(planned)), set(parameters()) - NOT_OFFERED
    assert real - there == set(), (
        "an option of `beamstop run` is missing from templates/dataflow/metadata.json: add it there, "
        "or to NOT_OFFERED here, with the reason, if it means nothing on Dataflow"
    )
    assert there - real == set(), (
        "templates/dataflow/metadata.json offers what is no option of `beamstop run`"
    )


def test_parameters_have_the_kind_and_the_default_of_their_options(
    planned: tuple[ContainerSpec, list[str]],
) -> None:
    options = parameters()
    for name, parameter in offered(planned).items():
        option = options[name]
        # Another key than the one of a secret cannot be had there, so that it must be given.
        assert parameter.is_optional == (not option.required and name != "key"), name
        assert (parameter.param_type == ParameterType.BOOLEAN) == option.is_flag, name
        assert (parameter.param_type == ParameterType.TEXT) == option.multiple, name
        choices = list(option.type_descriptor.choices or [])
        assert [choice.value for choice in parameter.enum_options] == choices, name
        default = option.default if option.default is not None and not option.required else ""
        assert parameter.default_value == str(default).lower(), name
        assert parameter.label, name
        assert parameter.help_text.endswith("."), name


def test_defaults_pass_their_own_expressions(planned: tuple[ContainerSpec, list[str]]) -> None:
    for parameter in offered(planned).values():
        for expression in parameter.regexes if parameter.default_value else ():
            assert re.fullmatch(expression, parameter.default_value), parameter.name


@pytest.mark.parametrize(
    ("name", "value", "passes"),
    [
        ("input", "gs://a/in/**", True),
        ("input", "gs://a/x y/**\ngs://b/1.dcm", True),
        ("input", "/archive", False),
        ("output", "gs://a/out", True),
        ("output", "dicomweb:https://clinic/dicom-web", True),
        ("output", "out", False),
        ("subscription", "new-objects", False),
        ("key", "secret:projects/p/secrets/study/versions/3", True),
        ("key", "file:/keys/study.key", False),
        ("max_frames", "0", False),
    ],
)
def test_expressions_turn_away_what_dataflow_cannot_reach(
    planned: tuple[ContainerSpec, list[str]], name: str, value: str, passes: bool
) -> None:
    matched = [re.fullmatch(expression, value) for expression in offered(planned)[name].regexes]
    assert all(matched) == passes


def test_launcher_and_workers_have_one_image(planned: tuple[ContainerSpec, list[str]]) -> None:
    specification, _ = planned
    assert specification.image == specification.default_environment.sdk_container_image == IMAGE
    assert specification.sdk_info.language.name == "PYTHON"


def test_what_is_printed_publishes_it(planned: tuple[ContainerSpec, list[str]]) -> None:
    build, push, copy = (shlex.split(line) for line in planned[1][1:])
    from_file = ["docker", "build", "--file", "templates/dataflow/Dockerfile"]
    given = [word for word in build[4:-3] if word != "--build-arg"]
    assert build == [*from_file, *build[4:-3], "--tag", IMAGE, "."]
    asked = re.findall(r"^ARG ([A-Z_]+)$", (HERE / "Dockerfile").read_text(), re.MULTILINE)
    assert {word.partition("=")[0] for word in given} == set(asked)  # what has no default
    assert (ROOT / build[3]).is_file()
    assert push == ["docker", "push", IMAGE]
    assert (copy[:3], copy[4]) == (["gcloud", "storage", "cp"], PLACE)


def test_launch_hands_its_parameters_over(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["launch.py", "--incremental=perhaps"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(HERE / "launch.py"), run_name="__main__")
    assert ended.value.code == main(["--incremental=perhaps"]) == 2
    assert "--incremental: must be true or false" in capsys.readouterr().err


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (HERE / "Dockerfile").read_text().replace("\\\n", " ")


def pinned(package: str) -> str:
    """Return the version that pyproject.toml pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (version,) = re.findall(rf"\b{package}==([\w.]+)", "\n".join(project["dependencies"]))
    return str(version)


def test_the_image_has_the_versions_that_are_pinned(dockerfile: str) -> None:
    beam = re.findall(r"apache/beam_python(\S+)_sdk:([^@]+)", dockerfile)
    assert beam == [("3.11", pinned("apache-beam"))]
    assert re.findall(r"^FROM python:([^@]+)", dockerfile, re.MULTILINE) == ["3.11-slim"] * 3
    assert "python311-template-launcher-base" in dockerfile


def test_what_the_image_takes_from_elsewhere_is_named_by_digest_or_hash(dockerfile: str) -> None:
    """But torch, whose CPU build is on PyTorch's own index; it exports the networks and is in no image."""
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert [base for base in bases if not re.fullmatch(r"\S+@\$\{[A-Z]+_DIGEST\}", base)] == []
    defaults = re.findall(r"^ARG (\S+=.*)", dockerfile, re.MULTILINE)
    assert defaults == ["CPU_WHEELS=https://download.pytorch.org/whl/cpu"]
    assert '--require-hashes --no-deps --only-binary :all:"' in dockerfile
    installs = re.findall(r"pip install (.+?)(?= &&|\n)", dockerfile)
    unhashed = [it for it in installs if "$LOCKED" not in it]
    torch, own, wheel = unhashed
    assert torch.endswith('--index-url "$CPU_WHEELS" $(grep == requirements/torch.in)')
    assert own == "--no-cache-dir --no-deps --no-build-isolation --editable ."
    assert wheel.rstrip() == "--no-cache-dir --no-deps /wheel/*.whl"
    _, image = dockerfile.split("AS installed\n")
    assert re.findall(r"pip install \$LOCKED (.+?) +&&", image) == ["-r /requirements.txt"]
    assert "COPY --from=built /source/requirements/run.txt /requirements.txt\n" in image


def test_what_is_copied_into_the_image_is_there_and_sent_to_the_builder(dockerfile: str) -> None:
    sent = set((ROOT / ".dockerignore").read_text().splitlines())
    copies = re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.MULTILINE)
    sources = [source.rstrip("/") for copy in copies for source in copy.split()]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {f"!{source}" for source in sources} == {line for line in sent if line.startswith("!")}


@pytest.mark.ocr
def test_the_image_checks_that_its_networks_are_there_with_code_that_runs(dockerfile: str) -> None:
    (code,) = re.findall(r'python -c "(.+?)"', dockerfile)
    exec(code, {})  # noqa: S102  our own
    (tool,) = re.findall(r"python (tools/\S+)", dockerfile)
    assert (ROOT / tool).is_file()


def test_the_launcher_starts_what_is_in_the_image(dockerfile: str) -> None:
    settings = dict(re.findall(r"^ENV (\S+)=(\S+)$", dockerfile, re.MULTILINE))
    assert settings["FLEX_TEMPLATE_PYTHON_PY_FILE"] == "/template/launch.py"
    assert json.loads(dockerfile.rpartition("ENTRYPOINT ")[2]) == ["/opt/apache/beam/boot"]
