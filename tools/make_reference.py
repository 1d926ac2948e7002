"""Write the reference pages of the documentation from the code; `docs/conf.py` calls it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

import beamstop.idiscore
import beamstop.kskit
import beamstop_transforms
from beamstop.recipe.load import recipe_schema
from beamstop_pipeline.cli import app


def write_pages(folder: Path) -> None:
    """Write the pages on command line, recipe schema, core, kskit, idiscore and transforms to a folder."""
    folder.mkdir(exist_ok=True)
    pages = {
        "cli": command_line(),
        "recipe-schema": schema(recipe_schema()),
        "core": api(beamstop, "One dataset in, one dataset out; nothing here imports Beam."),
        "kskit": api(beamstop.kskit, "kskit's functions under their own names."),
        "idiscore": api(beamstop.idiscore, "idiscore's classes under their own names."),
        "transforms": api(beamstop_transforms, "One PTransform per verb, for pipelines of your own."),
    }
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)


def command_line() -> str:
    """Return the help of every command as Markdown."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="beamstop")
    return str(get_docs_for_click(obj=command, ctx=context, name="beamstop", title="Command line"))


def schema(document: dict[str, Any]) -> str:
    """Return Markdown with a table of the recipe's fields and the JSON schema."""
    lines = [
        "# Recipe schema",
        "",
        "`beamstop recipe schema` prints it; editors can check recipes by it.",
        "",
    ]
    for title, about in {"Recipe": document, **document.get("$defs", {})}.items():
        if "properties" not in about:
            continue
        lines += [f"## {title}", "", "| field | what it takes | without it |", "|---|---|---|"]
        lines += [f"| `{name}` | {kind(it)} | {default(it)} |" for name, it in about["properties"].items()]
        lines.append("")
    return "\n".join([*lines, "## JSON schema", "", "```json", json.dumps(document, indent=2), "```", ""])


def kind(about: dict[str, Any]) -> str:
    """Return the types and the description of a field, for a cell of a table."""
    words = " or ".join(dict.fromkeys(_kinds(about)))
    description = about.get("description", "").replace("\n", " ")
    return f"{words}: {description}" if description else words


def _kinds(about: dict[str, Any]) -> Iterator[str]:
    if "$ref" in about:
        yield about["$ref"].rpartition("/")[2]
    elif "enum" in about or "const" in about:
        yield ", ".join(f"`{value}`" for value in about.get("enum", [about.get("const")]))
    elif "anyOf" in about:
        for option in about["anyOf"]:
            yield from _kinds(option)
    elif about.get("type") == "array" and "items" in about:
        yield f"list of {' or '.join(_kinds(about['items']))}"
    else:
        yield str(about.get("type", "anything"))


def default(about: dict[str, Any]) -> str:
    """Return the default of a field, for a cell of a table."""
    return f"`{json.dumps(about['default'])}`" if about.get("default") not in (None, [], {}) else "–"


def api(package: Any, about: str) -> str:
    """Return Markdown with a directive for every public name of a package; Sphinx adds the docstrings."""
    lines = [
        f"# {package.__name__}",
        "",
        about,
        "",
        "```{eval-rst}",
        f".. currentmodule:: {package.__name__}",
        "",
    ]
    for name in sorted(package.__all__):
        public = getattr(package, name)
        directive = (
            "autoclass" if isinstance(public, type) else "autofunction" if callable(public) else "autodata"
        )
        lines.append(f".. {directive}:: {name}")
        lines += ["   :no-index:"] if package is not beamstop and name in beamstop.__all__ else []
        lines += ["   :members:", ""] if directive == "autoclass" else [""]
    return "\n".join([*lines, "```", ""])
