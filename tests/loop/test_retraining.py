"""Rounds of a loop with a predistorter that is trained on each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.errors import RecipeError
from dpdrun.loop import retraining
from dpdrun.loop.folder import LoopFolder
from dpdrun.loop.retraining import predistorted, read_recipes
from dpdrun.loop.rounds import take
from dpdrun.loop.state import LoopState
from dpdrun.plan.recorded import plan_of
from dpdrun.recipe.loader import Loaded
from dpdrun.rf.metrics import one_tap_gain
from dpdrun.run.folder import RunFolder
from dpdrun.training import job
from tests.loop_bench import Bench

SMALL = "  order: 5\n  delays: 5\n  cross: 1\n"
GRU = "task: {task}\n{more}data:\n  source: any.npz\nmodel:\n  kind: gru\n  hidden: 4\ntrain:\n  max_steps: 3\n"


def train(loaded: Loaded, run: RunFolder) -> None:
    job.train(loaded, run.path, resume="auto")


def test_a_polynomial_is_fitted_to_each_round(started: Callable[..., LoopState], tmp_path: Path) -> None:
    recipes = read_recipes({"pa": None, "dpd": None})
    small = {task: text.replace("kind: gmp\n", f"kind: gmp\n{SMALL}") for task, text in recipes.items()}
    started(method="model", recipes=small)
    bench = Bench(LoopFolder(tmp_path / "other"))
    scores: list[Any] = []
    for number in range(2):
        state = take(
            bench.folder,
            bench.file(bench.capture(number)),
            predistorted=lambda best: predistorted(bench.folder, best, train),
        )
        scores.append(state.rounds[number].scores)
    played = [bench.folder.waveform(number) for number in range(3)]  # the phase of the bench is in none
    assert [np.angle(np.vdot(played[0], u)) for u in played] == pytest.approx([0, 0, 0], abs=0.01)
    gains = [one_tap_gain(*bench.folder.measured(number)[1:]) for number in range(2)]
    assert abs(np.angle(gains[1] / gains[0])) < 0.1
    run = bench.folder.round(0)
    assert plan_of(RunFolder(run / "dpd")).recipe.pa == str((run / "pa").absolute())
    assert scores[1].nmse_db < scores[0].nmse_db - 2  # measured: 3.7 and 8.1 dB, from 5,000 samples
    assert scores[1].in_band_error_db < scores[0].in_band_error_db - 5


def test_a_network_starts_from_the_round_before(bench: Bench) -> None:
    for task, more in (("pa", ""), ("dpd", "pa: any\n")):
        bench.folder.recipe(task).write_text(GRU.format(task=task, more=more))
    bench.run(1)
    first = retraining._recipe(bench.folder, 0, "pa")
    assert first.recipe.train.init_from == "off"
    train(first, RunFolder(bench.folder.round(0) / "pa"))
    second = retraining._recipe(bench.folder, 1, "pa").recipe
    assert second.train.init_from == str((bench.folder.round(0) / "pa").absolute())
    assert second.data.source == str(bench.folder.measured_file(1).absolute())


def test_after_a_refusal_an_edited_recipe_is_trained_again(bench: Bench) -> None:
    for task, more in (("pa", ""), ("dpd", "pa: any\n")):
        bench.folder.recipe(task).write_text(GRU.format(task=task, more=more))
    bench.run(1)
    steps: list[Any] = []

    def refused(loaded: Loaded, run: RunFolder) -> None:
        run.path.mkdir(exist_ok=True)
        run.recipe.write_text(loaded.effective_text)
        steps.append(loaded.recipe.train.max_steps)
        raise RecipeError("pa: weak")

    for edited in (3, 3, 9):
        text = bench.folder.recipe("pa").read_text()
        bench.folder.recipe("pa").write_text(text.replace("max_steps: 3", f"max_steps: {edited}"))
        with pytest.raises(RecipeError, match=r"weak\n  edit the recipes of this loop, .*pa\.yaml and .*dpd\.yaml"):
            predistorted(bench.folder, 0, refused)
    assert steps == [3, 3, 9]
    assert [path.name for path in sorted(bench.folder.round(0).glob("pa*"))] == ["pa", "pa.old-1"]


def test_recipes_of_another_task_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GRU.format(task="pa", more=""))
    with pytest.raises(RecipeError, match=r"--dpd .*a recipe of task pa; give one of task dpd"):
        read_recipes({"pa": None, "dpd": str(tmp_path / "a.yaml")})
