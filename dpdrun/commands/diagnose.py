"""`dpdrun diagnose`: what is wrong with a training run, and what to change."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated

import typer

from dpdrun.errors import EXIT_FINDINGS


class Format(enum.StrEnum):
    """How to print."""

    rich = "rich"
    json = "json"


class FailOn(enum.StrEnum):
    """The severity from which the exit code is 1."""

    warning = "warning"
    error = "error"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diagnose")(diagnose)


def diagnose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, finished or not.", show_default=False)],
    format_: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.rich,
    fail_on: Annotated[
        FailOn | None, typer.Option(help="Exit 1 from this severity. [default: never]", show_default=False)
    ] = None,
) -> None:
    """What is wrong with a training run, how it was seen, and what to change."""
    from dpdrun.diagnosis import diagnose as diagnose_run

    found = diagnose_run(run)
    if format_ is Format.json:
        from dpdrun.runlog import encode_numbers

        typer.echo(json.dumps(encode_numbers(found.to_json()), indent=2, allow_nan=False))
    else:
        from rich.console import Console

        from dpdrun.report.diagnosis import diagnosis_view

        Console().print(diagnosis_view(found, str(run)), highlight=False)
    if fail_on is not None and found.reaches(fail_on.value):
        raise typer.Exit(EXIT_FINDINGS)
