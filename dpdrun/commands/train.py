"""`dpdrun train`: run a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dpdrun.recipe.loader import Loaded


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe: YAML, see `dpdrun recipe new`.", show_default=False)],
    run_dir: Annotated[
        Path | None,
        typer.Option("--run-dir", help="Folder for the results. [default: runs/<recipe name>]", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --run-dir.")] = False,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a field, e.g. optim.lr=1e-3.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
) -> None:
    """Train the model of a RECIPE and leave a run folder that every other command reads."""
    from dpdrun.errors import RunError
    from dpdrun.recipe.loader import load_recipe

    loaded = load_recipe(recipe, sets or [])
    if resume and run_dir is None:
        raise RunError("--resume needs --run-dir: the folder of the run to continue")
    if dry_run:
        _show_plan(loaded)
    else:
        _run(loaded, run_dir, resume=resume)


def _show_plan(loaded: Loaded) -> None:
    from rich.console import Console

    from dpdrun.data.sources import load_capture
    from dpdrun.plan import make_plan
    from dpdrun.report.plan import plan_table

    capture = load_capture(loaded.recipe.data)
    Console().print(plan_table(make_plan(loaded.recipe, train_samples=len(capture.train))))


def _run(loaded: Loaded, run_dir: Path | None, *, resume: bool) -> None:
    from rich.console import Console

    from dpdrun.diagnosis import diagnose
    from dpdrun.report.console import TrainingView, report_table
    from dpdrun.report.plan import plan_line
    from dpdrun.runlog import RunFolder, default_folder
    from dpdrun.training import job

    console = Console()

    def watch(this: job.Job) -> TrainingView:
        for warning in (*this.capture.warnings, *(finding.message for finding in this.plan.warnings)):
            console.print(f"[yellow]warning:[/] {warning}", highlight=False)
        console.print(plan_line(this.plan, capture=this.capture.name, parameters=this.parameters), highlight=False)
        return TrainingView(
            console,
            title=f"{this.run.path}",
            total_steps=this.plan.total_steps,
            samples_per_step=this.plan.batch_size * this.plan.frame,
            floor_db=this.floor["nmse_db"],
        )

    run = RunFolder(run_dir or default_folder(loaded.path))
    report = job.train(loaded, run.path, resume=resume, watch=watch)
    console.print(report_table(report))
    if run.metrics.is_file():
        diagnosis = diagnose(run.path)
        run.write_json(run.findings, diagnosis.to_json())
        console.print(f"diagnosis: {diagnosis.verdict}; details: dpdrun diagnose {run.path}", highlight=False)
    console.print(f"run folder: {run.path}", highlight=False)
