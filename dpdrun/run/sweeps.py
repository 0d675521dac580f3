"""Which run stands for a sweep where one is needed: the best of its trials, by the sweep.json in its folder."""

from __future__ import annotations

from pathlib import Path

from dpdrun.errors import RunError
from dpdrun.run.files import Json, is_there
from dpdrun.run.folder import RunFolder

SCORES = {"pa": "val_nmse_db", "dpd": "val_objective_db"}  # by the task of a sweep


def best_run(path: Path) -> Path:
    """Return the trial of a sweep with the best validation score, or a path that is no sweep as it is.

    Raises:
        RunError: no trial is finished, or the results of the sweep are damaged.
    """
    result = path / "sweep.json"
    if not is_there(path / "sweep.yaml"):
        return path
    content: Json = RunFolder(path).read_json(result) if result.is_file() else {"task": "pa", "points": []}
    try:
        name = SCORES[content["task"]]
        trials = [trial for point in content["points"] for trial in point["trials"] if trial.get(name) is not None]
        best = min(trials, key=lambda trial: float(trial[name]), default=None)
        found = None if best is None else path / "trials" / Path(best["id"]).name
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{result}: damaged ({error!r}); `dpdrun sweep show {path}` writes it again") from None
    if found is None:
        raise RunError(f"{path}: no trial of this sweep is finished yet; `dpdrun sweep resume {path}` continues it")
    return found
