"""Read the counters of a job from Flink while it runs; Beam's job server reports them only at the end."""

from dataclasses import dataclass
from typing import Any

import requests
from apache_beam.options.pipeline_options import FlinkRunnerOptions, GoogleCloudOptions
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.portable_runner import PortableMetrics
from google.protobuf.json_format import Parse

_ANSWERS_WITHIN = 10.0  # seconds
_COUNTERS = "__metricscontainers"  # the accumulator that Beam's Flink runner writes its metrics to


@dataclass(frozen=True)
class FlinkJob:
    """A job on Flink, with `metrics()` like a Beam pipeline result.

    Attributes:
        address: URL of Flink's REST interface.
        name: of the job.
    """

    address: str
    name: str

    def metrics(self) -> PortableMetrics:
        """Return the metrics so far, of the newest job of this name that has any.

        Raises:
            LookupError: Flink does not know the job, or the job has counted nothing yet.
            requests.RequestException: Flink does not answer within 10 s, or answers with an error.
        """
        jobs = [it for it in self._get("/jobs/overview")["jobs"] if it["name"] == self.name]
        for job in sorted(jobs, key=lambda it: -int(it["start-time"])):
            for it in self._get(f"/jobs/{job['jid']}/accumulators")["user-task-accumulators"]:
                if it["name"] == _COUNTERS:
                    return PortableMetrics(Parse(it["value"], beam_job_api_pb2.GetJobMetricsResponse()))
        raise LookupError

    def _get(self, path: str) -> Any:
        answer = requests.get(f"{self.address}{path}", timeout=_ANSWERS_WITHIN)
        answer.raise_for_status()
        return answer.json()


def name_job(options: Any, run_id: str) -> FlinkJob | None:
    """Name a job after its run, unless an option names it, and return it.

    Args:
        options: Beam's pipeline options; the job name is set in them.
        run_id: of the run.

    Returns:
        the job; None if no option gives the address of Flink's REST interface, as with `[local]` or `[auto]`.
    """
    master = options.view_as(FlinkRunnerOptions).flink_master
    if master.startswith("["):
        return None
    named = options.view_as(GoogleCloudOptions)
    named.job_name = named.job_name or f"beamstop-{run_id}"
    return FlinkJob(FlinkRunner.add_http_scheme(master).rstrip("/"), named.job_name)
