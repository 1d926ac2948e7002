"""An archive of invented people, broken files among it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

MakeDataset = Callable[..., FileDataset]
LONG_AGO = 946_684_800  # 2000-01-01, as modification time of every original

# What must be nowhere but in the originals: names, numbers, places, UIDs, and names of files and folders.
PLANTED = (
    "Zyxwander",
    "Quillbert",
    "MRN7734501",
    "MRN7734502",
    "ACC-55190",
    "Hollowmere",
    "1.2.826.0.1.3680043.8.498.77",
    "19610317",
    "20240229",
    "20240304",
    "555-0187342",
    "Wodehurst",
)

AT_DEBUG = "import logging\nlogging.basicConfig(level=logging.DEBUG)\n"
HEADERS = """
options: [clean-descriptors, retain-longitudinal-modified-dates]
attributes: {ManufacturerModelName: K}
"""


@dataclass(frozen=True)
class Attacked:
    """What one run left, and all that it said.

    Attributes:
        originals, output, audit: folders.
        stdout, stderr: of the whole process, at DEBUG.
        arguments: command lines of the run's processes, as `ps` shows them to everybody.
        key: the secret.
    """

    originals: Path
    output: Path
    audit: Path
    stdout: str
    stderr: str
    arguments: str
    key: bytes


def plant(folder: Path, make_dataset: MakeDataset) -> None:
    """Write two patients' studies, and broken files whose names tell who is meant."""
    folder.mkdir()
    people = [
        ("MRN7734501", "Zyxwander^Ada"),
        ("MRN7734501", "Zyxwander^Ada"),
        ("MRN7734502", "Quillbert^Otto"),
    ]
    for number, (patient, name) in enumerate(people):
        dataset = person(make_dataset, number, patient, name)
        dataset.save_as(folder / f"{name} {patient} {number}.dcm", enforce_file_format=True)
    whole = (folder / "Zyxwander^Ada MRN7734501 0.dcm").read_bytes()
    (folder / "Zyxwander cut.dcm").write_bytes(whole[:-9])
    (folder / "Zyxwander broken MRN7734501.dcm").write_bytes(whole[:200] + b"\xff" * 40 + whole[240:])
    (folder / "Quillbert notes.txt").write_text("Quillbert, MRN7734502, Hollowmere")
    (folder / "Zyxwander empty.dcm").write_bytes(b"")
    os.symlink(folder / "gone Zyxwander", folder / "Zyxwander link.dcm")
    leaking = person(make_dataset, 9, "MRN7734502", "Quillbert^Otto")
    leaking.ManufacturerModelName = "of Quillbert"
    leaking.save_as(folder / "Quillbert leaks.dcm", enforce_file_format=True)
    for path in folder.iterdir():
        if not path.is_symlink():
            os.utime(path, (LONG_AGO, LONG_AGO))


def person(make_dataset: MakeDataset, number: int, patient: str, name: str) -> FileDataset:
    """Return an instance that says who, where and when, at several depths."""
    root = f"1.2.826.0.1.3680043.8.498.77.{patient[-1]}"
    step = Dataset()
    step.ScheduledProcedureStepDescription = f"control of {name.split('^')[0]}"
    step.RequestedProcedureID = "ACC-55190"
    dataset = make_dataset(
        PatientName=name,
        PatientID=patient,
        PatientBirthDate="19610317",
        PatientTelephoneNumbers="555-0187342",
        AccessionNumber="ACC-55190",
        InstitutionName="Hollowmere Hospital",
        StudyDate="20240229" if number != 1 else "20240304",
        StudyDescription=f"Chest of {name.split('^')[0]}",
        StudyInstanceUID=f"{root}.{number}",
        SeriesInstanceUID=f"{root}.{number}.1",
        SOPInstanceUID=f"{root}.{number}.1.1",
        RequestAttributesSequence=Sequence([step]),
    )
    dataset.private_block(0x0011, "MAKER", create=True).add_new(1, "LO", f"made for {name}")
    return dataset


def command_lines(root: int) -> set[str]:
    """Return the command lines of a process and of all below it."""
    try:
        process = psutil.Process(root)
        return {" ".join(it.cmdline()) for it in (process, *process.children(recursive=True))}
    except psutil.Error:
        return set()
