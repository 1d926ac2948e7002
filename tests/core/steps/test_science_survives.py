"""What dcm2niix makes of phantoms is the same before and after `research`: diffusion, slice timing, scale."""

import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import MRImageStorage

import beamstop
from beamstop.testing import as_bytes, load_no_text_detector, make_instance

KEY = b"k" * 32
RESEARCH = beamstop.load_recipe("research")
SIDE = 16
COMPARED = (
    "SliceTiming",
    "PhaseEncodingDirection",
    "PhaseEncodingAxis",
    "EffectiveEchoSpacing",
    "TotalReadoutTime",
    "BandwidthPerPixelPhaseEncode",
    "ParallelReductionFactorInPlane",
    "MultibandAccelerationFactor",
    "PhilipsRescaleSlope",
    "PhilipsRescaleIntercept",
    "PhilipsScaleSlope",
    "ReceiveCoilName",
    "CoilString",
    "DwellTime",
    "PulseSequenceName",
    "InternalPulseSequenceName",
    "RepetitionTime",
    "EchoTime",
)


def _slice(volume: int, position: int, slices: int, maker: str, **more: Any) -> FileDataset:
    rng = np.random.default_rng(volume * 100 + position)
    dataset = make_instance(
        Rows=SIDE,
        Columns=SIDE,
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=0,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        SOPClassUID=MRImageStorage,
        Modality="MR",
        Manufacturer=maker,
        ManufacturerModelName="Phantom",
        PatientName="Quessenbrand^Hildburga",
        PatientID="5503177",
        StudyDate="20210906",
        StudyTime="091640",
        AcquisitionDate="20210906",
        AcquisitionTime=f"0916{40 + volume:02}",
        ContentTime=f"0916{40 + volume:02}",
        StudyInstanceUID="1.2.826.0.1.3680043.10.511.7",
        SeriesInstanceUID="1.2.826.0.1.3680043.10.511.7.1",
        SOPInstanceUID=f"1.2.826.0.1.3680043.10.511.7.1.{volume * slices + position + 1}",
        SeriesNumber=4,
        InstanceNumber=volume * slices + position + 1,
        AcquisitionNumber=volume + 1,
        SeriesDescription="ep2d_diff",
        ProtocolName="ep2d_diff",
        ImageType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"],
        MRAcquisitionType="2D",
        ScanningSequence="EP",
        SequenceVariant="NONE",
        SequenceName="ep_b1000",
        MagneticFieldStrength=3,
        RepetitionTime=3000,
        EchoTime=80,
        FlipAngle=90,
        SliceThickness=4,
        SpacingBetweenSlices=4,
        PixelSpacing=[2, 2],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        ImagePositionPatient=[-16, -16, 4 * position],
        PatientPosition="HFS",
        InPlanePhaseEncodingDirection="COL",
        AcquisitionMatrix=[SIDE, 0, 0, SIDE],
        PercentPhaseFieldOfView=100,
        NumberOfPhaseEncodingSteps=SIDE,
        EchoTrainLength=1,
        PixelBandwidth=1500,
        RescaleSlope=1,
        RescaleIntercept=0,
    )
    dataset.add_new(0x7FE00010, "OW", rng.integers(0, 900, (SIDE, SIDE), dtype=np.uint16).tobytes())
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return dataset


def _add(dataset: FileDataset, creator: str, group: int, **elements: tuple[str, Any]) -> None:
    block = dataset.private_block(group, creator, create=True)
    for number, (vr, value) in elements.items():
        block.add_new(int(number.lstrip("e"), 16), vr, value)


DIRECTIONS = (
    (0, (0.0, 0.0, 0.0)),
    (1000, (1.0, 0.0, 0.0)),
    (1000, (0.0, 0.6, 0.8)),
    (1000, (0.7071, 0.0, -0.7071)),
)


