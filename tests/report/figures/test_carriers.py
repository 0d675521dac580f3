from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.figures.carriers import draw_carriers
from dpdrun.report.figures.style import NothingToDrawError, curves_csv, paper_style
from dpdrun.report.figures.view import view_of


def table(scene: PlotData) -> dict[str, dict[float, float]]:
    """Levels by series and centre of the channel [MHz], as the CSV has them."""
    with paper_style():
        figure, _ = draw_carriers(view_of(scene))
        figure.draw_without_rendering()
        rows = csv.DictReader(io.StringIO(curves_csv(figure)))
    found: dict[str, dict[float, float]] = {}
    for row in rows:
        found.setdefault(row["curve"], {})[round(float(row["x"]), 3)] = float(row["y"])
    return found


def test_leakage_is_the_score_and_white_noise_is_the_error_of_each_carrier(dpd: PlotData) -> None:
    found = table(dpd)
    assert list(found) == ["wanted", "without", "this run"]
    assert list(found["this run"]) == [-10.2, -5.1, 0.0, 5.1, 10.2]
    assert list(found["wanted"]) == [-10.2, 10.2]
    for trace in dpd.traces:
        leakage = trace.scores.aclr["opendpd-spectral-v2"]
        assert (found[trace.name][-10.2], found[trace.name][10.2]) == pytest.approx(
            (leakage.left_dbc, leakage.right_dbc), abs=0.01
        )
    # Noise of -40 dB over all of the rate, next to a signal that sits in a quarter of it.
    expected = -40 + 10 * np.log10(15.3 / 61.44)
    assert [found["this run"][each] for each in (-5.1, 0.0, 5.1)] == pytest.approx([expected] * 3, abs=0.5)
    assert found["without"][0.0] > -35


def test_bars_stand_where_the_numbers_are(dpd: PlotData) -> None:
    with paper_style():
        figure, caption = draw_carriers(view_of(dpd))
    (axes,) = figure.axes
    tops = {round(bar.get_y() + bar.get_height(), 3) for bars in axes.containers for bar in bars}
    assert {round(level, 3) for levels in table(dpd).values() for level in levels.values()} <= tops
    assert "3 carriers" in caption


def test_one_carrier_or_none_stated_is_said(dpd: PlotData) -> None:
    for scene in (replace(dpd, carriers=1), replace(dpd, carriers=None), replace(dpd, bandwidth_hz=60e6)):
        with pytest.raises(NothingToDrawError, match=r"carrier|outside"):
            draw_carriers(view_of(scene))
