"""Running a chain: every step in its turn, as its state asks; a broken chain goes on by the command that began it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dpdrun import __version__
from dpdrun.errors import FindingError, RunError, StoppedError
from dpdrun.pipeline.document import Pipeline
from dpdrun.pipeline.scores import Draw, Scores, scored
from dpdrun.pipeline.state import State, some_of, state_of, survey
from dpdrun.recipe.loader import Loaded
from dpdrun.run.folder import RunFolder
from dpdrun.training.auto_resume import archive
from dpdrun.training.guard import stopping

Train = Callable[[Loaded, RunFolder, bool], None]  # recipe, folder, whether to resume
Tell = Callable[[State, Path | None], None]


def execute(
    pipeline: Pipeline,
    folder: Path,
    *,
    redo: bool,
    command: str,
    train: Train,
    tell: Tell,
    draw: Draw | None = None,
) -> tuple[Scores, bool]:
    """Bring every step of a chain to its end, then score its predistorters.

    Nothing that is there is overwritten: what has to make way is renamed to `<step>.old-N`.

    Args:
        pipeline: the chain.
        folder: for the folders of its steps; made where it is not there.
        redo: make steps anew whose folder was made of something else; without, the chain refuses to begin.
        command: what was typed, which continues the chain.
        train: trains one recipe in a folder.
        tell: is told the state of each step before it runs, and where an old folder of it has gone.
        draw: as of `scores.scored`.

    Returns:
        The scores, and whether they were made now.

    Raises:
        RecipeError, DataError, RunError: a recipe or a folder is at fault; see `survey`.
        RunError: a step has changed, and not `redo`; or another process works on this chain.
        StoppedError, KeyboardInterrupt: SIGTERM or Ctrl-C; the message has `command`.
        FindingError: of a step with train.on_finding: stop; its message has both commands.
    """
    require_folder(folder)
    with _continued_by(command, "the check before the first step"):  # before the folder is made
        changed = [state for state in survey(pipeline, folder) if state.action == "changed"]
    if changed and not redo:
        raise refusal(changed, command)
    folder.mkdir(parents=True, exist_ok=True)
    total, states = len(pipeline.steps), list[State]()
    with RunFolder(folder).lock():
        for number, step in enumerate(pipeline.steps, start=1):
            with _continued_by(command, f"step {step.name}, {number} of {total}"):
                state = state_of(pipeline, step, folder)
                if state.action == "changed" and not redo:
                    raise refusal([state], command)  # its PA model came out as another one
                old = archive(state.run) if state.action in ("changed", "anew") else None
                tell(state, old)
                if state.action != "skip":
                    train(state.step.loaded, state.run, state.action == "resume")
                states.append(state)
        with _continued_by(command, "evaluation"):
            return scored(pipeline, folder, states, draw)


def require_folder(folder: Path) -> None:
    """Refuse a folder for the chain that holds a run, or is a file. Raises RunError."""
    if (folder / "plan.json").is_file():
        raise RunError(f"{folder}: there is a run in this folder; a chain needs one of its own: give another --run-dir")
    blocked = next((place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()), None)
    if blocked is not None:
        raise RunError(f"{folder}: cannot make the folder of the chain: {blocked} is a file")


def refusal(changed: Sequence[State], command: str) -> RunError:
    """What has changed, and the two ways on."""
    lines = [f"{state.run.path}: made of something else than this chain has now: {_difference(state)}"
             for state in changed]  # fmt: skip
    return RunError(
        "\n".join(lines) + f"\n  to make them anew (the old folders are kept, as <step>.old-N):\n  {command} --redo\n"
        "  to keep them: bring the recipe back, or give another --run-dir"
    )


def _difference(state: State) -> str:
    if state.changed == ("predistortion.pa_sha256",):
        return f"its PA model, step {state.step.through}, is another one"
    found = some_of([key for key in state.changed if key != "predistortion.pa_sha256"] or list(state.changed))
    return found + (f" (made by dpdrun {state.maker}, this is {__version__})" if state.maker != __version__ else "")


@contextmanager
def _continued_by(command: str, where: str) -> Iterator[None]:
    """Say of whatever stops the chain where it was, and the one command that goes on."""
    hint = f"in {where} of the chain; to continue it:\n  {command}"
    try:
        with stopping(lambda: ""):
            yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"{_first(interrupt) or 'interrupted'} {hint}") from None
    except StoppedError as stopped:
        raise StoppedError(f"{_first(stopped)} {hint}") from None
    except FindingError as finding:
        raise FindingError(f"{finding}\n  then go on with the chain:\n  {command}") from None


def _first(error: BaseException) -> str:
    """Of what a single run says, the part before its own way to continue."""
    return str(error).partition("\n")[0].partition(";")[0].strip()
