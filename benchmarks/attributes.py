"""The header path, bytes to bytes: pydicom's own read and write, beamstop, and its peers; CPU time.

Run it with ``make bench``. What is timed begins with the bytes of a file in memory and ends with the
bytes of the result, for every contender but dcm-anonymizer, which reads and writes files (here on a
RAM disk, where there is one). Contenders take turns; of each instance the fastest round counts.
"""

import argparse
import importlib.util
import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from beamstop.dicom.files import encode, read_dicom
from beamstop.recipe.load import load_recipe
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.steps.bounce import bounce
from beamstop.steps.check_leaks import check_leaks
from beamstop.steps.insert import insert

Contender = Callable[[bytes], object]
SIDE = 512


@dataclass(frozen=True)
class Corpus:
    """Instances of one kind, as bytes."""

    name: str
    instances: list[bytes]


def main() -> None:
    """Measure every contender on every corpus and print the table in Markdown."""
    parser = argparse.ArgumentParser(description="CPU time of the header path, bytes to bytes")
    parser.add_argument("--instances", type=int, default=200, help="per corpus")
    parser.add_argument("--rounds", type=int, default=3, help="of each instance the fastest counts")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # peers touch deprecated parts of pydicom for every element
    logging.disable(logging.CRITICAL)

    corpora = [make(arguments.instances) for make in (ct, ct_private, enhanced, ultrasound)]
    contenders = dict(ours()) | dict(peers())
    for _, run in ours():
        run(corpora[0].instances[0])  # if this fails, there is nothing to compare with
    seconds = {corpus.name: measure(contenders, corpus, arguments.rounds) for corpus in corpora}
    print(f"{arguments.instances} instances a column, best of {arguments.rounds}; {machine()}\n")
    for line in table(contenders, corpora, seconds):
        print(line)


def measure(contenders: dict[str, Contender], corpus: Corpus, rounds: int) -> dict[str, float]:
    """Return the CPU seconds each contender takes for one instance; nan if it fails.

    Of each instance its fastest round counts, and contenders take turns at every instance, so that what
    else the machine does weighs on all of them alike.
    """
    fails = {name for name, contender in contenders.items() if not _works(name, contender, corpus)}
    runs = {name: contender for name, contender in contenders.items() if name not in fails}
    best = {name: [float("inf")] * len(corpus.instances) for name in runs}
    for _ in range(rounds):
        for number, instance in enumerate(corpus.instances):
            for name, contender in runs.items():
                start = time.process_time()
                contender(instance)
                best[name][number] = min(best[name][number], time.process_time() - start)
    means = {name: sum(times) / len(times) for name, times in best.items()}
    return {name: means.get(name, float("nan")) for name in contenders}


def _works(name: str, contender: Contender, corpus: Corpus) -> bool:
    try:
        contender(corpus.instances[0])
    except Exception as error:  # noqa: BLE001 - somebody else's program, which we only measure
        print(f"{name} on {corpus.name}: {type(error).__name__}", file=sys.stderr)
        return False
    return True


def table(
    contenders: dict[str, Contender], corpora: list[Corpus], seconds: dict[str, dict[str, float]]
) -> Iterator[str]:
    """Yield the lines of a Markdown table: milliseconds, and the ratio to the floor."""
    yield "| ms of CPU per instance (× the floor) | " + " | ".join(corpus.name for corpus in corpora) + " |"
    yield "|---" + "|--:" * len(corpora) + "|"
    for name in contenders:
        cells = []
        for corpus in corpora:
            spent, floor = seconds[corpus.name][name], seconds[corpus.name]["pydicom read and write"]
            cells.append(f"{spent * 1000:.2f} ({spent / floor:.2f})" if spent == spent else "fails")
        yield f"| {name} | " + " | ".join(cells) + " |"


def ours() -> Iterator[tuple[str, Contender]]:
    """Yield the floor, and beamstop with ever more asked of it."""

    def floor(data: bytes) -> bytes:
        target = BytesIO()
        dcmread(BytesIO(data), force=True).save_as(target)
        return target.getvalue()

    yield "pydicom read and write", floor
    yield "beamstop basic, no check", _beamstop(checked=False, detail=False)
    yield "beamstop basic", _beamstop(checked=True, detail=False)
    yield "beamstop basic, change rows", _beamstop(checked=True, detail=True)


