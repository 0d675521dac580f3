"""`dpdrun evaluate`: score a run again, with everything that is to be known of its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dpdrun.commands._options import Split, TableFormat

COSTS = ("processes", "seconds", "steps", "best_step", "samples_per_s", "ilc")  # what report.json has beside the scores


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    split: Annotated[
        list[Split] | None, typer.Option("--split", help="Split to score; repeatable.", show_default="val, test")
    ] = None,
    through: Annotated[
        Path | None,
        typer.Option(
            metavar="PA_RUN",
            help="Score a predistorter through this PA model too: one it was not trained through.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="Output format; json has every convention.")] = (
        TableFormat.table
    ),
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write scores.json, report.html and the figures as PNG files.", show_default=False
        ),
    ] = None,
) -> None:
    """Score the model of a RUN on its capture, against baselines on the same samples.

    NMSE, ACLR, EVM where the capture describes its OFDM symbols, in-band error, AM/AM and AM/PM, each with its
    convention and its 95 % interval; the distance to the noise floor, by several methods with their caveats. Scores of
    a predistorter are simulated through its PA model; --through PA_RUN cross-checks them with another one.
    """
    import json

    from rich.console import Console

    from dpdrun.data.sources import load_capture
    from dpdrun.evaluation.assessment import assess
    from dpdrun.report.scores_panel import evaluation_panel
    from dpdrun.run.files import encode_numbers
    from dpdrun.training.job import load_run

    model, plan, folder = load_run(run)
    before = folder.read_json(folder.report) if folder.report.is_file() else {}
    capture = load_capture(plan.recipe.data)
    trained_on = before.get("capture")
    if isinstance(trained_on, dict) and trained_on.get("sha256") != capture.sha256:
        typer.echo(f"warning: {capture.name} has changed since this run was trained on it", err=True)
    parts: list[Any] = [part.value for part in dict.fromkeys(split)] if split else ["val", "test"]
    judge = None
    if through is not None:
        from dpdrun.evaluation.cross_model import load_reference_pa, require_independent

        judge = load_reference_pa(through, capture)
        require_independent(judge, run, plan)
    found = assess(model, plan, capture, parts)
    report, scenes = found.report, found.scenes
    if judge is not None:
        from dpdrun.evaluation.cross_model import score_with_reference, with_verdict

        report, scenes = with_verdict(found, score_with_reference(model, plan, capture, parts, judge, found))
    costs = {key: before[key] for key in COSTS if key in before}
    if save is not None:
        from dpdrun.report.scores_page import save_evaluation

        written = save_evaluation(save, run, report | costs, scenes)
        typer.echo(f"{len(written)} files in {save}", err=True)
    if format_ is TableFormat.json:
        typer.echo(json.dumps(encode_numbers(report), indent=2, allow_nan=False))
        return
    console = Console()
    console.print(evaluation_panel(report | costs, width=console.width), highlight=False)
