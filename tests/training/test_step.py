"""Single steps of the probe are those of the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dpdrun import models
from dpdrun.data.capture import Capture
from dpdrun.errors import RunError
from dpdrun.plan.plan import Plan
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training.loop import fit
from dpdrun.training.probe import ProbeRun
from dpdrun.training.schedule import schedule_of
from dpdrun.training.telemetry import Silent


@pytest.mark.parametrize(
    "override", ["train.accumulate=1", "train.accumulate=2", "optim.clip_norm=0.01", "train.loss.out_of_band=5"]
)
def test_steps_are_those_of_the_loop(
    capture: Capture, plan: Callable[..., Plan], tmp_path: Path, override: str
) -> None:
    """Same weights, frames, loss, norm and update: the traces of loss and norm are equal."""
    this, capture = plan(override), replace(capture, bandwidth_hz=3e5)
    probe = ProbeRun(this, capture, seed=0)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    (folder.path / "checkpoints").mkdir()
    torch.manual_seed(0)
    model = models.build(this.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
    fit(model, this, capture, folder, Silent(), resume=False)
    lines = read_metrics(folder.path).steps
    assert len(lines) == this.total_steps
    schedule = schedule_of(this)
    for line in lines:
        step = probe.step(line["step"], schedule.lr_at(line["step"]))
        assert (step.loss, step.grad_norm) == (line["loss"], line["grad_norm"])


def test_seed_decides_weights_and_frames(capture: Capture, plan: Callable[..., Plan]) -> None:
    def losses(seed: int) -> list[float]:
        probe = ProbeRun(plan(), capture, seed=seed)
        return [probe.step(number, 1e-3).loss for number in range(1, 4)]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_global_generator_is_left_alone(capture: Capture, plan: Callable[..., Plan]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    ProbeRun(plan(), capture, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_steps_of_a_predistorter_are_refused(capture: Capture, plan: Callable[..., Plan]) -> None:
    with pytest.raises(RunError, match="probe the recipe of its PA"):
        ProbeRun(plan("task=dpd", "dpd.learning=indirect"), capture, seed=0)
