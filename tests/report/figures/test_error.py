from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dpdrun.diagnosis.signal.error_position import nmse_by_position
from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.figures.error import draw_error
from dpdrun.report.figures.style import MAIN, paper_style
from dpdrun.report.figures.view import view_of
from dpdrun.rf.metrics import Signal


def drawn(scene: PlotData) -> tuple[Any, str]:
    with paper_style():
        figure, caption = draw_error(view_of(scene))
        figure.draw_without_rendering()
    return figure, caption


def stairs(axes: Any) -> np.ndarray:
    (line,) = [line for line in axes.get_lines() if line.get_color() == MAIN and line.get_drawstyle() == "steps-post"]
    return np.asarray(line.get_ydata())[:-1]


def test_blocks_over_the_record(x: Signal, scene_of: Callable[..., PlotData]) -> None:
    x = x[:12_800]
    y = x * np.where(np.arange(len(x)) < 6400, 1.01, 1.1)
    figure, caption = drawn(scene_of(x, {"this run": y}))
    begin, whole = figure.axes
    np.testing.assert_allclose(stairs(whole), [-40.0] * 50 + [-20.0] * 50, atol=1e-6)
    np.testing.assert_allclose(stairs(whole), nmse_by_position(x, y, 100), atol=1e-9)
    np.testing.assert_allclose(stairs(begin), [-40.0] * 32, atol=1e-6)
    assert "blocks of 16 samples at the beginning" in caption
    assert begin.get_ylabel() == "NMSE of a block [dB]"
    assert begin.get_title() == "first 512 samples"


def test_a_bad_beginning_shows(x: Signal, scene_of: Callable[..., PlotData]) -> None:
    y = x * np.where(np.arange(len(x)) < 32, 1.3, 1.01)
    begin = stairs(drawn(scene_of(x, {"this run": y}))[0].axes[0])
    assert np.all(begin[:2] > begin[2:].max() + 20)


@pytest.mark.parametrize("samples", [64, 65, 100, 1000])
def test_short_records(x: Signal, scene_of: Callable[..., PlotData], samples: int) -> None:
    figure, _ = drawn(scene_of(x[:samples], {"this run": 1.1 * x[:samples]}, stated=False))
    assert len(figure.axes) == 2
    for axes in figure.axes:
        np.testing.assert_allclose(stairs(axes), -20.0, atol=1e-6)


def test_no_error_at_all(x: Signal, scene_of: Callable[..., PlotData]) -> None:
    figure, _ = drawn(scene_of(x, {"this run": x}))
    assert np.all(np.isnan(stairs(figure.axes[1])))
