"""What Dataflow is asked to do: the graph of a dry run, and whole submissions to a stand-in on loopback."""

import base64
import bz2
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from google.cloud import dataflow_v1beta3 as dataflow
from google.cloud.storage import Client

from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.recipe.model import Recipe
from beamstop_pipeline import launch
from beamstop_pipeline.cli import main
from beamstop_pipeline.graph import build
from beamstop_pipeline.job import Job
from beamstop_pipeline.running.beam_options import MIN_RAM, fit_for_workers, parse_beam_options

IMAGE = "europe-docker.pkg.dev/clinic-imaging/beamstop/beamstop:1"
KEY, SENTINEL = "env:BEAMSTOP_STUDY_KEY", "a-key-that-stays-where-it-is"
SECRET = "secret:projects/clinic-imaging/secrets/study/versions/1"  # noqa: S105  where the key is
PLACE = ["--project=clinic-imaging", "--region=europe-west4", "--temp_location=gs://archive/temp"]
DATAFLOW = ["--runner=DataflowRunner", *PLACE, f"--sdk_container_image={IMAGE}", "--no_auth"]
CHAIN = [
    "Redistribute/Unpack",
    "ReadDicom/Begin",
    "ReadDicom/Attempt",
    "Deidentify/Bounce",
    "Deidentify/RemoveFace",
    "Deidentify/HideText",
    "Deidentify/BounceAgain",
    "Deidentify/ApplyRecipe",
    "Deidentify/Insert",
    "Deidentify/CheckLeaks",
    "WriteDicom/WriteDicom",
]


@pytest.fixture(scope="module")
def graph() -> Iterator[Any]:
    """Return what a dry run would send to Dataflow, with a key that can be had."""
    yield from sent(load_recipe("default"))


@pytest.fixture(scope="module")
def graph_of_faces() -> Iterator[Any]:
    """Return the same of a recipe that looks at whole series."""
    yield from sent(parse_recipe("options: [clean-recognizable-visual-features]"))


def sent(recipe: Recipe) -> Iterator[Any]:
    options = parse_beam_options([*DATAFLOW, "--job_name=nightly", "--dry_run=True"])
    fit_for_workers(options)
    places = {name: f"gs://archive/{name}" for name in ("output", "audit", "crosswalk", "attributes", "png")}
    job = Job(("gs://archive/in/**", "gs://late/**"), **places, recipe=recipe, key=KEY, incremental=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY.removeprefix("env:"), SENTINEL)
        pipeline = beam.Pipeline(options=options)
        build(pipeline, job)
        yield pipeline.run().job.proto_pipeline.components


def consumers(graph: Any, collection: str) -> list[Any]:
    leaves = (it for it in graph.transforms.values() if not it.subtransforms)
    return [it for it in leaves if collection in it.inputs.values()]


def test_only_paths_cross_the_reshuffle_before_the_work(graph: Any) -> None:
    """From its end to the writer every step takes what the one before gives: one fused chain."""
    assert chain_behind(graph, "Redistribute/Reshuffle") == CHAIN


def test_what_a_look_at_a_series_found_crosses_nothing(graph_of_faces: Any) -> None:
    """Masks and bytes stay with the worker that looked: only packs of names come before it."""
    chain = chain_behind(graph_of_faces, "LookAtSeries/BySeries")
    assert chain == ["LookAtSeries/Look", *CHAIN[1:]]


def chain_behind(graph: Any, name: str) -> list[str]:
    """Return the steps from a shuffle to the writer; each takes what the one before gives."""
    (shuffle,) = (it for it in graph.transforms.values() if it.unique_name == name)
    (collection,) = shuffle.outputs.values()
    chain: list[str] = []
    while chain[-1:] != ["WriteDicom/WriteDicom"]:
        (step,) = consumers(graph, collection)
        assert step.spec.urn == common_urns.primitives.PAR_DO.urn
        work = beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload)
        assert not work.side_inputs
        chain.append("/".join(step.unique_name.split("/")[:2]))
        collection = step.outputs.get("None") or step.outputs["instances"]
    return chain


def test_no_rows_cross_to_other_workers(graph: Any) -> None:
    """They go into partial files in the chain; paths, names, UIDs, leaves of the seal and counts cross."""
    grouping = common_urns.primitives.GROUP_BY_KEY.urn
    names = {it.unique_name for it in graph.transforms.values() if it.spec.urn == grouping}
    by_itself = {it for it in names if "Reshuffle" in it or "CombinePerKey" in it or "CombineGlobally" in it}
    by_key = {it.rpartition("/GroupByKey")[0] or it for it in names - by_itself}
    resolving = {"ResolveDuplicates/FindContested/ByShare", "ResolveDuplicates/ByUid"}
    assert by_key == resolving | {"WriteAudit/Buckets", "WriteAudit/ByDevice"}


def test_every_step_runs_in_one_environment_with_the_image_and_nothing_staged(graph: Any) -> None:
    """Steps whose environments differ are not fused, and instances would cross between them."""
    (environment,) = graph.environments.values()
    assert environment.urn == common_urns.environments.DOCKER.urn
    image = beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image
    assert image == IMAGE
    assert list(environment.dependencies) == []
    gigabytes = int(MIN_RAM.removeprefix("min_ram=").removesuffix("GB"))
    assert dict(environment.resource_hints) == {
        common_urns.resource_hints.MIN_RAM_BYTES.urn: str(gigabytes * 10**9).encode()
    }


def test_the_key_is_named_by_its_reference_only(graph: Any) -> None:
    steps = [it for it in graph.transforms.values() if it.spec.urn == common_urns.primitives.PAR_DO.urn]
    pickled = [beam_runner_api_pb2.ParDoPayload.FromString(it.spec.payload).do_fn.payload for it in steps]
    plain = [bz2.decompress(base64.b64decode(it)) for it in pickled]
    assert sum(KEY.encode() in it for it in plain) > 3
    assert not any(SENTINEL.encode() in it for it in plain)


