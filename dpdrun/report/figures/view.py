"""A scene as the figures draw it: its traces, their colours and names, and their reference."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from dpdrun.evaluation.plot_data import PlotData, Trace
from dpdrun.report.figures.style import PALETTE, NothingToDrawError, colours, labels
from dpdrun.rf.metrics import Signal, one_tap_gain

COLLINEAR = 1e-12  # of the power: a reference that is this close to a multiple of the input is a wanted signal
FEWEST = 64  # samples


@dataclass(frozen=True)
class View:
    """What is drawn of a scene.

    Attributes:
        scene: with the traces that can be drawn, the most important one last.
        predistorter: the reference is the wanted signal; else it is what the amplifier put out.
        labels, colours: of the traces.
        notes: what was left out, a sentence each.
    """

    scene: PlotData
    predistorter: bool
    labels: list[str]
    colours: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Return the traces that are drawn."""
        return self.scene.traces

    @property
    def last(self) -> Trace:
        """Return the most important trace."""
        return self.scene.traces[-1]

    @property
    def reference_name(self) -> str:
        """Return the name of the last trace's reference, for a legend."""
        return "wanted" if self.predistorter else "measured"

    @property
    def output_name(self) -> str:
        """Return what the traces are, for a caption."""
        if not self.predistorter:
            return "output of the model"
        return "output of the PA model" if self.scene.simulated else "output of the amplifier"


def view_of(scene: PlotData) -> View:
    """Return what of a scene is drawn.

    Raises:
        NothingToDrawError: none of it can be.
    """
    notes: list[str] = []
    if len(scene.x) < FEWEST:
        raise NothingToDrawError(f"{len(scene.x):,} samples are too few for a figure")
    if not np.all(np.isfinite(scene.x)):
        raise NothingToDrawError("the input has samples that are not finite")
    kept = []
    for trace in scene.traces:
        if why := _undrawable(trace, len(scene.x)):
            notes.append(f"{trace.name} is left out: {why}.")
        else:
            kept.append(trace)
    if not kept:
        raise NothingToDrawError(" ".join(notes) or "there is no output to draw")
    if len(kept) > len(PALETTE):
        notes.append(f"Only the last {len(PALETTE)} of {len(kept)} outputs are drawn; the tables have all.")
        kept = kept[-len(PALETTE) :]
    return View(
        scene=replace(scene, traces=tuple(kept)),
        predistorter=_is_multiple(scene.x, kept[-1].reference),
        labels=labels([trace.name for trace in kept]),
        colours=colours(len(kept)),
        notes=notes,
    )


def _undrawable(trace: Trace, samples: int) -> str | None:
    for name, signal in (("output", trace.y), ("reference", trace.reference)):
        if signal.shape != (samples,):
            return f"its {name} and the input differ in length"
        if bad := int(np.count_nonzero(~np.isfinite(signal))):
            return f"{bad:,} samples of its {name} are not finite"
        if not np.any(signal):
            return f"its {name} is all zero"
    return None


def _is_multiple(x: Signal, reference: Signal) -> bool:
    """Return whether the reference is a complex factor times the input."""
    if not np.any(x):
        return False
    error = reference - one_tap_gain(x, reference) * x
    return float(np.vdot(error, error).real) < COLLINEAR * float(np.vdot(reference, reference).real)
