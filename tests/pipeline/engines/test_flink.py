"""The job on a real Flink, which `make test-flink` fetches: its output is that of a local run."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.heads import Head, Scan, series
from tests.pipeline.conftest import Ran
from tests.pipeline.engines.cluster import Cluster, JobServer, Pool, free_port, listening, until
from tests.pipeline.engines.conftest import begin, left_by
from tests.pipeline.engines.distribution import Distribution, installed

from beamstop.testing import make_image
from beamstop_pipeline.running.flink import FlinkJob
from beamstop_transforms.metrics import counts_by_step

FLINKS = installed()
CLUSTER = pytest.mark.skipif("BEAMSTOP_CLUSTER" not in os.environ, reason="minutes: make test-flink runs it")
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
pytestmark = [
    pytest.mark.workers,
    pytest.mark.skipif(shutil.which("java") is None, reason="no Java for Flink"),
    pytest.mark.skipif(not FLINKS, reason="no Flink in the cache: make test-flink fetches it"),
]


@pytest.fixture(scope="module", params=FLINKS, ids=lambda it: it.flink)
def flink(request: pytest.FixtureRequest) -> Distribution:
    """Return one of the Flinks that the cache has."""
    found: Distribution = request.param
    return found


@pytest.fixture(scope="module")
def cluster(flink: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a Flink with two task managers."""
    running = Cluster(flink, tmp_path_factory.mktemp("flink") / "cluster")
    yield running
    running.stop()


@pytest.fixture
def server(cluster: Cluster, tmp_path: Path) -> Iterator[JobServer]:
    """Yield a job server for the cluster."""
    running = JobServer(cluster.distribution, tmp_path / "job-server", cluster.address)
    yield running
    running.stop()


def test_a_flink_inside_the_job_server_leaves_what_a_local_run_leaves(
    flink: Distribution,
    pool: Pool,
    archive_of: Callable[[int], Path],
    submit: Callable[..., Ran],
    assert_same: Callable[..., None],
    tmp_path: Path,
) -> None:
    archive = archive_of(50)
    inside = JobServer(flink, tmp_path / "job-server")
    try:
        ran = submit(archive, inside.options(pool))
    finally:
        inside.stop()
    assert ran.outcomes == {
        ("written", None): 50,
        ("rejected", "not_dicom"): 1,
        ("rejected", "duplicate"): 1,
    }
    assert_same(archive, ran)


@CLUSTER
def test_a_cluster_leaves_what_a_local_run_leaves_and_a_second_run_nothing_more(
    cluster: Cluster,
    server: JobServer,
    pool: Pool,
    archive_of: Callable[[int], Path],
    submit: Callable[..., Ran],
    assert_same: Callable[..., None],
) -> None:
    archive = archive_of(50)
    assert cluster.listening() | listening(pool.process.pid) <= LOOPBACK
    # Beam's job server takes jobs from every address, whatever --job-host is: docs/flink.md says what to do.
    assert "::" in listening(server.process.pid)
    ran = submit(archive, server.options(pool), more=["--incremental"])
    assert_same(archive, ran)
    assert_flink_tells_what_the_audit_does(cluster, ran)
    # Here Beam starts the job server and ends it.
    own = [f"--flink_master={cluster.address}", f"--flink_version={cluster.distribution.flink}"]
    own += [f"--flink_job_server_jar={cluster.distribution.jar}", "--runner=FlinkRunner", "--parallelism=2"]
    again = submit(archive, [*own, *pool.options], more=["--incremental"])
    assert again.record["counts"]["skipped"] == 52
    assert (again.table("instances"), again.tree) == ([], ran.tree)


def assert_flink_tells_what_the_audit_does(cluster: Cluster, ran: Ran) -> None:
    """Read Beam's metrics back from Flink's REST interface, and what it shows of the job's settings."""
    job = cluster.jobs()[0]
    path = f"/jobs/{job['jid']}"
    assert job["state"] == "FINISHED"
    counted = counts_by_step(FlinkJob(f"http://{cluster.address}", job["name"]))
    # Of two sources with one UID both may be written, and one taken back when all have come.
    read = ran.outcomes["written", None] + ran.outcomes["rejected", "duplicate"]
    assert counted["ReadDicom"]["passed"] == counted["CheckLeaks"]["passed"] == read
    assert counted["WriteDicom"]["written"] + counted["WriteDicom"]["rejected"] == read
    assert counted["ReadDicom"]["rejected/not_dicom"] == ran.outcomes["rejected", "not_dicom"]
    shown = json.dumps([cluster.get(path), cluster.get(f"{path}/config")])
    assert "WriteDicom" in shown
    for patients in ("Roe", "R-100", "notes", "twin", str(ran.output.parent / "archive")):
        assert patients not in shown
    assert ran.record["recipe"]["digest"] not in shown  # Beam's runner leaves display data out


@CLUSTER
def test_the_command_tells_the_progress_that_flink_counts(
    cluster: Cluster,
    server: JobServer,
    pool: Pool,
    archive_of: Callable[[int], Path],
    tmp_path: Path,
    key_file: Path,
) -> None:
    engine = [*server.options(pool), f"--flink_master={cluster.address}"]
    job = begin(archive_of(50), tmp_path, key_file, engine, says=())
    said, told = job.communicate(timeout=900)
    assert job.returncode == 0
    assert "beamstop: 52 of 52 done" in told
    assert "CheckLeaks" in said  # with the time of an instance
    (record,) = (tmp_path / "audit-engine" / "runs").glob("*.json")
    assert cluster.jobs()[0]["name"] == f"beamstop-{record.stem}"


