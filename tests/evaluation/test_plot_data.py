"""What evaluate hands to plots: values that stay as they are."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from dpdrun.evaluation.plot_data import Scene, Trace
from dpdrun.rf.linearity import linearity


def test_a_scene_keeps_its_traces_in_order_and_does_not_change() -> None:
    x = np.exp(2j * np.pi * 0.01 * np.arange(600))
    traces = tuple(Trace(name, x, gain * x, linearity(x, gain * x, 1e6)) for name, gain in (("off", 0.9), ("on", 0.99)))
    scene = Scene("c", "test", simulated=True, x=x, sample_rate_hz=1e6, bandwidth_hz=None, carriers=None, nperseg=None,
                  traces=traces)  # fmt: skip
    assert [trace.name for trace in scene.traces] == ["off", "on"]
    assert scene.traces[0].scores.nmse_db == pytest.approx(20 * np.log10(0.1))
    assert scene.traces[1].scores.nmse_db == pytest.approx(20 * np.log10(0.01))
    with pytest.raises(FrozenInstanceError):
        scene.split = "val"  # type: ignore[misc]
