"""`dpdrun sweep`: train many runs from one recipe, and compare them with the rules."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dpdrun.commands._completion import complete_override, complete_recipe
from dpdrun.commands._options import (
    ForceOption,
    FormatOption,
    OutputOption,
    PluginOption,
    SetOption,
    TextFormat,
    argument,
    load_plugins,
    option,
    print_json,
    write_recipe,
)
from dpdrun.commands._output import say
from dpdrun.errors import EXIT_INTERRUPTED, RecipeError, RunError, UnwritableError

SearchName = StrEnum("SearchName", "grid random tpe nsga2")
PruneName = StrEnum("PruneName", "off findings median halving")
LIMITS = {"parameters": "parameters", "macs": "macs_per_sample", "macs_per_sample": "macs_per_sample",
          "seconds": "seconds"}  # fmt: skip

FolderArgument = Annotated[Path, argument(metavar="DIR", help="Sweep folder.")]
StorageOption = Annotated[
    str | None,
    option(
        metavar="URL", envvar="DPDRUN_STORAGE", show_envvar=True,
        help="Database for the journal, e.g. postgresql://HOST/NAME, for hosts that share no folder.",
    ),
]  # fmt: skip
WorkersOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Processes on this host.", show_default="one per core or GPU")
]


class _Group(TyperGroup):
    """The group of `dpdrun sweep`; without a command name, the arguments are those of `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            likely = get_close_matches(args[0], self.commands, n=1, cutoff=0.7)
            if likely and len(args) > 1 and not args[1].startswith("-"):  # `run` takes one argument, so it is no recipe
                ctx.fail(f"No such command {args[0]!r}. Did you mean {likely[0]!r}?")
            args = ["run", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        cls=_Group, no_args_is_help=True,
        help="Train many runs from one recipe: `dpdrun sweep RECIPE --over KEY=VALUES` (`run` may be omitted).",
    )  # fmt: skip
    for command in (run, resume, status, show, best):
        group.command(command.__name__)(command)
    app.add_typer(group, name="sweep")


def run(
    recipe: Annotated[
        Path,
        argument(
            metavar="RECIPE",
            help="A recipe, a sweep file or, with --worker, a sweep folder.",
            autocompletion=complete_recipe,
        ),
    ],
    over: Annotated[
        list[str] | None,
        option(
            metavar="KEY=VALUES",
            help="Field to sweep and its values: 8,16 or log:3e-3..1e-1:5; repeat for several.",
            autocompletion=complete_override,
        ),
    ] = None,
    seeds: Annotated[int | None, option(min=1, metavar="N", help="Seeds per configuration.")] = None,
    objective: Annotated[
        list[str] | None,
        option(
            metavar="NAME",
            help="What to minimize: val_nmse_db, val_objective_db, parameters, macs_per_sample, seconds; several give "
            "a Pareto front.",
        ),
    ] = None,
    search: Annotated[SearchName | None, option(help="How to choose configurations; all but grid need Optuna.")] = None,
    trials: Annotated[int | None, option(min=1, metavar="N", help="Number of configurations to try.")] = None,
    core_hours: Annotated[float | None, option(metavar="HOURS", help="Limit of a search: time of all workers.")] = None,
    prune: Annotated[PruneName | None, option(help="Rule that ends runs early.")] = None,
    sets: SetOption = None,
    workers: WorkersOption = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="Folder for the results.", show_default="runs/<name>")
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker", help="Join a sweep as one more worker, on any host with its folder.")
    ] = False,
    storage: StorageOption = None,
    plugin: PluginOption = None,
) -> None:
    """Train every configuration of a sweep, with every seed.

    Trials that this sweep, or one in a folder next to it, has trained before are not trained again.

    The same command, or `dpdrun sweep resume DIR`, continues an interrupted sweep; more values or seeds extend it.
    """
    load_plugins(plugin)
    from dpdrun.sweep.document import is_sweep, load_sweep
    from dpdrun.sweep.folder import SweepFolder, is_sweep_folder

    flags = _flags(over, seeds, objective, search, trials, core_hours, prune)
    if is_sweep_folder(recipe):
        if flags or sets or run_dir:
            why = "a sweep folder already has its settings"
            raise RecipeError(f"{recipe}: {why}; to extend it, give its recipe and --run-dir {recipe}")
        if worker:
            _work(recipe, storage)
        else:
            resume(recipe, workers, storage)
        return
    sweep = load_sweep(recipe, flags, sets or [])
    place = run_dir or Path("runs") / (recipe.stem if is_sweep(recipe) else f"{recipe.stem}-sweep")
    from dpdrun.commands._sweep import begin_sweep, run_workers

    folder = SweepFolder(place, storage)
    begin_sweep(sweep, folder)
    if worker:
        _work(place, storage)
    else:
        run_workers(folder.load(), folder, workers, str(place))


def _flags(
    over: list[str] | None, seeds: int | None, objective: list[str] | None, search: SearchName | None,
    trials: int | None, core_hours: float | None, prune: PruneName | None,
) -> dict[str, Any]:  # fmt: skip
    """Return the flags by key of a sweep file. Raises RecipeError where one of --over is not KEY=VALUES."""
    found: dict[str, Any] = {}
    for text in over or ():
        key, equals, values = text.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--over {text}: write KEY=VALUES, for example --over optim.lr=log:3e-3..1e-1:5")
        found.setdefault("over", {})[key.strip()] = values
    budget = {name: value for name, value in (("trials", trials), ("core_hours", core_hours)) if value is not None}
    given = {"seeds": seeds, "objectives": objective or None, "search": search and search.value,
             "prune": prune and prune.value, "budget": budget or None}  # fmt: skip
    return found | {name: value for name, value in given.items() if value is not None}


def _work(place: Path, storage: str | None) -> None:
    """Be a worker of a sweep until it is over."""
    from dpdrun.rules.text import pluralize
    from dpdrun.sweep.final import finish
    from dpdrun.sweep.folder import SweepFolder
    from dpdrun.sweep.worker import work

    folder = SweepFolder.open(place, storage)

    def report(text: str) -> None:
        say(text)
        sys.stdout.flush()

    try:
        work(folder, report)
        finish(folder, folder.load(), report)
        total = pluralize(len(folder.journal.read().trials), "trial")
        report(f"{place}: all of {total} are done; `dpdrun sweep show {place}`")
    except KeyboardInterrupt:
        say("interrupted; the trial of this worker was released", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def resume(
    folder: FolderArgument,
    workers: WorkersOption = None,
    storage: StorageOption = None,
    plugin: PluginOption = None,
) -> None:
    """Continue an interrupted sweep with its own settings."""
    load_plugins(plugin)
    from dpdrun.commands._sweep import run_workers
    from dpdrun.sweep.folder import SweepFolder

    opened = SweepFolder.open(folder, storage)
    run_workers(opened.load(), opened, workers, str(folder))


def status(
    folder: FolderArgument,
    format_: FormatOption = TextFormat.text,
    storage: StorageOption = None,
    plugin: PluginOption = None,
) -> None:
    """Show the progress of a sweep: its trials by state, and its workers."""
    load_plugins(plugin)
    from dpdrun.sweep.folder import SweepFolder

    opened = SweepFolder.open(folder, storage)
    state = opened.journal.read()
    counts = {name: state.count(name) for name in ("pending", "running", "finished", "failed", "pruned")}
    alive = [name for name in opened.presence.others() if not opened.presence.is_lost(name)]
    running = {each.worker: id_ for id_, each in state.trials.items() if each.status == "running"}
    content = {"trials": counts, "core_hours": state.core_seconds / 3600,
               "workers": [{"name": name, "trial": running.get(name)} for name in alive]}  # fmt: skip
    if format_ is TextFormat.json:
        print_json(content)
        return
    from dpdrun.report.sweep import hours_text

    listed = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    say(f"{folder}: {listed}; {hours_text(state.core_seconds / 3600)}")
    for name in alive:
        say(f"worker {name}: {f'trial {running[name]}' if name in running else 'waiting'}")
    if not alive and counts["pending"] + counts["running"]:
        say(f"no worker is running; to continue: dpdrun sweep resume {folder}")


def show(
    folder: FolderArgument,
    format_: FormatOption = TextFormat.text,
    storage: StorageOption = None,
    plugin: PluginOption = None,
) -> None:
    """Show the points of a sweep so far, and write its sweep.json, sweep.csv and report.html."""
    load_plugins(plugin)
    from dpdrun.sweep.folder import SweepFolder
    from dpdrun.sweep.results import Results, is_over

    opened = SweepFolder.open(folder, storage)
    sweep, state = opened.load(), opened.journal.read()
    content = Results(opened, sweep).make(state)
    if format_ is TextFormat.json:
        print_json(content)
        return
    from dpdrun.commands._sweep import show as show_results
    from dpdrun.sweep.final import write

    written = True
    try:
        write(opened, content)
    except UnwritableError as unwritten:  # the sweep of somebody else, or on a medium: its table can be shown
        written = False
        say(f"note: {unwritten}", err=True)
    show_results(content, opened, complete=is_over(state), written=written)


def best(
    folder: FolderArgument,
    budget: Annotated[
        list[str] | None,
        option(metavar="NAME=MOST", help="Upper limit of macs, parameters or seconds; repeatable."),
    ] = None,
    out: OutputOption = None,
    force: ForceOption = False,
    storage: StorageOption = None,
    plugin: PluginOption = None,
) -> None:
    """Write the recipe of the best configuration, optionally within a budget."""
    load_plugins(plugin)
    from dpdrun.recipe.loader import load_text
    from dpdrun.sweep.folder import SweepFolder
    from dpdrun.sweep.points import all_overrides
    from dpdrun.sweep.results import Results, best_point

    opened = SweepFolder.open(folder, storage)
    sweep = opened.load()
    content = Results(opened, sweep).make(opened.journal.read())
    point = best_point(content, _limits(budget or []))
    first = content["objectives"][0]
    say(f"point {point['number']}: {first} {point['objectives'][first]['mean']:.2f}", err=True)
    text = load_text(sweep.base.text, sweep.base.path, all_overrides(sweep, point["config"])).effective_text
    if out is None:
        say(text, nl=False, exact=True)
    else:
        write_recipe(out, text, force)


def _limits(budget: list[str]) -> dict[str, float]:
    """Read `--budget macs=1000`. Raises RunError."""
    limits = {}
    for text in budget:
        name, _, most = text.partition("=")
        try:
            value = float(most)
        except ValueError:
            value = float("nan")
        if name not in LIMITS or not value > 0:
            raise RunError(f"--budget {text}: write macs=1000, parameters=500 or seconds=60")
        limits[LIMITS[name]] = value
    return limits
