"""A Flink on this machine: job manager, task managers, job server and worker pool, each a process to kill."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
from tests.pipeline.engines.distribution import Distribution

# For what Beam's and Flink's own code reaches into; Flink's configuration says so for 17, here for any Java.
_OPEN = " ".join(
    f"--add-opens=java.base/java.{package}=ALL-UNNAMED"
    for package in ("lang", "lang.invoke", "net", "io", "nio", "text", "time", "util", "util.concurrent")
)
NETWORK = "256m"  # of a task manager's memory goes to what stages send one another; with 64 MB the job fails
_DEADLINE = 90.0  # seconds in which a process has to come up


class Cluster:
    """A Flink of its own, all on loopback.

    Args:
        distribution: which.
        folder: for configuration, logs and what Flink writes.
        heap: megabytes of a task manager's heap.
        managers: how many task managers, with a slot each.
    """

    def __init__(
        self,
        distribution: Distribution,
        folder: Path,
        heap: int = 384,
        managers: int = 2,
    ) -> None:
        self.distribution = distribution
        self.folder = folder
        self._rest, self._rpc = free_port(), free_port()
        self._heap = heap
        self._processes: list[subprocess.Popen[bytes]] = []
        self.task_managers: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True)
        self._configure()
        self.job_manager = self._start("jobmanager")
        self._until(lambda: self.get("/overview") is not None)
        for _ in range(managers):
            self.add_task_manager()

    @property
    def address(self) -> str:
        """Where Flink's REST interface is, without a scheme."""
        return f"localhost:{self._rest}"

    def get(self, path: str) -> Any:
        """Return what Flink's REST interface answers; None if it does not."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return None

    def slots(self) -> int:
        """Return how many slots the cluster has."""
        overview = self.get("/overview")
        return int(overview["slots-total"]) if overview else 0

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs that Flink knows of, newest first."""
        found: list[dict[str, Any]] = self.get("/jobs/overview")["jobs"]
        return sorted(found, key=lambda job: -int(job["start-time"]))

    def add_task_manager(self) -> None:
        """Start one more and wait for it."""
        slots = self.slots()
        self.task_managers.append(self._start("taskmanager"))
        self._until(lambda: self.slots() > slots)

    def listening(self) -> set[str]:
        """Return the addresses on which the cluster's processes listen."""
        return {ip for process in self._processes for ip in listening(process.pid)}

    def replace_task_manager(self) -> None:
        """Kill one, wait until Flink knows, and start another, as Kubernetes does."""
        slots = self.slots()
        self.task_managers.pop().kill()
        self._until(lambda: self.slots() < slots)
        self.add_task_manager()

    def stop(self) -> None:
        """End every process."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _configure(self) -> None:
        conf = self.folder / "conf"
        conf.mkdir()
        for file in (self.distribution.home / "conf").glob("log*"):
            (conf / file.name).write_bytes(file.read_bytes())
        settings = {
            "env.java.opts.all": _OPEN,
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": self._rpc,
            "jobmanager.bind-host": "localhost",
            "jobmanager.memory.process.size": "1024m",
            "rest.address": "localhost",
            "rest.bind-address": "localhost",
            "rest.port": self._rest,
            "web.upload.dir": self.folder / "uploads",
            "taskmanager.host": "localhost",
            "taskmanager.bind-host": "localhost",
            "taskmanager.numberOfTaskSlots": 1,
            "taskmanager.memory.framework.heap.size": "0m",  # all of it is the tasks'
            "taskmanager.memory.task.heap.size": f"{self._heap}m",
            "taskmanager.memory.managed.size": "64m",
            "taskmanager.memory.network.min": NETWORK,
            "taskmanager.memory.network.max": NETWORK,
            "taskmanager.memory.jvm-metaspace.size": "192m",
            "heartbeat.interval": 2000,
            "heartbeat.timeout": 12000,
            "io.tmp.dirs": self.folder / "tmp",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 3,
            "restart-strategy.fixed-delay.delay": "5 s",
        }
        (self.folder / "tmp").mkdir()
        (self.folder / "uploads").mkdir()
        lines = [f"{name}: {value}\n" for name, value in settings.items()]
        # 1.x reads the first, where it is there, in place of the second; 2.x the second alone.
        name = "flink-conf.yaml" if self.distribution.flink.startswith("1.") else "config.yaml"
        (conf / name).write_text("".join(lines))

    def _start(self, kind: str) -> subprocess.Popen[bytes]:
        number = len(self._processes)
        script = self.distribution.home / "bin" / f"{kind}.sh"
        environment = {
            **os.environ,
            "FLINK_CONF_DIR": str(self.folder / "conf"),
            "FLINK_LOG_DIR": str(self.folder / "logs"),
        }
        with (self.folder / f"{number}-{kind}.log").open("wb") as log:
            # The script becomes the JVM, so that the process started here is the one to kill.
            process = subprocess.Popen(
                ["/bin/bash", str(script), "start-foreground"], env=environment, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def _until(self, holds: Callable[[], bool]) -> None:
        until(holds, _DEADLINE, f"Flink does not come up: see {self.folder}")


class JobServer:
    """Beam's job server for a Flink, with its log beside it.

    Args:
        distribution: of which Flink.
        folder: for its log and what it stages.
        master: where Flink is; `[local]` for one inside the job server.
    """

    def __init__(self, distribution: Distribution, folder: Path, master: str = "[local]") -> None:
        folder.mkdir(parents=True)
        (folder / "conf").mkdir()
        for name in ("flink-conf.yaml", "config.yaml"):  # of the Flink inside
            (folder / "conf" / name).write_text(
                "".join(f"taskmanager.memory.network.{it}: {NETWORK}\n" for it in ("min", "max"))
            )
        self._jobs, self._artifacts = free_port(), free_port()
        ports = {"job": self._jobs, "artifact": self._artifacts, "expansion": free_port()}
        command = ["java", *_OPEN.split(), "-jar", str(distribution.jar), "--flink-master", master]
        command += ["--artifacts-dir", str(folder / "artifacts")]
        command += [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
        environment = {**os.environ, "FLINK_CONF_DIR": str(folder / "conf")}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until(lambda: listening(self.process.pid, self._jobs) != set(), _DEADLINE, f"see {folder / 'log'}")

    def options(self, pool: "Pool", parallelism: int = 2) -> list[str]:
        """Return Beam's options for a job here."""
        return [
            *("--runner=PortableRunner", f"--job_endpoint=localhost:{self._jobs}"),
            *(f"--artifact_endpoint=localhost:{self._artifacts}", f"--parallelism={parallelism}"),
            *pool.options,
        ]

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


