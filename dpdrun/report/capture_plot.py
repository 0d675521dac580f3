"""One figure of a capture: AM/AM, AM/PM and the power spectral density of input and output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpdrun.data.inspection import Inspection
from dpdrun.errors import DataError
from dpdrun.report.figures.gain import cloud_of, draw_panel, limits
from dpdrun.report.figures.style import (
    MAIN,
    REFERENCE,
    SECOND,
    SHADE,
    SHADE_ALPHA,
    NothingToDrawError,
    drawn,
    new_figure,
    save_figure,
)
from dpdrun.rf import metrics, spectrum
from dpdrun.rf.aclr import bands, default_convention

if TYPE_CHECKING:
    from dpdrun.data.capture import Capture

INPUT, OUTPUT, LINE = REFERENCE, MAIN, SECOND


def draw_capture(capture: Capture, facts: Inspection, path: Path, *, dpi: int = 160) -> None:
    """Draw the training split into a file; its suffix (.png, .svg, .pdf) is the format.

    Raises:
        DataError: matplotlib is not installed, the capture is too short, or the file cannot be written.
    """
    x, y = capture.train.x, capture.train.y
    try:
        cloud = cloud_of("output", OUTPUT, metrics.one_tap_gain(x, y) * x, y)
    except NothingToDrawError as error:
        raise DataError(f"{path}: nothing to draw: {error}") from None
    figure = new_figure(11.0, 3.6)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.0, 1.0, 1.25))
    for axes, phase in ((left, False), (middle, True)):
        draw_panel(axes, [cloud], phase=phase)
        axes.set(xlim=(0, 1.02), ylim=limits([cloud], phase=phase), xlabel="input magnitude / peak")
        axes.set_ylabel("phase rotation [deg]" if phase else "gain relative to one tap [dB]")
        axes.set_title("AM/PM" if phase else "AM/AM", fontsize=10)
    _psd_panel(right, x, y, facts)
    figure.suptitle(
        f"{drawn(capture.name)}: {len(x):,} training samples at {capture.sample_rate_hz / 1e6:.6g} MS/s, "
        f"one-tap NMSE {facts.parts['train'].one_tap_nmse_db:.2f} dB",
        fontsize=10,
    )
    save_figure(figure, path, dpi=dpi)


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
        convention = default_convention(facts.channel_spacing_hz)
        found = bands(convention, rate, band, facts.subchannels or 1, facts.channel_spacing_hz)
        for (low, high), value in zip((found.left_hz, found.right_hz), facts.aclr_y_dbc, strict=True):
            axes.axvspan(low / 1e6, high / 1e6, color=SHADE, alpha=SHADE_ALPHA, lw=0)
            axes.text((low + high) / 2e6, 7.0, f"{value:.1f}", ha="center", va="center", fontsize=7, rotation=90)
    bottom = max(-90.0, 10 * np.floor((lowest - 5) / 10))
    axes.set(xlim=(-rate / 2e6, rate / 2e6), ylim=(bottom, 14.0), xlabel="frequency [MHz]")
    axes.set_ylabel("PSD relative to in-band mean [dB]")
    axes.set_title("PSD; adjacent channels shaded, ACLR in dBc", fontsize=10)
    axes.grid(visible=True, lw=0.3, alpha=0.6)
    axes.legend(loc="lower center", fontsize=7, framealpha=0.85, ncols=3)
