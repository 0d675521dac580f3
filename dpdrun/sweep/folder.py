"""The folder of a sweep: the names of its files, what it is bound to, and what it takes over from other sweeps."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpdrun import __version__
from dpdrun.errors import RunError
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.problems import listed
from dpdrun.run.files import make_folder, unwritable, write_text
from dpdrun.run.folder import RunFolder, require_free
from dpdrun.run.symlinks import escapes, reject_special
from dpdrun.sweep.document import Sweep, load_sweep
from dpdrun.sweep.journal import Journal, SweepState
from dpdrun.sweep.points import Planned
from dpdrun.sweep.presence import Presence

SHOWN = 5  # keys in a message


class SweepFolder:
    """Paths and files of one sweep.

    Args:
        path: of the folder.
        storage: address of the database that has its journal; None = the folder has it.

    Raises:
        RunError: the database cannot be used.
    """

    def __init__(self, path: Path, storage: str | None = None) -> None:
        self.path, self.storage = path, storage
        self.journal, self.presence = Journal(self.journal_file), Presence(path / "workers")
        if storage is not None:
            from dpdrun.sweep.database import Database, DatabaseJournal, DatabasePresence

            database, name = Database(storage), path.absolute().name
            self.journal = DatabaseJournal(self.journal_file, database, name)
            self.presence = DatabasePresence(path / "workers", database, name)

    sweep = property(lambda self: self.path / "sweep.yaml")
    recipe = property(lambda self: self.path / "recipe.yaml")
    journal_file = property(lambda self: self.path / "journal.jsonl")
    trials = property(lambda self: self.path / "trials")
    logs = property(lambda self: self.path / "workers")
    result = property(lambda self: self.path / "sweep.json")
    table = property(lambda self: self.path / "sweep.csv")
    page = property(lambda self: self.path / "report.html")
    final_lock = property(lambda self: self.path / "final.lock")

    def run(self, trial_id: str) -> RunFolder:
        """Return the run folder of a trial."""
        return RunFolder(self.trials / trial_id)

    def load(self) -> Sweep:
        """Return the sweep as it was last begun or extended. Raises RecipeError, or RunError as `reject_links`."""
        self.reject_links()
        return load_sweep(self.sweep)

    def reject_links(self) -> None:
        """Raise RunError for a symlink out of the folder: trials would be made and logs appended there; or a pipe."""
        reject_special(self.path, self.logs)
        for place in (self.path, self.trials, self.logs):
            for path in place.iterdir() if place.is_dir() else ():
                if (target := escapes(path, self.path)) is not None:
                    raise RunError(f"{path}: a symlink out of this sweep, to {target}; replace it with what it names")

    @classmethod
    def open(cls, path: Path, storage: str | None = None) -> SweepFolder:
        """Open the folder of a sweep. Raises RunError when the path is not one."""
        folder = cls(path, storage)
        if not (folder.journal.exists and folder.sweep.is_file()):
            near = (
                sorted(each.parent.name for each in path.parent.glob("*/journal.jsonl")) if path.parent.is_dir() else []
            )
            hint = f"; sweeps in {path.parent}: {listed(near, 'and')}" if near else "; `dpdrun sweep RECIPE` makes one"
            what = "not the folder of a sweep (it has no journal.jsonl)" if path.exists() else "no such folder"
            if folder.sweep.is_file() and storage is None:
                what, hint = f"{what}; is its journal in a database? give its --storage", ""
            raise RunError(f"{path}: {what}{hint}")
        return folder


def is_sweep_folder(path: Path) -> bool:
    """Return whether a path is the folder of a sweep."""
    folder = SweepFolder(path)
    return bool(folder.sweep.is_file() and folder.logs.is_dir())


def runs_of(path: Path) -> list[Path]:
    """Return the runs of the front of a sweep, or any other path as it is.

    Raises:
        RunError: the sweep has no results yet.
    """
    if not is_sweep_folder(path):
        return [path]
    folder = SweepFolder(path)
    content = RunFolder(path).read_json(folder.result) if folder.result.is_file() else {"front": [], "points": []}
    try:
        trials = [Path(trial["id"]).name for each in content["points"] if each["on_front"] for trial in each["trials"]]
    except (KeyError, TypeError) as error:
        raise RunError(f"{folder.result}: damaged ({error!r}); `dpdrun sweep show {path}` writes it again") from None
    if not trials:
        raise RunError(f"{path}: this sweep has no finished configuration yet; `dpdrun sweep show {path}`")
    return [folder.trials / trial for trial in dict.fromkeys(trials)]


def begin(folder: SweepFolder, sweep: Sweep, planned: Planned) -> SweepState:
    """Create the folder of a sweep, or extend one of the same recipe and data.

    Raises:
        RunError: the folder holds something else, or the sweep of another recipe or of other data.
    """
    path = folder.path
    if not folder.sweep.is_file():
        allowed = path.is_dir() and {each.name for each in path.iterdir()} <= {
            folder.logs.name,
            folder.journal_file.name,
            "journal.lock",
        }
        if not allowed:
            require_free(path)
    make_folder(folder.logs)
    folder.reject_links()
    header = _identity(sweep, planned)
    with folder.journal.transaction() as now:
        if now.state.header:
            _require_same(folder, now.state.header, header)
        else:
            now.add("sweep", **header)
        for point in planned.points:
            if point.key not in now.state.keys:
                now.add("point", point=point.to_json())
        known = {str(each) for each in now.state.left_out}
        for left in planned.left_out:
            if str(left) not in known:
                now.add("left_out", config=left.config, reason=left.reason)
        write_text(folder.recipe, _recipe_text(sweep, planned))
        write_text(folder.sweep, sweep.text)
    return now.state


def _identity(sweep: Sweep, planned: Planned) -> dict[str, Any]:
    """Return what a folder is bound to: the recipe without the swept fields, and its samples."""
    swept = {each.key for each in sweep.over}
    values = {
        key: value if isinstance(value, int | float | str | bool) else str(value)
        for key, value in values_of(sweep.base.recipe).items()
        if key not in swept and not any(key.startswith(f"{each}.") for each in swept)
    }
    values.pop("train.seed", None)
    values.pop("data.source", None)  # it stands in the trials, and its samples in their hashes
    return {
        "schema_version": 1, "dpdrun": __version__, "recipe": sweep.base.path.stem, "values": values,
        "data": sorted({point.data_sha256 for point in planned.points}),
    }  # fmt: skip


def _require_same(folder: SweepFolder, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse another recipe, or other data, in the folder of a sweep: their scores cannot be compared."""
    old, new = before["values"], now["values"]
    both = set(old) & set(new)  # a field that only one of them sweeps is in the trials of that one
    keys = [key for key in new if key in both and old[key] != new[key]]
    if before["recipe"] != now["recipe"] and keys:
        why = f"of recipe {before['recipe']}, this is {now['recipe']}"
    elif keys:
        changes = [f"{key} {old[key]} -> {new[key]}" for key in keys[:SHOWN]]
        why = f"of another recipe: {', '.join(changes)}" + (f" and {len(keys) - SHOWN} more" if keys[SHOWN:] else "")
    elif not set(before["data"]) & set(now["data"]):
        why = "on other data: the samples of the capture have changed since"
    else:
        return
    raise RunError(f"{folder.path}: this folder holds a sweep {why}; give another --run-dir")


