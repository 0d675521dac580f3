"""`dpdrun evaluate`: score a run again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Split(StrEnum):
    """Parts of a capture."""

    train = "train"
    val = "val"
    test = "test"


class Format(StrEnum):
    """How to print."""

    table = "table"
    json = "json"


COSTS = ("seconds", "steps", "best_step", "samples_per_s")  # what report.json has beside the scores


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    split: Annotated[
        list[Split] | None, typer.Option("--split", help="Parts to score. [default: val, test]", show_default=False)
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.table,
) -> None:
    """Score the model of a RUN on its capture, beside the baselines on the same samples."""
    import json

    from rich.console import Console

    from dpdrun.data.sources import load_capture
    from dpdrun.evaluation import evaluate as score
    from dpdrun.report.console import report_table
    from dpdrun.runlog import encode_numbers
    from dpdrun.training import load_run

    model, plan, folder = load_run(run)
    before = folder.read_json(folder.report) if folder.report.is_file() else {}
    capture = load_capture(plan.recipe.data)
    trained_on = before.get("capture")
    if isinstance(trained_on, dict) and trained_on.get("sha256") != capture.sha256:
        typer.echo(f"warning: {capture.name} has changed since this run was trained on it", err=True)
    parts = list(dict.fromkeys(split)) if split else [Split.val, Split.test]
    report = score(model, plan, capture, [part.value for part in parts])
    if format_ is Format.json:
        typer.echo(json.dumps(encode_numbers(report), indent=2, allow_nan=False))
        return
    Console().print(report_table(report | {key: before.get(key) for key in COSTS}, plan), highlight=False)
