"""Clean pictures made in code, with the audit of the run that made them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import MRImageStorage, UltrasoundImageStorage
from tests.pipeline.audits import a_device, a_row, write_run

from beamstop.testing import GREY_BYTES, make_instance

RUN = "20260101T000000Z-aaa"
CINE, STILL, PLAIN = "2.25.1", "2.25.2", "2.25.3"


def a_picture(uid: str, modality: str, frames: int = 1, **attributes: Any) -> FileDataset:
    """Return a clean instance of 40 rows and 60 columns, grey all over, brighter frame by frame."""
    pixels = np.full((frames, 40, 60), 100, np.uint8) + np.arange(frames, dtype=np.uint8)[:, None, None]
    return make_instance(
        SOPClassUID=UltrasoundImageStorage if modality == "US" else MRImageStorage,
        SOPInstanceUID=uid,
        Modality=modality,
        Rows=40,
        Columns=60,
        **GREY_BYTES,
        NumberOfFrames=frames if frames > 1 else None,
        PixelData=pixels.tobytes(),
        **attributes,
    )


def a_box(uid: str, frame: int, x: int, y: int, width: int, height: int, **more: Any) -> dict[str, Any]:
    """Return a row of `changes` for a text box."""
    where = {"frame": frame, "x": x, "y": y, "width": width, "height": height}
    return {
        "sop_instance_uid": uid,
        "path": "",
        "tag": "(7FE0,0010)",
        "action": "X",
        "why": "text",
        **where,
        **more,
    }


def write_reviewed(audit: Path, clean: Path) -> None:
    """Write a run with an ultrasound cine of 9 frames, a still one and an MR, of devices of their own.

    The MR's device is new: the record of the run before, which is all that is left of it, has another.
    """
    pictures = {
        CINE: a_picture(CINE, "US", 9, Manufacturer="Acme", ManufacturerModelName="Sono 1"),
        STILL: a_picture(STILL, "US", Manufacturer="O'Hara & Sons"),
        PLAIN: a_picture(PLAIN, "MR", Manufacturer="Removed by D"),
    }
    boxes = [a_box(CINE, frame, 2, 3, 20, 8) for frame in (4, 4, 7)]
    boxes += [a_box(STILL, 0, 5, 5, 10, 6), a_box(STILL, 0, 30, 5, 9, 6, action="K", why="authorized_word")]
    device = {
        "sop_instance_uid": PLAIN,
        "path": "Manufacturer",
        "tag": "(0008,0070)",
        "action": "D",
        "rule": "a:00080070",
    }
    rows = []
    for uid, picture in pictures.items():
        path = clean / "P" / "1.2" / "1.2.3" / f"{uid}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save_as(path, enforce_file_format=True)
        ours = [box for box in boxes if box["sop_instance_uid"] == uid]
        rows.append(
            a_row(
                uid,
                modality=picture.Modality,
                sop_class_uid=picture.SOPClassUID,
                sop_instance_uid=uid,
                output_path=f"P/1.2/1.2.3/{uid}.dcm",
                output_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                frames=9 if uid == CINE else 1,
                text_boxes_hidden=sum(box["action"] == "X" for box in ours),
                text_boxes_kept=sum(box["action"] == "K" for box in ours),
            )
        )
    write_run(audit, "20251231T000000Z-aaa", devices=[a_device("Acme", "Sono 1", 1)])
    devices = [a_device("Acme", "Sono 1", 1, 1, 3, example=CINE), a_device("Cee", None, 1, example=PLAIN)]
    write_run(audit, RUN, rows, changes=[*boxes, device], devices=devices)
