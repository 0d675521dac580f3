"""`dpdrun train` on a pipeline of recipes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dpdrun.commands._output import say
from dpdrun.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from dpdrun.evaluation.plot_data import PlotData
    from dpdrun.pipeline.document import Pipeline
    from dpdrun.pipeline.scores import Scores
    from dpdrun.pipeline.state import StepState
    from dpdrun.recipe.loader import Loaded
    from dpdrun.run.folder import RunFolder


def run_pipeline(
    path: Path, run_dir: Path | None, sets: Sequence[str], *, dry_run: bool, redo: bool, track: Sequence[str]
) -> None:
    """Read a pipeline file; show what is to be done, or do it.

    Raises:
        RecipeError, DataError, RunError, StoppedError: as `pipeline.execution.execute`.
        typer.Exit: Ctrl-C.
    """
    from dpdrun.pipeline.document import load_pipeline

    pipeline = load_pipeline(path, sets)
    folder = run_dir or Path("runs") / path.stem
    if dry_run:
        _show_overview(pipeline, folder, redo=redo)
        return
    command = _command(path, folder, sets, track)
    try:
        _execute(pipeline, folder, command, redo=redo, track=track)
    except KeyboardInterrupt as interrupt:
        say(str(interrupt) or f"interrupted before anything was started; to start:\n  {command}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _command(path: Path, folder: Path, sets: Sequence[str], track: Sequence[str]) -> str:
    given = [part for value in sets for part in ("--set", value)] + [
        part for name in track for part in ("--track", name)
    ]
    return shlex.join(["dpdrun", "train", str(path), *given, "--run-dir", str(folder)])


def _execute(pipeline: Pipeline, folder: Path, command: str, *, redo: bool, track: Sequence[str]) -> None:
    from rich.text import Text

    from dpdrun.commands._training import train_and_show
    from dpdrun.pipeline.execution import execute
    from dpdrun.report.streams import outlive_output
    from dpdrun.report.terminal import Terminal

    outlive_output(folder)
    console = Terminal()
    names = [step.name for step in pipeline.steps]

    def show(text: str, style: str = "") -> None:
        console.print(Text(text, style), soft_wrap=True, highlight=False)

    def on_step(state: StepState, old: Path | None) -> None:
        number = names.index(state.step.name) + 1
        renamed = "" if old is None else f"; the old folder is {old}"
        title = f"step {number} of {len(names)}, {state.step.name} ({state.step.source})"
        show(f"{title}: {state.reason}{renamed}", "bold")

    def train(loaded: Loaded, run: RunFolder, resume: bool) -> None:
        train_and_show(loaded, run, console, resume=resume, track=track)

    continuing = command + (" --redo" if redo else "")
    draw = draw_predistorter if find_spec("matplotlib") is not None else None
    scores, fresh = execute(pipeline, folder, redo=redo, command=continuing, train=train, on_step=on_step, draw=draw)
    _show_scores(scores, console, fresh=fresh)
    if fresh and draw is None:
        show("no reports were written: they need matplotlib; pip install 'dpdrun[plots]'")


def draw_predistorter(
    where: Path, run: Path, report: dict[str, Any], scenes: list[PlotData], suffix: str = ".png"
) -> None:
    """Write the page of one predistorter, as `dpdrun evaluate --output` does."""
    from dpdrun.commands.evaluate import COSTS
    from dpdrun.report.scores_page import save_evaluation
    from dpdrun.run.folder import RunFolder

    folder = RunFolder(run)
    before = folder.read_json(folder.report)
    save_evaluation(where, run, report | {key: before[key] for key in COSTS if key in before}, scenes, suffix=suffix)


def _show_scores(scores: Scores, console: Console, *, fresh: bool) -> None:
    from dpdrun.report.pipeline import scores_panel

    console.print(scores_panel(scores.own, scores.judged, scores.learnt), highlight=False)
    note = "" if fresh else " (unchanged, as are the models)"
    lines = [f"scores: {scores.path}{note}"]
    lines += [f"report: {page}" for name in scores.own if (page := scores.path.parent / name / "report.html").is_file()]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _show_overview(pipeline: Pipeline, folder: Path, *, redo: bool) -> None:
    from dpdrun.pipeline.overview import overview_rows
    from dpdrun.report.pipeline import overview
    from dpdrun.report.terminal import Terminal

    rows = overview_rows(pipeline, folder, redo=redo)
    console = Terminal(highlight=False)
    console.print(overview(rows, title=str(pipeline.path), where=str(folder)))
    if any(row.action == "changed" for row in rows):
        console.print("this pipeline would be refused; --redo reruns the changed steps", style="yellow")
