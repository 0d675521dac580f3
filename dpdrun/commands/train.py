"""`dpdrun train`: run a recipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._completion import complete_recipe
from dpdrun.commands._options import PluginOption, SetOption, argument, load_plugins, option
from dpdrun.commands._output import say
from dpdrun.errors import EXIT_INTERRUPTED, RecipeError, RunError
from dpdrun.run.trackers import TrackerName

if TYPE_CHECKING:
    from dpdrun.distributed.launcher import Hosts
    from dpdrun.recipe.loader import Loaded
    from dpdrun.run.folder import RunFolder
    from dpdrun.training.job import Resume


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    recipe: Annotated[
        Path | None,
        argument(
            metavar="RECIPE",
            help="A recipe (YAML), a pipeline, or the name of one of `dpdrun recipe list`.",
            autocompletion=complete_recipe,
        ),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="Folder for the results.", show_default="runs/<recipe name>")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --run-dir; a finished run is left unchanged.")
    ] = False,
    auto_resume: Annotated[
        bool, typer.Option("--auto-resume", help="Resume the run in --run-dir, or start it if there is none.")
    ] = False,
    data: Annotated[
        str | None, option("--data", metavar="PATH", help="With --resume: new location of the run's capture.")
    ] = None,
    sets: SetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan without training.")] = False,
    track: Annotated[
        list[TrackerName] | None,
        option("--track", help="Also log to this tracker; repeat for several. Files go into the run folder."),
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Pipelines only: rerun steps whose recipe, data or PA model changed.")
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", min=1, metavar="N", help="Processes on this host, one per GPU; same results.")
    ] = 1,
    hosts: Annotated[int, typer.Option("--hosts", min=1, metavar="N", help="Number of hosts.")] = 1,
    rank: Annotated[int, typer.Option("--rank", min=0, metavar="N", help="Rank of this host, from 0.")] = 0,
    rendezvous: Annotated[
        str,
        option("--rendezvous", metavar="HOST:PORT", help="Address and port of host 0."),
    ] = "",
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", min=1, metavar="SECONDS", help="Longest wait for another process.", show_default="600"
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Train the model of a RECIPE and write a run folder for the other commands."""
    load_plugins(plugin)
    from dpdrun.distributed.environment import resolve_hosts
    from dpdrun.distributed.launcher import (
        TIMEOUT_VARIABLE,
        Hosts,
        follow_launcher,
        is_distributed,
        is_silenced,
        timeout_s,
    )
    from dpdrun.pipeline.document import is_pipeline
    from dpdrun.recipe.loader import load_recipe
    from dpdrun.run.folder import RunFolder, default_folder, require_free

    if recipe is None:
        from dpdrun.recipe.shipped import at_hand

        raise RecipeError(f"name the recipe to train:\n{at_hand()}")
    where = resolve_hosts(Hosts(processes, hosts, rank, rendezvous))
    if timeout is not None:
        os.environ[TIMEOUT_VARIABLE] = f"{timeout_s(str(timeout)):g}"  # also of the processes to be started
    if data is not None and (not resume or is_pipeline(recipe)):
        raise RunError(
            "--data gives the new location of the capture for --resume; otherwise set it in the recipe: "
            f"--set data.source={data}"
        )
    if is_pipeline(recipe):
        from dpdrun.commands._pipeline import run_pipeline

        if where.size > 1 or is_distributed():
            raise RunError("a pipeline runs in one process: train its recipes one by one to use --processes")
        run_pipeline(
            recipe, run_dir, sets or [], dry_run=dry_run, redo=redo, track=track or ()
        )  # --resume is what it does anyway
        return
    if redo:
        raise RunError("--redo is for pipelines: give another --run-dir to train a recipe again")
    loaded = load_recipe(recipe, [*(sets or []), *([f"data.source={data}"] if data is not None else [])])
    resuming: Resume = "auto" if auto_resume else resume
    if resuming and run_dir is None:
        raise RunError(f"--{'auto-' if auto_resume else ''}resume needs --run-dir: the folder of the run to continue")
    if dry_run:
        if not is_silenced():
            if run_dir is not None and not resuming:
                require_free(run_dir)
            _show_plan(loaded, where)
        return
    if where.size > 1 and not is_distributed():
        raise typer.Exit(_launch(loaded, where))

    from dpdrun.distributed.signal_handlers import EXIT_CODES, handling, leave
    from dpdrun.report.streams import outlive_output

    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # c10d prints a page of what is one message of ours
    follow_launcher()
    run = RunFolder(run_dir or default_folder(loaded.path))
    # while torch is imported and while results are shown; in between, training handles signals better
    with handling(dict.fromkeys(EXIT_CODES, leave(lambda: _left(run)))):
        if is_silenced():
            _train_silently(loaded, run, resume=resuming)
            return
        outlive_output(run.path)
        from dpdrun.commands._training import interrupted_hint, train_and_show
        from dpdrun.report.terminal import Terminal

        try:
            train_and_show(loaded, run, Terminal(), resume=resuming, track=track or ())
        except KeyboardInterrupt as interrupt:
            say(str(interrupt) or interrupted_hint(run), err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None


def _launch(loaded: Loaded, where: Hosts) -> int:
    """Train in several processes; returns the exit code. Raises RunError where they could not all read the recipe."""
    from dpdrun.distributed.launcher import launch
    from dpdrun.recipe.loader import is_read_once

    if is_read_once(loaded.path):
        raise RunError(f"{loaded.path}: every process reads the recipe; write it to a file to use --processes")
    return launch(where, sys.argv[1:])


def _left(run: RunFolder) -> str:
    """Return what a signal outside of the training left, and how to continue."""
    from dpdrun.distributed.signal_handlers import BEFORE_ANYTHING

    if run.report.is_file():
        return f"the run in {run.path} is finished"
    return f"continue with:\n  {run.resume_command}" if run.last.is_file() else BEFORE_ANYTHING


def _train_silently(loaded: Loaded, run: RunFolder, *, resume: Resume) -> None:
    """Train in a process that is not rank 0: without output."""
    from dpdrun.training import job

    try:
        job.train(loaded, run.path, resume=resume)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _show_plan(loaded: Loaded, where: Hosts) -> None:
    """Show what a run would begin with, or refuse what it would refuse."""
    from dpdrun.plan.plan import estimate_of
    from dpdrun.plan.prepare import needs_torch, pa_section, prepare
    from dpdrun.report.plan import plan_table
    from dpdrun.report.terminal import Terminal

    if needs_torch(loaded.recipe):
        from dpdrun.training import job

        plan, capture = job.prepare_training(loaded, processes=where.team_size)
    else:
        plan, capture = prepare(loaded, processes=where.team_size)
    console = Terminal(highlight=False)
    console.print(plan_table(plan, capture=capture.name))
    if plan.init is not None:
        from dpdrun.training.warm_start import summary

        for line in summary(plan):
            console.print(line, markup=False)
    console.print(f"\nthreads: {plan.recipe.train.threads} ({plan.provenance['train.threads'].why})", markup=False)
    found = estimate_of(plan, val_samples=len(capture.val), pa=pa_section(plan))
    if found is not None:
        less = ", without its optim.refine" if plan.recipe.optim.refine == "lm" else ""
        less += " (in one process)" if where.team_size > 1 else ""
        less += ", in fp32" if loaded.recipe.train.precision != "fp32" else ""
        console.print(f"training takes {found}{less}", markup=False)
