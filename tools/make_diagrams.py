"""Draws the diagrams of the documentation as SVG.

    python tools/make_diagrams.py

It writes flow.svg, duplicates.svg and key.svg to docs/diagrams. A test draws them again and compares.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "diagrams"
_WIDTH = 760
_LINE = 17  # pixels from one line of text to the next
_COLOURS = {"step": "#e4eef8", "clean": "#e2f3e4", "refused": "#fbe6e2", "plain": "#f4f5f6"}
_STYLE = (
    "text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;font-size:13px;fill:#1a1a1a}"
    ".name{font-weight:600}.small{font-size:12px;fill:#444}"
    "rect{stroke:#5a6b7b}path{stroke:#5a6b7b;stroke-width:1.4;fill:none;marker-end:url(#head)}"
)
_HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" style="fill:#5a6b7b;stroke:none;marker-end:none"/></marker>'
)


class Drawing:
    """Boxes, arrows and text on a white background."""

    def __init__(self, title: str, height: int) -> None:
        self._title, self._height = title, height
        self._parts: list[str] = []

    def text(self, x: float, y: float, line: str, kind: str = "", anchor: str = "start") -> None:
        """Write one line of text with its baseline at `y`."""
        attributes = f' class="{kind}"' if kind else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{attributes}>{escape(line)}</text>'
        )

    def box(self, x: float, y: float, width: float, lines: Sequence[str], kind: str = "step") -> None:
        """Draw a box with centred lines of text, the first one bold."""
        height = _LINE * len(lines) + 13
        size = f'width="{width:g}" height="{height:g}" rx="6"'
        self._parts.append(f'<rect x="{x:g}" y="{y:g}" {size} fill="{_COLOURS[kind]}"/>')
        for number, line in enumerate(lines):
            name = "" if number else "name"
            self.text(x + width / 2, y + 20 + number * _LINE, line, name, "middle")

    def panel(self, x: float, y: float, width: float, height: float, *, dashed: bool = False) -> None:
        """Draw an empty box behind everything drawn before."""
        dashes = ' stroke-dasharray="4 3"' if dashed else ""
        size = f'width="{width:g}" height="{height:g}"'
        self._parts.insert(0, f'<rect x="{x:g}" y="{y:g}" {size} rx="7" fill="{_COLOURS["plain"]}"{dashes}/>')

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draw a line through points, with an arrowhead at the last one."""
        self._parts.append(f'<path d="M{" L".join(f"{x:g} {y:g}" for x, y in points)}"/>')

    def svg(self) -> str:
        """Return the drawing as an SVG document."""
        size = f'width="{_WIDTH}" height="{self._height}" viewBox="0 0 {_WIDTH} {self._height}"'
        ground = f'<rect width="{_WIDTH}" height="{self._height}" style="fill:#fff;stroke:none"/>'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
        title = f"<title>{escape(self._title)}</title>"
        return "\n".join([head, title, f"<style>{_STYLE}</style>", _HEAD, ground, *self._parts, "</svg>", ""])


def flow() -> str:
    """Draw the steps of the job that one source passes."""
    steps = [
        ("Match", "lists the sources: paths only", ""),
        ("Redistribute", "spreads the paths over the workers", ""),
        ("ReadDicom", "reads and parses the file", "failed, or rejected if it is not DICOM"),
        ("Bounce", "asks the recipe's bouncers", "rejected"),
        ("HideText", "finds text in every frame and blanks it", "quarantined if it cannot be searched"),
        ("BounceAgain", "asks those that depend on burned-in text", "rejected"),
        ("ApplyRecipe", "one rule for each element, at every depth", "quarantined if it cannot be read"),
        ("Insert", "records what was done", ""),
        ("CheckLeaks", "searches the finished bytes for identifiers", "quarantined if one is found"),
        ("WriteDicom", "writes the file under its new UIDs", "quarantined or failed"),
        ("ResolveDuplicates", "compares sources with one new UID", "rejected, or quarantined"),
        ("WriteAudit", "writes one row for each source", ""),
    ]
    pitch, top = 43, 14
    drawing = Drawing("The way of one source through the job", top + pitch * len(steps) + 4)
    first, last = 3, 8  # the steps that Deidentify consists of
    side = 182
    for number, (name, what, ends) in enumerate(steps):
        y = top + number * pitch
        drawing.box(16, y, 152, [name], "clean" if number == len(steps) - 1 else "step")
        drawing.text(side, y + 20, what)
        if number:
            drawing.arrow((92, y - pitch + 30), (92, y - 1))
        if ends:
            drawing.text(510, y + 20, "→ " + ends, "small")
    y = top + first * pitch - 6
    height = (last - first) * pitch + 42
    drawing.panel(8, y, 744, height, dashed=True)
    drawing.text(744, top + (last - 1) * pitch + 20, "Deidentify", "name", "end")
    return drawing.svg()


