"""One figure of an alignment: AM/AM before and after, and what is left of phase and delay over the record."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dpdrun.data.align.file import AlignedFile
from dpdrun.errors import DataError
from dpdrun.report.figures.gain import cloud_of, draw_panel, limits
from dpdrun.report.figures.style import MAIN, REFERENCE, NothingToDrawError, new_figure, save_figure
from dpdrun.rf import metrics
from dpdrun.rf.synchronization import Synchronization
from dpdrun.rf.synchronization_error import block_estimates


def draw_alignment(aligned: AlignedFile, path: Path, *, dpi: int = 160) -> None:
    """Draw into a file; its suffix (.png, .svg, .pdf) is the format.

    Raises:
        DataError: matplotlib is not installed, the record is too short, or the file cannot be written.
    """
    x, y = aligned.pair.x, aligned.pair.y
    samples = min(len(aligned.before.x), len(aligned.before.y))
    was_x, was_y = aligned.before.x[:samples], aligned.before.y[:samples]
    try:
        clouds = [
            cloud_of("before", REFERENCE, metrics.one_tap_gain(was_x, was_y) * was_x, was_y),
            cloud_of("after", MAIN, metrics.one_tap_gain(x, y) * x, y),
        ]
    except NothingToDrawError as error:
        raise DataError(f"{path}: nothing to draw: {error}") from None
    figure = new_figure(11.0, 3.6)
    left, middle, right = figure.subplots(1, 3)
    draw_panel(left, clouds, phase=False)
    left.set(xlim=(0, 1.02), ylim=limits(clouds[1:], phase=False), xlabel="input magnitude / peak")
    left.set_ylabel("gain relative to one tap [dB]")
    left.set_title("AM/AM: before (grey), after", fontsize=10)
    blocks = block_estimates(x, y, Synchronization())
    time_us = blocks.centre / aligned.sample_rate_hz * 1e6
    phase = np.degrees(np.unwrap(np.angle(blocks.gain)))
    for axes, values, label in (
        (middle, phase - np.mean(phase), "phase that is left [deg]"),
        (right, -blocks.early, "delay that is left [samples]"),
    ):
        axes.plot(time_us, values, color=MAIN, marker="o", ms=3, lw=1.0)
        axes.set(xlabel="time [us]", ylabel=label)
        axes.grid(visible=True, lw=0.3, alpha=0.6)
    middle.set_title("phase of 16 blocks", fontsize=10)
    right.set_title("delay of 16 blocks", fontsize=10)
    figure.suptitle(f"{aligned.name}: {len(x):,} samples at {aligned.sample_rate_hz / 1e6:.6g} MS/s", fontsize=10)
    save_figure(figure, path, dpi=dpi)
