"""I and Q over time, around the largest sample: what a model gets right and wrong, to the eye."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpdrun.report.figures.style import COLUMN, REFERENCE, legend_below, new_figure
from dpdrun.report.figures.view import View

SAMPLES = 120  # shown
HEIGHT = 2.4  # inches


def draw_waveform(view: View) -> tuple[Any, str]:
    """Return the figure and its caption."""
    reference = view.last.reference
    peak = int(np.argmax(np.abs(reference)))
    first = max(0, min(peak - SAMPLES // 2, len(reference) - SAMPLES))
    shown = slice(first, first + SAMPLES)
    scale = float(np.max(np.abs(reference)))
    figure = new_figure(COLUMN, HEIGHT)
    panels = figure.subplots(2, 1, sharex=True)
    position = np.arange(first, first + len(reference[shown]))
    lines: list[Any] = []
    for axes, part, name in zip(panels, (np.real, np.imag), "IQ", strict=True):
        lines = axes.plot(position, part(reference[shown]) / scale, color=REFERENCE, lw=2.2, label=view.reference_name)
        for trace, label, colour in zip(view.traces, view.labels, view.colours, strict=True):
            # over its own reference: outputs with other target gains can be compared
            ratio = scale if trace.reference is reference else float(np.max(np.abs(trace.reference)))
            lines += axes.plot(position, part(trace.y[shown]) / ratio, color=colour, lw=0.8, label=label)
        axes.set_ylabel(f"{name} / peak")
    panels[-1].set_xlabel("sample")
    figure.set_figheight(HEIGHT + legend_below(figure, lines, [view.reference_name, *view.labels]))
    return figure, (
        f"I and Q of {len(position)} samples around the largest one of the {view.reference_name} signal (sample "
        f"{peak:,}), over its magnitude; the {view.output_name} over the {view.reference_name} one."
    )
