"""Lines that commands print: `say` and `report.terminal.Terminal` are the only ways to a terminal."""

from __future__ import annotations

import sys

import typer

from dpdrun.errors import printable


def say(text: str, *, err: bool = False, nl: bool = True, exact: bool = False) -> None:
    """Print text, with control characters of names and values escaped.

    Args:
        text: to print.
        err: to stderr.
        nl: end the line.
        exact: a file's content, which programs read: nothing is escaped where stdout is no terminal.
    """
    typer.echo(text if exact and not sys.stdout.isatty() else printable(text), err=err, nl=nl)
