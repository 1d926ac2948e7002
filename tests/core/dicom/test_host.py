"""What importing and using beamstop does to the program that does: nothing."""

import logging
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from beamstop import deidentify, deidentify_bytes, load_recipe
from beamstop.dicom import pydicom_guards
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import Failed, Refusal
from beamstop.standard.transfer_syntaxes import NEWER
from beamstop.testing import as_bytes

MakeDataset = Callable[..., FileDataset]
NAME = "Quibbleton"


@contextmanager
def another_thread_inside() -> Iterator[None]:
    """Hold another thread inside a call of beamstop."""
    entered, over = threading.Event(), threading.Event()

    def stay() -> None:
        with guarded():
            entered.set()
            over.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    entered.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def with_a_bad_value(make_dataset: MakeDataset) -> bytes:
    """Return an instance that pydicom, when it reads it, logs and warns of, quoting a value."""
    return as_bytes(make_dataset(SpecificCharacterSet="ISO_IR 100")).replace(b"ISO_IR 100", NAME.encode())


def endless(make_dataset: MakeDataset) -> bytes:
    """Return an instance with an item in which an element has no end."""
    inner = struct.pack("<HH2s2xL", 0x0040, 0xA731, b"OB", 0xFFFFFFFF)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner
    return as_bytes(make_dataset()) + struct.pack("<HH2s2xL", 0x0040, 0xA730, b"SQ", len(item)) + item


def host_warns_and_logs(make_dataset: MakeDataset, caplog: pytest.LogCaptureFixture) -> tuple[bool, bool]:
    """Read a bad value with pydicom, as a host would; say whether it warned and logged."""
    caplog.clear()
    data = with_a_bad_value(make_dataset)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dcmread(BytesIO(data))
    return any(NAME in str(it.message) for it in caught), NAME in caplog.text


def test_importing_changes_nothing() -> None:
    code = """
import logging, warnings
import pydicom
from pydicom import filereader
from pydicom._uid_dict import UID_dictionary
def state():
    named = logging.root.manager.loggerDict.items()
    loggers = {name: (it.level, it.filters, it.handlers) for name, it in named
               if name.startswith("pydicom") and isinstance(it, logging.Logger)}
    return list(warnings.filters), loggers, filereader.read_undefined_length_value, dict(UID_dictionary)
import pydicom.pixels.decoders, pydicom.pixels.encoders, pydicom.sr.codedict
import numpy, pydantic, pyarrow, ruamel.yaml
before = state()
import importlib, pkgutil, beamstop
for module in pkgutil.walk_packages(beamstop.__path__, "beamstop."):
    importlib.import_module(module.name)
print([one == other for one, other in zip(before, state())])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[True, True, True, True]"


def test_the_loggers_are_all_that_pydicom_has() -> None:
    """A logger of a newer pydicom would pass the guard."""
    home = Path(pydicom.__file__).parent
    named: set[str] = set()
    for path in home.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if 'getLogger("pydicom")' in text:
            named.add("pydicom")
        if "getLogger(__name__)" in text:
            named.add(".".join(path.relative_to(home.parent).with_suffix("").parts))
    assert named == set(pydicom_guards._LOGGERS)


def test_a_host_still_sees_warnings_and_records(
    make_dataset: MakeDataset, caplog: pytest.LogCaptureFixture, key: bytes
) -> None:
    before = host_warns_and_logs(make_dataset, caplog)
    deidentify(make_dataset(), load_recipe("basic"), key)
    assert host_warns_and_logs(make_dataset, caplog) == before == (True, True)


def test_a_host_sees_them_while_another_thread_is_inside(
    make_dataset: MakeDataset, caplog: pytest.LogCaptureFixture
) -> None:
    with another_thread_inside():
        assert host_warns_and_logs(make_dataset, caplog) == (True, True)


def test_a_host_reads_what_never_ends_as_pydicom_does(make_dataset: MakeDataset, key: bytes) -> None:
    data = endless(make_dataset)
    with pytest.raises(Failed, match=r"^truncated$"):
        deidentify_bytes(data, load_recipe("basic"), key)
    with another_thread_inside(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert list(dcmread(BytesIO(data)).ContentSequence[0]) == []


def test_a_host_finds_no_uid_that_pydicom_does_not_know(make_dataset: MakeDataset, key: bytes) -> None:
    deidentify(make_dataset(), load_recipe("basic"), key)
    for uid in NEWER:
        assert UID(uid).name == uid
        with pytest.raises(ValueError, match="not a transfer syntax"):
            _ = UID(uid).is_compressed


def test_no_value_is_logged_or_warned_of_from_eight_threads_at_once(
    make_dataset: MakeDataset, caplog: pytest.LogCaptureFixture, key: bytes
) -> None:
    data, recipe = with_a_bad_value(make_dataset), load_recipe("research")

    def work() -> None:
        for _ in range(20):
            try:
                deidentify_bytes(data, recipe, key, lambda languages: None)  # type: ignore[arg-type,return-value]
            except Refusal:
                continue

    caplog.clear()
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [str(it.message) for it in caught] == []
    assert caplog.text == ""


def test_a_guard_that_the_host_took_out_is_there_again_at_the_next_call(make_dataset: MakeDataset) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        warnings.simplefilter("always")
        with guarded():
            warnings.warn(NAME, stacklevel=1)
        warnings.warn("the host's own", stacklevel=1)
    assert [str(it.message) for it in caught] == ["the host's own"]


def test_calls_may_be_nested() -> None:
    with guarded():
        with guarded():
            pass
        assert pydicom_guards._CALLS.depth == 1
    assert pydicom_guards._CALLS.depth == 0


def test_newer_syntaxes_are_encapsulated_explicit_little_endian_for_us() -> None:
    from beamstop.dicom.files import transfer_syntax_of

    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    for uid, name in NEWER.items():
        dataset.file_meta.TransferSyntaxUID = UID(uid)
        syntax = transfer_syntax_of(dataset)
        assert (syntax.is_encapsulated, syntax.is_implicit_VR, syntax.is_little_endian) == (True, False, True)
        assert (syntax.is_compressed, syntax.is_deflated, syntax.name) == (True, False, name)