class Service(ThreadingHTTPServer):
    """Dataflow's list of jobs: keeps what is sent, tells one state of each job, and one message."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.jobs: list[dict[str, Any]] = []
        self.state = "JOB_STATE_RUNNING"


class _Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        self.server.jobs.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._tell({"id": "1", "currentState": "JOB_STATE_PENDING"})

    def do_GET(self) -> None:
        if "/messages" not in self.path:
            return self._tell({"id": "1", "currentState": self.server.state})
        text = {"messageImportance": "JOB_MESSAGE_ERROR", "messageText": "Traceback: Roe^Jane"}
        return self._tell({"jobMessages": [{"id": "1", "time": "2026-11-25T02:00:00Z", **text}]})

    def _tell(self, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def service() -> Iterator[Service]:
    """Return a stand-in for Dataflow."""
    with Service() as standing:
        threading.Thread(target=standing.serve_forever, daemon=True).start()
        yield standing
        standing.shutdown()


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    """Let Secret Manager know the key."""

    class Payload:
        data = key

    class Version:
        payload = Payload()

    class SecretManagerServiceClient:
        def access_secret_version(self, name: str) -> Version:
            assert name == SECRET.removeprefix("secret:")
            return Version()

    module = ModuleType("google.cloud.secretmanager")
    module.SecretManagerServiceClient = SecretManagerServiceClient  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def bucket(server: Client, archive: Path) -> Any:
    """Return a bucket with the archive in it."""
    bucket = server.create_bucket("archive")
    for path in archive.rglob("*.dcm"):
        bucket.blob(f"in/{path.relative_to(archive)}").upload_from_filename(path)
    return bucket


@pytest.fixture
def endpoint(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return Beam's options for the stand-in."""
    # Beam, which puts the graph into the store, looks for credentials for half a minute otherwise.
    credentials = "apache_beam.internal.gcp.auth._Credentials."
    monkeypatch.setattr(f"{credentials}_credentials_init", True)
    monkeypatch.setattr(f"{credentials}_credentials", None)
    return [*DATAFLOW, f"--dataflow_endpoint=http://localhost:{service.server_port}"]


GIVEN = ["--input=gs://archive/in/**", "--output=gs://archive/out", "--audit=gs://archive/audit"]


@pytest.mark.usefixtures("secret")
def test_a_template_submits_its_job_and_does_not_wait(
    bucket: Any, service: Service, endpoint: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = ["--incremental=true", "--audit_detail=instances", "--recipe=", f"--key={SECRET}"]
    assert launch.main([*GIVEN, *parameters, *endpoint, "--job_name=nightly"]) == 0
    assert "is submitted; its record will be gs://archive/audit/runs/" in capsys.readouterr().out
    (job,) = service.jobs
    assert (job["name"], job["type"]) == ("nightly", dataflow.JobType.JOB_TYPE_BATCH)
    (workers,) = job["environment"]["workerPools"]
    assert workers["numThreadsPerWorker"] == 1
    (image,) = workers["sdkHarnessContainerImages"]
    assert (image["containerImage"], image["useSingleCorePerContainer"]) == (IMAGE, True)
    options = job["environment"]["sdkPipelineOptions"]["options"]
    assert "beamstop_pipeline.quiet_worker" in options["beam_plugins"]
    assert not {"output", "audit", "key", "recipe"} & set(options)
    staged = [blob.name for blob in bucket.list_blobs(prefix="temp/")]
    (name,) = (it for it in staged if it.endswith("pipeline.pb"))
    assert staged == [name]
    graph = beam_runner_api_pb2.Pipeline.FromString(bucket.blob(name).download_as_bytes())
    names = {it.unique_name for it in graph.components.transforms.values()}
    assert "Deidentify/HideText" in names
    assert "WriteAudit/WriteChanges" not in names  # --audit_detail=instances


@pytest.mark.usefixtures("secret", "bucket")
def test_a_job_that_fails_there_ends_in_3_and_its_message_stays_there(
    service: Service, endpoint: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    service.state = "JOB_STATE_FAILED"
    assert main(["run", *GIVEN, f"--key={SECRET}", *endpoint]) == 3
    assert capsys.readouterr().err == (
        "beamstop: the run broke: DataflowRuntimeException; run it again; written files are kept\n"
    )


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that says what a template's parameters become on the command line."""
    given: list[str] = []

    def _beamstop(arguments: list[str]) -> int:
        given[:] = arguments
        return 0

    monkeypatch.setattr(launch, "beamstop", _beamstop)

    def _taken(*parameters: str) -> list[str]:
        assert launch.main(parameters) == 0
        return given

    return _taken


def test_parameters_become_options(taken: Callable[..., list[str]]) -> None:
    parameters = ["--input=gs://a/**\ngs://b/x y/**", "--max_frames=9", "--incremental=TRUE", "--project=p"]
    assert taken(*parameters) == [
        "run",
        "--input=gs://a/**",
        "--input=gs://b/x y/**",
        "--max-frames=9",
        "--incremental",
        "--project=p",
        "--no_wait_until_finish",
    ]


def test_parameters_that_say_no_or_nothing_are_left_out(taken: Callable[..., list[str]]) -> None:
    assert taken("--incremental=false", "--crosswalk=", "--png=") == ["run", "--no_wait_until_finish"]


def test_a_flag_that_is_neither_true_nor_false_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.main(["--incremental=yes"]) == 2
    assert capsys.readouterr().err == "beamstop: --incremental: must be true or false\n"