def ge() -> Iterator[FileDataset]:
    for volume, (b, direction) in enumerate(DIRECTIONS):
        for position in range(4):
            dataset = _slice(volume, position, 4, "GE MEDICAL SYSTEMS", ScanOptions="EPI_GEMS\\PFF")
            dataset.TriggerTime = 750.0 * (position % 2) + 10 * position
            x, y, z = (f"{value:.4f}" for value in direction)
            _add(
                dataset,
                "GEMS_ACQU_01",
                0x0019,
                eBB=("DS", x),
                eBC=("DS", y),
                eBD=("DS", z),
                eE0=("DS", "3"),
                eDF=("DS", "1"),
            )
            _add(dataset, "GEMS_ACQU_01", 0x0019, e9C=("LO", "epi2"), e9E=("LO", "EPI2"), e5A=("FL", 12e6))
            _add(dataset, "GEMS_RELA_01", 0x0021, e4F=("SS", 4), e5E=("DS", str(10 * position)))
            _add(
                dataset,
                "GEMS_PARM_01",
                0x0043,
                e39=("IS", [b, 8, 0, 0]),
                e30=("SS", 16 if b else 14),
                e2C=("SS", 520),
            )
            _add(dataset, "GEMS_PARM_01", 0x0043, e83=("DS", ["0.5", "1"]), e2F=("SS", 0))
            yield dataset


def siemens_elements() -> Iterator[FileDataset]:
    for dataset, values in _siemens_mosaics():
        block = {
            f"e{number:02X}": (vr, value)
            for (group, number), (vr, value, _, _) in values.items()
            if group == 0x19
        }
        _add(dataset, "SIEMENS MR HEADER", 0x0019, **block)
        _add(
            dataset, "SIEMENS MR HEADER", 0x0051, e0B=("SH", "16*16"), e11=("LO", "p2"), e0F=("LO", "HEA;HEP")
        )
        _add(dataset, "SIEMENS MR SDI 02", 0x0021, e1C=("IS", 1))
        yield dataset


def siemens_csa() -> Iterator[FileDataset]:
    for dataset, values in _siemens_mosaics():
        named = {name: (vr, texts) for vr, _, name, texts in values.values()}
        named["PatientName"] = ("LO", ["Quessenbrand^Hildburga"])
        _add(dataset, "SIEMENS CSA HEADER", 0x0029, e10=("OB", _csa(named)), e08=("CS", "IMAGE NUM 4"))
        yield dataset


