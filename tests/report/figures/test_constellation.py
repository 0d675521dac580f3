from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.figures import constellation as module
from dpdrun.report.figures.constellation import draw_constellation
from dpdrun.report.figures.style import NothingToDrawError, paper_style
from dpdrun.report.figures.view import view_of
from dpdrun.rf.metrics import Signal


def drawn(scene: PlotData) -> tuple[Any, str]:
    with paper_style():
        figure, caption = draw_constellation(view_of(scene))
        figure.draw_without_rendering()
    return figure, caption


def test_points_stand_upright_around_what_was_meant(dpd: PlotData) -> None:
    figure, caption = drawn(dpd)
    assert len(figure.axes) == 2
    symbols = dpd.traces[-1].scores.symbols
    assert symbols is not None
    axes = figure.axes[-1]
    meant, received = (line.get_xdata() + 1j * line.get_ydata() for line in axes.get_lines())
    error = np.sqrt(np.mean(np.abs(received - meant) ** 2))
    assert 20 * np.log10(error) == pytest.approx(symbols.evm_db, abs=0.1)
    levels = np.arange(-7, 8, 2) / np.sqrt(42)
    off = np.abs(meant.real[:, None] - levels).min(axis=1)
    assert np.sqrt(np.mean(off**2)) < 0.06  # the crest factor reduction of the waveform; by chance it would be 0.09
    assert f"EVM {symbols.evm_percent:.3g} %" in axes.get_title()
    assert "this run" in axes.get_title()
    assert f"{symbols.count:,} OFDM symbols" in caption
    assert (axes.get_xlabel(), figure.axes[0].get_ylabel()) == ("in-phase / rms", "quadrature / rms")


def test_panels_in_a_row_of_four_at_most(dpd: PlotData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POINTS", 100)
    figure, caption = drawn(replace(dpd, traces=dpd.traces[:1] * 4))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 4
    assert len({axes.get_xlim() for axes in shown}) == 1
    assert len({round(axes.get_position().y0, 3) for axes in shown}) == 1
    five, _ = drawn(replace(dpd, traces=dpd.traces[:1] * 5))
    rows = [round(axes.get_position().y0, 3) for axes in five.axes if axes.get_visible()]
    assert [rows.count(y) for y in dict.fromkeys(rows)] == [3, 2]
    assert "one of 29 of 2,808 points" in caption
    assert max(len(line.get_xdata()) for axes in shown for line in axes.get_lines()) <= 100


def test_why_there_is_none(dpd: PlotData, x: Signal, scene_of: Callable[..., PlotData]) -> None:
    with pytest.raises(NothingToDrawError, match="does not describe its OFDM symbols"):
        drawn(scene_of(x, {"this run": x}, stated=False))
    short = x[:1000]
    with pytest.raises(NothingToDrawError, match="no complete OFDM symbol"):
        drawn(scene_of(short, {"this run": short}))
    rng = np.random.default_rng(0)
    last = dpd.traces[-1]
    assert last.scores.symbols is not None
    noise = rng.standard_normal(len(last.scores.symbols.wanted)) + 0j
    noise += 1j * rng.standard_normal(len(noise))
    symbols = replace(last.scores.symbols, wanted=noise)
    with pytest.raises(NothingToDrawError, match="not square QAM"):
        drawn(replace(dpd, traces=(replace(last, scores=replace(last.scores, symbols=symbols)),)))
