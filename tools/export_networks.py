"""Export the text detector's networks for a wheel: `make networks`.

    python tools/export_networks.py [FOLDER]     writes build/networks

This is the only step that needs torch and EasyOCR. The same versions of these and of OpenVINO write the same
bytes on every machine. The files must have the SHA-256 digests in transforms/beamstop/data/networks.json;
otherwise none is kept.
"""

import json
import os
import shutil
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from beamstop.ocr.networks import export
from beamstop.ocr.weights import DIGESTS, checked, export_digests, installed

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Export all networks, compare their digests, replace the folder; return the exit code."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "networks"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        made = Path(place, "networks")
        made.mkdir()
        found = {name: _export(name, made) for name in DIGESTS}
        if found != export_digests():
            print(
                "the exports differ from those that are pinned; install the versions of requirements/ (make "
                "setup), or, where the new ones are meant, put this into "
                "transforms/beamstop/data/networks.json:\n" + json.dumps(found, indent=2),
                file=sys.stderr,
            )
            return 1
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)
    sizes = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(found)} networks, {sizes / 1e6:.0f} MB")
    return 0


def _export(name: str, folder: Path) -> dict[str, str]:
    """Export the network of one weights file to a folder; return suffix → SHA-256 of its two files."""
    weights = installed(name)
    if weights is None:
        raise SystemExit(f"{name} is not installed: make setup")
    checked(weights)
    made = folder / f"{name}.xml"
    export(weights, made)
    return {it: sha256(made.with_suffix(it).read_bytes()).hexdigest() for it in (".xml", ".bin")}


if __name__ == "__main__":
    sys.exit(main())
