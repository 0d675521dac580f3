"""Run a pipeline: every step in order, as its state requires; the same command continues an interrupted one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dpdrun import __version__
from dpdrun.errors import FindingError, RunError, StoppedError
from dpdrun.pipeline.document import Pipeline
from dpdrun.pipeline.scores import Draw, Scores, score_pipeline
from dpdrun.pipeline.state import StepState, first_keys, step_state, step_states
from dpdrun.recipe.loader import Loaded
from dpdrun.run.files import make_folder
from dpdrun.run.folder import RunFolder
from dpdrun.run.symlinks import reject_escaping_dirs
from dpdrun.training.guard import stopping
from dpdrun.training.resume import archive

Train = Callable[[Loaded, RunFolder, bool], None]  # recipe, folder, whether to resume
OnStep = Callable[[StepState, Path | None], None]


def execute(
    pipeline: Pipeline,
    folder: Path,
    *,
    redo: bool,
    command: str,
    train: Train,
    on_step: OnStep,
    draw: Draw | None = None,
) -> tuple[Scores, bool]:
    """Complete every step of a pipeline, then score its predistorters.

    No folder is overwritten: one that is to be made again is renamed to `<step>.old-N`.

    Args:
        pipeline: the pipeline.
        folder: for the folders of its steps; made where it is missing.
        redo: rerun steps whose inputs have changed; without it, the pipeline refuses to begin.
        command: what was typed, which continues the pipeline.
        train: trains one recipe in a folder.
        on_step: called before each step with its state, and with the new name of its old folder, if that was renamed.
        draw: as for `score_pipeline`.

    Returns:
        The scores, and whether they were computed now.

    Raises:
        RecipeError, DataError, RunError: a recipe or a folder is at fault; see `step_states`.
        RunError: a step has changed, and not `redo`; or another process runs this pipeline.
        StoppedError, KeyboardInterrupt: SIGTERM or Ctrl-C; the message has `command`.
        FindingError: of a step with train.on_finding: stop; its message has both commands.
    """
    require_folder(folder)
    with continued_by(command, "the check before the first step of the pipeline"):  # before the folder is made
        changed = [state for state in step_states(pipeline, folder) if state.action == "changed"]
    if changed and not redo:
        raise refusal(changed, command)
    make_folder(folder)
    total, states = len(pipeline.steps), list[StepState]()
    with RunFolder(folder).lock():
        for number, step in enumerate(pipeline.steps, start=1):
            with continued_by(command, f"step {step.name}, {number} of {total} of the pipeline"):
                state = step_state(pipeline, step, folder)
                if state.action == "changed" and not redo:
                    raise refusal([state], command)  # its PA model has changed
                old = archive(state.run) if state.action in ("changed", "restart") else None
                on_step(state, old)
                if state.action != "skip":
                    train(state.step.loaded, state.run, state.action == "resume")
                states.append(state)
        with continued_by(command, "evaluation of the pipeline"):
            return score_pipeline(pipeline, folder, states, draw)


def require_folder(folder: Path) -> None:
    """Raise RunError where the folder of a pipeline holds a run, is a file, or has parts that are links out of it."""
    if (folder / "plan.json").is_file():
        raise RunError(
            f"{folder}: there is a run in this folder; a pipeline needs its own folder: give another --run-dir"
        )
    blocked = next((place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()), None)
    if blocked is not None:
        raise RunError(f"{folder}: cannot create the folder of the pipeline: {blocked} is a file")
    reject_escaping_dirs(folder, depth=2)


def refusal(changed: Sequence[StepState], command: str) -> RunError:
    """Return the error for changed steps: what has changed, and the two ways to continue."""
    lines = [f"{state.run.path}: its inputs have changed: {_difference(state)}"
             for state in changed]  # fmt: skip
    return RunError(
        "\n".join(lines) + f"\n  to rerun such steps (old folders are kept as <step>.old-N):\n  {command} --redo\n"
        "  to keep them: restore what has changed, or give another --run-dir"
    )


def _difference(state: StepState) -> str:
    if state.changed == ("predistortion.pa_sha256",):
        return f"its PA model, step {state.step.through}, has changed"
    found = first_keys([key for key in state.changed if key != "predistortion.pa_sha256"] or list(state.changed))
    return found + (f" (written by dpdrun {state.maker}, this is {__version__})" if state.maker != __version__ else "")


@contextmanager
def continued_by(command: str, where: str) -> Iterator[None]:
    """Add to what stops the block where that was, and the command that continues."""
    hint = f"in {where}; to continue it:\n  {command}"
    try:
        with stopping(lambda: ""):
            yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"{_first(interrupt) or 'interrupted'} {hint}") from None
    except StoppedError as stopped:
        raise StoppedError(f"{_first(stopped)} {hint}") from None
    except FindingError as finding:
        raise FindingError(f"{finding}\n  then continue the pipeline:\n  {command}") from None


def _first(error: BaseException) -> str:
    """Return the message of a single run up to its own way to continue."""
    return str(error).partition("\n")[0].partition(";")[0].strip()
