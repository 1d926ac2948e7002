"""How large a source a worker process can take."""

import pytest

from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.running.beam_options import fit_for_workers, parse_beam_options
from beamstop_pipeline.running.memory import fitting_max_bytes, memory_elsewhere, memory_here

GIB = 1 << 30


@pytest.mark.parametrize(
    ("options", "gib"),
    [
        (["--runner=DataflowRunner"], 16e9 / 2 / GIB),
        (["--runner=DataflowRunner", "--resource_hint=min_ram=32GB"], 32e9 / 2 / GIB),
        (["--runner=DataflowRunner", "--machine_type=n2-highmem-2"], 8.0),
        (["--runner=DataflowRunner", "--machine_type=n1-standard-1"], 3.75),
        (["--runner=DataflowRunner", "--machine_type=custom-2-16384"], 8.0),
        (["--runner=DataflowRunner", "--machine_type=n2-custom-4-8192"], 2.0),
        (["--runner=FlinkRunner", "--resource_hint=min_ram=8GB"], 8e9 / GIB),
    ],
)
def test_options_tell_what_a_process_has(options: list[str], gib: float) -> None:
    found = memory_elsewhere(parse_beam_options(options))
    assert found is not None
    assert found == pytest.approx(gib * GIB, abs=1)


def test_nobody_knows_what_a_pool_of_flink_has_or_a_machine_of_an_unknown_kind() -> None:
    assert memory_elsewhere(parse_beam_options(["--runner=FlinkRunner"])) is None
    assert (
        memory_elsewhere(parse_beam_options(["--runner=DataflowRunner", "--machine_type=x9-tiny-1"])) is None
    )


def test_what_the_job_asks_for_itself_tells_the_same_as_asking_for_nothing() -> None:
    plain, fitted = (parse_beam_options(["--runner=DataflowRunner"]) for _ in range(2))
    fit_for_workers(fitted)
    assert memory_elsewhere(plain) == memory_elsewhere(fitted)


def test_a_source_may_have_what_memory_suffices_for_4_gib_at_most() -> None:
    assert fitting_max_bytes(None, 8 * GIB, True, is_here=False) == int((8 * GIB - 10**9) / 2.4)
    assert fitting_max_bytes(None, 64 * GIB, False, is_here=True) == 4 * GIB
    assert fitting_max_bytes(None, None, True, is_here=False) == 4 * GIB
    assert fitting_max_bytes(None, 512 << 20, True, is_here=True) == 16 << 20


def test_more_than_workers_elsewhere_have_memory_for_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"a worker process has 2.0 GiB, which suffice for sources of"
    ):
        fitting_max_bytes(GIB, 2 * GIB, False, is_here=False)
    assert fitting_max_bytes(GIB // 2, 2 * GIB, False, is_here=False) == GIB // 2
    # Who asks for it sees what comes of it.
    assert fitting_max_bytes(GIB, 2 * GIB, False, is_here=True) == GIB


def test_memory_of_this_machine_is_what_a_worker_may_take() -> None:
    assert memory_here(700) == 700 << 20
    assert memory_here(None) > 256 << 20