@pytest.mark.ocr
@CLUSTER
def test_a_cluster_hides_the_text_that_a_local_run_hides(
    server: JobServer,
    pool: Pool,
    tmp_path: Path,
    submit: Callable[..., Ran],
    assert_same: Callable[..., None],
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for number, words in enumerate(("DOE JANE", "", "1961-03-17")):
        canvas = Image.new("L", (256, 192), 10)
        ImageDraw.Draw(canvas).text((20, 80), words, fill=240, font=ImageFont.load_default(24))
        picture = make_image(np.asarray(canvas), PatientID="R-1001", SOPInstanceUID=f"1.2.3.{number}")
        picture.save_as(archive / f"{number}.dcm", enforce_file_format=True)
    ran = submit(archive, server.options(pool), recipe="default")
    assert ran.outcomes == {("written", None): 3}
    assert sum(row["text_boxes_hidden"] > 0 for row in ran.table("instances")) == 2
    assert_same(archive, ran, recipe="default")


@CLUSTER
def test_a_cluster_removes_the_face_that_a_local_run_removes_and_changes_no_other_series(
    server: JobServer,
    pool: Pool,
    archive_of: Callable[[int], Path],
    tmp_path: Path,
    submit: Callable[..., Ran],
    assert_same: Callable[..., None],
) -> None:
    archive = archive_of(10)
    head = series(Head(), Scan(header={"PatientID": "R-1001"}))
    for number, dataset in enumerate(head):
        dataset.save_as(archive / f"head{number}.dcm", enforce_file_format=True)
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("options: [clean-recognizable-visual-features]\n")
    ran = submit(archive, server.options(pool), recipe=str(recipe))
    assert ran.outcomes["written", None] == 10 + len(head) == 74
    rows = ran.table("instances")
    assert sum(row["detail"] == "face_removed" for row in rows) == 40  # those between brows and chin
    assert all(bool(row["pixels_changed"]) is (row["detail"] == "face_removed") for row in rows)
    assert_same(archive, ran, recipe=str(recipe))


@CLUSTER
@pytest.mark.parametrize("lost", ["worker", "task-manager", "pool"])
def test_a_job_that_loses_a_process_ends_right_or_the_next_run_goes_on_from_there(
    lost: str,
    cluster: Cluster,
    server: JobServer,
    pool: Pool,
    archive_of: Callable[[int], Path],
    submit: Callable[..., Ran],
    assert_same: Callable[..., None],
    tmp_path: Path,
    key_file: Path,
) -> None:
    archive = archive_of(200)
    job = begin(archive, tmp_path, key_file, server.options(pool))
    out = tmp_path / "out-engine"
    until(lambda: len(list(out.rglob("*.dcm"))) >= 40, 300, "nothing is written")
    if lost == "worker":
        max(pool.workers(), key=lambda it: it.cpu_times().user).kill()
    elif lost == "pool":
        pool.kill()
        pool.start()
    else:
        cluster.replace_task_manager()
    said, _ = job.communicate(timeout=900)
    (tmp_path / f"ended-with-{job.returncode}").touch()
    if job.returncode == 0:
        ran = left_by(said, job.returncode, tmp_path)
    else:
        assert job.returncode == 3
        assert not list((tmp_path / "audit-engine" / "runs").glob("*.json"))
        ran = submit(archive, server.options(pool))
    assert_same(archive, ran)


KILLER = """
import os, signal
from beamstop import Bouncer

class Killer(Bouncer):
    def inspect(self, dataset):
        if dataset.SOPInstanceUID == "1.2.3.3.1.3":
            os.kill(os.getpid(), signal.SIGKILL)
"""


@CLUSTER
def test_a_source_that_kills_two_workers_is_left_alone_by_the_third_and_the_rest_is_done(
    server: JobServer,
    installation: Path,
    environment: dict[str, str],
    archive_of: Callable[[int], Path],
    submit: Callable[..., Ran],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / "hostile.py").write_text(KILLER)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("bouncers: [{bouncer: hostile.Killer}]\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "hostile"), *sys.path]))
    pool = Pool(installation, free_port(), {**environment, "PYTHONPATH": str(tmp_path / "hostile")})
    try:
        ran = submit(archive_of(20), server.options(pool), recipe=str(recipe))
    finally:
        pool.stop()
    assert ran.outcomes == {
        ("written", None): 19,
        ("failed", "killed_worker"): 1,
        ("rejected", "not_dicom"): 1,
        ("rejected", "duplicate"): 1,
    }
    assert ran.code == 1
    assert len(ran.tree) == 19


@CLUSTER
def test_a_flink_that_restarts_nothing_breaks_the_run_and_the_next_one_goes_on_from_there(
    flink: Distribution,
    pool: Pool,
    archive_of: Callable[[int], Path],
    submit: Callable[..., Ran],
    assert_same: Callable[..., None],
    tmp_path: Path,
    key_file: Path,
) -> None:
    archive = archive_of(200)
    inside = JobServer(flink, tmp_path / "job-server")
    try:
        job = begin(archive, tmp_path, key_file, inside.options(pool))
        until(lambda: len(list((tmp_path / "out-engine").rglob("*.dcm"))) >= 40, 300, "nothing is written")
        pool.kill()
        pool.start()
        job.communicate(timeout=900)
        assert job.returncode == 3
        assert_same(archive, submit(archive, inside.options(pool)))
    finally:
        inside.stop()
