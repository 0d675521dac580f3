"""`dpdrun diagnose`: what is wrong with a training run, and what to change."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.errors import EXIT_FINDINGS, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from dpdrun.diagnosis.diagnose import Diagnosis


class Format(enum.StrEnum):
    """How to print."""

    rich = "rich"
    json = "json"
    markdown = "markdown"
    html = "html"
    sarif = "sarif"


class FailOn(enum.StrEnum):
    """The severity from which the exit code is 1."""

    warning = "warning"
    error = "error"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diagnose")(diagnose)


def diagnose(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Run folder, finished or not, or somebody else's log.", show_default=False),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="KEY=COLUMN,...",
            help="What the columns of a log mean: step, loss, grad_norm, lr, ...; a number stands for itself.",
            show_default=False,
        ),
    ] = None,
    prediction: Annotated[
        Path | None,
        typer.Option(help="Instead of a RUN: a prediction (CSV I,Q, npz, npy) ...", show_default=False),
    ] = None,
    target: Annotated[Path | None, typer.Option(help="... what it should be ...", show_default=False)] = None,
    input_: Annotated[
        Path | None, typer.Option("--input", help="... and the input of the model.", show_default=False)
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="How to print. [default: by the suffix of -o, else rich]", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to a file.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the charts: .png, .svg or .pdf.", show_default=False),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Look again every few seconds until the run ends, or Ctrl-C.")
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Write the run's recipe with the advice in it.")] = False,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Train it and the old one from the same seeds: keep it if it is better.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds --rerun compares.")] = 2,
    fail_on: Annotated[
        FailOn | None, typer.Option(help="Exit 1 from this severity. [default: never]", show_default=False)
    ] = None,
) -> None:
    """What is wrong with a training run, how it was seen, and what to change."""
    from dpdrun.commands._diagnosis_output import show
    from dpdrun.commands._signal import diagnose_run_or_files

    def look() -> tuple[Diagnosis, str]:
        return diagnose_run_or_files(run, maps or (), prediction, target, input_)

    interrupted = False
    if follow:
        from dpdrun.commands._follow import followed

        found, title, interrupted = followed(run, look)
    else:
        found, title = look()
    show(found, title, run or prediction, format_, output, plot)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if fix or rerun:
        from dpdrun.commands._repair import repair

        repair(run, seeds if rerun else None)
    if fail_on is not None and found.reaches(fail_on.value):
        raise typer.Exit(EXIT_FINDINGS)
