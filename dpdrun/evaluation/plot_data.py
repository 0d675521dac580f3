"""Outputs of an amplifier with their references: what evaluate and compare score, and what their plots draw."""

from __future__ import annotations

from dataclasses import dataclass

from dpdrun.rf.linearity_scores import Linearity
from dpdrun.rf.metrics import Signal


@dataclass(frozen=True)
class Trace:
    """One output for a split of a capture.

    Attributes:
        name: for a legend: "no predistortion", "gmp", "this run", or the name of a run.
        reference: what the output should be, (N,) complex128: for a PA model the measured output, for a predistorter
            the target gain times the input.
        y: the output, (N,) complex128.
        scores: of `y` against `reference`.
    """

    name: str
    reference: Signal
    y: Signal
    scores: Linearity


@dataclass(frozen=True)
class PlotData:
    """The outputs for one split of a capture, and the settings that a plot needs.

    Attributes:
        capture, split: their names.
        simulated: the outputs are those of a PA model, not of a device.
        x: input of the split, (N,) complex128.
        sample_rate_hz, bandwidth_hz: [Hz]; the bandwidth is over all carriers, None if not stated.
        carriers: number of equally wide carriers in the band, None if not stated.
        nperseg: segment of the spectra [samples], None if the capture does not state one.
        traces: the outputs to compare, the most important one last.
        spacing_hz: between adjacent channels [Hz], None if not stated.
    """

    capture: str
    split: str
    simulated: bool
    x: Signal
    sample_rate_hz: float
    bandwidth_hz: float | None
    carriers: int | None
    nperseg: int | None
    traces: tuple[Trace, ...]
    spacing_hz: float | None = None
