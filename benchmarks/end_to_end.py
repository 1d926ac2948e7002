"""The whole command against its peers, start included: one archive, each tool by its command line.

    python benchmarks/end_to_end.py [--files 2000] [--rounds 3] [--only beamstop]

CT instances of 39 kB, each with 179 private elements, some 200 of a patient. Tools take turns; of each figure
the least counts. `planted` counts the files in which any of the planted identifiers still stands: name,
PatientID, accession number, birth date, and the UIDs. Tools that are not installed are named and left out.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

from attributes import machine
from pydicom import dcmread
from pydicom.data import get_testdata_file

from pipeline import Cost, measure  # noqa: TID251  the file beside this one

_GROUPS, _IN_A_GROUP = (0x0019, 0x0021, 0x0027, 0x0043, 0x0045), 36
_OF_A_PATIENT = 200
# dcmanon, and openmed for DICOM, have no command line: these are the shortest programs around them.
_DCMANON = """
import sys
from io import BytesIO
from pathlib import Path
from dcmanon import Anonymizer
anonymizer = Anonymizer()
for path in Path(sys.argv[1]).iterdir():
    Path(sys.argv[2], path.name).write_bytes(anonymizer.anonymize(BytesIO(path.read_bytes())))
"""
_OPENMED = """
import sys
from pathlib import Path
from openmed.multimodal.dicom import DicomHeaderDeidPolicy, deidentify_dicom_headers
for path in Path(sys.argv[1]).iterdir():
    deidentify_dicom_headers(path, policy=DicomHeaderDeidPolicy(output_path=Path(sys.argv[2], path.name)))
"""


def main() -> None:
    """Measure every tool in turns and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="tools whose names have this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        planted = plant(base / "in", arguments.files)
        key = base / "key"
        key.write_bytes(bytes(range(32)))
        key.chmod(0o600)
        tools = {name: command for name, command in (*ours(base), *peers(base)) if arguments.only in name}
        costs: dict[str, list[Cost]] = {name: [] for name in tools}
        left: dict[str, str] = {}
        for turn in range(arguments.rounds):
            for number, (name, command) in enumerate(tools.items()):
                (base / "out").mkdir()
                try:
                    costs[name].append(measure(command))
                except SystemExit as failure:
                    print(f"{name}: {failure}", file=sys.stderr)
                else:
                    left[name] = _left(base / "out", planted, arguments.files)
                # Not removed before the end: ext4 makes files many times as slowly for half a minute after.
                (base / "out").rename(base / f"out-{turn}-{number}")
    print(f"{arguments.files} CT, least of {arguments.rounds}; {machine()}\n")
    print("| | seconds | CPU s | peak PSS, MiB | planted identifiers left |\n|---|--:|--:|--:|---|")
    for name, each in costs.items():
        if each:
            seconds, cpu, memory = (
                min(getattr(it, of) for it in each) for of in ("seconds", "cpu", "memory")
            )
            print(f"| {name} | {seconds:.1f} | {cpu:.1f} | {memory:.0f} | {left[name]} |")


def plant(archive: Path, count: int) -> list[bytes]:
    """Write the archive; return what must be in no clean file."""
    archive.mkdir()
    dataset = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    for group in _GROUPS:
        block = dataset.private_block(group, f"MAKER {group:04X}", create=True)
        for number in range(_IN_A_GROUP):
            block.add_new(
                number, "DS" if number % 3 else "LO", f"{number}.5" if number % 3 else f"VALUE {number}"
            )
    dataset.PatientBirthDate, dataset.AccessionNumber = "19610317", "Q7340912"
    planted = [b"19610317", b"Q7340912", b"1.2.826.0.1.3680043.10.98."]
    for number in range(count):
        patient = number // _OF_A_PATIENT
        dataset.PatientName, dataset.PatientID = f"Quessenbrand^Zoraya{patient}", f"MRN55301{patient:03}"
        dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.10.98.{number + 1}"
        dataset.StudyInstanceUID = f"1.2.826.0.1.3680043.10.98.7.{patient}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        buffer = BytesIO()
        dataset.save_as(buffer)
        (archive / f"{number:06}.dcm").write_bytes(buffer.getvalue())
    return [*planted, b"Quessenbrand", b"MRN55301"]


def ours(base: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield beamstop's commands: header only, one worker and two, with and without a row an element."""
    for workers in (1, 2):
        for detail in ("changes", "instances"):
            command = [
                sys.executable,
                "-m",
                "beamstop_pipeline",
                "run",
                "--input",
                f"{base}/in",
                "--recipe",
                "basic",
            ]
            command += [
                "--output",
                f"{base}/out/clean",
                "--audit",
                f"{base}/out/audit",
                "--key",
                f"{base}/key",
            ]
            command += ["--workers", str(workers), "--audit-detail", detail, "--quiet"]
            yield f"beamstop basic, {workers} worker{'s' * (workers > 1)}, {detail}", command


def peers(base: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of the peers that are installed."""
    source, target = f"{base}/in", f"{base}/out"
    tools = {
        "dcm-anonymizer": ("dcm_anon", [_script("dcm-anon"), source, target, "--quiet"]),
        "dcmanon": ("dcmanon", [sys.executable, "-c", _DCMANON, source, target]),
        "deid": (
            "deid",
            [_script("deid"), "-o", target, "identifiers", "--input", source, "--action", "all"],
        ),
        "dicognito": ("dicognito", [sys.executable, "-m", "dicognito", "-q", "-o", target, source]),
        "openmed": ("openmed", [sys.executable, "-c", _OPENMED, source, target]),
        "dicom-anonymizer": ("dicomanonymizer", [_script("dicom-anonymizer"), source, target]),
    }
    for name, (module, command) in tools.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed: left out", file=sys.stderr)
            continue
        yield f"{name} {version(name)}", command


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _left(folder: Path, planted: list[bytes], count: int) -> str:
    """Say in how many clean files a planted identifier stands, and how many files are missing."""
    clean = [
        path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix not in {".parquet", ".json", ".md"} and path.is_file()
    ]
    leaks = sum(any(it in data for it in planted) for data in clean)
    missing = f", {count - len(clean)} files missing" if len(clean) != count else ""
    return f"in {leaks} of {len(clean)} files{missing}"


if __name__ == "__main__":
    main()
