"""`dpdrun compare`: compare the scores of runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dpdrun.commands._options import Split


class ComparisonFormat(StrEnum):
    """How to print."""

    table = "table"
    json = "json"
    markdown = "markdown"
    csv = "csv"


class SortKey(StrEnum):
    """What to sort by; lower first."""

    nmse = "nmse"
    in_band = "in_band"
    aclr = "aclr"
    evm = "evm"
    parameters = "parameters"
    macs = "macs"
    lookahead = "lookahead"
    time = "time"
    steps = "steps"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)],
    split: Annotated[
        Split, typer.Option("--split", help="Split to score: select runs by val, report them by test.")
    ] = Split.test,
    sort: Annotated[
        SortKey | None,
        typer.Option(
            "--sort",
            metavar="COLUMN",
            help=f"Sort by {', '.join(SortKey)}; lowest first.",
            show_default="order of RUN...",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="PATH", help="New location of the capture, if it has moved.", show_default=False
        ),
    ] = None,
    through: Annotated[
        Path | None,
        typer.Option(
            metavar="PA_RUN",
            help="Score all predistorters through this independent PA model (cross-model validation).",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[ComparisonFormat, typer.Option("--format", help="Output format; json has every score.")] = (
        ComparisonFormat.table
    ),
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write scores.json, report.html and overlaid PNG figures here.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare the scores, sizes and training times of runs.

    Scores every run again, with the same code on the same samples; only training time and steps come from report.json.
    Runs whose scores are not comparable (another task or capture, predistorters through another PA model or for another
    target gain) get separate tables.
    """
    import json

    from rich.console import Console

    from dpdrun.evaluation.comparison import compare_runs
    from dpdrun.report.comparison import comparison_csv, comparison_markdown, comparison_panel, sorted_rows
    from dpdrun.run.files import encode_numbers

    found = compare_runs(_loaded(runs), split.value, through, data)
    groups = [group.to_json() for group in found]
    for group, each in zip(groups, found, strict=True):
        group["runs"] = sorted_rows(group["runs"], None if sort is None else sort.value)
        for name in each.changed:
            typer.echo(f"warning: {each.about['capture']['name']} has changed since {name} was trained", err=True)
    if len(groups) > 1:
        typer.echo(f"warning: {_apart(groups)}", err=True)
    content = {"groups": groups}
    if save is not None:
        from dpdrun.report.scores_page import save_comparison

        folders = {row["run"]: Path(row["path"]) for group in groups for row in group["runs"]}
        written = save_comparison(save, groups, [each.plot for each in found], folders)
        typer.echo(f"{len(written)} files in {save}", err=True)
    if format_ is ComparisonFormat.json:
        typer.echo(json.dumps(encode_numbers(content), indent=2, allow_nan=False))
    elif format_ is ComparisonFormat.markdown:
        typer.echo(comparison_markdown(groups), nl=False)
    elif format_ is ComparisonFormat.csv:
        typer.echo(comparison_csv(groups), nl=False)
    else:
        console = Console()
        console.print(comparison_panel(groups, width=console.width), highlight=False)


def _loaded(paths: list[Path]) -> list[Any]:
    """Load the runs, each with a unique name."""
    from dpdrun.evaluation.comparison import Run
    from dpdrun.training.job import load_run

    unique = list(dict.fromkeys(path.resolve() for path in paths))
    given = {path.resolve(): path for path in reversed(paths)}
    names = [path.name for path in unique]
    found = []
    for path in unique:
        model, plan, folder = load_run(given[path])
        found.append(Run(path.name if names.count(path.name) == 1 else str(given[path]), folder, model, plan))
    return found


def _apart(groups: list[dict[str, object]]) -> str:
    """Explain why there is more than one table."""
    text = f"the scores of these runs are not all comparable: {len(groups)} separate tables"
    tasks = {group["task"] for group in groups}
    if tasks == {"dpd"}:
        text += ". --through PA_RUN scores predistorters of one capture and target gain through the same PA model"
    return text
