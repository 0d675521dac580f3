"""Two recipes against each other, from the same seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dpdrun.errors import FindingError
from dpdrun.recipe.loader import Loaded, load_recipe, load_text
from dpdrun.recipe.patch import apply_patch
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.run.scores import chosen
from dpdrun.training import job, rerun
from dpdrun.training.rerun import SILENCE_DB, compare_recipes

RECIPE = """\
task: pa
data: {{source: {source}, sample_rate_hz: 1e6}}
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}}
optim: {{lr: 1e-5}}
train: {{max_steps: 30, batch_size: 4, frame: 32, eval_every: 30, compile: off}}
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("rerun")
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=2008) + 1j * rng.normal(size=2008), np.hanning(9), mode="valid")
    np.savez(folder / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    path = folder / "slow.yaml"
    path.write_text(RECIPE.format(source=folder / "capture.npz"))
    return load_recipe(path)


def with_lr(loaded: Loaded, lr: float) -> Loaded:
    return load_text(apply_patch(loaded.text, {"optim.lr": lr}), loaded.path)


def test_a_better_learning_rate_is_kept_and_every_run_can_be_looked_at(before: Loaded, tmp_path: Path) -> None:
    outcome = compare_recipes(before, with_lr(before, 3e-2), tmp_path, range(2))
    assert outcome.kept
    assert min(outcome.gains_db) > 3
    for name in ("before-seed0", "before-seed1", "after-seed0", "after-seed1"):
        run = RunFolder.open(tmp_path / name)
        recipe = load_recipe(run.recipe).recipe
        assert recipe.train.seed == int(name[-1])
        assert recipe.optim.lr == (1e-5 if name.startswith("before") else 3e-2)
        assert chosen(run.read_json(run.report)["splits"]["val"])["nmse_db"] in (outcome.before_db + outcome.after_db)


def test_a_recipe_against_itself_gains_nothing(before: Loaded, tmp_path: Path) -> None:
    outcome = compare_recipes(before, before, tmp_path, [3])
    assert outcome.gain_db == 0.0
    assert not outcome.kept


def test_finished_runs_are_not_repeated(before: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job.train(before, tmp_path / "run")
    first = compare_recipes(before, with_lr(before, 3e-2), tmp_path, [0], finished=RunFolder.open(tmp_path / "run"))
    assert not (tmp_path / "before-seed0").exists()

    def steps_taken(*_: object, **__: object) -> None:
        raise AssertionError("it was trained again")

    monkeypatch.setattr(job, "fit", steps_taken)
    again = compare_recipes(before, with_lr(before, 3e-2), tmp_path, [0], finished=RunFolder.open(tmp_path / "run"))
    assert again == first


def test_a_run_of_another_recipe_does_not_count(before: Loaded, tmp_path: Path) -> None:
    job.train(with_lr(before, 1e-3), tmp_path / "run")
    compare_recipes(before, before, tmp_path, [0], finished=RunFolder.open(tmp_path / "run"))
    assert (tmp_path / "before-seed0").exists()


def test_a_run_that_diverges_scores_as_silence(before: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wild = load_text(apply_patch(before.text, {"optim.lr": 1e30, "optim.clip_norm": "off"}), before.path)
    assert rerun._trained(wild, tmp_path / "wild", None) == SILENCE_DB


def test_a_recipe_that_stops_at_a_finding_is_compared_over_its_full_length(
    before: Loaded, tmp_path: Path, runaway: Callable[[float], None]
) -> None:
    runaway(2e-2)  # in its first steps
    fast = {"optim.lr": 3e-2, "optim.clip_norm": "off", "optim.warmup": "off", "train.max_steps": 60}
    warned = load_text(apply_patch(before.text, fast), before.path)
    stopping = load_text(apply_patch(warned.text, {"train.on_finding": "stop"}), before.path)
    with pytest.raises(FindingError, match="stopped after step 50 of 60"):
        job.train(stopping, tmp_path / "alone")
    assert rerun._trained(stopping, tmp_path / "stop", None) == rerun._trained(warned, tmp_path / "warn", None)
    assert len(read_metrics(tmp_path / "stop").steps) == 60
