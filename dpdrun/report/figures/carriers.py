"""Leakage into the adjacent channels and error of each carrier, as bars over frequency."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.evaluation.plot_data import Trace
from dpdrun.report.figures.style import (
    COLUMN,
    PAGE,
    REFERENCE,
    SHADE,
    SHADE_ALPHA,
    NothingToDrawError,
    legend_below,
    new_figure,
)
from dpdrun.report.figures.view import View
from dpdrun.rf.aclr import Band, bands, default_convention
from dpdrun.rf.metrics import Signal, one_tap_gain, to_db
from dpdrun.rf.spectrum import SEGMENT, psd, whole_bin_power

Series = NDArray[np.float64]

HEIGHT = 2.1  # inches
CROWDED = 6  # carriers: more take the width of a page
BELOW_DB = 5.0  # of the lowest bar
GROUP = 0.8  # of a channel, for the bars in it


def draw_carriers(view: View) -> tuple[Any, str]:
    """Return the figure and its caption.

    Raises:
        NothingToDrawError: there are not several carriers, or the record does not reach the adjacent channels.
    """
    channels = _channels(view)
    carriers = channels[1:-1]
    centres = np.array([(low + high) / 2e6 for low, high in channels])
    width = centres[1] - centres[0]  # of a channel with its guard bands
    measured = _leakage(_powers(view, view.last.reference, channels))
    measured[1:-1] = np.nan  # a reference has no error
    series = [(view.reference_name, REFERENCE, measured)]
    for trace, label, colour in zip(view.traces, view.labels, view.colours, strict=True):
        levels = _leakage(_powers(view, trace.y, channels))
        levels[1:-1] = _errors(view, trace, channels)[1:-1]
        series.append((label, colour, levels))
    floor = min(float(np.nanmin(levels)) for _, _, levels in series) - BELOW_DB

    figure = new_figure(PAGE if len(carriers) > CROWDED else COLUMN, HEIGHT)
    axes = figure.add_subplot()
    bar, drawn = GROUP * width / len(series), []
    for index, (label, colour, levels) in enumerate(series):
        offset = (index - (len(series) - 1) / 2) * bar
        drawn.append(axes.bar(centres + offset, levels - floor, bar, floor, color=colour))
        shown = np.isfinite(levels)
        axes.plot(centres[shown], levels[shown], linestyle="none", label=label)  # invisible: for the CSV
    for low, high in (channels[0], channels[-1]):
        axes.axvspan(low / 1e6, high / 1e6, color=SHADE, alpha=SHADE_ALPHA, linewidth=0, zorder=0)
    axes.set(xticks=centres, xlabel="centre of the channel [MHz]", ylabel="ACLR [dBc], EVM [dB]")
    axes.set_xticklabels([f"{centre:g}" for centre in centres.round(2)])
    axes.grid(visible=False, axis="x")
    figure.set_figheight(HEIGHT + legend_below(figure, drawn, [label for label, *_ in series]))
    convention = default_convention(view.scene.spacing_hz)
    return figure, (
        f"Shaded: power in the adjacent channels over that of the strongest carrier ({convention}), of the "
        f"{view.output_name} and of the {view.reference_name} signal. Between them, for each of the {len(carriers)} "
        f"carriers: power of the error over power of the {view.reference_name} signal in its band, after one complex "
        "gain for all carriers. Lower is better."
    )


def _channels(view: View) -> list[Band]:
    """Return the lower adjacent channel, the carriers, and the upper adjacent channel."""
    scene = view.scene
    if scene.bandwidth_hz is None or not scene.carriers or scene.carriers < 2:
        raise NothingToDrawError("the signal has one carrier, or their number is not known (data.carriers)")
    try:
        convention = default_convention(scene.spacing_hz)
        found = bands(convention, scene.sample_rate_hz, scene.bandwidth_hz, scene.carriers, scene.spacing_hz)
    except ValueError as error:
        raise NothingToDrawError(str(error)) from None
    return [found.left_hz, *found.channels_hz, found.right_hz]


def _powers(view: View, signal: Signal, channels: list[Band]) -> Series:
    """Return the power of a signal in each channel."""
    nperseg = min(view.scene.nperseg or SEGMENT, len(signal))
    frequency, density = psd(signal, view.scene.sample_rate_hz, nperseg=nperseg)
    try:
        return np.array([whole_bin_power(frequency, density, *band) for band in channels])
    except ValueError as error:  # a channel is narrower than a bin
        raise NothingToDrawError(str(error)) from None


def _leakage(powers: Series) -> Series:
    """Return powers over that of the strongest carrier [dBc]."""
    if not np.max(powers[1:-1]) > 0:
        raise NothingToDrawError("an output has no power in its carriers")
    return np.array([to_db(power / np.max(powers[1:-1])) for power in powers])


def _errors(view: View, trace: Trace, channels: list[Band]) -> Series:
    """Return the power of the error over that of the reference in each channel, after one complex gain [dB]."""
    wanted = one_tap_gain(trace.reference, trace.y) * trace.reference
    error, signal = _powers(view, trace.y - wanted, channels), _powers(view, wanted, channels)
    return np.array([to_db(e / s) if s > 0 else np.nan for e, s in zip(error, signal, strict=True)])
