from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.figures import gain as module
from dpdrun.report.figures.gain import draw_gain
from dpdrun.report.figures.style import COLUMN, MAIN, PAGE, REFERENCE, SECOND, NothingToDrawError, paper_style
from dpdrun.report.figures.view import view_of
from dpdrun.rf.metrics import Signal


def drawn(scene: PlotData) -> tuple[Any, str]:
    with paper_style():
        figure, caption = draw_gain(view_of(scene))
        figure.draw_without_rendering()
    return figure, caption


def curve(axes: Any, colour: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean line of a colour."""
    (line,) = [line for line in axes.get_lines() if line.get_color() == colour and line.get_linestyle() == "-"]
    return line.get_data()


def test_a_known_compression_is_drawn(dpd: PlotData) -> None:
    figure, caption = drawn(dpd)
    am_am, am_pm = figure.axes
    level, gain = curve(am_am, SECOND)
    np.testing.assert_allclose(gain, 20 * np.log10(1 - 0.2 * level**2), atol=0.02)
    assert level[-1] > 0.75
    np.testing.assert_allclose(curve(am_pm, SECOND)[1], 0.0, atol=1e-9)
    np.testing.assert_allclose(curve(am_am, MAIN)[1], 0.0, atol=0.3)
    assert am_am.get_ylim()[0] < gain.min()
    assert (am_am.get_ylabel(), am_pm.get_ylabel()) == ("AM/AM: gain [dB]", "AM/PM: phase [deg]")
    assert am_pm.get_xlabel() == "wanted magnitude / peak"
    assert figure.get_figwidth() == COLUMN
    spread = dpd.traces[-1].scores.gain
    assert spread is not None
    assert f"this run {spread.am_am_spread_db:.3g} dB and {spread.am_pm_spread_deg:.3g} degrees" in caption


def test_a_turn_is_drawn(x: Signal, scene_of: Callable[..., PlotData]) -> None:
    figure, _ = drawn(scene_of(x, {"turned": x * np.exp(1j * np.radians(5))}))
    np.testing.assert_allclose(curve(figure.axes[1], MAIN)[1], 5.0, atol=1e-6)


def test_an_amplifier_has_the_gain_from_its_input(pa: PlotData) -> None:
    figure, caption = drawn(replace(pa, traces=pa.traces[-1:]))
    am_am, am_pm = figure.axes
    level, measured = curve(am_am, REFERENCE)
    _, modelled = curve(am_am, MAIN)
    np.testing.assert_allclose(modelled[5:], measured[5:], atol=0.05)
    assert measured[5] - measured[-1] == pytest.approx(
        20 * np.log10((1 - 0.2 * level[5] ** 2) / (1 - 0.2 * level[-1] ** 2)), abs=0.05
    )
    assert am_pm.get_xlabel() == "input magnitude / peak"
    assert "measured" in caption


def test_many_outputs_get_panels_of_their_own(dpd: PlotData, pa: PlotData) -> None:
    many = tuple(replace(dpd.traces[0], name=f"run {i}") for i in range(6))
    figure, _ = drawn(replace(dpd, traces=many))
    assert len(figure.axes) == 12
    assert figure.get_figwidth() == PAGE
    limits = {axes.get_ylim() for axes in figure.axes[:6]}
    assert len(limits) == 1
    figure, _ = drawn(pa)  # two models of one amplifier would hide each other
    assert len(figure.axes) == 4


def test_points_are_few_and_pixels(dpd: PlotData) -> None:
    figure, _ = drawn(dpd)
    clouds = [line for axes in figure.axes for line in axes.get_lines() if line.get_marker() == "."]
    assert len(clouds) == 4
    assert all(line.get_rasterized() and len(line.get_xdata()) <= module.POINTS for line in clouds)


def test_of_a_long_record_every_nth_sample(dpd: PlotData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SAMPLES", 5000)
    figure, caption = drawn(dpd)
    level, gain = curve(figure.axes[0], SECOND)
    np.testing.assert_allclose(gain, 20 * np.log10(1 - 0.2 * level**2), atol=0.05)
    assert "one sample in 3" in caption


def test_too_short_for_a_curve(dpd: PlotData, scene_of: Callable[..., PlotData]) -> None:
    few = dpd.traces[0].reference[:70]
    with pytest.raises(NothingToDrawError, match="this run: 70 samples are too few"):
        drawn(scene_of(few, {"this run": few}, stated=False))
