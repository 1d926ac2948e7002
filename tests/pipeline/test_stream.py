"""The job on notifications of new objects: on TestStream, against a store on loopback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.portability.common_urns import composites
from apache_beam.testing.test_stream import TestStream as Stream
from apache_beam.transforms.window import TimestampedValue
from google.cloud.storage import Client
from pydicom.dataset import FileDataset

from beamstop.recipe.load import load_recipe
from beamstop.signing import generate_pair
from beamstop_pipeline import job as jobs
from beamstop_pipeline.cli import main
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.graph import build, build_stream
from beamstop_pipeline.job import Job
from beamstop_pipeline.running.beam_options import fit_for_workers, parse_beam_options

NOON = 1_767_268_800  # 2026-01-01, UTC
SUBSCRIPTION = "projects/clinic/subscriptions/new"
RUN_ID = "20260101T115900Z-00a1b2c3d4e"


def job(folder: Path, key_file: Path) -> Job:
    return Job(
        inputs=(),
        subscription=SUBSCRIPTION,
        window=60,
        output="gs://archive/output",
        audit=str(folder / "audit"),
        crosswalk=str(folder / "crosswalk"),
        recipe=load_recipe("basic"),
        key=str(key_file),
        signing_key=str(folder / "pair"),
        run_id=RUN_ID,
        started="2026-01-01T11:59:00+00:00",
    )


def told_of(blob: Any) -> PubsubMessage:
    about = {"bucketId": "archive", "objectId": blob.name, "objectGeneration": str(blob.generation)}
    return PubsubMessage(
        json.dumps({"size": str(blob.size)}).encode(), {"eventType": "OBJECT_FINALIZE", **about}
    )


@pytest.fixture
def stored(server: Client, tmp_path: Path, make_dataset: Callable[..., FileDataset]) -> Callable[..., Any]:
    """Return a function that stores an instance and returns what a notification tells of it."""
    bucket = server.create_bucket("archive")

    def _stored(name: str, **attributes: Any) -> PubsubMessage:
        make_dataset(**attributes).save_as(tmp_path / "one.dcm", enforce_file_format=True)
        blob = bucket.blob(f"in/{name}")
        blob.upload_from_filename(tmp_path / "one.dcm")
        return told_of(blob)

    return _stored


def test_a_stream_has_a_sealed_record_for_each_window(
    server: Client,
    stored: Callable[..., Any],
    tmp_path: Path,
    key_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = stored("1.dcm", SOPInstanceUID="1.2.3", Manufacturer="Acme")
    copy = stored("copy.dcm", SOPInstanceUID="1.2.3", Manufacturer="Acme")
    other = stored("other.dcm", SOPInstanceUID="1.2.3", KVP="100")
    second = stored("2.dcm", SOPInstanceUID="1.2.4")
    late = stored("3.dcm", SOPInstanceUID="1.2.5")
    clean = server.bucket("archive").blob("output/x.dcm")
    clean.upload_from_string(b"clean")
    stream = (
        Stream()
        .advance_watermark_to(NOON)
        .add_elements([TimestampedValue(it, NOON + 1) for it in (first, first, told_of(clean))])
        .add_elements([TimestampedValue(copy, NOON + 2)])
        .advance_watermark_to(NOON + 60)
        .add_elements([TimestampedValue(it, NOON + 61) for it in (first, second, other)])
        .advance_watermark_to(NOON + 180)
        .add_elements([TimestampedValue(late, NOON + 62)])
        .advance_watermark_to_infinity()
    )
    options = PipelineOptions([], runner="BundleBasedDirectRunner")
    options.view_as(StandardOptions).streaming = True
    generate_pair(tmp_path / "pair")
    with beam.Pipeline(options=options) as pipeline:
        build_stream(pipeline | stream, job(tmp_path, key_file))

    records = {
        path.stem: json.loads(path.read_text()) for path in sorted((tmp_path / "audit").glob("runs/*"))
    }
    counts = {run_id: record["counts"] for run_id, record in records.items()}
    assert [
        [(it["manufacturer"], it["written"]) for it in record["devices"]] for record in records.values()
    ] == [[("Acme", 1)], [(None, 1)], [(None, 1)]]
    names = ("sources", "written", "rejected", "quarantined")
    kept = {run_id: [it[name] for name in names] for run_id, it in counts.items()}
    assert kept == {
        "20260101T120100Z-00a1b2c3d4e": [2, 1, 1, 0],
        "20260101T120200Z-00a1b2c3d4e": [2, 1, 0, 1],
        "20260101T120200Z-00a1b2c3d4e-late000001": [1, 1, 0, 0],
    }
    rows = pq.read_table(tmp_path / "audit" / "instances").to_pylist()
    assert [row["reason"] for row in sorted(rows, key=lambda it: it["run_id"]) if row["reason"]] == [
        "duplicate",
        "duplicate_conflict",
    ]
    assert pq.read_table(tmp_path / "crosswalk").num_rows == 3
    found = {
        blob.name for blob in server.list_blobs("archive", prefix="output/") if ".partial" not in blob.name
    }
    paths = {f"output/{row['output_path']}" for row in rows if row["output_path"]}
    assert found == {*paths, "output/x.dcm"}
    keys = ["--key", str(key_file), "--public-key", str(tmp_path / "pair.pub")]
    assert main(["verify", "--audit", str(tmp_path / "audit"), *keys, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["signatures"]) == (5, "3 of 3 records are signed")


def test_dataflow_is_asked_to_read_the_subscription(tmp_path: Path, key_file: Path) -> None:
    place = ["--project=clinic", "--region=europe-west4", "--temp_location=gs://archive/temp", "--no_auth"]
    image = ["--sdk_container_image=europe-docker.pkg.dev/clinic/beamstop/beamstop:1", "--job_name=stream"]
    options = parse_beam_options(["--runner=DataflowRunner", *place, *image, "--dry_run=True", "--streaming"])
    fit_for_workers(options)
    pipeline = beam.Pipeline(options=options)
    build(pipeline, job(tmp_path, key_file))
    steps = pipeline.run().job.proto_pipeline.components.transforms.values()
    (read,) = (step for step in steps if step.spec.urn == composites.PUBSUB_READ.urn)
    payload = beam_runner_api_pb2.PubSubReadPayload.FromString(read.spec.payload)
    assert (payload.subscription, payload.with_attributes) == ("projects/clinic/subscriptions/new", True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "name either --input or --subscription"),
        (
            ["--input", "gs://archive/in", "--subscription", SUBSCRIPTION],
            "name either --input or --subscription",
        ),
        (["--subscription", "new"], "--subscription: name it as projects/"),
        (["--subscription", SUBSCRIPTION, "--incremental"], "--incremental is for runs that end"),
        (["--subscription", SUBSCRIPTION, "--png", "gs://archive/png"], "--png is for runs that end"),
        (["--subscription", SUBSCRIPTION], "--subscription needs a runner for streams"),
    ],
)
def test_a_stream_that_cannot_be_is_said(
    more: list[str], said: str, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit"), "--key", str(key_file)]
    assert main(["run", *more, *places, "--recipe", "basic"]) == 2
    assert said in capsys.readouterr().err


def test_a_client_of_pubsub_that_is_missing_is_said(
    tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'beamstop\[gcp\]'"):
        jobs.check_stream(job(tmp_path, key_file), here=False)
