"""A command that may be given again and again until the run is finished, as a job scheduler does: `--auto-resume`.

What is there decides: a finished run is left as it is, a checkpoint is gone on from, and a run that ended before its
first checkpoint makes way, under another name.
"""

from __future__ import annotations

from pathlib import Path

from dpdrun.errors import RunError
from dpdrun.run.files import PARTIAL
from dpdrun.run.folder import RunFolder
from dpdrun.training.resume_checks import has_lost_its_checkpoint, recorded_plan


def should_resume(run: RunFolder) -> bool:
    """Whether `--resume` is to have the last word on a folder: there is something to go on with, or was.

    Raises:
        RunError: plan.json is damaged.
    """
    if run.report.is_file() or run.last.is_file():
        return True
    return run.plan.is_file() and has_lost_its_checkpoint(run, recorded_plan(run))


def archive_unstarted(run: RunFolder) -> Path | None:
    """Rename the folder of a run that never came to a checkpoint; what is not of a run is left to be refused.

    Returns:
        Where it is now, or None where there was none.

    Raises:
        RunError: as `set_aside`.
    """
    return archive(run) if run.plan.is_file() or _is_barely_begun(run) else None


def archive(run: RunFolder) -> Path:
    """Rename the folder of a run to `<name>.old-N`; nothing is lost.

    Raises:
        RunError: a process is training in it, or it cannot be renamed.
    """
    path = run.path
    with run.lock():
        number = 1
        while (old := path.with_name(f"{path.name}.old-{number}")).exists():
            number += 1
        try:
            return path.rename(old)
        except OSError as error:
            raise RunError(f"{path}: cannot be renamed to {old.name}: {error.strerror}") from error


def _is_barely_begun(run: RunFolder) -> bool:
    """Whether a folder holds what a run leaves that is killed before its plan is written, and nothing else."""
    if not run.last.parent.is_dir() or any(run.last.parent.iterdir()):
        return False
    ours = {run.last.parent.name, run.recipe.name}
    return all(path.name in ours or path.name.endswith(PARTIAL) for path in run.path.iterdir())
