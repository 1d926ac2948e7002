"""How much memory a worker process has, and how large a source it can take."""

import re
from pathlib import Path
from typing import Any

import psutil

from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.running.beam_options import MIN_RAM, is_on_dataflow

# A process needs 2.0 to 2.4 times the bytes of a source for pixels, besides its base memory
# (docs/reliability.md, docs/scale.md), which differs with and without text detection.
_TIMES = 2.4
_BASE_WITH_NETWORKS, _BASE = 1_000_000_000, 300_000_000
_MOST = 4 << 30  # bytes of a source, even with more memory
_LEAST = 16 << 20
_GIB = 1 << 30
_PROCESSES = 2  # on a machine with MIN_RAM
# GiB per vCPU, and so per process, by Google's machine families.
_OF_A_VCPU = {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0}
_OF_A_VCPU_OF_N1 = {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}


def fitting_max_bytes(given: int | None, memory: int | None, looks_for_text: bool, is_here: bool) -> int:
    """Return how large a source may be, in bytes.

    Args:
        given: `--max-bytes`; None if it is not given.
        memory: bytes of a worker process; None if unknown.
        looks_for_text: whether a process also has the networks in memory.
        is_here: whether workers are on this machine, where the user sees when memory runs out.

    Raises:
        ConfigurationError: `given` is more than remote workers can take: one after the other would die.
    """
    base = _BASE_WITH_NETWORKS if looks_for_text else _BASE
    fits = _MOST if memory is None else max(int((memory - base) / _TIMES), _LEAST)
    if given is None:
        return min(fits, _MOST)
    if memory is not None and given > fits and not is_here:
        raise ConfigurationError(
            f"--max-bytes {given}: a worker process has {memory / _GIB:.1f} GiB, which suffice for sources of"
            f" {fits} bytes; name that or less, or give workers more memory (--machine_type, --resource_hint)"
        )
    return given


def memory_here(max_memory: int | None) -> int:
    """Return the memory in bytes that a local worker may take: `--max-memory`, otherwise all memory."""
    if max_memory is not None:
        return max_memory << 20
    return min(psutil.virtual_memory().total, _of_the_container())


def _of_the_container() -> int:
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return 1 << 62
    return int(limit) if limit.isdecimal() else 1 << 62


def memory_elsewhere(options: Any) -> int | None:
    """Return the memory in bytes that a worker process has by Beam's options; None if they do not tell."""
    from apache_beam.options.pipeline_options import StandardOptions, WorkerOptions

    machine = options.view_as(WorkerOptions).machine_type
    if is_on_dataflow(options) and machine:
        return _of_machine(machine)
    hints = options.view_as(StandardOptions).resource_hints or ()
    promised = [_bytes(it) for it in hints if it.startswith("min_ram=")]
    if is_on_dataflow(options):
        return (promised or [_bytes(MIN_RAM)])[-1] // _PROCESSES
    return promised[-1] if promised else None


def _bytes(hint: str) -> int:
    from apache_beam.transforms.resources import MinRamHint

    try:
        return int(MinRamHint.parse(hint.partition("=")[2]).popitem()[1])
    except ValueError:
        raise ConfigurationError(
            f"--resource_hint {hint}: not an amount of memory, such as min_ram=16GB"
        ) from None


def _of_machine(name: str) -> int | None:
    """Return the bytes per process, one per vCPU, on a Google machine; None if unknown."""
    kind = name.rpartition("/")[2]
    if custom := re.fullmatch(r"(?:\w+-)?custom-(\d+)-(\d+)(?:-ext)?", kind):
        return (int(custom[2]) << 20) // int(custom[1])
    family, _, rest = kind.partition("-")
    sizes = _OF_A_VCPU_OF_N1 if family == "n1" else _OF_A_VCPU
    gib = sizes.get(rest.partition("-")[0])
    return None if gib is None else int(gib * _GIB)
