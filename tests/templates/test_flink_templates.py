"""The manifest and the compose file for Flink: they agree with one another and with what is pinned."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions
from ruamel.yaml import YAML
from tests.pipeline.engines.cluster import NETWORK
from tests.pipeline.engines.distribution import PARTS, RELEASES

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "templates" / "flink"
POOL_PORT = 50000
POOL = [
    *("python", "-m", "beamstop_pipeline.worker_pool", f"--service_port={POOL_PORT}"),
    "--container_executable=/opt/apache/beam/boot",
]
IMAGES = re.compile(r"image: (\S+)")


@pytest.fixture
def manifest() -> dict[tuple[str, str], Any]:
    """Return the objects of the manifest by kind and name."""
    documents = YAML(typ="safe").load_all((HERE / "kubernetes.yaml").read_text())
    return {(it["kind"], it["metadata"]["name"]): it for it in documents}


@pytest.fixture
def services() -> dict[str, Any]:
    """Return the services of the compose file."""
    found: dict[str, Any] = YAML(typ="safe").load((HERE / "compose.yaml").read_text())["services"]
    return found


@pytest.fixture
def pod(manifest: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """Return the pods of the task managers."""
    found: dict[str, Any] = manifest["FlinkDeployment", "beamstop"]["spec"]["taskManager"]["podTemplate"][
        "spec"
    ]
    return found


@pytest.fixture
def submitting(manifest: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """Return the pod that submits."""
    found: dict[str, Any] = manifest["CronJob", "beamstop"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("name", ["kubernetes.yaml", "compose.yaml"])
def test_images_are_those_that_the_tests_on_flink_ran_with(name: str) -> None:
    images = IMAGES.findall((HERE / name).read_text())
    (release,) = {it.partition(":")[2] for it in images if it.startswith("flink:")}
    flink, beam = PARTS
    assert release == RELEASES[flink]
    assert flink in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    assert f"apache/beam_flink{flink}_job_server:{beam}" in images


def test_the_operator_is_told_the_version_of_its_image(manifest: dict[tuple[str, str], Any]) -> None:
    spec = manifest["FlinkDeployment", "beamstop"]["spec"]
    flink = spec["image"].partition(":")[2].rpartition(".")[0]
    assert spec["flinkVersion"] == "v" + flink.replace(".", "_")


def test_both_give_flink_the_memory_and_the_restarts_that_the_tests_on_flink_do(
    manifest: dict[tuple[str, str], Any], services: dict[str, Any]
) -> None:
    told = manifest["FlinkDeployment", "beamstop"]["spec"]["flinkConfiguration"]
    composed = YAML(typ="safe").load(services["taskmanager"]["environment"]["FLINK_PROPERTIES"])
    for name in ("taskmanager.memory.network.min", "taskmanager.memory.network.max"):
        assert told[name] == composed[name] == NETWORK
    assert told["restart-strategy.type"] == composed["restart-strategy.type"] == "fixed-delay"


def test_the_manifests_command_is_understood_and_leads_to_its_services(
    manifest: dict[tuple[str, str], Any],
    pod: dict[str, Any],
    submitting: dict[str, Any],
    read: Callable[..., Any],
) -> None:
    (container,) = submitting["containers"]
    assert container["command"][:2] == ["beamstop", "run"]
    command = read(container["command"][2:])
    assert (command.elsewhere, command.ours["incremental"]) == (True, True)
    portable = command.beam.view_as(PortableOptions)
    ports = {it["port"] for it in manifest["Service", "beamstop-job-server"]["spec"]["ports"]}
    for endpoint in (portable.job_endpoint, portable.artifact_endpoint):
        host, _, port = endpoint.partition(":")
        assert ("Service", host) in manifest
        assert int(port) in ports
    pool = next(it for it in pod["containers"] if it["name"] == "worker-pool")
    assert (portable.environment_type, [*pool["command"], *pool["args"]]) == ("EXTERNAL", POOL)
    assert portable.environment_config == f"localhost:{POOL_PORT}"
    assert "ports" not in pool


def test_only_who_has_to_reaches_flink_and_the_job_server(manifest: dict[tuple[str, str], Any]) -> None:
    """Whoever hands over a job runs code where the key is."""
    policies = {name: it["spec"] for (kind, name), it in manifest.items() if kind == "NetworkPolicy"}
    assert set(policies) == {"beamstop-flink", "beamstop-job-server"}
    server = manifest["Deployment", "beamstop-job-server"]["spec"]["template"]["metadata"]["labels"]
    assert policies["beamstop-job-server"]["podSelector"]["matchLabels"] == server
    assert policies["beamstop-flink"]["podSelector"]["matchLabels"] == {"app": "beamstop"}
    submitter = manifest["CronJob", "beamstop"]["spec"]["jobTemplate"]["spec"]["template"]["metadata"]
    allowed = [it["from"] for it in policies["beamstop-job-server"]["ingress"]]
    assert submitter["labels"] in [it["podSelector"]["matchLabels"] for it in allowed[0]]
    for policy in policies.values():
        assert policy["policyTypes"] == ["Ingress"]
        assert all("podSelector" in peer for rule in policy["ingress"] for peer in rule["from"])


def test_each_slot_has_a_process_of_its_own(
    manifest: dict[tuple[str, str], Any], submitting: dict[str, Any], read: Callable[..., Any]
) -> None:
    """The pool starts one process for its task manager; a second slot would share its detector and memory."""
    spec = manifest["FlinkDeployment", "beamstop"]["spec"]
    assert spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] == "1"
    flink = read(submitting["containers"][0]["command"][2:]).beam.view_as(FlinkRunnerOptions)
    assert flink.parallelism == spec["taskManager"]["replicas"]


def test_workers_and_submitter_see_the_same_folders_and_key(
    pod: dict[str, Any], submitting: dict[str, Any], read: Callable[..., Any]
) -> None:
    pool = next(it for it in pod["containers"] if it["name"] == "worker-pool")
    (submitter,) = submitting["containers"]
    for part in ("image", "env", "volumeMounts"):
        assert pool[part] == submitter[part], part
    assert pod["volumes"] == submitting["volumes"]
    assert pod["securityContext"] == submitting["securityContext"]
    ours = read(submitter["command"][2:]).ours
    mounted = {it["mountPath"]: it.get("readOnly", False) for it in pool["volumeMounts"]}
    assert mounted == {"/archive": True, "/clean": False, "/audit": False}
    assert [*ours["inputs"], ours["output"], ours["audit"]] == list(mounted)
    assert ours["key"] == f"env:{pool['env'][0]['name']}"


def test_what_a_person_must_see_to_is_not_tried_again(manifest: dict[tuple[str, str], Any]) -> None:
    spec = manifest["CronJob", "beamstop"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    (rule,) = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [1, 2])


def test_the_composed_command_is_understood_and_leads_to_its_services(
    services: dict[str, Any], read: Callable[..., Any]
) -> None:
    submitter, pool = services["beamstop"], services["worker-pool"]
    assert submitter["entrypoint"] == ["beamstop", "run"]
    command = read(submitter["command"])
    portable = command.beam.view_as(PortableOptions)
    for endpoint in (portable.job_endpoint, portable.artifact_endpoint):
        assert endpoint.partition(":")[0] in services
    assert (portable.environment_type, [*pool["entrypoint"], *pool["command"]]) == ("EXTERNAL", POOL)
    assert portable.environment_config == f"localhost:{POOL_PORT}"
    assert pool["network_mode"] == "service:taskmanager"
    assert pool["volumes"] == submitter["volumes"]
    assert pool["environment"] == submitter["environment"]
    assert command.ours["key"].removeprefix("env:") in pool["environment"]
    folders = [it.removesuffix(":ro").rpartition(":")[2] for it in pool["volumes"]]
    assert folders == [*command.ours["inputs"], command.ours["output"], command.ours["audit"]]
    slots = re.search(
        r"taskmanager.numberOfTaskSlots: (\d+)", services["taskmanager"]["environment"]["FLINK_PROPERTIES"]
    )
    assert slots
    assert int(slots[1]) == command.beam.view_as(FlinkRunnerOptions).parallelism
