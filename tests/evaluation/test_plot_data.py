"""What evaluate hands to plots: values that stay as they are."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from dpdrun.evaluation.plot_data import PlotData, Trace
from dpdrun.rf.linearity import linearity


def test_plot_data_keeps_its_traces_in_order_and_is_frozen() -> None:
    x = np.exp(2j * np.pi * 0.01 * np.arange(600))
    traces = tuple(Trace(name, x, gain * x, linearity(x, gain * x, 1e6)) for name, gain in (("off", 0.9), ("on", 0.99)))
    plot = PlotData(
        "c", "test", simulated=True, x=x, sample_rate_hz=1e6, bandwidth_hz=None, carriers=None, nperseg=None,
        traces=traces,
    )  # fmt: skip
    assert [trace.name for trace in plot.traces] == ["off", "on"]
    assert plot.traces[0].scores.nmse_db == pytest.approx(20 * np.log10(0.1))
    assert plot.traces[1].scores.nmse_db == pytest.approx(20 * np.log10(0.01))
    with pytest.raises(FrozenInstanceError):
        plot.split = "val"  # type: ignore[misc]
