"""Make docs/demo.png, the picture in README, from the page that `beamstop demo` writes: `make picture`.

    python tools/make_demo_picture.py

Takes the first section of the page, at the width of the window, in 64 colours. Needs Chromium.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from beamstop_pipeline.cli import main as beamstop

TARGET = Path(__file__).parents[1] / "docs" / "demo.png"
WIDTH, HEIGHT = 860, 1400  # pixels of the window
COLOURS = 64


def main() -> int:
    """Write the picture; return the exit code."""
    with tempfile.TemporaryDirectory() as place:
        folder, shot = Path(place, "demo"), Path(place, "shot.png")
        if code := beamstop(["demo", str(folder)]):
            return code
        page = folder / "demo.html"
        text = page.read_text(encoding="utf-8")
        first = text.index("</section>") + len("</section>")
        page.write_text(text[:first] + "</main></body></html>", encoding="utf-8")
        _photograph(page, shot)
        with Image.open(shot) as picture:
            _cropped(picture.convert("RGB")).quantize(COLOURS, dither=Image.Dither.NONE).save(
                TARGET, optimize=True
            )
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")
    return 0


def _photograph(page: Path, shot: Path) -> None:
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603  ours


def _cropped(picture: Image.Image) -> Image.Image:
    """Crop the empty background above and below, except 16 pixels."""
    values = np.asarray(picture)
    filled = np.flatnonzero((values != values[0, 0]).any(axis=(1, 2)))
    return picture.crop((0, max(filled[0] - 16, 0), picture.width, filled[-1] + 16))


if __name__ == "__main__":
    sys.exit(main())
