"""`dpdrun evaluate`: score a run again."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Split(str, Enum):
    """Parts of a capture."""

    train = "train"
    val = "val"
    test = "test"


class Format(str, Enum):
    """How to print."""

    table = "table"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    split: Annotated[
        list[Split] | None, typer.Option("--split", help="Parts to score. [default: val, test]", show_default=False)
    ] = None,
    fmt: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.table,
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
    capture = load_capture(plan.recipe.data)
    report = score(model, plan, capture, [s.value for s in split] if split else ("val", "test"))
    if fmt is Format.json:
        typer.echo(json.dumps(encode_numbers(report), indent=2))
        return
    cost = folder.read_json(folder.report) if folder.report.is_file() else {}
    known = {key: cost.get(key) for key in ("seconds", "samples_per_s")}
    Console().print(report_table(report | known))
