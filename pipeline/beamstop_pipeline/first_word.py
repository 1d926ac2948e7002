"""The first word of a command, while it imports what it needs."""

import sys

import typer


def say_first(sentence: str) -> None:
    """Say on a terminal what a command is doing; its imports take a second."""
    if sys.stderr.isatty():
        typer.echo(f"{sentence} …", err=True)
