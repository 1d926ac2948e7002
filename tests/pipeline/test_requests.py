"""What a run asks of a bucket, counted on the way: the store's bill (docs/stores.md)."""

import os
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from tests import buckets
from tests.between import Between, between
from tests.buckets import Bucket

from beamstop.testing import make_instance
from beamstop_pipeline.cli import main

MANY = 12
_CLASSES = {"PUT": "A", "POST": "A", "GET": "B", "HEAD": "B"}


def plant(bucket: Bucket, number: int) -> None:
    content = BytesIO()
    make_instance(SOPInstanceUID=f"1.2.3.{number}").save_as(content, enforce_file_format=True)
    bucket.put(f"in/{number}.dcm", content.getvalue())


@pytest.fixture
def way(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """Return what stands before a bucket with instances in it, and counts."""
    for number in range(MANY):
        plant(bucket, number)
    with between(bucket.server.url) as way:
        for name, value in bucket.server.environment.items():
            monkeypatch.setenv(name, value.replace(bucket.server.url, way.url))
        buckets.forget_clients()
        yield way
        buckets.forget_clients()


def asked(bucket: Bucket, way: Between, key_file: Path, *more: str) -> tuple[dict[str, int], int]:
    """Run the job; return requests of each class about sources and clean files, and those about claims."""
    way.named.clear()
    places = ["--output", f"{bucket.root}/out", "--audit", f"{bucket.root}/audit"]
    common = ["--key", str(key_file), "--recipe", "basic", "--workers", "1", "--quiet"]
    assert main(["run", "--input", f"{bucket.root}/in/**", *places, *common, *more]) == 0
    own = [(method, name.partition(f"{bucket.name}/")[2] or name) for method, name in way.named]
    own = [(method, os.path.normpath(name)) for method, name in own]
    each = Counter(_CLASSES[method] for method, name in own if name.endswith(".dcm") and method in _CLASSES)
    return dict(sorted(each.items())), sum("/claims/" in name for _, name in own)


def test_a_first_run_reads_and_writes_each_instance_once(
    bucket: Bucket, way: Between, key_file: Path
) -> None:
    assert asked(bucket, way, key_file) == ({"A": MANY, "B": MANY}, 0)


def test_a_second_run_looks_at_each_file_and_writes_nothing(
    bucket: Bucket, way: Between, key_file: Path
) -> None:
    asked(bucket, way, key_file)
    assert asked(bucket, way, key_file) == ({"B": 2 * MANY}, 0)


def test_an_increment_asks_about_what_is_new_alone(bucket: Bucket, way: Between, key_file: Path) -> None:
    assert asked(bucket, way, key_file, "--incremental") == ({"A": MANY, "B": MANY}, 0)
    is_there = 1  # whether a clean file of an earlier run is in OUTPUT
    assert asked(bucket, way, key_file, "--incremental") == ({"B": is_there}, 0)
    plant(bucket, MANY)
    read, look, write = 1, 1, 1  # a first new one may look before it writes
    assert asked(bucket, way, key_file, "--incremental") == ({"A": write, "B": is_there + read + look}, 0)
