"""Small plans, models with drawn weights, and a capture of a memoryless cubic amplifier."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import load_text

RECIPE = """
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 2, heads: 2, window: 8}
train: {max_steps: 12, batch_size: 4, frame: 32, burn_in: 8}
"""
MODELS: dict[str, tuple[str, ...]] = {
    "transformer": (),
    "lookahead": ("model.lookahead=3",),
    "full": ("model.window=full", "model.positions=sinusoidal"),
    "gru": ("model={kind: gru, hidden: 4}",),
}


def plan_of(*overrides: str) -> Plan:
    return make_plan(load_text(RECIPE, Path("r.yaml"), overrides).recipe, 2000)


def random_model(plan: Plan) -> BehaviouralModel:
    """A model whose every weight is drawn, so that no path of it is hidden by a zero."""
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
    parts = {"train": part(2000, 0), "val": part(500, 1), "test": part(300, 2)}
    return Capture(
        name="test", sample_rate_hz=1e6, bandwidth_hz=None, subchannels=None, licence="", note="", **(parts | more)
    )  # fmt: skip


def nmse(y: Any, prediction: Any) -> float:
    """NMSE [dB] by its definition, not by the package."""
    return 10 * math.log10(np.linalg.norm(prediction - y) ** 2 / np.linalg.norm(y) ** 2)