def _recipe_text(sweep: Sweep, planned: Planned) -> str:
    """Return the recipe of a sweep with its capture and PA run where they are now, for any working folder."""
    places = [each for each in planned.points[0].trials[0].overrides if each.startswith(("data.source=", "pa="))]
    if any(each.key in ("data.source", "data") for each in sweep.over):
        places = [each for each in places if each.startswith("pa=")]
    return load_text(sweep.base.text, sweep.base.path, [*sweep.base.overrides, *places]).effective_text


def retry(folder: SweepFolder, sweep: Sweep) -> int:
    """Let failed trials be tried again, and pruned ones continue where `prune` is off now; returns their number.

    A trial may have failed for a reason that has gone: a drive that was not mounted, memory that others had.
    """
    statuses = ("failed", "pruned") if sweep.prune == "off" else ("failed",)
    with folder.journal.transaction() as now:
        found = [id_ for id_, each in now.state.trials.items() if each.status in statuses]
        for trial in found:
            now.add("retry", id=trial)
    return len(found)


def take_over(folder: SweepFolder) -> int:
    """Mark trials as finished that another sweep next to this one has finished; returns their number."""
    waiting = [id_ for id_, each in folder.journal.read().trials.items() if each.status == "pending"]
    found = [trial for trial in waiting if _copy_finished(folder, trial)]
    with folder.journal.transaction() as now:
        for trial in found:
            if now.state.trials[trial].status == "pending":
                now.add("finished", id=trial, worker="")
    return len(found)


def _copy_finished(folder: SweepFolder, trial_id: str) -> bool:
    """Copy a finished trial from another sweep next to this one; returns whether there was one.

    The copy appears complete or not at all, so other workers never see an incomplete copy.
    """
    target = folder.trials / trial_id
    if target.exists():
        return bool(RunFolder(target).report.is_file())
    for other in sorted(folder.path.absolute().parent.glob(f"*/trials/{trial_id}")):
        source = RunFolder(other)
        if not (source.report.is_file() and source.model.is_file()):
            continue
        temporary = target.with_name(f".{trial_id}.{folder.presence.name}.partial")
        try:
            folder.trials.mkdir(exist_ok=True)
            shutil.copytree(other, temporary, symlinks=True)
            temporary.rename(target)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if target.exists():  # another worker was faster
                return RunFolder(target).report.is_file() is True
            raise unwritable(target, error) from error
        return True
    return False
