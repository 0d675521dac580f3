"""`dpdrun runs`: the runs of a folder with their settings and scores; show one, remove some."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dpdrun.commands._completion import complete_run
from dpdrun.commands._options import FormatOption, PluginOption, TextFormat, argument, load_plugins, print_json
from dpdrun.commands._output import say
from dpdrun.errors import RunError

SortKey = StrEnum("SortKey", "started val test parameters time")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="List runs with their settings and scores; show or remove them.")
    group.command("list")(list_runs)
    group.command("show")(show)
    group.command("remove")(remove)
    app.add_typer(group, name="runs")


def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of runs.")] = Path("runs"),
    sort: Annotated[SortKey, typer.Option(help="Sort by start, latest first, or by a score or cost, lowest first.")] = (
        SortKey.started
    ),
    format_: FormatOption = TextFormat.text,
    plugin: PluginOption = None,
) -> None:
    """List the runs in a folder, and those of its pipelines, with their settings and scores."""
    load_plugins(plugin)
    from dpdrun.run.folder import runs_in
    from dpdrun.run.listing import score_or_cost, summary_of

    paths = runs_in(folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; `dpdrun train` makes runs in the folder runs/")
    found = [summary_of(path) for path in paths]
    if sort is not SortKey.started:
        values = {run.path: score_or_cost(run, sort.value) for run in found}
        found.sort(key=lambda run: (values[run.path] is None, values[run.path] or 0.0))
    if format_ is TextFormat.json:
        print_json({"runs": [run.to_json() for run in found]})
        return
    if not found:
        say(f"{folder}: no runs in this folder")
        return
    from dpdrun.report.runs import runs_table
    from dpdrun.report.terminal import Terminal

    console = Terminal(highlight=False)
    console.print(runs_table(found, folder, width=console.width))


def show(
    run: Annotated[Path, argument(metavar="RUN", help="A run folder.", autocompletion=complete_run)],
    format_: FormatOption = TextFormat.text,
    plugin: PluginOption = None,
) -> None:
    """Show one run: its state, settings, scores and cost, as they were recorded."""
    load_plugins(plugin)
    from dpdrun.run.folder import RunFolder
    from dpdrun.run.listing import summary_of

    folder = RunFolder.open(run)
    summary = summary_of(run)
    if format_ is TextFormat.json:
        report = folder.read_json(folder.report) if folder.report.is_file() else None
        print_json({"run": summary.to_json(), "report": report})
        return
    if summary.settings is None:
        raise RunError(summary.note)
    from dpdrun.plan.recorded import plan_of
    from dpdrun.report.run_report import report_table
    from dpdrun.report.runs import run_view
    from dpdrun.report.terminal import Terminal

    console, plan = Terminal(highlight=False), plan_of(folder, only_to_show=True)
    console.print(run_view(summary, plan, folder))
    if folder.report.is_file():
        console.print(report_table(folder.read_json(folder.report), plan))


def remove(
    runs: Annotated[list[Path], argument(metavar="RUN...", help="Run folders.", autocompletion=complete_run)],
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> None:
    """Remove run folders, after asking. Refuses folders that are not runs, and runs that are still training.

    A PA model that predistorters were trained through goes only with them, or after asking: not with --yes alone.
    Files that dpdrun did not write, and exported models, are kept.
    """
    from dpdrun.run.folder import runs_in
    from dpdrun.run.listing import needed_by, removable, size_of

    folders = [removable(path) for path in {path.resolve(): path for path in runs}.values()]
    gone = {folder.path.resolve() for folder in folders}
    for folder in folders:
        others = [each for each in runs_in(folder.path.parent) if each.resolve() not in gone]
        for other in needed_by(folder, others):
            needed = f"{other} was trained through {folder.path} and needs it"
            if yes:
                raise RunError(f"{needed}; nothing was removed: name both, or leave out --yes to be asked")
            say(f"warning: {needed}", err=True)
    if not yes:
        for folder in folders:
            say(f"{folder.path}  {size_of(folder.path) / 1e6:,.1f} MB")
        if not sys.stdin.isatty():
            raise RunError("nothing was removed: there is no terminal to ask on; --yes removes without asking")
        typer.confirm(f"Remove {len(folders)} run{'s' * (len(folders) > 1)}?", abort=True)
    for folder in folders:
        left = folder.remove()
        kept = f"; kept in it: {', '.join(left)}" if left else ""
        say(f"{folder.path}: removed{kept}")
