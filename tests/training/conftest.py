"""A small capture and plans that train in a second."""

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.data.capture import Capture, Part
from dpdrun.plan import Plan, make_plan
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.training import job
from dpdrun.training.telemetry import Silent

RECIPE = """
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
optim: {lr: 1e-2}
train: {max_steps: 12, batch_size: 4, frame: 32, burn_in: 8, eval_every: 4, checkpoint_every: 6, compile: off}
"""


def amplifier(samples: int, seed: int) -> Part:
    """A memoryless cubic amplifier driven by coloured noise."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=samples + 8) + 1j * rng.normal(size=samples + 8)
    x = 0.1 * np.convolve(white, np.hanning(9), mode="valid")
    return Part(x, 2.0 * x * (1 - np.abs(x) ** 2))


@pytest.fixture(scope="session")
def capture() -> Capture:
    return Capture(
        name="test", sample_rate_hz=1e6, bandwidth_hz=None, subchannels=None, licence="", note="",
        train=amplifier(2000, 0), val=amplifier(500, 1), test=amplifier(500, 2),
    )  # fmt: skip


@pytest.fixture
def loaded() -> Callable[..., Loaded]:
    """Make the recipe of these tests, with `key=value` overrides."""

    def make(*overrides: str) -> Loaded:
        return load_text(RECIPE, Path("recipe.yaml"), overrides)

    return make


@pytest.fixture
def plan(loaded: Callable[..., Loaded]) -> Callable[..., Plan]:
    """Make the plan of the recipe of these tests, with `key=value` overrides."""

    def make(*overrides: str) -> Plan:
        return make_plan(loaded(*overrides).recipe, 2000)

    return make


class SignalAt(Silent):
    """A monitor that sends this process a signal when a step is reached."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGTERM) -> None:
        self._step, self._number = step, number

    def step(self, line: dict[str, Any]) -> None:
        if line["step"] == self._step:
            os.kill(os.getpid(), self._number)


@pytest.fixture
def signal_at() -> type[SignalAt]:
    """The class of such monitors: `signal_at(7)`, `signal_at(2, signal.SIGINT)`."""
    return SignalAt


@pytest.fixture
def stop_at() -> Callable[..., job.Watch]:
    """Make what a job watches with such a monitor: `watch=stop_at(3)`."""
    return lambda step, number=signal.SIGTERM: lambda _: nullcontext(SignalAt(step, number))
