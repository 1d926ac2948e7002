"""Words we do not use, links that lead somewhere, and figures that README repeats."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scripts import loaded

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

# A phrase that makes readers stop → what to say in its place. Add one when it comes back a second time.
BANNED = {
    r"for who": "for whoever, for somebody who",
    r"but for": "except",
    r"for want of": "for lack of",
    r"(?:is|are|was|were) told": "is reported, learns",
    r"one's own": "your own, custom, given",
    r"by (?:the|its) square|by the square of": "in quadratic time",
    r"(?:its|their) like": "and the like, and others",
    r"in wrong hands": "stolen, in the wrong hands",
    r"see to it": "make sure",
    r"without a word": "silently",
    r"lets? go of|letting go of": "remove, release, end",
    r"made anew": "rebuilt, written again",
    r"done again": "processed again",
    r"(?:to be|can be|cannot be) had": "available, can be read",
    r"who (?:holds|asks)": "whoever has, this run",
    r"loss of power": "power failure",
    r"nobody vouches for|vouched for": "known to be harmless; unknown words",
    r"do[eo]rm[ae]n": "bouncer",
    r"packed texts?": "embedded text",
    r"text finders?": "text detector",
    r"anonymi[sz](?:e|es|ed|ing|ation)": "de-identify",
}
# The regulation's own word, and the glossary, which lists what we do not say.
EXCEPTIONS = {("docs/law.md", "anonymised"), ("CONTRIBUTING.md", "anonymise"), ("CONTRIBUTING.md", "doorman")}

PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("changelog.d/*.md"), *DOCS.rglob("*.md")]
    if path.parent != DOCS / "reference"
)
CODE = sorted(
    path for room in ("transforms", "pipeline", "tools", "templates") for path in (ROOT / room).rglob("*.py")
)
HTML = sorted((ROOT / "pipeline").rglob("*.html"))


def prose_of(path: Path) -> str:
    """Return what people read of a file: its text without code and addresses, or comments and strings."""
    text = path.read_text()
    if path.suffix != ".py":
        text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        return re.sub(r"`[^`\n]*`|\]\([^)]*\)|https?://\S+", " ", text)
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(token.string for token in tokens if token.type in kinds)


@pytest.mark.parametrize("phrase", BANNED)
def test_nobody_has_to_read_it_twice(phrase: str) -> None:
    spaced = phrase.replace(" ", r"\s+(?:#\s+)?")
    pattern = re.compile(rf"\b(?:{spaced})\b", re.IGNORECASE)
    found = {
        (str(path.relative_to(ROOT)), " ".join(match[0].split()))
        for path in [*PAGES, *CODE, *HTML]
        for match in pattern.finditer(prose_of(path))
    }
    assert sorted(found - EXCEPTIONS) == [], f"say: {BANNED[phrase]}"


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield file and anchor of every link to a file of ours; the reference is made when docs are built."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if ":" not in target and file.parent != DOCS / "reference":
            yield file, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = [
        f"{file.name}#{anchor}"
        for file, anchor in links(page)
        if not file.exists() or (anchor and anchor not in headings(file))
    ]
    assert lost == []


def test_readme_has_fewer_than_900_words() -> None:
    assert len((ROOT / "README.md").read_text().split()) < 900


def table_rows(text: str) -> Iterator[dict[str, str]]:
    """Yield the rows of the first table whose first column has no name, by name of column."""
    lines = iter(text.partition("\n| | ")[2].splitlines())
    names = ["", *(cell.strip() for cell in next(lines).strip("| ").split("|"))]
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield dict(zip(names, (cell.strip() for cell in line.strip("| ").split("|")), strict=True))


def test_readme_has_the_three_best_rows_of_the_league() -> None:
    rows = table_rows((DOCS / "league.md").read_text())
    best = sorted(rows, key=lambda row: -float(row["all actions right, %"]))[:3]
    shown = list(table_rows((ROOT / "README.md").read_text()))
    assert shown == [{name: row[name] for name in shown[0]} for row in best]


def test_diagrams_are_drawn_by_their_code() -> None:
    tool = loaded("tools/make_diagrams.py", "make_diagrams")
    drawn = {f"{name}.svg": draw() for name, draw in tool.DIAGRAMS.items()}
    assert drawn == {path.name: path.read_text() for path in (DOCS / "diagrams").iterdir()}


def test_every_change_is_of_a_kind_that_the_changelog_has() -> None:
    fragments = {path.name for path in (ROOT / "changelog.d").iterdir()} - {"README.md", "template.md.jinja"}
    form = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.(?:added|changed|fixed|security)\.md")
    assert [name for name in sorted(fragments) if not form.fullmatch(name)] == []
    assert [name for name in sorted(fragments) if not (ROOT / "changelog.d" / name).read_text().strip()] == []
