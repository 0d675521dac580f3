"""CCDF: how often the power of a signal exceeds its mean by some decibels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.report.figures.style import COLUMN, REFERENCE, legend_below, new_figure
from dpdrun.report.figures.view import View
from dpdrun.rf.metrics import Signal

Series = NDArray[np.float64]

HEIGHT = 2.1  # inches
POINTS = 400  # of a curve
FEWEST = 10  # samples above a level: the last points of a curve rest on that many


def draw_ccdf(view: View) -> tuple[Any, str]:
    """Return the figure and its caption."""
    figure = new_figure(COLUMN, HEIGHT)
    axes = figure.add_subplot()
    curves = [("input", REFERENCE, view.scene.x)]
    if not view.predistorter:
        curves.append((view.reference_name, "black", view.last.reference))
    curves += [(name, colour, t.y) for t, name, colour in zip(view.traces, view.labels, view.colours, strict=True)]
    lines = [axes.semilogy(*_ccdf(signal), color=colour, label=name)[0] for name, colour, signal in curves]
    axes.set(xlim=(0, None), ylim=(None, 1), xlabel="power over mean power [dB]", ylabel="share of samples above")
    names = [name for name, *_ in curves]
    figure.set_figheight(HEIGHT + legend_below(figure, lines, names))
    return figure, (
        "Complementary cumulative distribution of the power of each sample over the mean power of its signal, without "
        f"oversampling. A curve ends at its {FEWEST} largest samples. A curve that ends to the left of the input's "
        "shows compressed peaks."
    )


def _ccdf(signal: Signal) -> tuple[Series, Series]:
    """Return levels over the mean power [dB], rising, and the share of samples above each."""
    power = np.sort(np.abs(signal) ** 2)
    count = len(power)
    above = np.unique(np.geomspace(min(FEWEST, count - 1), count - 1, POINTS).astype(np.int64))[::-1]
    level = power[count - 1 - above] / np.mean(power)
    shown = level >= 1.0
    return 10 * np.log10(level[shown]), above[shown] / count
