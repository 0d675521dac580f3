"""Training at the terminal, for every command that trains: the live view, the report, the diagnosis."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from dpdrun.diagnosis.diagnose import Diagnosis
    from dpdrun.recipe.loader import Loaded
    from dpdrun.run.folder import RunFolder
    from dpdrun.training.job import Job, Resume
    from dpdrun.training.telemetry import Monitor


def train_and_show(
    loaded: Loaded, run: RunFolder, console: Console, *, resume: Resume, track: Sequence[str] = ()
) -> None:
    """Train, show the way and the report, diagnose. Errors and what Ctrl-C leaves pass through."""
    from dpdrun.diagnosis.diagnose import diagnose
    from dpdrun.plan.plan import Plan
    from dpdrun.report.layout import activity
    from dpdrun.report.run_report import report_table

    with activity(console, "train") as doing:
        doing("loading torch")
        from dpdrun.evaluation.progress import progress_to
        from dpdrun.training import job

    if resume and run.report.is_file():
        report = job.train(loaded, run.path, resume=resume)  # refuses another recipe, then changes nothing
        table = report_table(report, Plan.from_json(run.read_json(run.plan)))
        console.print(
            f"{run.path}: this run is finished; nothing to resume", highlight=False, markup=False, soft_wrap=True
        )
    else:
        with activity(console, "evaluation") as doing, progress_to(doing):  # shown when the live view has ended
            report = job.train(
                loaded, run.path, resume=resume, watch=lambda this: training_view(this, console), track=track
            )
        table = report_table(report, Plan.from_json(run.read_json(run.plan)))
    console.print(table, highlight=False)
    if run.metrics.is_file():
        diagnosis = diagnose(run.path)
        run.write_json(run.findings, diagnosis.to_json())
        _show_diagnosis(diagnosis, console, run)
    console.print(f"run folder: {run.path}", highlight=False, markup=False, soft_wrap=True)


def training_view(this: Job, console: Console) -> AbstractContextManager[Monitor]:
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
    if this.archived is not None:
        note = f"note: {this.run.path} ended before its first checkpoint and was renamed to {this.archived}"
        console.print(Text(note), soft_wrap=True)
    line = plan_line(this.plan, capture=this.capture.name, parameters=this.parameters, device=this.device)
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


def interrupted_hint(run: RunFolder) -> str:
    """Return what Ctrl-C left of a run, and how to continue it."""
    if run.report.is_file():
        return f"interrupted; the run in {run.path} is finished"
    if run.last.is_file():
        return f"interrupted; to continue from the last checkpoint:\n  {run.resume_command}"
    if run.plan.is_file():
        return f"interrupted before the first checkpoint; {run.path} cannot be resumed and may be deleted"
    return "interrupted; nothing was written"
