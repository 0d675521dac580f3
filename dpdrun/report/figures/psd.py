"""Power spectral density before and after, with the adjacent channels and the leakage into them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.report.figures.style import (
    COLUMN,
    INK,
    POINT,
    REFERENCE,
    SHADE,
    SHADE_ALPHA,
    legend_below,
    new_figure,
)
from dpdrun.report.figures.view import View
from dpdrun.rf.aclr import SPACED, Aclr, aclr
from dpdrun.rf.metrics import Signal
from dpdrun.rf.spectrum import SEGMENT, band_power, occupied_band, psd

Series = NDArray[np.float64]
Line = tuple[Series, Series, str, str, dict[str, Any]]

SEGMENTS = 24  # averaged at least in a curve: a spread of about 1 dB
LONGEST, SHORTEST = 1024, 32  # samples of a segment of a curve
MOST_SAMPLES = 1 << 21  # analysed of a long record, in
CHUNKS = 32  # spread evenly over it
AXES_HEIGHT = 2.25  # inches
NUMBER = 7.0  # points, of a number in a channel
REACH = 1.5  # bandwidths to each side that are shown
LOWEST_DB = -120.0


def draw_psd(view: View) -> tuple[Any, str]:
    """Return the figure and its caption.

    Solid lines are signals, dashed ones errors. Densities are over the mean density of the trace's own reference in
    the band, so that a change of power shows and outputs with other target gains can be compared.
    """
    scene = view.scene
    nperseg = segment_of(len(scene.x))
    band, band_text = _band(view, nperseg)
    limit = _limit(view, band)
    lines = _lines(view, nperseg, band)
    leakages = _leakages(view)

    shown = [level[np.abs(frequency) <= limit] for frequency, level, *_ in lines]
    with_floor = shown[1:] if view.predistorter else shown  # a wanted signal has no floor
    bottom = max(LOWEST_DB, 10 * np.floor((min(float(np.quantile(level, 0.03)) for level in with_floor) - 4) / 10))
    highest = max(float(np.max(level)) for level in shown)
    top = _top(bottom, highest, leakages)

    names = [name for *_, name, _ in lines]
    figure = new_figure(COLUMN, AXES_HEIGHT + 0.6)
    axes = figure.add_subplot()
    for order, (frequency, level, colour, name, style) in enumerate(lines):
        axes.plot(frequency / 1e6, level, color=colour, label=name, zorder=3 + order, **style)
    _channels(axes, leakages, top)
    axes.set(xlim=(-limit / 1e6, limit / 1e6), ylim=(bottom, top), xlabel="frequency offset [MHz]")
    axes.set_ylabel("PSD over in-band mean of reference [dB]")
    if leakages:
        axes.set_title("shaded: adjacent channels, ACLR [dBc]", loc="left", fontsize=7.5, pad=3)
    figure.set_figheight(AXES_HEIGHT + 0.6 + legend_below(figure, axes.get_lines()[: len(lines)], names))
    return figure, _caption(view, nperseg, band_text, leakages)


def segment_of(samples: int) -> int:
    """Return the segment length of a curve: a power of two that leaves enough segments to average [samples]."""
    longest = 2 * samples // (SEGMENTS + 1)
    return int(min(LONGEST, max(SHORTEST, 1 << max(0, longest.bit_length() - 1))))


def density(x: Signal, sample_rate_hz: float, nperseg: int) -> tuple[Series, Series]:
    """Return `rf.spectrum.psd` of a record; of chunks spread evenly over a long one. x: (N,)."""
    if len(x) <= MOST_SAMPLES:
        return psd(x, sample_rate_hz, nperseg=nperseg)
    length = MOST_SAMPLES // CHUNKS
    starts = np.linspace(0, len(x) - length, CHUNKS).astype(np.int64)
    each = [psd(x[start : start + length], sample_rate_hz, nperseg=nperseg) for start in starts]
    return each[0][0], np.asarray(np.mean([found for _, found in each], axis=0), np.float64)


def _band(view: View, nperseg: int) -> tuple[tuple[float, float], str]:
    """Return the band that densities are compared with [Hz], and its description."""
    scene = view.scene
    if scene.bandwidth_hz:
        half = scene.bandwidth_hz / 2
        return (-half, half), f"the band of {scene.bandwidth_hz / 1e6:g} MHz"
    reference = view.last.reference[:MOST_SAMPLES]
    low, high = occupied_band(reference, scene.sample_rate_hz, nperseg=nperseg)
    bin_hz = scene.sample_rate_hz / nperseg
    low, high = min(low, high - bin_hz), max(high, low + bin_hz)
    words = f"the band with 99 % of its power, {low / 1e6:.4g} to {high / 1e6:.4g} MHz (no bandwidth is stated)"
    return (low, high), words


def _limit(view: View, band: tuple[float, float]) -> float:
    """Return where the axis ends: at the edge of the capture, or at REACH bandwidths where that is less [Hz]."""
    edges = [abs(edge) for edge in band]
    found = view.last.scores.main_aclr
    edges += [] if found is None else [1.15 * abs(found.left_hz[0]), 1.15 * abs(found.right_hz[1])]
    return min(view.scene.sample_rate_hz / 2, max(REACH * (band[1] - band[0]), *edges))


def _lines(view: View, nperseg: int, band: tuple[float, float]) -> list[Line]:
    """Return frequency [Hz], level [dB], colour, name and style of each line, those in front last."""
    rate, last = view.scene.sample_rate_hz, view.last

    def line(x: Signal, reference: Signal, colour: str, name: str, **style: Any) -> Line:
        frequency, found = density(x, rate, nperseg)
        _, usual = density(reference, rate, nperseg)
        mean = max(band_power(frequency, usual, *band) / (band[1] - band[0]), 1e-300)
        level = 10 * np.log10(np.maximum(found / mean, 1e-30))
        return frequency, np.asarray(level, np.float64), colour, name, style

    width = 1.0 if view.predistorter else 1.8  # a good model covers what was measured
    first = line(last.reference, last.reference, REFERENCE, view.reference_name, lw=width)
    pairs = list(zip(view.traces, view.labels, view.colours, strict=True))
    errors = pairs[-1:] if view.predistorter else pairs
    outputs = pairs if view.predistorter else pairs[-1:]
    lines = [first]
    lines += [line(t.y, t.reference, colour, name, lw=0.9) for t, name, colour in outputs]
    for trace, name, colour in errors:
        dashed = {"ls": (0, (3, 1.2)), "lw": 0.8}
        error = trace.y - trace.reference
        if np.any(error):
            lines.append(line(error, trace.reference, colour, f"error of {name.strip()}", **dashed))
    return lines


def _leakages(view: View) -> list[tuple[Aclr, str]]:
    """Return ACLRs under one convention, with their colours."""
    last = view.last.scores.main_aclr
    if last is None:
        return []
    found: list[tuple[Aclr, str]] = []
    if not view.predistorter and (measured := _of_reference(view, last)):
        found.append((measured, REFERENCE))
    for trace, colour in zip(view.traces, view.colours, strict=True):
        this = trace.scores.main_aclr
        drawn = view.predistorter or trace is view.last
        if drawn and this is not None and this.convention == last.convention:
            found.append((this, colour))
    return found


def _of_reference(view: View, like: Aclr) -> Aclr | None:
    """Return the ACLR of the reference by the convention and window of another one."""
    scene = view.scene
    for nperseg in (SEGMENT, scene.nperseg):
        if not nperseg or not scene.bandwidth_hz:
            continue
        try:
            found = aclr(
                view.last.reference,
                scene.sample_rate_hz,
                scene.bandwidth_hz,
                convention=like.convention,
                carriers=scene.carriers or 1,
                spacing_hz=scene.spacing_hz,
                nperseg=nperseg,
            )
        except ValueError:
            continue
        if found.window == like.window:
            return found
    return None


def _top(bottom: float, highest: float, leakages: list[tuple[Aclr, str]]) -> float:
    """Return the top of the axis: above the plateau, with room for the numbers above its skirts [dB]."""
    top = highest + 4.0
    skirt = max((found.worse_dbc for found, _ in leakages if np.isfinite(found.worse_dbc)), default=-np.inf) + 6.0
    share = (len(leakages) * (NUMBER + 1.6) + 4) * POINT / AXES_HEIGHT  # of the height that the numbers take
    return float(max(top, (skirt - share * bottom) / (1 - share)))


def _channels(axes: Any, leakages: list[tuple[Aclr, str]], top: float) -> None:
    """Shade the adjacent channels and write the leakages from their inner edges outward: none hides the plateau."""
    if not leakages:
        return
    last = leakages[-1][0]
    for low, high in (last.left_hz, last.right_hz):
        axes.axvspan(low / 1e6, high / 1e6, color=SHADE, alpha=SHADE_ALPHA, lw=0, zorder=0.5)
    for number, (found, colour) in enumerate(leakages):
        shift = -3 - number * (NUMBER + 1.6)
        sides = ((found.left_dbc, found.left_hz[1], "right", -1.5), (found.right_dbc, found.right_hz[0], "left", 1.5))
        for value, edge, align, gap in sides:
            axes.annotate(
                f"{value:.1f}".replace("-", "\N{MINUS SIGN}"),
                (edge / 1e6, top),
                xytext=(gap, shift),
                textcoords="offset points",
                ha=align,
                va="top",
                fontsize=NUMBER,
                color=INK if colour == REFERENCE else colour,
                zorder=20,
            )


def _caption(view: View, nperseg: int, band_text: str, leakages: list[tuple[Aclr, str]]) -> str:
    scene = view.scene
    kind = "the wanted signal" if view.predistorter else "the measured output"
    parts = [
        f"Power spectral density of the {view.output_name} and of {kind}, over the mean density of {kind} in "
        f"{band_text}; dashed: error, output less {kind}.",
        f"Curves: Welch, Hann, segments of {nperseg:,} samples, 50 % overlap, bins of "
        f"{scene.sample_rate_hz / nperseg / 1e6:.3g} MHz"
        + (f", of {CHUNKS} chunks of {MOST_SAMPLES // CHUNKS:,} samples." if len(scene.x) > MOST_SAMPLES else "."),
    ]
    if leakages:
        found = leakages[-1][0]
        parts.append(
            f"Numbers: ACLR [dBc] under {found.convention}, lower channel {_mhz(found.left_hz)}, upper channel "
            f"{_mhz(found.right_hz)} (shaded), over the main channel {_mhz(found.main_hz)}; {found.window}. "
            + (f"Top down: {_order(view, leakages)}." if len(leakages) > 1 else "")
        )
    else:
        reasons = [view.last.scores.missing.get(name) for name in (SPACED, "opendpd-spectral-v2", "general-v1")]
        parts.append(f"No adjacent channels are marked: {next(filter(None, reasons), 'there is no ACLR')}.")
    return " ".join(part.strip() for part in parts)


def _order(view: View, leakages: list[tuple[Aclr, str]]) -> str:
    names = dict(zip(view.colours, (trace.name for trace in view.traces), strict=True)) | {REFERENCE: "measured"}
    return ", ".join(names[colour] for _, colour in leakages)


def _mhz(band: tuple[float, float]) -> str:
    return f"{band[0] / 1e6:.5g} to {band[1] / 1e6:.5g} MHz"