class Pool:
    """A pool of workers with an installation of its own, as it stands beside each of Flink's task managers.

    Args:
        installation: its virtual environment.
        port: where on localhost it listens.
        environment: what it and its workers get.
    """

    def __init__(self, installation: Path, port: int, environment: Mapping[str, str]) -> None:
        self.port = port
        self._installation = installation
        self._environment = environment
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        python = str(self._installation / "bin" / "python")
        command = [python, "-m", "beamstop_pipeline.worker_pool", f"--service_port={self.port}"]
        self.process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: listening(self.process.pid, self.port) != set(), 60, "the worker pool does not come up")

    @property
    def options(self) -> list[str]:
        """Beam's options for workers of this pool."""
        return ["--environment_type=EXTERNAL", f"--environment_config=localhost:{self.port}"]

    def workers(self) -> list[psutil.Process]:
        """Return its workers, without their decoders."""
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """Kill it and all its workers, as where its machine is lost."""
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        for process in (*family, psutil.Process(self.process.pid)):
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.process.wait()

    def stop(self) -> None:
        """End it and its workers."""
        if self.process.poll() is None:
            self.kill()


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def listening(pid: int, port: int | None = None) -> set[str]:
    """Return the addresses on which a process listens, at one port or at any."""
    return {
        it.laddr.ip
        for it in psutil.Process(pid).net_connections("inet")
        if it.status == psutil.CONN_LISTEN and port in (None, it.laddr.port)
    }


def until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.1)
