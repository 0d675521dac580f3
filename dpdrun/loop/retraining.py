"""The next waveform from a predistorter that is trained again on each round (`--method model`).

The PA model learns the measured round, the predistorter learns through it, and the original goes through the
predistorter. Both are ordinary run folders of the round; a network starts from the weights of the round before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from dpdrun.errors import RecipeError
from dpdrun.evaluation.prediction import eval_frame, predict
from dpdrun.loop.folder import LoopFolder
from dpdrun.recipe.loader import Loaded, load_recipe, load_text
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.metrics import Signal
from dpdrun.run.folder import RunFolder
from dpdrun.training import job
from dpdrun.training.resume import archive

Task = Literal["pa", "dpd"]
DEFAULTS: dict[Task, str] = {
    "pa": "task: pa\ndata:\n  source: measured.npz\nmodel:\n  kind: gmp\n",
    "dpd": "task: dpd\npa: pa\ndata:\n  source: measured.npz\nmodel:\n  kind: gmp\ndpd:\n  learning: ilc\n",
}
Train = Callable[[Loaded, RunFolder], None]  # a run that may be finished, or interrupted


def read_recipes(given: dict[Task, str | None]) -> dict[str, str]:
    """Return the text of both recipes, a least-squares gmp where none is given. Raises RecipeError."""
    texts = dict[str, str]()
    for task, name in given.items():
        loaded = load_text(DEFAULTS[task]) if name is None else load_recipe(name)
        if loaded.recipe.task != task:
            raise RecipeError(f"--{task} {name}: a recipe of task {loaded.recipe.task}; give one of task {task}")
        texts[task] = loaded.effective_text
    return texts


def predistorted(folder: LoopFolder, number: int, train: Train) -> Signal:
    """Return the original through the predistorter of a round, (N,) complex128; trained first where it is not.

    A run of another recipe, which was edited after it failed, is renamed to `<task>.old-N`.

    Args:
        folder: of the loop; the round has been measured.
        number: of the round.
        train: trains a recipe in a run folder, continues it, or does nothing if it is finished.

    Raises:
        RecipeError, DataError, RunError, StoppedError: as `training.job.train`.
    """
    for task in DEFAULTS:
        recipe, run = _recipe(folder, number, task), RunFolder(folder.round(number) / task)
        if run.recipe.is_file() and run.recipe.read_text(encoding="utf-8") != recipe.effective_text:
            archive(run)
        try:
            train(recipe, run)
        except RecipeError as error:
            names = " and ".join(str(folder.recipe(each)) for each in DEFAULTS)
            raise RecipeError(f"{error}\n  edit the recipes of this loop, {names}, and repeat the command") from error
    model, plan, _ = job.load_run(folder.round(number) / "dpd")
    return np.asarray(predict(model, folder.waveform(0), frame=eval_frame(plan)), np.complex128)


def _recipe(folder: LoopFolder, number: int, task: Task) -> Loaded:
    path = folder.recipe(task)
    overrides = [f"pa={(folder.round(number) / 'pa').absolute()}"] if task == "dpd" else []
    text = path.read_text(encoding="utf-8")
    before = [folder.round(each) / task for each in range(number)]
    trained = [each for each in before if RunFolder(each).model.is_file()]
    if trained and load_text(text, path).recipe.model.kind != "gmp":  # whose fit has no start
        overrides.append(f"train.init_from={trained[-1].absolute()}")
    measured = DataSection(source=str(folder.measured_file(number).absolute()), check_rates="off")
    return load_text(text, path, overrides).with_data(measured)
