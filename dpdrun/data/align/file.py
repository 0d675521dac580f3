"""Write an aligned capture to a file (`dpdrun data align`); the sample rates of both sides may differ."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dpdrun.data.align.record import Alignment, align
from dpdrun.data.assemble import required_rates
from dpdrun.data.capture import Part, SourceRecord, UnequalPart
from dpdrun.data.resampling import Resampling, as_text, rate_ratio, resampled
from dpdrun.data.sources import locate_source, read_source
from dpdrun.errors import DataError
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.resampling import resample
from dpdrun.run.files import replacing

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class AlignedFile:
    """An aligned record, ready to be written.

    Attributes:
        name: of the source.
        before: input and output as they were, at the sample rate of `pair`.
        pair: as aligned.
        sample_rate_hz: [Hz].
        bandwidth_hz: [Hz], None if not stated.
        alignment: what was corrected.
        resampling: what was resampled after it, None if nothing was.
        messages: what the user should know.
    """

    name: str
    before: Part
    pair: Part
    sample_rate_hz: float
    bandwidth_hz: float | None
    alignment: Alignment
    resampling: Resampling | None
    messages: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without samples."""
        decision = self.alignment.decision
        assert decision is not None
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "sample_rate_hz": self.sample_rate_hz,
            "bandwidth_hz": self.bandwidth_hz,
            "samples": len(self.pair),
            "first_input_sample": self.alignment.first,
            "resampling": None if self.resampling is None else self.resampling.to_json(),
            "applied": self.alignment.values.model_dump(mode="json"),
            "stages": [asdict(stage) for stage in decision.stages],
            "before": asdict(decision.before) | {"floor_at_most_db": decision.floor_at_most_db[0]},
            "after": asdict(decision.after) | {"floor_at_most_db": decision.floor_at_most_db[1]},
            "messages": list(self.messages),
        }

    def write(self, path: Path) -> None:
        """Write an .npz that is itself a source: x, y, the rates, and a description of the corrections.

        Raises:
            UnwritableError: the disk is full.
        """
        rates = {"sample_rate_hz": self.sample_rate_hz, "bandwidth_hz": self.bandwidth_hz}
        arrays: dict[str, Any] = {name: np.array(rate) for name, rate in rates.items() if rate is not None}
        arrays["alignment"] = np.array(json.dumps(self.to_json()))
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, x=self.pair.x, y=self.pair.y, **arrays)


def align_file(
    section: DataSection, *, output_rate_hz: float | None = None, resample_to_hz: float | None = None
) -> AlignedFile:
    """Align the record of a source.

    Args:
        section: `data` of a recipe; its `align` and `split` are ignored.
        output_rate_hz: sample rate of the output, if it is not that of the input [Hz].
        resample_to_hz: of the aligned record [Hz].

    Raises:
        DataError: the source cannot be read, input and output do not belong together, or a rate does not fit.
    """
    section = section.model_copy(update={"source": locate_source(section.source), "align": AUTO, "split": AUTO})
    reading = read_source(section)
    rate, bandwidth = required_rates(section, reading)
    messages: list[str] = []
    if output_rate_hz is not None and output_rate_hz != rate:
        reading, rate = _at_one_rate(reading, rate, output_rate_hz, messages)
    before = reading.records[0]
    reading, alignment = align(reading, section, floors=True)
    if len(reading.records) == 3:
        if alignment.joined is None:
            raise DataError(
                f"{reading.name}: its three splits are not one record, so they do not fit into one file; a recipe with "
                "data.align: auto keeps them apart"
            )
        pair, before = alignment.joined
        messages.append("the three splits of the source are one record in the file: cut it again by data.split")
    else:
        pair = reading.records[0]
    messages += alignment.messages
    resampling = None
    if resample_to_hz is not None:
        one = replace(reading, records=(pair,), cuts=None, sample_rate_hz=rate)
        wanted = section.model_copy(update={"sample_rate_hz": AUTO, "resample_to_hz": resample_to_hz})
        one, _, resampling = resampled(one, wanted)
        if resampling is not None:
            pair, rate = one.records[0], resample_to_hz
            before = pair
            messages += [resampling.description, *resampling.messages]
    return AlignedFile(reading.name, before, pair, rate, bandwidth, alignment, resampling, tuple(messages))


def _at_one_rate(
    reading: SourceRecord, rate_x: float, rate_y: float, messages: list[str]
) -> tuple[SourceRecord, float]:
    """Return the record with the slower side at the rate of the faster one, so that no regrowth is cut."""
    if len(reading.records) != 1:
        raise DataError(f"{reading.name}: --output-rate-hz is for one record, and this source has three splits")
    ratio = rate_ratio(rate_y, rate_x, "--output-rate-hz")
    x, y = reading.records[0].x, reading.records[0].y
    faster = max(rate_x, rate_y)
    if ratio > 1:
        x = resample(x, ratio)
        messages.append(f"the input was resampled by {as_text(ratio)} to {faster / 1e6:.6g} MS/s")
    else:
        back = 1 / ratio
        y = resample(y, back)
        messages.append(f"the output was resampled by {as_text(back)} to {faster / 1e6:.6g} MS/s")
    pair = Part(x, y) if len(x) == len(y) else UnequalPart(x, y)
    return replace(reading, records=(pair,), cuts=None, sample_rate_hz=None), faster
