"""A pool of workers for Flink, beside each task manager: Beam's, but it listens on this machine alone.

python -m beamstop_pipeline.worker_pool --service_port 50000 --container_executable /opt/apache/beam/boot

Whoever reaches a pool runs code as its user. Beam's own listens on every address.
"""

import argparse
import atexit
import threading

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import (
    BeamFnExternalWorkerPoolServicer,
    kill_process_gracefully,
)
from apache_beam.utils import thread_pool_executor


def main() -> None:
    """Serve until the process is ended; the workers are ended with it."""
    parser = argparse.ArgumentParser(description="Start workers for an engine on this machine.")
    parser.add_argument("--service_port", type=int, required=True, help="where on localhost it listens")
    parser.add_argument("--container_executable", help="what starts a worker: in an image, Beam's boot")
    chosen = parser.parse_args()
    pool = BeamFnExternalWorkerPoolServicer(True, chosen.container_executable)
    atexit.register(_end, pool)
    server = grpc.server(
        thread_pool_executor.shared_unbounded_instance(),
        options=[("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)],
    )
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.add_insecure_port(f"localhost:{chosen.service_port}")
    server.start()
    threading.Event().wait()


def _end(pool: BeamFnExternalWorkerPoolServicer) -> None:
    for process in pool._worker_processes.values():
        kill_process_gracefully(process)


if __name__ == "__main__":
    main()
