"""Choose what a model is scored against, and compute its output and scores.

A PA model is compared with the measured output; a predistorter followed by its PA model with the target, gain times
input; a predistorter without a PA model with the input that it should have found (indirect learning).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Capture
from dpdrun.dpd.cascade import cascade_of, direct_pair, indirect_pair
from dpdrun.evaluation.plot_data import PlotData, Trace
from dpdrun.evaluation.prediction import Split, SplitOutput, eval_frame, part_of, predict_split
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._cascade import Cascade
from dpdrun.plan.plan import Plan
from dpdrun.rf.aclr import aclr, caveat
from dpdrun.rf.linearity import linearity
from dpdrun.rf.linearity_scores import Linearity
from dpdrun.rf.ofdm_grid import Starts, symbol_starts
from dpdrun.rf.spectrum import SEGMENT


@dataclass(frozen=True, eq=False)
class ScoringContext:
    """The scoring of one model on one capture.

    Attributes:
        model: as trained; a predistorter with its limiter.
        plan: of its run.
        capture: as measured.
        pa: the frozen PA model after a predistorter; None for a PA model, and for indirect learning without one.
    """

    model: BehaviouralModel
    plan: Plan
    capture: Capture
    pa: BehaviouralModel | None = None

    @property
    def simulated(self) -> bool:
        """Whether the output comes from a PA model after a predistorter."""
        return self.pa is not None

    @cached_property
    def pair(self) -> Capture:
        """Input and target as a capture."""
        if self.plan.predistortion is None:
            return self.capture
        return indirect_pair(self.capture, self.plan) if self.pa is None else direct_pair(self.capture, self.plan)

    @cached_property
    def cascade(self) -> Cascade:
        """The predistorter followed by its PA model. Raises ValueError without a PA model."""
        if self.pa is None:
            raise ValueError("this model has no PA model after it")
        return cascade_of(self.model, self.plan, self.capture, self.pa).eval()

    @property
    def scored(self) -> BehaviouralModel:
        """The module that maps input to output: the model, or the cascade with its PA model."""
        return self.model if self.pa is None else self.cascade

    def output(self, split: Split) -> SplitOutput:
        """Return the output for a split."""
        part = part_of(self.pair, split)
        return predict_split(self.scored, part, frame=eval_frame(self.plan), loop=self.capture.loop_samples)

    def scores(self, split: Split, y: NDArray[np.complex128]) -> Linearity | None:
        """Return every score of an output; None if it is silent or not finite."""
        return scores_of(self.capture, split, part_of(self.pair, split).y, y)

    def trace(self, name: str, split: Split, y: NDArray[np.complex128]) -> Trace | None:
        """Return an output with its scores, for a plot; None if it has no scores."""
        scores = self.scores(split, y)
        return None if scores is None else Trace(name, part_of(self.pair, split).y, y, scores)

    def plot_data(self, split: Split, traces: list[Trace | None]) -> PlotData:
        """Return the traces of a split for plots, without those that are None."""
        return PlotData(
            capture=self.capture.name,
            split=split,
            simulated=self.simulated,
            x=part_of(self.pair, split).x,
            sample_rate_hz=self.capture.sample_rate_hz,
            **self.capture.channels,
            nperseg=SEGMENT,
            traces=tuple(trace for trace in traces if trace is not None),
        )


def scores_of(
    capture: Capture, split: Split, reference: NDArray[np.complex128], y: NDArray[np.complex128]
) -> Linearity | None:
    """Return every score of an output against its reference; None if one is silent or not finite."""
    if not np.all(np.isfinite(y)) or not np.any(y) or not np.any(reference):
        return None
    return linearity(
        reference,
        y,
        capture.sample_rate_hz,
        **capture.channels,
        grid=capture.grid,
        starts=_starts(capture, split),
        nperseg=capture.nperseg,
    )


def wanted_aclr(capture: Capture, split: Split, y: NDArray[np.complex128], scores: Linearity | None) -> dict[str, Any]:
    """Return the leakage of the wanted signal itself [dBc], with a caveat where that of an output measures little else.

    Args:
        y: an output of the amplifier, measured or modelled.
        scores: of y; without an ACLR in them, the result is empty.
    """
    found = None if scores is None else scores.main_aclr
    if found is None or capture.channel_bandwidth_hz is None:
        return {}
    x, rate = part_of(capture, split).x, capture.sample_rate_hz
    own = aclr(
        x,
        rate,
        capture.channel_bandwidth_hz,
        convention=found.convention,
        carriers=capture.subchannels or 1,
        spacing_hz=capture.channel_spacing_hz,
    )
    return {
        "aclr_left_dbc": own.left_dbc, "aclr_right_dbc": own.right_dbc, "aclr_worse_dbc": own.worse_dbc,
        "caveat": caveat(x, y, found, rate),
    }  # fmt: skip


def _starts(capture: Capture, split: Split) -> Starts | None:
    """Return where the OFDM symbols of a split begin, found in its input, which has no noise."""
    if capture.grid is None:
        return None
    return symbol_starts(part_of(capture, split).x, capture.sample_rate_hz, capture.grid)
