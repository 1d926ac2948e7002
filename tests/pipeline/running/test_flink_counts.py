"""What a job on Flink has counted, read from a stand-in for Flink's REST interface."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from apache_beam.metrics import monitoring_infos
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2
from google.protobuf.json_format import MessageToJson

from beamstop_pipeline.running.flink import FlinkJob, name_job
from beamstop_transforms.metrics import progress_of


def accumulators(written: int) -> dict[str, Any]:
    """Return what Flink answers for a job that has written so many instances."""
    counters = [
        monitoring_infos.int64_user_counter("Redistribute", "listed", 9, ptransform="a"),
        monitoring_infos.int64_user_counter("WriteDicom", "written", written, ptransform="b"),
    ]
    results = beam_job_api_pb2.MetricResults(attempted=counters)
    value = MessageToJson(beam_job_api_pb2.GetJobMetricsResponse(metrics=results))
    other = {"name": "__other", "type": "LongCounter", "value": "1"}
    return {"user-task-accumulators": [other, {"name": "__metricscontainers", "value": value}]}


ANSWERS = {
    "/jobs/overview": {
        "jobs": [
            {"jid": "1", "name": "beamstop-a", "start-time": 1000},
            {"jid": "3", "name": "another", "start-time": 3000},
            {"jid": "2", "name": "beamstop-a", "start-time": 2000},
            {"jid": "4", "name": "beamstop-b", "start-time": 4000},
        ]
    },
    "/jobs/1/accumulators": accumulators(1),
    "/jobs/2/accumulators": accumulators(5),
    "/jobs/3/accumulators": accumulators(3),
    "/jobs/4/accumulators": {"user-task-accumulators": []},
}


class Answer(BaseHTTPRequestHandler):
    """One of the answers."""

    def do_GET(self) -> None:
        """Send it."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(ANSWERS[self.path]).encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def flink() -> Iterator[str]:
    """Yield the address of the stand-in, without a scheme."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_the_newest_job_of_the_name_has_counted_is_told(flink: str) -> None:
    job = name_job(PipelineOptions([f"--flink_master={flink}", "--job_name=beamstop-a"]), "r")
    assert job == FlinkJob(f"http://{flink}", "beamstop-a")
    counts = progress_of(job)
    assert (counts["listed"], counts["written"], counts["failed"]) == (9, 5, 0)


@pytest.mark.parametrize("name", ["beamstop-b", "beamstop-c"])
def test_a_job_that_has_counted_nothing_or_is_not_there_has_no_metrics(flink: str, name: str) -> None:
    with pytest.raises(LookupError):
        FlinkJob(f"http://{flink}", name).metrics()


def test_a_job_is_named_after_its_run_where_an_option_says_where_flink_is() -> None:
    options = PipelineOptions(["--flink_master=http://flink:8081/"])
    assert name_job(options, "20261201T000000Z-0") == FlinkJob(
        "http://flink:8081", "beamstop-20261201T000000Z-0"
    )
    assert options.view_as(GoogleCloudOptions).job_name == "beamstop-20261201T000000Z-0"
    elsewhere = PipelineOptions([])
    assert name_job(elsewhere, "r") is None
    assert elsewhere.view_as(GoogleCloudOptions).job_name is None
