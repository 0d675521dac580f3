"""Lines that commands print: `say` and `report.terminal.Terminal` are the only ways to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from dpdrun.errors import printable

if TYPE_CHECKING:
    from dpdrun.rules.engine import Finding


def say(text: str, *, err: bool = False, nl: bool = True, exact: bool = False) -> None:
    """Print text, with control characters of names and values escaped.

    Args:
        text: to print.
        err: to stderr.
        nl: end the line.
        exact: a file's content, which programs read: nothing is escaped where stdout is no terminal.
    """
    typer.echo(text if exact and not sys.stdout.isatty() else printable(text), err=err, nl=nl)


def say_findings(findings: Iterable[Finding]) -> None:
    """Print findings to stderr, a line each."""
    for finding in findings:
        say(finding.as_line(), err=True)
