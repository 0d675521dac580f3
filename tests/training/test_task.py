"""What is learnt by which task, and who scores it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dpdrun import models
from dpdrun.data.capture import Capture
from dpdrun.dpd.cascade import pa_model_of
from dpdrun.dpd.objective import POWER_GATE_PENALTY_DB
from dpdrun.errors import RunError
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._cascade import Cascade, frozen
from dpdrun.plan.plan import Plan
from dpdrun.rf.metrics import nmse_db, rms
from dpdrun.training import job
from dpdrun.training.task import Score, TrainingTask, augmented, dpd_task, pa_task, scales_of


def assigned(bench: Any, *overrides: str) -> tuple[TrainingTask, Plan, Capture, list[str]]:
    plan, capture = job.prepare_training(bench.recipe(*overrides))
    torch.manual_seed(0)
    model, told = models.build(plan.recipe.model, **scales_of(plan, capture)), list[str]()
    return dpd_task(model, plan, capture, pa_model_of(plan), told.append), plan, capture, told


def gain_of(plan: Plan) -> float:
    assert plan.predistortion is not None
    return plan.predistortion.gain


def test_direct_learning_goes_through_the_amplifier(bench: Any) -> None:
    task, plan, capture, _ = assigned(bench)
    assert isinstance(task.module, Cascade)
    for name in ("train", "val"):
        pair, part = task.pair.parts[name], capture.parts[name]
        assert np.array_equal(pair.x, part.x)
        assert np.allclose(pair.y, gain_of(plan) * part.x)
    assert task.pair.scale_y == pytest.approx(float(task.module.scale_y))


def test_indirect_learning_turns_the_pair_around(bench: Any) -> None:
    task, plan, capture, _ = assigned(bench, "dpd.learning=indirect")
    assert task.module is task.model
    assert np.allclose(task.pair.train.x * gain_of(plan), capture.train.y)
    assert np.array_equal(task.pair.train.y, capture.train.x)


def test_ilc_learns_the_input_that_linearizes(bench: Any) -> None:
    from dpdrun.evaluation.prediction import predict

    task, plan, capture, told = assigned(bench, "dpd.learning=ilc")
    assert task.module is task.model
    assert len(told) == 2
    pa = pa_model_of(plan)
    assert pa is not None
    for name in ("train", "val"):
        pair = task.pair.parts[name]
        assert np.array_equal(pair.x, capture.parts[name].x)
        plain, ideal = (nmse_db(gain_of(plan) * pair.x, predict(pa, u)) for u in (pair.x, pair.y))
        # the validation part has a peak above all of the training part, which the limit does not let through
        assert ideal < plain - (30 if name == "train" else 8)
        assert task.ilc[name]["nmse_db"] == pytest.approx(ideal, abs=1e-6)
        assert plan.predistortion is not None
        assert np.abs(pair.y).max() <= plan.predistortion.peak_limit * (1 + 1e-9)


def test_variants_are_three_more_signals_of_the_same_level_and_bandwidth() -> None:
    rng = np.random.default_rng(0)
    x = np.convolve(rng.normal(size=300) + 1j * rng.normal(size=300), np.ones(8))
    four = augmented(x).reshape(4, -1)
    assert np.array_equal(four[0], x)
    for one in four:
        assert np.allclose(np.sort(np.abs(one)), np.sort(np.abs(x)))
        spectrum = np.abs(np.fft.fft(one))
        mirrored = np.roll(spectrum[::-1], 1)
        assert any(np.allclose(each, np.abs(np.fft.fft(x))) for each in (spectrum, mirrored))
    assert len({one.tobytes() for one in four}) == 4


def test_ilc_with_variants_learns_the_ideal_input_of_each(bench: Any) -> None:
    from dpdrun.evaluation.prediction import predict

    task, plan, capture, _ = assigned(bench, "dpd.learning=ilc", "dpd.augment=on")
    pair = task.pair.train
    assert np.array_equal(pair.x, augmented(capture.train.x))
    assert np.array_equal(task.pair.val.x, capture.val.x)
    pa = pa_model_of(plan)
    assert pa is not None
    wanted, n = gain_of(plan) * pair.x, len(capture.train)
    y = predict(pa, pair.y)
    for start in range(0, 4 * n, n):
        assert nmse_db(wanted[start : start + n], y[start : start + n]) < -40


def test_ilc_through_a_nonfinite_pa_model_is_reported(bench: Any) -> None:
    class Broken(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.nan

    plan, capture = job.prepare_training(bench.recipe("dpd.learning=ilc"))
    model = models.build(plan.recipe.model, **scales_of(plan, capture))
    with pytest.raises(RunError, match=r"iterative learning control through .* failed: .* not finite"):
        dpd_task(model, plan, capture, frozen(Broken()), lambda _: None)


def perfect(task: TrainingTask, level: float) -> BehaviouralModel:
    """Replaces the cascade: an amplifier that is linear, with `level` times the wanted gain."""

    class Linear(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * level * gain_of(task.plan)

    return frozen(Linear())


def test_a_checkpoint_without_the_power_comes_last(bench: Any) -> None:
    task, *_ = assigned(bench)
    held, low = (replace(task, cascade=perfect(task, level)).score() for level in (1.01, 0.5))
    assert held.line["power_db"] == pytest.approx(20 * np.log10(1.01), abs=1e-5)
    assert held.selection_db == pytest.approx(held.line["objective_db"])
    assert low.line["power_db"] == pytest.approx(20 * np.log10(0.5), abs=1e-5)
    assert low.selection_db == pytest.approx(low.line["objective_db"] + POWER_GATE_PENALTY_DB)
    own = task.score()
    chosen = own.line["objective_with_past_db"]
    assert own.selection_db == chosen or own.selection_db > POWER_GATE_PENALTY_DB / 2
    assert task.module.training, "it is left as it was"


def test_without_a_bandwidth_nmse_decides(bench: Any) -> None:
    task, *_ = assigned(bench)
    blind = replace(task, capture=replace(task.capture, bandwidth_hz=None), cascade=perfect(task, 1.01)).score()
    assert blind.selection_db == blind.nmse_db == pytest.approx(-40.0, abs=0.01)
    assert blind.line["aclr_worse_db"] is None


def test_a_model_starts_at_the_level_that_it_will_need(bench: Any) -> None:
    plan, capture = job.prepare_training(bench.recipe())
    scales = scales_of(plan, capture)
    assert scales["scale_x"] == pytest.approx(rms(capture.train.x))
    assert 0.5 < scales["scale_y"] / scales["scale_x"] < 1.0, "the peak gain is below the mean one"
    assert scales_of(replace(plan, predistortion=None), capture)["scale_y"] == pytest.approx(capture.scale_y)


def test_a_pa_model_learns_its_own_pair(bench: Any) -> None:
    plan, capture = job.prepare_training(bench.recipe())
    plan = replace(plan, predistortion=None)
    model = models.build(plan.recipe.model, **scales_of(plan, capture))
    task = pa_task(model, capture, plan)
    score = task.score()
    assert (task.module, task.pair) == (model, capture)
    assert score.line == {"val_nmse_with_past_db": score.selection_db}
    cold = replace(capture, val=replace(capture.val, past=None, future=None))
    assert pa_task(model, cold, plan).score() == Score(score.nmse_db, score.nmse_db)
    assert model.training
