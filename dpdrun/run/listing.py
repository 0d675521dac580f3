"""What is known about a run from the files of its folder: state, settings, scores. Reads JSON alone, no weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dpdrun.errors import RunError
from dpdrun.recipe.renamed import with_current_keys
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import MAX_AGE_S, last_beat
from dpdrun.run.scores import chosen, validation_db

State = Literal["finished", "running", "unfinished", "damaged"]


@dataclass(frozen=True)
class RunSummary:
    """A run as `dpdrun runs` lists it.

    Attributes:
        path: of its folder.
        state: `running` where a process holds the folder, or an unfinished run has a recent heartbeat.
        note: why it is damaged, else empty.
        started: when the plan was written [s since 1970].
        settings: every value of the resolved recipe by its dotted key.
        nmse_db: by split; of an unfinished run the best validation so far [dB].
        step, total_steps: optimizer steps that are done, and those of the plan; None where unknown.
        parameters, macs_per_sample, seconds: of a finished run, else None.
    """

    path: Path
    state: State
    note: str = ""
    started: float | None = None
    settings: Mapping[str, Any] | None = None
    nmse_db: Mapping[str, float] | None = None
    step: int | None = None
    total_steps: int | None = None
    parameters: int | None = None
    macs_per_sample: int | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the stable machine-readable form (`dpdrun runs list --format json`)."""
        return asdict(self) | {"path": str(self.path)}


def summary_of(path: Path) -> RunSummary:
    """Read a run folder. A file that is damaged makes a summary that says so, not an error."""
    run = RunFolder(path)
    try:
        run = RunFolder.open(path)
        plan = run.read_json(run.plan)
        settings = settings_of(with_current_keys(plan["recipe"]))
        report = run.read_json(run.report) if run.report.is_file() else {}
        splits = {name: float(chosen(scores)["nmse_db"]) for name, scores in report.get("splits", {}).items()}
    except (RunError, KeyError, TypeError, ValueError, AttributeError) as error:
        note = str(error) if isinstance(error, RunError) else f"{path}: not the files of a run ({error!r})"
        return RunSummary(path, "running" if is_alive(run) else "damaged", note)
    beat = last_beat(run)
    step = report.get("steps", None if beat is None else beat.step)
    return RunSummary(
        path,
        "running" if is_alive(run) else "finished" if report else "unfinished",
        started=run.plan.stat().st_mtime,
        settings=settings,
        nmse_db=splits or _best_validation(run),
        step=step,
        total_steps=plan.get("total_steps"),
        parameters=report.get("parameters"),
        macs_per_sample=report.get("macs_per_sample"),
        seconds=report.get("seconds"),
    )


def is_alive(run: RunFolder) -> bool:
    """Return whether a process trains in a folder: one of this host holds its lock, or its heartbeat is recent."""
    if run.is_locked():
        return True
    beat = last_beat(run)
    return beat is not None and not run.report.is_file() and beat.is_recent()


def removable(path: Path) -> RunFolder:
    """Return a run folder that may be removed.

    Raises:
        RunError: it is not a run folder, or a process may be training in it or in one of its repairs.
    """
    if path.is_symlink():
        raise RunError(f"{path}: a symlink; name the run folder itself, {path.resolve()}")
    run = RunFolder.open(path)
    if not isinstance(run.read_json(run.plan).get("recipe"), dict):
        raise RunError(f"{path}: not a run folder: its plan.json is not that of a run")
    for each in (run, *(RunFolder(plan.parent) for plan in run.repairs.rglob(run.plan.name))):
        if is_alive(each):
            beat = last_beat(each)
            when = f"; its last heartbeat is {beat.age_s():,.0f} s old" if beat else ""
            after = f", or wait until it is {MAX_AGE_S:.0f} s old" if when and not each.is_locked() else ""
            raise RunError(f"{each.path}: a process is training in this folder{when}; stop it first{after}")
    return run


def needed_by(run: RunFolder, others: Iterable[Path]) -> list[Path]:
    """Return the runs of predistorters whose PA model is a run."""
    summaries = [summary_of(path) for path in others]
    needed = [each for each in summaries if (pa := (each.settings or {}).get("pa")) and _is_same(Path(pa), run.path)]
    return [each.path for each in needed]


def _is_same(path: Path, other: Path) -> bool:
    """Return whether two paths lead to one file or folder; False where one does not exist."""
    with suppress(OSError, ValueError):
        return path.samefile(other)
    return False


def score_or_cost(run: RunSummary, key: str) -> float | None:
    """Return what runs can be sorted by: `val` or `test` [dB], `parameters`, or `time` [s]; None where unknown."""
    costs = {"parameters": run.parameters, "time": run.seconds}
    return costs[key] if key in costs else (run.nmse_db or {}).get(key)


def size_of(folder: Path) -> int:
    """Return the size of the files in a folder [bytes], links not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def settings_of(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every value of a recipe, as plan.json has it, by its dotted key."""
    found: dict[str, Any] = {}
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            found |= settings_of(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differing(settings: Sequence[Mapping[str, Any]], ignored: Set[str] = frozenset()) -> list[dict[str, Any]]:
    """Return of each run the settings that are not equal in all of them; a key that a run does not have is left out.

    Args:
        settings: of each run, from `settings_of`.
        ignored: dotted keys of fields and sections to leave out.
    """
    prefixes = tuple(f"{key}." for key in ignored)
    known = dict.fromkeys(key for values in settings for key in values)
    keys = [key for key in known if key not in ignored and not key.startswith(prefixes)]
    unequal = [
        key for key in keys if any(key not in values or values[key] != settings[0].get(key) for values in settings)
    ]
    return [{key: values[key] for key in unequal if key in values} for values in settings]


def _best_validation(run: RunFolder) -> dict[str, float] | None:
    """Return the best validation NMSE in the log of an unfinished run [dB]."""
    found = []
    with suppress(OSError), run.metrics.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if '"val_nmse_db"' in line:  # few lines have one, and a log may have a million
                with suppress(ValueError, KeyError, TypeError):  # the last line may be incomplete
                    found.append(validation_db(json.loads(line)))
    return {"val": min(found)} if found else None
