"""Progress of a training run: a view on a terminal or in a notebook, or none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.text import Text

from dpdrun.errors import worded
from dpdrun.report.console import TrainingView
from dpdrun.report.findings import finding_line
from dpdrun.report.notebook import NotebookView, in_notebook
from dpdrun.report.plan import plan_line
from dpdrun.report.terminal import Terminal
from dpdrun.training.job import Job, Watch
from dpdrun.training.telemetry import Monitor, Silent

NOTE = "note: "


def watch_of(progress: bool | None) -> Watch | None:
    """Return the `watch` of a training: a live view in a notebook; on the terminal if asked for; None for nothing."""
    if progress is False:
        return None
    if in_notebook():
        return _notebook_view
    return (lambda job: training_view(job, Terminal(stderr=True))) if progress else None


def training_view(this: Job, console: Console) -> AbstractContextManager[Monitor]:
    """Return the live view of a training on a terminal, after its warnings and a line about its plan."""
    for line in _first_lines(this):
        console.print(line, soft_wrap=line.plain.startswith(NOTE))  # which holds a path to copy
    return _view(this, lambda **settings: TrainingView(console, **settings))


def _notebook_view(this: Job) -> AbstractContextManager[Monitor]:
    view = _view(this, NotebookView)
    if isinstance(view, NotebookView):
        for line in _first_lines(this):
            view.note(line)
    return view


def _first_lines(this: Job) -> list[Text]:
    """Return the warnings of a run, and a line about its plan."""
    lines = [Text.assemble(("warning: ", "yellow"), worded(warning)) for warning in this.capture.warnings]
    lines += [finding_line(finding) for finding in this.plan.warnings]
    if this.capture.resampling is not None:
        lines.append(Text(f"{NOTE}{this.capture.resampling.description}"))
    if this.archived is not None:
        note = f"{NOTE}{this.run.path} ended before its first checkpoint and was renamed to {this.archived}"
        lines.append(Text(note))
    line = plan_line(this.plan, capture=this.capture.name, parameters=this.parameters, device=this.device)
    return [*lines, Text(f"{'resumed: ' if this.run.last.is_file() else ''}{line}")]


def _view(this: Job, make: Callable[..., TrainingView]) -> AbstractContextManager[Monitor]:
    if not this.plan.total_steps:
        return nullcontext(Silent())  # least squares: there is nothing to watch
    return make(
        title=str(this.run.path),
        total_steps=this.plan.total_steps,
        samples_per_step=this.plan.batch_size * this.plan.frame,
        floor_db=this.floor["nmse_db"],
    )
