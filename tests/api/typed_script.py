"""A script as a user would write it: `mypy --strict` accepts it (`make types`; a slow test without our settings)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import dpdrun


class Net(nn.Module):
    """A network of the user."""

    context = 0

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, 2) -> (B, T, 2)."""
        y: Tensor = self.gain(x)
        return y


def loss(prediction: Tensor, target: Tensor) -> Tensor:
    """A loss of the user."""
    return torch.mean(torch.abs(prediction - target))


def study(x: NDArray[np.complex64], y: NDArray[np.complex64], folder: Path) -> float:
    """Use every public name."""
    capture = dpdrun.Capture.from_arrays(
        x, y, sample_rate_hz=983.04e6, split={"train": "70%", "val": "15%", "test": "15%"}
    )
    other: dpdrun.Capture = dpdrun.Capture.load("synthetic/mild")
    advice: dpdrun.Advice = dpdrun.recommend(capture=capture)
    run: dpdrun.Run = dpdrun.train(advice.recipe, capture, out=folder / "a", overrides={"train.max_steps": 10})
    own = dpdrun.train({"task": "pa", "optim": {"lr": 1e-3}}, other, str(folder / "b"), model=Net(), loss=loss)
    dpd: dpdrun.Predistorter = dpdrun.train_dpd(run, overrides=["train.max_steps=10"])
    try:
        driven = dpd.predistort(x)
    except dpdrun.DpdrunError as error:
        raise SystemExit(str(error)) from None
    diagnosis: dpdrun.Diagnosis = dpdrun.diagnose(run)
    print(dpdrun.__version__, [finding.code for finding in diagnosis.findings], np.abs(driven).max())
    plot: dpdrun.Plot = run.plot("psd", split="val")
    saved: Path = plot.save(folder / "psd.png")
    exported = own.export("torchscript").path
    scores: dpdrun.Scores = dpdrun.evaluate(dpdrun.load_run(folder / "a"), ("val",))
    steps = dpdrun.make_plan(dpdrun.load_recipe("quickstart").recipe, 10_000).total_steps
    print(saved, exported, steps, run.predict(x).shape, run.metrics.evals[-1]["val_nmse_db"])
    return scores.nmse_db["val"]
