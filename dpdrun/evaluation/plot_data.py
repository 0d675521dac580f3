"""Outputs of an amplifier beside what they should be: what evaluate and compare score, and what their plots draw."""

from __future__ import annotations

from dataclasses import dataclass

from dpdrun.rf.linearity_scores import Linearity
from dpdrun.rf.metrics import Signal


@dataclass(frozen=True)
class Trace:
    """One output of a part of a capture.

    Attributes:
        name: short, for a legend: "no predistortion", "gmp", "this run", or the name of a run.
        reference: what the output should be, (N,) complex128: of a model of an amplifier the measured output, of a
            predistorter the wanted signal, target gain times input.
        y: the output, (N,) complex128.
        scores: of `y` against `reference`.
    """

    name: str
    reference: Signal
    y: Signal
    scores: Linearity


@dataclass(frozen=True)
class Scene:
    """Traces of one part of one capture, with what a plot has to know of it.

    Attributes:
        capture, split: their names.
        simulated: the outputs are those of a PA model, not of a device.
        x: input of the part, (N,) complex128.
        sample_rate_hz, bandwidth_hz: [Hz]; the bandwidth is over all carriers, None where it is not stated.
        carriers: of equal width in it, None where not stated.
        nperseg: segment of the spectra [samples], None where the capture does not state one.
        traces: what is compared, the most important one last.
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
