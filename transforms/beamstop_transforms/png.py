"""WritePng: write the frames of clean files as pictures."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.combiners import Count

from beamstop.dicom.files import read_dicom
from beamstop.dicom.pydicom_guards import guarded
from beamstop.pixels.frames import open_frames
from beamstop.pixels.png import encode_png, is_ours, render
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import open_store

PICTURES, NOT_RENDERED, OCCUPIED = "pictures", "not_rendered", "occupied"


@dataclass(eq=False)
class WritePng(Transform):
    """Write PNG/<PatientID>/<Study>/<Series>/<SOP Instance UID>[-<frame>].png for every clean file.

    It reads the files in OUTPUT after duplicates are resolved, so that files removed by then have no
    pictures.

    Attributes:
        png: the PNG folder or prefix.
        output: the OUTPUT folder or prefix.
    """

    png: str
    output: str

    def expand(self, clean_files: PCollection[tuple[str, str]]) -> PCollection[tuple[str, int]]:
        """Take path and SHA-256 of clean files; return how many pictures are written or, by code, not."""
        return (
            clean_files
            | "Redistribute" >> beam.Reshuffle()
            | "Render" >> beam.ParDo(_PngFn(self.png, self.output))
            | "Count" >> Count.PerElement()
        )


class _PngFn(beam.DoFn):
    def __init__(self, png: str, output: str) -> None:
        super().__init__()
        self._places = (png, output)

    def setup(self) -> None:
        self._pictures, self._clean = (open_store(place) for place in self._places)

    def process(self, clean_file: tuple[str, str]) -> Iterator[str]:
        path, sha256 = clean_file
        drawn = self._drawn(path, sha256)
        while True:
            try:
                with guarded():
                    name, data = next(drawn)
            except StopIteration:
                return
            except Exception:  # noqa: BLE001  one picture must not stop a run; the message may quote a value
                yield NOT_RENDERED
                return
            yield self._put(name, data)

    def _drawn(self, path: str, sha256: str) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each PNG; long cines are never in memory as a whole."""
        found = self._clean.read(path)
        if found is None or hashlib.sha256(found[1]).hexdigest() != sha256:
            raise LookupError("the file there is not the clean file of this run")
        frames = open_frames(read_dicom(found[1]))
        if frames is None:
            return
        for index in range(len(frames)):
            number = f"-{index + 1:04}" if len(frames) > 1 else ""
            data = encode_png(render(frames.decode(index), index), sha256)
            yield f"{path.removesuffix('.dcm')}{number}.png", data

    def _put(self, name: str, data: bytes) -> str:
        """Write a PNG, unless another program's file has its name. May be repeated."""
        while True:
            found = self._pictures.read(name)
            if found is not None and found[1] == data:
                return PICTURES
            if found is not None and not is_ours(found[1]):
                return OCCUPIED
            if self._pictures.write(name, data, found and found[0]):
                return PICTURES
