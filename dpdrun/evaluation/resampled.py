"""Predict the output of a model for a record at another sample rate than the model's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from dpdrun.data.resampling import exact_ratio, require_band
from dpdrun.evaluation.prediction import Samples, predict_stream
from dpdrun.models._base import BehaviouralModel
from dpdrun.rf.metrics import to_db
from dpdrun.rf.resampling import resample_stream

NOT_LOST = 1e-6  # of the power: ends of a record, and rounding


@dataclass(eq=False)
class ResampledPrediction:
    """A prediction at the sample rate of a model, of a record and for the instants of another one.

    Attributes:
        model: any kind, in `eval` mode.
        record_hz, model_hz: sample rates [Hz].
        frame: as of `predict_stream`.
        name: of the record, for messages.
    """

    model: BehaviouralModel
    record_hz: float
    model_hz: float
    frame: int | None = None
    name: str = "the waveform"
    _power: dict[str, float] = field(default_factory=lambda: {"model": 0.0, "record": 0.0})

    def pairs(self, chunks: Iterable[Samples]) -> Iterator[tuple[Samples, Samples]]:
        """Yield input and output at the instants of the record, (n,) complex each; arguments as of `predict_stream`.

        Raises:
            DataError: the rate of the model would cut the band of the record.
        """
        ratio = exact_ratio(self.model_hz, self.record_hz)
        waiting: list[Samples] = []

        def inputs() -> Iterator[Samples]:
            for x in chunks:
                waiting.append(x)
                yield x

        def outputs() -> Iterator[Samples]:
            for _, y in predict_stream(self.model, resample_stream(self._checked(inputs()), ratio), frame=self.frame):
                self._power["model"] += float(np.vdot(y, y).real) / float(ratio)
                yield y

        for y in resample_stream(outputs(), 1 / ratio):
            x = np.concatenate(waiting)
            count = min(len(x), len(y))  # there may be a sample more, after the end of the record
            waiting[:] = [x[count:]]
            self._power["record"] += float(np.vdot(y[:count], y[:count]).real)
            if count:
                yield x[:count], y[:count]

    @property
    def lost_db(self) -> float | None:
        """Power of the model's output beyond the rate of the record, over all of it [dB]; None if there is none."""
        lost = 1.0 - self._power["record"] / self._power["model"] if self._power["model"] else 0.0
        return to_db(lost) if lost > NOT_LOST and self.model_hz > self.record_hz else None

    def _checked(self, chunks: Iterator[Samples]) -> Iterator[Samples]:
        for first in chunks:
            require_band(first, self.record_hz, self.model_hz, self.name)
            yield from chain([first], chunks)
