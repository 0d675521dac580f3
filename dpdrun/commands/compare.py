"""`dpdrun compare`: compare the scores of runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dpdrun.commands._completion import complete_run
from dpdrun.commands._options import (
    DataOption,
    FigureFormat,
    FiguresOption,
    PluginOption,
    Split,
    argument,
    check_output,
    load_plugins,
    option,
    print_json,
)
from dpdrun.commands._output import say

ComparisonFormat = StrEnum("ComparisonFormat", "text json markdown csv")  # how to print
SortKey = StrEnum("SortKey", "nmse in_band aclr evm parameters macs lookahead time steps")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    runs: Annotated[
        list[Path],
        argument(
            metavar="RUN...",
            help="Run folders, or sweep folders (the runs on their Pareto front).",
            autocompletion=complete_run,
        ),
    ],
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
    data: DataOption = None,
    through: Annotated[
        Path | None,
        option(
            metavar="PA_RUN", help="Score all predistorters through this independent PA model (cross-model validation)."
        ),
    ] = None,
    format_: Annotated[ComparisonFormat, typer.Option("--format", help="Output format; json has every score.")] = (
        ComparisonFormat.text
    ),
    save: Annotated[
        Path | None,
        option(
            "-o",
            "--output",
            metavar="DIR",
            help="Write scores.json, report.html, overlaid figures and their curves as CSV here.",
        ),
    ] = None,
    figures: FiguresOption = FigureFormat.png,
    plugin: PluginOption = None,
) -> None:
    """Compare the scores, sizes and training times of runs.

    Scores every run again, with the same code on the same samples; only training time and steps come from report.json.
    Runs whose scores are not comparable (another task or capture, predistorters through another PA model or for another
    target gain) get separate tables.
    """
    load_plugins(plugin)
    from dpdrun.report.comparison import comparison_csv, comparison_markdown, comparison_panel, sorted_rows
    from dpdrun.report.layout import activity
    from dpdrun.report.terminal import Terminal

    check_output(save)
    with activity(Terminal(stderr=True), "compare") as doing:
        doing("loading torch and the runs")
        from dpdrun.evaluation.comparison import compare_runs
        from dpdrun.evaluation.progress import progress_to
        from dpdrun.sweep.folder import runs_of

        with progress_to(doing):
            found = compare_runs(_loaded([run for path in runs for run in runs_of(path)]), split.value, through, data)
    groups = [group.to_json() for group in found]
    for group, each in zip(groups, found, strict=True):
        group["runs"] = sorted_rows(group["runs"], None if sort is None else sort.value)
        for name in each.changed:
            say(f"warning: {each.about['capture']['name']} has changed since {name} was trained", err=True)
    if len(groups) > 1:
        say(f"warning: {_apart(groups)}", err=True)
    if save is not None:
        from dpdrun.report.scores_page import save_comparison

        folders = {row["run"]: Path(row["path"]) for group in groups for row in group["runs"]}
        plots = [each.plot for each in found]
        written = save_comparison(save, groups, plots, folders, suffix=f".{figures.value}")
        say(f"{len(written)} files in {save}", err=True)
    if format_ is ComparisonFormat.json:
        print_json({"groups": groups})
    elif format_ is ComparisonFormat.markdown:
        say(comparison_markdown(groups), nl=False)
    elif format_ is ComparisonFormat.csv:
        say(comparison_csv(groups), nl=False, exact=True)
    else:
        console = Terminal()
        console.print(comparison_panel(groups, width=console.width), highlight=False)


def _loaded(paths: list[Path]) -> list[Any]:
    """Load the runs, each with a unique name.

    One that has no model yet, or whose model is of a plug-in that is missing, is left out with a warning.

    Raises:
        RunError: a path is not a run folder, or no run can be scored.
    """
    from dpdrun.evaluation.comparison import Run
    from dpdrun.recipe.plugins import MissingPluginError
    from dpdrun.run.folder import RunFolder
    from dpdrun.training.job import load_run

    given = {path.resolve(): path for path in reversed(paths)}
    opened = {path.resolve(): RunFolder.open(path) for path in paths}
    unique = [path for path, run in opened.items() if run.weights is not None]
    for path, run in opened.items():
        if not unique:
            load_run(given[path])  # raises what is wrong with it
        if not run.report.is_file():
            what = "scored with its best weights so far" if run.weights else "left out, because it has no model yet"
            say(f"warning: {given[path]}: this run is unfinished; {what}", err=True)
    names = [path.name for path in unique]
    found = []
    absent: list[MissingPluginError] = []
    for path in unique:
        try:
            model, plan, folder = load_run(given[path])
        except MissingPluginError as error:
            absent.append(error)
            continue
        found.append(Run(path.name if names.count(path.name) == 1 else str(given[path]), folder, model, plan))
    if not found:
        raise absent[0]
    for each in absent:
        say(f"warning: left out: {each}", err=True)
    return found


def _apart(groups: list[dict[str, object]]) -> str:
    """Explain why there is more than one table."""
    text = f"the scores of these runs are not all comparable: {len(groups)} separate tables"
    tasks = {group["task"] for group in groups}
    if tasks == {"dpd"}:
        text += ". --through PA_RUN scores predistorters of one capture and target gain through the same PA model"
    return text