def duplicates() -> str:
    """Draw the rule for several sources with one SOP Instance UID."""
    drawing = Drawing("Which of several sources with one SOP Instance UID is written", 330)
    drawing.box(200, 14, 360, ["Several sources have one SOP Instance UID"], "plain")
    drawing.arrow((380, 44), (380, 70))
    lines = [
        "Are they the same instance?",
        "Same output path, same SOP class, same pixel values",
        "(without pixel data: same clean dataset)",
    ]
    drawing.box(180, 71, 400, lines)
    drawing.arrow((180, 103), (140, 103), (140, 178))
    drawing.text(150, 96, "yes", "small", "end")
    drawing.arrow((580, 103), (620, 103), (620, 178))
    drawing.text(612, 96, "no, or cannot tell", "small")
    drawing.box(20, 179, 240, ["The lowest digest is written", "rejected/duplicate: all others"], "clean")
    drawing.box(500, 179, 240, ["Did an earlier run write one?"])
    drawing.arrow((580, 209), (580, 234), (420, 234), (420, 259))
    drawing.text(508, 229, "yes", "small", "middle")
    drawing.arrow((660, 209), (660, 259))
    drawing.text(668, 238, "no", "small")
    stays = ["Its file stays", "duplicate_conflict: the others"]
    drawing.box(300, 260, 240, stays, "refused")
    drawing.box(560, 260, 180, ["None is written", "duplicate_conflict: all"], "refused")
    return drawing.svg()


def key() -> str:
    """Draw the values that a run derives from its key and from original values."""
    derived = [
        ("PatientID, with its issuer if asked", "pseudonym", "16 letters and digits"),
        ("each UID", "new UID", "2.25.…, references still fit"),
        ("PatientID; the study if there is none", "date shift", "one for all dates of the patient"),
        ("patient, attribute and value", "dummy", "for the action code D"),
        ("path of the source", "source_id", "in the audit, in place of the path"),
        ("every row and record of the audit", "seal (mac)", "shows forged or changed rows"),
    ]
    drawing = Drawing("What a run derives from its key", 86 + 51 * len(derived))
    drawing.text(150, 24, "original value", "small", "middle")
    drawing.text(380, 24, "HMAC-SHA-256 under the key", "small", "middle")
    drawing.text(632, 24, "clean archive and audit", "small", "middle")
    bottom = 40 + 51 * len(derived)
    height = bottom - 48
    drawing.panel(330, 38, 100, height)
    drawing.text(380, 38 + height / 2 - 4, "key", "name", "middle")
    drawing.text(380, 38 + height / 2 + 14, "+ purpose", "small", "middle")
    for number, (source, name, what) in enumerate(derived):
        y = 38 + number * 51
        drawing.box(14, y + 4, 276, [source], "plain")
        drawing.arrow((290, y + 19), (328, y + 19))
        drawing.arrow((430, y + 19), (510, y + 19))
        drawing.box(512, y - 4, 236, [name, what], "clean" if number < 4 else "step")
    drawing.text(
        14, bottom + 12, "Same key and same value: same result, in every run and on every worker.", ""
    )
    drawing.text(14, bottom + 31, "Without the key: no way back, and no way to try candidates.", "")
    return drawing.svg()


DIAGRAMS = {"flow": flow, "duplicates": duplicates, "key": key}


def main() -> None:
    """Write all diagrams."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in DIAGRAMS.items():
        (FOLDER / f"{name}.svg").write_text(draw())


if __name__ == "__main__":
    main()
