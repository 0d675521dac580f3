"""`dpdrun train` on a pipeline: a chain of recipes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dpdrun.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from dpdrun.evaluation.plot_data import Scene
    from dpdrun.pipeline.document import Pipeline
    from dpdrun.pipeline.scores import Scores
    from dpdrun.pipeline.state import State
    from dpdrun.plan.cost import MachineSpeed
    from dpdrun.recipe.loader import Loaded
    from dpdrun.report.pipeline import StepRow
    from dpdrun.run.folder import RunFolder

WHY = {
    "run": "not there yet",
    "skip": "finished, and nothing has changed",
    "anew": "broken off before its first checkpoint",
    "wait": "there already; kept if its PA model comes out the same",
}


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
        _show(pipeline, folder, redo=redo)
        return
    command = _command(path, folder, sets, track)
    try:
        _execute(pipeline, folder, command, redo=redo, track=track)
    except KeyboardInterrupt as interrupt:
        typer.echo(str(interrupt) or f"interrupted; nothing was begun; to begin:\n  {command}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _command(path: Path, folder: Path, sets: Sequence[str], track: Sequence[str]) -> str:
    given = [part for value in sets for part in ("--set", value)] + [
        part for name in track for part in ("--track", name)
    ]
    return shlex.join(["dpdrun", "train", str(path), *given, "--run-dir", str(folder)])


def _execute(pipeline: Pipeline, folder: Path, command: str, *, redo: bool, track: Sequence[str]) -> None:
    from rich.text import Text

    from dpdrun.commands.train import train_here
    from dpdrun.pipeline.execution import execute
    from dpdrun.report.console import SteadyConsole

    console = SteadyConsole(where=str(folder))
    total = len(pipeline.steps)
    number = 0

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style), soft_wrap=True, highlight=False)

    def tell(state: State, old: Path | None) -> None:
        nonlocal number
        number += 1
        why = _why(state) if old is None else f"{_why(state)}; the old folder is {old}"
        say(f"step {number} of {total}, {state.step.name} ({state.step.loaded.path}): {why}", "bold")

    def train(loaded: Loaded, run: RunFolder, resume: bool) -> None:
        train_here(loaded, run, console, resume=resume, track=track)

    continuing = command + (" --redo" if redo else "")
    draw = _draw if find_spec("matplotlib") is not None else None
    scores, fresh = execute(pipeline, folder, redo=redo, command=continuing, train=train, tell=tell, draw=draw)
    _show_scores(scores, console, fresh=fresh)
    if fresh and draw is None:
        say("no pages were drawn: they need matplotlib: pip install 'dpdrun[plots]'")


def _draw(where: Path, run: Path, report: dict[str, Any], scenes: list[Scene]) -> None:
    """The page of one predistorter, as `dpdrun evaluate --save` makes it."""
    from dpdrun.commands.evaluate import COSTS
    from dpdrun.report.scores_page import save_evaluation
    from dpdrun.run.folder import RunFolder

    folder = RunFolder(run)
    before = folder.read_json(folder.report)
    save_evaluation(where, run, report | {key: before[key] for key in COSTS if key in before}, scenes)


def _show_scores(scores: Scores, console: Console, *, fresh: bool) -> None:
    from dpdrun.report.pipeline import scores_panel

    console.print(scores_panel(scores.own, scores.judged, scores.learnt), highlight=False)
    note = "" if fresh else " (as they were: the models have not changed)"
    lines = [f"scores: {scores.path}{note}"]
    lines += [f"page:   {page}" for name in scores.own if (page := scores.path.parent / name / "report.html").is_file()]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _why(state: State) -> str:
    from dpdrun.pipeline.state import some_of

    if state.action == "resume":
        return f"goes on from step {round(state.done * state.plan.total_steps):,} of {state.plan.total_steps:,}"
    if state.action == "changed":
        return f"changed: {some_of(state.changed)}"
    return WHY[state.action]


def _show(pipeline: Pipeline, folder: Path, *, redo: bool) -> None:
    """The chain and what would be done, or the refusal that a run would meet."""
    from rich.console import Console

    from dpdrun.pipeline.document import EVALUATION
    from dpdrun.pipeline.execution import require_folder
    from dpdrun.pipeline.scores import scores_of
    from dpdrun.pipeline.state import survey
    from dpdrun.plan.cost import measure_speed
    from dpdrun.report.pipeline import StepRow, overview

    require_folder(folder)
    states = {state.step.name: state for state in survey(pipeline, folder)}
    speed = measure_speed()
    rows = [_row(state, states, speed, redo=redo) for state in states.values()]
    done = all(row.action == "skip" for row in rows) and scores_of(pipeline, folder, list(states.values())) is not None
    why = "done, of these models" if done else f"parts {', '.join(pipeline.splits)}"
    rows.append(StepRow(EVALUATION, "", "skip" if done else "run", why, None))
    console = Console(highlight=False)
    console.print(overview(rows, title=str(pipeline.path), where=str(folder)))
    if any(row.action == "changed" for row in rows):
        console.print("the chain would refuse to run: --redo makes the changed steps anew", style="yellow")


def _row(state: State, states: dict[str, State], speed: MachineSpeed, *, redo: bool) -> StepRow:
    from dpdrun.plan.plan import estimate_of
    from dpdrun.report.pipeline import StepRow

    through = state.step.through
    pa = states[through].plan.recipe.model if through else None
    found = estimate_of(state.plan, val_samples=len(state.capture.val), pa=pa, speed=speed)
    seconds = None if found is None else found.seconds * (1 - state.done)
    action = "redo" if redo and state.action == "changed" else state.action
    return StepRow(state.step.name, state.step.loaded.path.name, action, _why(state), seconds)
