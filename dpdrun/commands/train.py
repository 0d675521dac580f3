"""`dpdrun train`: run a recipe."""

from __future__ import annotations

import enum
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.errors import EXIT_INTERRUPTED, EXIT_STOPPED, RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from dpdrun.data.capture import Capture
    from dpdrun.diagnosis.diagnose import Diagnosis
    from dpdrun.distributed.launcher import Hosts
    from dpdrun.plan.plan import Plan
    from dpdrun.recipe.loader import Loaded
    from dpdrun.recipe.schema import ModelSection
    from dpdrun.run.folder import RunFolder
    from dpdrun.training.job import Job, Resume
    from dpdrun.training.telemetry import Monitor


class Tracker(enum.StrEnum):
    """Programs that keep and compare experiments."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe (YAML, see `dpdrun recipe new`) or a pipeline of them.", show_default=False)
    ],
    run_dir: Annotated[
        Path | None,
        typer.Option("--run-dir", help="Folder for the results. [default: runs/<recipe name>]", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --run-dir; a finished one is left as it is.")
    ] = False,
    auto_resume: Annotated[
        bool, typer.Option("--auto-resume", help="Continue the run in --run-dir where there is one, else begin it.")
    ] = False,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a field, e.g. optim.lr=1e-3.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    track: Annotated[
        list[Tracker] | None,
        typer.Option("--track", help="Also tell this tracker; repeat for several. Files go into the run folder.",
                     show_default=False),
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Of a pipeline: make anew the steps whose recipe, data or PA model changed.")
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", min=1, metavar="N", help="Processes on this host, one a GPU; same training.")
    ] = 1,
    hosts: Annotated[int, typer.Option("--hosts", min=1, metavar="N", help="Hosts that train together.")] = 1,
    rank: Annotated[int, typer.Option("--rank", min=0, metavar="N", help="Which of the hosts this is, from 0.")] = 0,
    rendezvous: Annotated[
        str,
        typer.Option("--rendezvous", metavar="HOST:PORT", help="Where hosts meet: on that of rank 0.", show_default=""),
    ] = "",
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=1, metavar="SECONDS", help="How long processes wait for each other. "
                     "[default: 600]", show_default=False),
    ] = None,
) -> None:  # fmt: skip
    """Train the model of a RECIPE and leave a run folder that every other command reads."""
    from dpdrun.distributed.environment import resolve_hosts
    from dpdrun.distributed.launcher import (
        TIMEOUT_VARIABLE,
        Hosts,
        follow_launcher,
        is_distributed,
        is_silenced,
        launch,
    )
    from dpdrun.pipeline.document import is_pipeline
    from dpdrun.recipe.loader import load_recipe

    where = resolve_hosts(Hosts(processes, hosts, rank, rendezvous))
    if timeout is not None:
        os.environ[TIMEOUT_VARIABLE] = f"{timeout:g}"  # also of the processes to be started
    if is_pipeline(recipe):
        from dpdrun.commands._pipeline import run_pipeline

        if where.size > 1 or is_distributed():
            raise RunError("a pipeline trains in one process: train its recipes one by one to use --processes")
        run_pipeline(
            recipe, run_dir, sets or [], dry_run=dry_run, redo=redo, track=track or ()
        )  # --resume is what it does anyway
        return
    if redo:
        raise RunError("--redo is for pipelines: give another --run-dir to train a recipe again")
    loaded = load_recipe(recipe, sets or [])
    going_on: Resume = "auto" if auto_resume else resume
    if going_on and run_dir is None:
        raise RunError(f"--{'auto-' if auto_resume else ''}resume needs --run-dir: the folder of the run to continue")
    if dry_run:
        if not is_silenced():
            _show_plan(loaded, where)
        return
    if where.size > 1 and not is_distributed():
        raise typer.Exit(launch(where, sys.argv[1:]))

    from dpdrun.report.console import SteadyConsole
    from dpdrun.run.folder import RunFolder, default_folder

    follow_launcher()
    run = RunFolder(run_dir or default_folder(loaded.path))
    with _stoppable():
        if is_silenced():
            _train_along(loaded, run, resume=going_on)
            return
        try:
            train_here(loaded, run, SteadyConsole(where=str(run.path)), resume=going_on, track=track or ())
        except KeyboardInterrupt as interrupt:
            typer.echo(str(interrupt) or _interrupted(run), err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def _stoppable() -> Iterator[None]:
    """What SIGTERM does while torch is imported and while results are shown; in between, training does it better."""

    from dpdrun.distributed.signal_handlers import handling

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is fixed
        from dpdrun.distributed.launcher import is_silenced

        if not is_silenced():
            typer.echo("stopped by SIGTERM while nothing was being trained", err=True)
        raise SystemExit(EXIT_STOPPED)  # not an Exception: an import would take it for its own failure

    with handling({signal.SIGTERM: leave}):
        yield


def _train_along(loaded: Loaded, run: RunFolder, *, resume: Resume) -> None:
    """Train in a process that is not the first: without a word."""
    from dpdrun.training import job

    try:
        job.train(loaded, run.path, resume=resume)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _show_plan(loaded: Loaded, where: Hosts) -> None:
    from rich.console import Console

    from dpdrun.plan.plan import estimate_of, share_problem
    from dpdrun.report.plan import plan_table

    if loaded.recipe.train.precision == "fp16":
        from dpdrun.training.launcher_checks import check_machine  # loads torch, to ask for a GPU

        check_machine(loaded)
    plan, capture, pa = _planned(loaded)
    if problem := share_problem(plan, where.team_size):
        raise loaded.error([("train.batch_size", problem)])
    console = Console(highlight=False)
    console.print(plan_table(plan, capture=capture.name))
    found = estimate_of(plan, val_samples=len(capture.val), pa=pa)
    if found is not None:
        less = ", without its optim.finish" if plan.recipe.optim.finish == "lm" else ""
        less += " (in one process)" if where.team_size > 1 else ""
        less += ", in fp32" if loaded.recipe.train.precision != "fp32" else ""
        console.print(f"\ntraining takes {found}{less}", markup=False)


def _planned(loaded: Loaded) -> tuple[Plan, Capture, ModelSection | None]:
    """What a run would begin with, its PA model checked as it would check it; also the section of that model."""
    if loaded.recipe.task == "dpd":
        from dpdrun.training import job
        from dpdrun.training.pa_model import model_section

        plan, capture = job.prepare(loaded)
        return plan, capture, model_section(plan)

    from dpdrun.data.sources import load_capture
    from dpdrun.plan.plan import PlanError, make_plan

    # as training.job.prepare does, which would load torch
    capture = load_capture(loaded.recipe.data, recipe=loaded.path)
    try:
        return make_plan(loaded.recipe, len(capture.train), given=loaded.given), capture, None
    except PlanError as error:
        raise loaded.error(error.conflicts) from None


def train_here(loaded: Loaded, run: RunFolder, console: Console, *, resume: Resume, track: Sequence[str] = ()) -> None:
    """Train, show the way and the report, diagnose. Errors and what Ctrl-C leaves pass through."""
    from dpdrun.diagnosis.diagnose import diagnose
    from dpdrun.plan.plan import Plan
    from dpdrun.report.run_report import report_table
    from dpdrun.training import job

    if resume and run.report.is_file():
        report = job.train(loaded, run.path, resume=resume)  # refuses another recipe, then changes nothing
        table = report_table(report, Plan.from_json(run.read_json(run.plan)))
        console.print(
            f"{run.path}: this run is finished; nothing to resume", highlight=False, markup=False, soft_wrap=True
        )
    else:
        report = job.train(loaded, run.path, resume=resume, watch=lambda this: watching(this, console), track=track)
        table = report_table(report, Plan.from_json(run.read_json(run.plan)))
    console.print(table, highlight=False)
    if run.metrics.is_file():
        diagnosis = diagnose(run.path)
        run.write_json(run.findings, diagnosis.to_json())
        _show_diagnosis(diagnosis, console, run)
    console.print(f"run folder: {run.path}", highlight=False, markup=False, soft_wrap=True)


def watching(this: Job, console: Console) -> AbstractContextManager[Monitor]:
    """The live view of a training, after its warnings and a line about its plan."""
    from contextlib import nullcontext

    from rich.text import Text

    from dpdrun.report.console import TrainingView
    from dpdrun.report.findings import finding_line
    from dpdrun.report.plan import plan_line
    from dpdrun.training.telemetry import Silent

    for warning in this.capture.warnings:
        console.print(Text.assemble(("warning: ", "yellow"), warning))
    for finding in this.plan.warnings:
        console.print(finding_line(finding))
    if this.set_aside is not None:
        note = f"note: {this.run.path} ended before its first checkpoint, and is now {this.set_aside}"
        console.print(Text(note), soft_wrap=True)
    line = plan_line(this.plan, capture=this.capture.name, parameters=this.parameters)
    console.print(Text(f"{'resumed: ' if this.run.last.is_file() else ''}{line}"))
    if not this.plan.total_steps:
        return nullcontext(Silent())  # least squares: there is nothing to watch
    return TrainingView(
        console,
        title=str(this.run.path),
        total_steps=this.plan.total_steps,
        samples_per_step=this.plan.batch_size * this.plan.frame,
        floor_db=this.floor["nmse_db"],
    )


def _show_diagnosis(diagnosis: Diagnosis, console: Console, run: RunFolder) -> None:
    from rich.text import Text

    from dpdrun.report.findings import finding_line

    serious = [finding for finding in diagnosis.findings if finding.severity != "info"]
    for finding in serious:
        console.print(finding_line(finding))
    console.print(Text(f"diagnosis: {diagnosis.verdict}; details: dpdrun diagnose {run.path}"), soft_wrap=True)


def _interrupted(run: RunFolder) -> str:
    """What to do after Ctrl-C."""
    if run.report.is_file():
        return f"interrupted; the run in {run.path} is finished"
    if run.last.is_file():
        return f"interrupted; to go on from the last checkpoint:\n  {run.resume_command}"
    if run.plan.is_file():
        return f"interrupted before the first checkpoint; {run.path} cannot be resumed and may be deleted"
    return "interrupted; nothing was written"
