"""The rooms of the core: imports go down, never up (CONTRIBUTING has the picture)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parent.parent / "transforms" / "beamstop"
# From the top floor down; rooms of one floor do not import each other.
FLOORS = (
    ("__init__", "testing"),
    ("kskit", "idiscore", "verify"),
    ("chain",),
    ("steps",),
    ("recipe", "ocr"),
    ("text",),
    ("leaks", "rules"),
    ("words", "faces"),
    ("pixels", "signing"),
    ("audit", "keys", "subjects"),
    ("identity",),
    ("dicom",),
    ("standard",),
    ("changes", "errors", "given_files", "outcome"),
)
HEIGHT = {room: -floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(CORE.rglob("*.py"))
NAMES = {
    ".".join(path.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
}


def room_of(module: str) -> str:
    """Return the room of a module of the core, by its path below `beamstop`."""
    return module.split(".")[0]


def imported(source: str) -> Iterator[str]:
    """Yield the modules of the core that a source imports, without `beamstop.`; for types alone, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "beamstop":
            inside = node.module.removeprefix("beamstop").lstrip(".")
            names = (f"{inside}.{alias.name}".lstrip(".") for alias in node.names)
            yield from {name if name in NAMES else inside for name in names}
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            yield from (name.removeprefix("beamstop.") for name in names if name.startswith("beamstop."))


def wrong_imports(room: str, source: str) -> list[str]:
    """Return the modules that a source in a room must not import."""
    return [
        name for name in imported(source) if room_of(name) != room and HEIGHT[room_of(name)] >= HEIGHT[room]
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_module_imports_only_from_rooms_below_its_own(path: Path) -> None:
    room = path.relative_to(CORE).parts[0].removesuffix(".py")
    assert wrong_imports(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("dicom", "from beamstop.pixels.codestreams import comments"),
        ("text", "import beamstop.recipe.model"),
        ("leaks", "from beamstop.rules.plans import Plan"),
        ("rules", "def later():\n    from beamstop.steps.insert import insert"),
        ("words", "from beamstop import chain"),
    ],
)
def test_an_import_upwards_or_from_the_same_floor_is_seen(room: str, source: str) -> None:
    assert len(wrong_imports(room, source)) == 1


def test_every_module_has_a_room_on_a_floor() -> None:
    assert {path.relative_to(CORE).parts[0].removesuffix(".py") for path in MODULES} == set(HEIGHT)


def test_no_room_of_the_core_is_a_circle() -> None:
    """Within a room, too, no module imports itself by way of others."""
    below = {name: set(imported(path.read_text(encoding="utf-8"))) for name, path in NAMES.items()}

    def reaches(module: str, seen: frozenset[str]) -> bool:
        return any(
            name in seen or reaches(name, seen | {name}) for name in below.get(module, ()) if name in below
        )

    assert [module for module in below if reaches(module, frozenset({module}))] == []