def _siemens_mosaics() -> Iterator[tuple[FileDataset, dict[Any, Any]]]:
    times = [0.0, 52.5, 105.0, 157.5]
    for volume, (b, direction) in enumerate(DIRECTIONS):
        dataset = _slice(volume, 0, 1, "SIEMENS")
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND", "MOSAIC"]
        rng = np.random.default_rng(volume)
        dataset.Rows = dataset.Columns = 2 * SIDE
        dataset["PixelData"].value = rng.integers(0, 900, (2 * SIDE, 2 * SIDE), dtype=np.uint16).tobytes()
        matrix = [
            b * direction[i] * direction[j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        ]
        values = {
            (0x19, 0x0A): ("US", 4, "NumberOfImagesInMosaic", ["4"]),
            (0x19, 0x0C): ("IS", b, "B_value", [str(b)]),
            (0x19, 0x0D): (
                "CS",
                "DIRECTIONAL" if b else "NONE",
                "DiffusionDirectionality",
                ["DIRECTIONAL" if b else "NONE"],
            ),
            (0x19, 0x28): ("FD", 62.5, "BandwidthPerPixelPhaseEncode", ["62.50000000"]),
            (0x19, 0x29): ("FD", times, "MosaicRefAcqTimes", [f"{time:.8f}" for time in times]),
            (0x21, 0x1C): ("IS", 1, "PhaseEncodingDirectionPositive", ["1"]),
        }
        if b:
            values[0x19, 0x0E] = (
                "FD",
                list(direction),
                "DiffusionGradientDirection",
                [f"{value:.8f}" for value in direction],
            )
            values[0x19, 0x27] = ("FD", matrix, "B_matrix", [f"{value:.8f}" for value in matrix])
        yield dataset, values


def _csa(values: dict[str, tuple[str, list[str]]]) -> bytes:
    parts = [b"SV10\4\3\2\1", struct.pack("<II", len(values), 77)]
    for name, (vr, texts) in values.items():
        parts.append(
            struct.pack("<64si4siii", name.encode(), len(texts), vr.encode(), 0, max(6, len(texts)), 77)
        )
        for text in texts + [""] * (max(6, len(texts)) - len(texts)):
            item = text.encode() + b"\0" if text else b""
            parts.append(struct.pack("<4i", len(item), len(item), 77, len(item)))
            parts.append(item + b"\0" * (-len(item) % 4))
    return b"".join(parts)


def philips() -> Iterator[FileDataset]:
    for volume, (b, direction) in enumerate(DIRECTIONS):
        for position in range(4):
            dataset = _slice(volume, position, 4, "Philips Medical Systems")
            dataset.RescaleSlope, dataset.RescaleIntercept = 1.5, 0
            _add(
                dataset,
                "Philips Imaging DD 001",
                0x2001,
                e03=("FL", float(b)),
                e18=("SL", 4),
                e0A=("IS", position + 1),
            )
            _add(dataset, "Philips Imaging DD 001", 0x2001, e13=("SL", 13), e22=("FL", 12.5), e08=("IS", 1))
            x, y, z = direction
            _add(
                dataset,
                "Philips MR Imaging DD 001",
                0x2005,
                eB0=("FL", x),
                eB1=("FL", y),
                eB2=("FL", z),
                e0E=("FL", 0.004),
            )
            _add(dataset, "Philips MR Imaging DD 001", 0x2005, eA0=("FL", 3.0 * volume), e6F=("CS", "MS"))
            _add(
                dataset,
                "Philips MR Imaging DD 005",
                0x2005,
                e12=("IS", 2 if b else 1),
                e13=("IS", volume + 1),
            )
            yield dataset


def _run(folder: Path, instances: list[bytes]) -> dict[str, Any]:
    dcm2niix = pytest.importorskip("dcm2niix", reason="dcm2niix is not installed: pip install beamstop[dev]")
    (folder / "in").mkdir(parents=True)
    (folder / "out").mkdir()
    for number, data in enumerate(instances):
        (folder / "in" / f"{number:03}.dcm").write_bytes(data)
    command = [
        dcm2niix.bin,
        "-b",
        "y",
        "-ba",
        "n",
        "-z",
        "n",
        "-f",
        "image",
        "-o",
        folder / "out",
        folder / "in",
    ]
    subprocess.run(command, check=True, capture_output=True)
    said: dict[str, Any] = {}
    for path in sorted((folder / "out").iterdir()):
        if path.suffix in {".bval", ".bvec"}:
            said[path.suffix] = path.read_text()
        elif path.suffix == ".json":
            document = json.loads(path.read_text())
            said.update({name: document[name] for name in COMPARED if name in document})
        elif path.suffix == ".nii":
            data = path.read_bytes()
            said["size"], said["scale"] = (
                struct.unpack_from("<8h", data, 40),
                struct.unpack_from("<2f", data, 112),
            )
            said["voxels"] = data[352:]
    return said


@pytest.mark.parametrize(
    ("phantom", "must_say"),
    [
        (ge, {".bval", ".bvec", "EffectiveEchoSpacing"}),
        (
            siemens_elements,
            {".bval", ".bvec", "SliceTiming", "PhaseEncodingDirection", "EffectiveEchoSpacing"},
        ),
        (siemens_csa, {".bval", ".bvec", "SliceTiming", "PhaseEncodingDirection", "EffectiveEchoSpacing"}),
        (philips, {".bval", ".bvec", "PhilipsRescaleSlope", "PhilipsScaleSlope"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_dcm2niix_says_the_same_of_diffusion_timing_and_scale(
    phantom: Any, must_say: set[str], tmp_path: Path
) -> None:
    before = [as_bytes(dataset) for dataset in phantom()]
    after = [beamstop.deidentify_bytes(data, RESEARCH, KEY, load_no_text_detector) for data in before]
    assert not any(b"Quessenbrand" in data for data in after)
    said = _run(tmp_path / "before", before)
    assert must_say <= set(said)
    assert _run(tmp_path / "after", after) == said
