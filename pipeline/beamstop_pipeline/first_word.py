"""A sign of life from a command before its slow imports."""

import sys

import typer


def say_first(sentence: str) -> None:
    """Print what a command is about to do, if stderr is a terminal; imports then take a second."""
    if sys.stderr.isatty():
        typer.echo(f"{sentence} …", err=True)
