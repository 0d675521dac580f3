"""Error against position: over the record, and over its beginning, where a model has no past yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.report.figures.style import COLUMN, INK, legend_below, new_figure
from dpdrun.report.figures.view import View
from dpdrun.rf.metrics import Signal

Series = NDArray[np.float64]

START = 512  # samples of the beginning, or a quarter of a shorter record
START_BLOCK = 16  # samples
PIECES = 100  # of the whole record
FEWEST = 8  # samples of a block
HEIGHT = 1.9  # inches


def draw_error(view: View) -> tuple[Any, str]:
    """Return the figure and its caption."""
    samples = len(view.scene.x)
    start = min(START, samples // 4)
    small, large = min(START_BLOCK, max(FEWEST, start // 8)), max(FEWEST, samples // PIECES)
    figure = new_figure(COLUMN, HEIGHT + 0.55)
    begin, whole = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.7))
    unit = 1000 if samples >= 10_000 else 1
    lines = []
    for trace, colour, name in zip(view.traces, view.colours, view.labels, strict=True):
        error, power = _powers(trace.y - trace.reference), _powers(trace.reference)
        _stairs(begin, error[:start], power[:start], small, colour, name)
        lines.append(_stairs(whole, error, power, large, colour, name, unit))
        overall = _ratio_db(np.sum(error, keepdims=True), np.sum(power, keepdims=True))[0]
        for axes in (begin, whole):
            if np.isfinite(overall):
                axes.axhline(overall, color=colour, lw=0.6, ls=(0, (1, 1.5)), zorder=1)
    whole.axvspan(0, start / unit, color=INK, alpha=0.12, lw=0, zorder=0.5)
    begin.set(xlim=(0, start), xlabel="sample", ylabel="NMSE of a block [dB]", title=f"first {start:,} samples")
    whole.set(xlim=(0, samples / unit), xlabel="sample" if unit == 1 else "sample / 1000", title="whole record")
    figure.set_figheight(figure.get_figheight() + legend_below(figure, lines, view.labels))
    return figure, _caption(view, small, large)


def _powers(x: Signal) -> Series:
    return np.asarray(x.real**2 + x.imag**2, np.float64)


def _ratio_db(error: Series, power: Series) -> Series:
    """Return 10 log10 of the quotient [dB]; nan where there is no power, or no error."""
    quotient = np.divide(error, power, out=np.full(len(error), np.nan), where=(power > 0) & (error > 0))
    return np.asarray(10 * np.log10(quotient), np.float64)


def _stairs(axes: Any, error: Series, power: Series, block: int, colour: str, name: str, unit: int = 1) -> Any:
    """Return the NMSE of consecutive blocks; the rest at the end belongs to the last one."""
    count = max(1, len(error) // block)
    starts = np.arange(count) * block
    nmse = _ratio_db(np.add.reduceat(error, starts), np.add.reduceat(power, starts))
    edges = np.append(starts, len(error))
    (line,) = axes.step(edges / unit, np.append(nmse, nmse[-1]), where="post", color=colour, label=name, lw=0.9)
    return line


def _caption(view: View, small: int, large: int) -> str:
    kind = "the wanted signal" if view.predistorter else "the measured output"
    return (
        f"Error over {kind} in blocks of {small:,} samples at the beginning of the record (grey on the right) and of "
        f"{large:,} samples over all of it; dotted: NMSE of the complete record. Short blocks vary with the level."
    )
