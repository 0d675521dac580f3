from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.figures.style import MAIN, NothingToDrawError
from dpdrun.report.figures.view import view_of


def test_the_reference_follows_the_task(dpd: PlotData, pa: PlotData) -> None:
    of_dpd, of_pa = view_of(dpd), view_of(pa)
    assert (of_dpd.predistorter, of_pa.predistorter) == (True, False)
    assert (of_dpd.reference_name, of_pa.reference_name) == ("wanted", "measured")
    assert of_dpd.output_name == "output of the PA model"
    assert view_of(replace(dpd, simulated=False)).output_name == "output of the amplifier"
    assert of_dpd.last is dpd.traces[-1]
    assert of_dpd.colours[-1] == MAIN
    assert of_dpd.notes == []


def test_what_cannot_be_drawn_is_left_out_and_named(dpd: PlotData) -> None:
    first, last = dpd.traces
    bad = replace(first, y=np.where(np.arange(len(first.y)) < 3, np.nan, first.y))
    zero = replace(first, name="silent", y=np.zeros_like(first.y))
    short = replace(first, name="short", y=first.y[:-1])
    view = view_of(replace(dpd, traces=(bad, zero, short, last)))
    assert view.traces == (last,)
    assert view.notes == [
        "without is left out: 3 samples of its output are not finite.",
        "silent is left out: its output is all zero.",
        "short is left out: its output and the input differ in length.",
    ]


def test_more_than_six(dpd: PlotData) -> None:
    traces = tuple(replace(dpd.traces[-1], name=f"run {i}") for i in range(9))
    view = view_of(replace(dpd, traces=traces))
    assert view.traces == traces[3:]
    assert view.notes == ["Only the last 6 of 9 outputs are drawn; the tables have all."]


def test_no_figure_at_all(dpd: PlotData) -> None:
    with pytest.raises(NothingToDrawError, match="10 samples are too few"):
        view_of(replace(dpd, x=dpd.x[:10]))
    with pytest.raises(NothingToDrawError, match="input has samples that are not finite"):
        view_of(replace(dpd, x=dpd.x * np.nan))
    with pytest.raises(NothingToDrawError, match="no output to draw"):
        view_of(replace(dpd, traces=()))
