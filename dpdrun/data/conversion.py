"""Write a capture in another format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpdrun.data.assemble import settled
from dpdrun.data.capture import PART_NAMES
from dpdrun.data.checks import require_equal_lengths
from dpdrun.data.formats.waveform import check_writable
from dpdrun.data.formats.waveform_writer import CAPTURE_HEADER, PAIRS, Labels, check_labels, writing
from dpdrun.data.sources import locate_source, read_source
from dpdrun.errors import DataError

if TYPE_CHECKING:
    from dpdrun.recipe.schema import DataSection


def convert_capture(
    section: DataSection, out: Path, *, only: str | None = None, full_scale: float | None = None, force: bool = False
) -> Iterator[str]:
    """Write the capture of a `data` section to `out`; yields lines on what was written.

    Three given splits are written one after the other.

    Args:
        section: the source; its rates complete what the source states.
        out: by its suffix; .npz, .mat and .csv hold input and output, other formats one signal.
        only: "input" or "output", for the formats that hold one.
        full_scale: level that becomes the largest integer.
        force: overwrite.

    Raises:
        DataError: the source cannot be read, or `out` not be written.
    """
    check_writable(out, force=force)
    if full_scale is not None and not 0 < full_scale < float("inf"):
        raise DataError(f"--full-scale must be a positive number, not {full_scale:g}")
    suffix = out.suffix.lower()
    if suffix not in PAIRS and only is None:
        raise DataError(f"{out}: {suffix} holds one signal; give --only input or --only output, or write .npz or .mat")
    if suffix in PAIRS and only is not None:
        raise DataError(f"{out}: {suffix} holds both signals; omit --only")
    reading = read_source(section.model_copy(update={"source": locate_source(section.source)}))
    require_equal_lengths(reading.records)
    rate, bandwidth = settled(section, reading)
    check_labels(out, rate)
    header = CAPTURE_HEADER
    with writing(out, Labels(rate, bandwidth, full_scale, header)) as writer:
        for part in reading.records:
            writer.append(part.x, part.x if only == "input" else part.y)
    count = sum(len(part) for part in reading.records)
    what = f"the {only} of " if only else ""
    yield f"{out}: {what}{reading.name}, {count:,} samples, {'rate not stated' if rate is None else f'{rate:g} S/s'}"
    if remark := writer.remark():
        yield remark
    if len(reading.records) == 3:
        ends = np.cumsum([len(part) for part in reading.records])
        spans = ", ".join(f"{name} to sample {end:,}" for name, end in zip(PART_NAMES, ends, strict=True))
        yield f"its three splits follow one another ({spans}); data.split of a recipe divides them again"
    if suffix not in (".npz", ".mat", ".wv", ".sigmf-meta") and rate is not None:
        yield f"{suffix} cannot state the sample rate: give --sample-rate-hz {rate:.12g} (data.sample_rate_hz) with it"
