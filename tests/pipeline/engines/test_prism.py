"""The job on Prism, Beam's own portable runner: the same output, and why it is no option."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.pipeline.engines.cluster import listening, until
from tests.pipeline.engines.conftest import begin, left_by
from tests.pipeline.engines.distribution import PRISM

pytestmark = [
    pytest.mark.workers,
    pytest.mark.skipif(not PRISM.exists(), reason="no Prism in the cache: make test-prism fetches it"),
]


def test_prism_leaves_what_a_local_run_leaves_and_listens_to_strangers(
    archive_of: Callable[[int], Path],
    assert_same: Callable[..., None],
    tmp_path: Path,
    key_file: Path,
) -> None:
    archive = archive_of(50)
    engine = ["--runner=PrismRunner", f"--prism_location={PRISM}", "--environment_type=LOOPBACK"]
    job = begin(archive, tmp_path, key_file, engine)
    found: set[str] = set()

    def is_heard() -> bool:
        for process in psutil.Process(job.pid).children():
            if process.name() == PRISM.name:
                found.update(listening(process.pid))
        return "::" in found or job.poll() is not None

    until(is_heard, 60, "Prism does not come up")
    said, complained = job.communicate(timeout=300)
    assert complained == ""
    assert_same(archive, left_by(said, job.returncode, tmp_path))
    # It takes jobs from every address and cannot be told otherwise: hence it is no option.
    assert "::" in found
