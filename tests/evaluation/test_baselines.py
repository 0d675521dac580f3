"""Baselines: fitted to the training part alone, and what they can model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.evaluation.assessment import evaluate
from dpdrun.evaluation.baselines import floor_of, gmp_baseline, one_tap_baseline
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import load_text

RECIPE = """
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 2, heads: 2, window: 8}
train: {max_steps: 12, batch_size: 4, frame: 32, burn_in: 8}
"""
MODELS = {
    "transformer": (),
    "lookahead": ("model.lookahead=3",),
    "full": ("model.window=full", "model.positions=sinusoidal"),
    "gru": ("model={kind: gru, hidden: 4}",),
}


def plan_of(*overrides: str) -> Plan:
    return make_plan(load_text(RECIPE, Path("r.yaml"), overrides).recipe, 2000)


def random_model(plan: Plan) -> nn.Module:
    """A model whose every weight is drawn, so that nothing is hidden behind a zero."""
    torch.manual_seed(0)
    model = models.build(plan.recipe.model, scale_x=0.7, scale_y=1.4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model.eval()


def noise(count: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=count) + 1j * rng.normal(size=count)


def part(count: int, seed: int) -> Part:
    """Smooth noise through a memoryless cubic amplifier."""
    x = 0.1 * np.convolve(noise(count + 8, seed), np.hanning(9), mode="valid")
    return Part(x, 2.0 * x * (1 - 0.3 * np.abs(x) ** 2))


def capture_of(**more: Any) -> Capture:
    return Capture(
        name="test", sample_rate_hz=1e6, bandwidth_hz=None, subchannels=None, licence="", note="",
        train=part(2000, 0), val=part(500, 1), test=part(300, 2), **more,
    )  # fmt: skip


def nmse(y: Any, prediction: Any) -> float:
    """By the definition, on its own."""
    return 10 * math.log10(np.linalg.norm(prediction - y) ** 2 / np.linalg.norm(y) ** 2)


def test_baselines_are_fitted_to_the_training_part_alone() -> None:
    capture = capture_of()
    changed = Capture(**{
        **{name: getattr(capture, name) for name in ("name", "sample_rate_hz", "bandwidth_hz", "subchannels")},
        "licence": "", "note": "", "train": capture.train, "val": capture.val,
        "test": Part(capture.test.x, 3j * capture.test.y),
    })  # fmt: skip
    for baseline in (one_tap_baseline, gmp_baseline):
        assert baseline(capture, ("val",)) == baseline(changed, ("val",))
        assert baseline(capture, ("test",))["test"]["nmse_db"] < -15 < baseline(changed, ("test",))["test"]["nmse_db"]


def test_a_gmp_models_a_cubic_amplifier_and_one_gain_does_not() -> None:
    capture = capture_of()
    gmp, one_tap = gmp_baseline(capture, ("val", "test")), one_tap_baseline(capture, ("val", "test"))
    for split in ("val", "test"):
        assert gmp[split]["nmse_db"] < one_tap[split]["nmse_db"] - 20
    assert gmp["parameters"] > 0


def test_a_known_floor_is_taken_and_an_unknown_one_is_explained() -> None:
    known = floor_of(capture_of(noise_floor_db=-42.0))
    assert known["nmse_db"] == -42.0
    assert "known" in known["method"]
    unknown = floor_of(capture_of())
    assert unknown["nmse_db"] is None
    assert "too few" in unknown["caveat"]
    plan = plan_of()
    report = evaluate(random_model(plan), plan, capture_of(), ("val",))
    assert report["db_left"] is report["splits"]["val"]["db_left"] is None
