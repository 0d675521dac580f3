"""Training at the terminal, for every command that trains: the live view, the report, the diagnosis."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from dpdrun.diagnosis.diagnose import Diagnosis
    from dpdrun.recipe.loader import Loaded
    from dpdrun.run.folder import RunFolder
    from dpdrun.training.job import Resume


def train_and_show(
    loaded: Loaded, run: RunFolder, console: Console, *, resume: Resume, track: Sequence[str] = ()
) -> None:
    """Train, show the way and the report, diagnose. Errors and what Ctrl-C leaves pass through."""
    from dpdrun.diagnosis.diagnose import diagnose_trained
    from dpdrun.plan.plan import Plan
    from dpdrun.report.layout import activity
    from dpdrun.report.run_report import report_table

    with activity(console, "train") as doing:
        doing("loading torch")
        from dpdrun.api.progress import training_view
        from dpdrun.evaluation.progress import progress_to
        from dpdrun.training import job

    finished = bool(resume) and run.report.is_file()
    if finished:
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
    if (diagnosis := diagnose_trained(run, was_finished=finished)) is not None:
        _show_diagnosis(diagnosis, console, run)
    console.print(f"run folder: {run.path}", highlight=False, markup=False, soft_wrap=True)


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
