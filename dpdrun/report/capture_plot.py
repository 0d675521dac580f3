"""One figure of a capture: AM/AM, AM/PM and the power spectral density of input and output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.inspection import Inspection
from dpdrun.report.figures.style import MAIN, REFERENCE, SECOND, SHADE, SHADE_ALPHA, new_figure, save_figure
from dpdrun.rf import metrics, spectrum

if TYPE_CHECKING:
    from dpdrun.data.capture import Capture

MAX_POINTS = 60_000
MEAN_OF = 10  # samples: a mean of fewer is not drawn
LEVEL_SHOWN = 0.1  # of the peak: axes are scaled to what is above
SMALLEST_LEVEL = 0.03  # of the peak: below, gain is noise over nearly nothing
INPUT, OUTPUT, LINE = REFERENCE, MAIN, SECOND


def draw_capture(capture: Capture, facts: Inspection, path: Path, *, dpi: int = 160) -> None:
    """Draw the training split into a file; its suffix (.png, .svg, .pdf) is the format.

    Raises:
        DataError: matplotlib is not installed, or the file cannot be written.
    """
    figure = new_figure(11.0, 3.6)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.0, 1.0, 1.25))
    x, y = capture.train.x, capture.train.y
    _gain_panel(left, x, y, phase=False)
    _gain_panel(middle, x, y, phase=True)
    _psd_panel(right, x, y, facts)
    figure.suptitle(
        f"{capture.name}: {len(x):,} training samples at {capture.sample_rate_hz / 1e6:.6g} MS/s, "
        f"one-tap NMSE {facts.parts['train'].one_tap_nmse_db:.2f} dB",
        fontsize=10,
    )
    save_figure(figure, path, dpi=dpi)


def _gain_panel(axes: Any, x: metrics.Signal, y: metrics.Signal, *, phase: bool) -> None:
    """Draw gain magnitude [dB] or phase [deg], relative to the one-tap gain, over the input level: density and mean."""
    step = max(1, len(x) // MAX_POINTS)
    common = metrics.one_tap_gain(x, y)
    peak = float(np.max(np.abs(x)))
    shown = np.abs(x[::step]) > SMALLEST_LEVEL * peak
    level = np.abs(x[::step][shown]) / peak
    gain = y[::step][shown] / (common * x[::step][shown])
    mean_level, mean_gain = metrics.gain_by_envelope(x, y, min_samples=MEAN_OF)
    mean_level = mean_level * metrics.rms(x) / peak
    drawn = mean_level > SMALLEST_LEVEL
    values, mean = (
        (np.degrees(np.angle(gain)), np.degrees(np.angle(mean_gain / common)))
        if phase
        else (20 * np.log10(np.abs(gain)), 20 * np.log10(np.abs(mean_gain / common)))
    )
    low, high = _limits(values, level, mean[mean_level > LEVEL_SHOWN])
    axes.hexbin(
        level,
        values,
        gridsize=(70, 45),
        extent=(0.0, 1.0, low, high),
        bins="log",
        mincnt=1,
        cmap="Blues",
        linewidths=0.1,
    )
    axes.plot(mean_level[drawn], mean[drawn], color=LINE, lw=1.6, label="mean at this level")
    axes.axhline(0.0, color="black", lw=0.6, ls=":")
    axes.set(xlim=(0, 1), ylim=(low, high), xlabel="input magnitude / peak")
    axes.set_ylabel("phase rotation [deg]" if phase else "gain relative to one tap [dB]")
    axes.set_title("AM/PM" if phase else "AM/AM", fontsize=10)
    axes.legend(loc="lower left" if phase else "upper right", fontsize=7, frameon=False)


def _limits(values: NDArray[np.float64], level: NDArray[np.float64], mean: NDArray[np.float64]) -> tuple[float, float]:
    """Return axis limits for the mean and for samples above 10 % of the peak, without the fan of small inputs."""
    large = values[level > LEVEL_SHOWN]
    low, high = np.quantile(large, (0.002, 0.998)) if len(large) else (-1.0, 1.0)
    low, high = min(low, *mean, high), max(high, *mean, low)
    margin = 0.15 * (high - low) + 1e-3
    return float(low - margin), float(high + margin)


def _psd_panel(axes: Any, x: metrics.Signal, y: metrics.Signal, facts: Inspection) -> None:
    """Draw densities over the in-band level of each signal, with the adjacent channels and the noise floor."""
    rate = facts.sample_rate_hz
    band = facts.bandwidth_hz or facts.occupied_hz[1] - facts.occupied_hz[0]
    lowest = 0.0
    for signal, color, name, z in ((y, OUTPUT, "output", 2), (x, INPUT, "input", 3)):
        frequency, density = spectrum.psd(signal, rate)
        reference = spectrum.band_power(frequency, density, -band / 2, band / 2) / band
        level = 10 * np.log10(np.maximum(density, 1e-30) / reference)
        lowest = min(lowest, float(np.quantile(level, 0.02)))
        axes.plot(frequency / 1e6, level, color=color, lw=0.8, label=name, zorder=z)
    floor = facts.floor.nmse_db if facts.known_floor_db is None else facts.known_floor_db
    if floor is not None:
        name = "noise floor (estimate)" if facts.known_floor_db is None else "noise floor (true)"
        axes.axhline(floor + 10 * np.log10(band / rate), color=LINE, lw=1.0, ls="--", label=name, zorder=4)
    if facts.aclr_y_dbc is not None:
        width = band / (facts.subchannels or 1)
        spans = ((-band / 2 - width, facts.aclr_y_dbc[0]), (band / 2, facts.aclr_y_dbc[1]))
        for start, value in spans:
            axes.axvspan(start / 1e6, (start + width) / 1e6, color=SHADE, alpha=SHADE_ALPHA, lw=0)
            middle = (start + width / 2) / 1e6
            axes.text(middle, 7.0, f"{value:.1f}", ha="center", va="center", fontsize=7, rotation=90)
    bottom = max(-90.0, 10 * np.floor((lowest - 5) / 10))
    axes.set(xlim=(-rate / 2e6, rate / 2e6), ylim=(bottom, 14.0), xlabel="frequency [MHz]")
    axes.set_ylabel("PSD relative to in-band mean [dB]")
    axes.set_title("PSD; adjacent channels shaded, ACLR in dBc", fontsize=10)
    axes.grid(visible=True, lw=0.3, alpha=0.6)
    axes.legend(loc="lower center", fontsize=7, framealpha=0.85, ncols=3)
