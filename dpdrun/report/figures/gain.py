"""AM/AM and AM/PM: gain and phase of each sample over the level, and their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.report.figures.style import (
    COLUMN,
    INK,
    PAGE,
    REFERENCE,
    NothingToDrawError,
    legend_below,
    new_figure,
    plain,
)
from dpdrun.report.figures.view import View
from dpdrun.rf.gain_curve import MIN_SAMPLES, STEPS, GainCurve, gain_curve
from dpdrun.rf.metrics import Signal, one_tap_gain, rms

Series = NDArray[np.float64]

OVERLAID = 3  # clouds in one panel; with more each trace gets panels of its own
POINTS = 6000  # of a cloud
MOST_SAMPLES = 1 << 19  # of a long record every n-th is looked at
SMALLEST_LEVEL = 0.03  # of the peak: below, gain is noise over nearly nothing
LEVEL_SHOWN = 0.1  # of the peak: axes are scaled to what is above
HEIGHT = 1.5  # inches of a panel
CROWDED = 5  # columns: their labels are short


@dataclass(frozen=True)
class Cloud:
    """One output over what it is the gain of: level over the peak, gain [dB], phase [deg] of samples, and the curve."""

    name: str
    colour: str
    level: Series
    gain_db: Series
    phase_deg: Series
    curve: GainCurve
    curve_level: Series

    def panel(self, *, phase: bool) -> tuple[Series, Series]:
        """Return the values of the samples and of the curve in one of the two panels."""
        return (self.phase_deg, self.curve.phase_deg) if phase else (self.gain_db, self.curve.gain_db)


def draw_gain(view: View) -> tuple[Any, str]:
    """Return the figure and its caption.

    Of a predistorter the gain from wanted signal to output, which is to be 0 dB and 0 degrees; of an amplifier the gain
    from its input, over the one complex gain that fits the measured output best.

    Raises:
        NothingToDrawError: the record is too short for a mean curve, or an output has no power at some level.
    """
    measured, clouds = _clouds(view)
    every = [*measured, *clouds]
    alike = 2 * len(measured) + len(clouds)  # models of one amplifier hide each other
    columns = [every] if alike <= OVERLAID else [[*measured, cloud] for cloud in clouds]
    figure = new_figure(COLUMN if len(columns) == 1 else PAGE, 2 * HEIGHT + 0.4)
    panels = figure.subplots(2, len(columns), sharex=True, sharey="row", squeeze=False)
    for phase, row in enumerate(panels):
        low, high = limits(every, phase=bool(phase))
        for axes, shown in zip(row, columns, strict=True):
            draw_panel(axes, shown, phase=bool(phase))
            axes.set(xlim=(0, 1.02), ylim=(low, high))
        row[0].set_ylabel("AM/PM: phase [deg]" if phase else "AM/AM: gain [dB]")
    level = "wanted" if view.predistorter else "input"
    for axes in panels[-1]:
        axes.set_xlabel(f"{level} magnitude / peak" if len(columns) < CROWDED else f"{level} / peak")
        axes.set_xticks([0, 0.5, 1] if len(columns) > 1 else [0, 0.2, 0.4, 0.6, 0.8, 1])
    names = [cloud.name for cloud in every]
    figure.set_figheight(figure.get_figheight() + legend_below(figure, [_handle(cloud) for cloud in every], names))
    return figure, _caption(view, every, stride=_stride(view))


def _stride(view: View) -> int:
    return -(-len(view.scene.x) // MOST_SAMPLES)


def _clouds(view: View) -> tuple[list[Cloud], list[Cloud]]:
    """Return the clouds of the measured amplifier, where there is one, and of the traces."""
    stride = _stride(view)
    x = view.scene.x[::stride]
    if view.predistorter:
        return [], [
            cloud_of(name, colour, trace.reference[::stride], trace.y[::stride])
            for trace, name, colour in zip(view.traces, view.labels, view.colours, strict=True)
        ]
    reference = view.last.reference[::stride]
    base = one_tap_gain(x, reference) * x
    if not np.any(base):
        raise NothingToDrawError("the measured output is uncorrelated with the input, so there is no gain to draw")
    traces = zip(view.traces, view.labels, view.colours, strict=True)
    return [cloud_of(view.reference_name, REFERENCE, base, reference)], [
        cloud_of(name, colour, base, trace.y[::stride]) for trace, name, colour in traces
    ]


def cloud_of(name: str, colour: str, base: Signal, y: Signal) -> Cloud:
    """Return gain and phase from base to y. Raises NothingToDrawError."""
    try:
        curve = gain_curve(base, y)
    except ValueError as error:
        raise NothingToDrawError(f"{name.strip()}: {error}") from None
    peak = float(np.max(np.abs(base)))
    step = -(-len(base) // POINTS)
    shown = np.abs(base[::step]) > SMALLEST_LEVEL * peak
    gain = y[::step][shown] / base[::step][shown]
    usable = np.abs(gain) > 0
    in_db = 20 * np.log10(np.where(usable, np.abs(gain), 1.0))
    return Cloud(
        name,
        colour,
        (np.abs(base[::step][shown]) / peak)[usable],
        in_db[usable],
        np.degrees(np.angle(gain))[usable],
        curve,
        curve.level * rms(base) / peak,
    )


def limits(clouds: list[Cloud], *, phase: bool) -> tuple[float, float]:
    """Return limits for the curves and for samples above 10 % of the peak, without the fan of small inputs."""
    low, high = 0.0, 0.0
    for cloud in clouds:
        values, curve = cloud.panel(phase=phase)
        large, drawn = values[cloud.level > LEVEL_SHOWN], curve[cloud.curve_level > LEVEL_SHOWN]
        if len(large):
            low, high = min(low, float(np.quantile(large, 0.002))), max(high, float(np.quantile(large, 0.998)))
        if len(drawn):
            low, high = min(low, float(np.min(drawn))), max(high, float(np.max(drawn)))
    margin = 0.08 * (high - low) + 1e-3
    return low - margin, high + margin


def draw_panel(axes: Any, clouds: list[Cloud], *, phase: bool) -> None:
    """Draw samples as points, and the curves over them with a white edge."""
    from matplotlib import patheffects

    edge = [patheffects.withStroke(linewidth=2.6, foreground="white")]
    axes.axhline(0.0, color=INK, lw=0.6, ls=(0, (1, 2)), zorder=1)
    for order, cloud in enumerate(clouds):
        values, curve = cloud.panel(phase=phase)
        axes.plot(
            cloud.level, values, ".", ms=1.9, mew=0, color=cloud.colour, alpha=0.4, rasterized=True, zorder=2 + order
        )
        drawn = cloud.curve_level > SMALLEST_LEVEL
        axes.plot(
            cloud.curve_level[drawn],
            curve[drawn],
            color=cloud.colour,
            label=cloud.name,
            lw=1.3,
            path_effects=edge,
            zorder=10 + order,
        )


def _handle(cloud: Cloud) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=cloud.colour, lw=1.4, marker=".", ms=4, mew=0)


def _caption(view: View, clouds: list[Cloud], *, stride: int) -> str:
    what = (
        f"Gain and phase from the wanted signal to the {view.output_name}; 0 dB is the target gain."
        if view.predistorter
        else f"Gain and phase from the input to the measured output and to the {view.output_name}, over the one "
        "complex gain that fits the measured output best."
    )
    spread = "; ".join(
        f"{plain(c.name)} {c.curve.am_am_spread_db:.3g} dB and {c.curve.am_pm_spread_deg:.3g} degrees" for c in clouds
    )
    return (
        f"{what} Points: samples above {SMALLEST_LEVEL:.0%} of the peak, {POINTS:,} of each output at most. Lines: "
        f"least-squares gain in {STEPS} equal steps of the level with at least {MIN_SAMPLES} samples"
        + (f", from one sample in {stride}" if stride > 1 else "")
        + f". Standard deviation around the lines, weighted by power: {spread}."
        + ("" if view.predistorter else f" {_compression(clouds[0])}")
    )


def _compression(measured: Cloud) -> str:
    """Say where the measured output is compressed by 1 dB."""
    curve = measured.curve
    if curve.p1db_level is None:
        return f"1 dB compression is not reached; {curve.compression_db:.2g} dB at the largest level."
    below_peak = 20 * np.log10(curve.p1db_level / curve.level[-1])
    return f"1 dB compression (P1dB) at {below_peak:.1f} dB from the largest level of the input."