def _beamstop(checked: bool, detail: bool) -> Contender:
    recipe = load_recipe("basic")
    identity = recipe.identity(bytes(range(32)))

    def run(data: bytes) -> bytes:
        dataset = read_dicom(data)
        bounce(dataset, recipe.bouncer_instances)
        report = apply_recipe(dataset, recipe, identity, "source", detail)
        insert(dataset, recipe, pixels_examined=False)
        encoded = encode(dataset)
        if checked:
            check_leaks(encoded, report)
        return encoded.data

    return run


def peers() -> Iterator[tuple[str, Contender]]:
    """Yield the peers that are installed, each with its default rules made once where it allows that."""
    makers = {
        "dcm-anonymizer": ("dcm_anon", _dcm_anonymizer),
        "dcmanon (Rust)": ("dcmanon", _dcmanon),
        "deid": ("deid", _deid),
        "dicognito": ("dicognito", _dicognito),
        "dicom-anonymizer": ("dicomanonymizer", _dicom_anonymizer),
    }
    for name, (module, make) in makers.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed: left out", file=sys.stderr)
            continue
        yield f"{name} {version(name.split()[0])}", make()


def _through_pydicom(change: Callable[[Dataset], object]) -> Contender:
    """Return a contender that changes a dataset in place, between pydicom's read and write."""

    def run(data: bytes) -> bytes:
        dataset = dcmread(BytesIO(data), force=True)
        change(dataset)
        target = BytesIO()
        dataset.save_as(target)
        return target.getvalue()

    return run


def _dcm_anonymizer() -> Contender:
    from dcm_anon import UIDMapper, anonymize_file

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a RAM disk is the point
    folder = Path(tempfile.mkdtemp(dir=memory))
    source, target = folder / "in.dcm", folder / "out.dcm"
    mapper = UIDMapper()

    def run(data: bytes) -> bytes:
        source.write_bytes(data)
        anonymize_file(source, target, mapper)
        return target.read_bytes()

    return run


def _dcmanon() -> Contender:
    from dcmanon import Anonymizer

    anonymizer = Anonymizer()
    return lambda data: anonymizer.anonymize(BytesIO(data))


def _deid() -> Contender:
    from deid.config import DeidRecipe
    from deid.dicom.parser import DicomParser

    recipe = DeidRecipe()
    return _through_pydicom(lambda dataset: DicomParser(dataset, recipe=recipe).parse(remove_private=True))


def _dicognito() -> Contender:
    from dicognito.anonymizer import Anonymizer

    return _through_pydicom(Anonymizer(seed="benchmark").anonymize)


def _dicom_anonymizer() -> Contender:
    from dicomanonymizer import anonymize_dataset

    return _through_pydicom(anonymize_dataset)


def ct(count: int) -> Corpus:
    """Return CT of 512×512 without private elements."""

    def change(dataset: Dataset) -> None:
        _enlarge(dataset)
        dataset.remove_private_tags()

    return _corpus("CT 512², no private", "CT_small.dcm", count, change)


def ct_private(count: int) -> Corpus:
    """Return CT of 512×512 with CT_small's private elements."""
    return _corpus("CT 512², 179 private", "CT_small.dcm", count, _enlarge)


def enhanced(count: int) -> Corpus:
    """Return enhanced multi-frame MR: ten functional groups, nested sequences."""
    return _corpus("enhanced MR, 10 frames", "emri_small_RLE.dcm", count, lambda dataset: None)


def ultrasound(count: int) -> Corpus:
    """Return tiny ultrasound pictures."""

    def change(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = 16
        dataset.PixelData = bytes(16 * 16 * 3)

    return _corpus("US 16²", "examples_rgb_color.dcm", count, change)


def _enlarge(dataset: Dataset) -> None:
    dataset.Rows = dataset.Columns = SIDE
    pixels = np.random.default_rng(0).integers(0, 4096, SIDE * SIDE, dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()


def _corpus(name: str, source: str, count: int, change: Callable[[Dataset], None]) -> Corpus:
    """Return `count` copies of a file of pydicom's, with UIDs of their own."""
    dataset = dcmread(str(get_testdata_file(source, download=False)))
    change(dataset)
    instances = []
    for number in range(count):
        uid = UID(f"1.2.826.0.1.3680043.10.99.{number + 1}")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        buffer = BytesIO()
        dataset.save_as(buffer)
        instances.append(buffer.getvalue())
    return Corpus(name, instances)


def machine() -> str:
    """Return what the numbers were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    return f"{model}, Python {platform.python_version()}, pydicom {version('pydicom')}"


if __name__ == "__main__":
    main()
