"""Help that reads like documentation: every command has an example, and the example is accepted."""

import re
import shlex
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import pytest
import typer

from beamstop.recipe.load import recipe_names
from beamstop_pipeline.cli import app, main, with_repeated_inputs

ROOT = typer.main.get_command(app)
_TOP = Path(__file__).resolve().parents[2]
PAGES = [_TOP / "README.md", _TOP / "templates" / "README.md", *sorted((_TOP / "docs").glob("*.md"))]
_EXAMPLE = re.compile(r"^    (beamstop .*(?:\n      .*)*)", re.MULTILINE)


def commands(command: Any = ROOT, *names: str) -> Iterator[tuple[str, Any]]:
    """Yield name and command of all that can be run."""
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(names), command
    for name, each in (below or {}).items():
        yield from commands(each, *names, name)


COMMANDS = dict(commands())


def examples(command: Any) -> list[list[str]]:
    """Return the examples in a command's help as arguments; what the shell does with the output is cut."""
    lines = [shlex.split(found) for found in _EXAMPLE.findall(cleandoc(command.help))]
    return [line[1 : line.index(">") if ">" in line else None] for line in lines]


def parse(command: Any, arguments: list[str]) -> str:
    """Parse arguments as the command line does; return the name of the command that they are for."""
    context = command.make_context("beamstop", arguments)
    below = getattr(command, "commands", None)
    if below is None:
        return ""
    name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    return f"{name} {parse(found, rest)}".strip()


def test_these_are_the_commands() -> None:
    assert sorted(COMMANDS) == [
        "crosswalk",
        "demo",
        "explain",
        "keygen",
        "recipe amend",
        "recipe check",
        "recipe explain",
        "recipe schema",
        "recipe show",
        "report",
        "run",
        "sources",
        "verify",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_it_accepts(name: str) -> None:
    found = [each for each in examples(COMMANDS[name]) if " ".join(each).startswith(name)]
    assert found
    assert {parse(ROOT, with_repeated_inputs(each)) for each in found} == {name}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_says_what_it_is(name: str) -> None:
    assert [it.name for it in COMMANDS[name].params if not getattr(it, "help", "")] == []


def test_the_example_of_a_first_run_is_accepted() -> None:
    assert [parse(ROOT, each) for each in examples(ROOT)] == ["demo", "keygen", "run"]


def test_help_names_every_recipe_that_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "--help"]) == 0
    said = capsys.readouterr().out
    assert [name for name in recipe_names() if name not in said] == []


def shown(page: Path) -> list[str]:
    """Return the commands that a page shows to be typed; synopses have ellipses and brackets."""
    blocks = re.findall(r"^ *```(?:sh|text)\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    typed = [line.partition("  #")[0].strip() for line in lines]
    return [line for line in typed if line.startswith("beamstop ") and not re.search(r"[…\[]", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_is_accepted(page: Path) -> None:
    for line in shown(page):
        assert parse(ROOT, with_repeated_inputs(shlex.split(line)[1:])) in COMMANDS
