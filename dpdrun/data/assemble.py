"""Combine what a source states with what the recipe sets: sample rate, bandwidth and split.

A single record is cut contiguously (see `cuts`), and `guard` samples are dropped on both sides of each cut: the output
near a cut still remembers input of the other side, and the input itself is correlated over about one symbol of its
narrowest carrier. Shuffled or overlapping windows instead of contiguous parts would let a model see its test data.
Each part of a continuous record knows what is before and after it: a guard is for training, not for the state of a
model that is scored.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from dpdrun.data.capture import PART_NAMES, Capture, Part, SourceRecord
from dpdrun.data.checks import require_equal_lengths
from dpdrun.data.continuity import is_cyclic_frames, loop_length, output_runs_on, splice_excess_db
from dpdrun.data.plausibility import check_rates
from dpdrun.data.splits import DEFAULT_RATIOS, MIN_PART_SAMPLES, cuts_of, guard_of, shares, spans_of
from dpdrun.errors import DataError
from dpdrun.rf.aclr import spaced_width_hz

if TYPE_CHECKING:
    from dpdrun.recipe.schema import DataSection, SplitSection

SEAM_LIMIT_DB = 10.0


def assemble(reading: SourceRecord, section: DataSection) -> Capture:
    """Settle rate, bandwidth and split.

    Raises:
        DataError: the recipe contradicts the source, something needed is unknown, or a part is too short.
    """
    sample_rate_hz, bandwidth_hz = required_rates(section, reading)
    require_equal_lengths(reading.records)
    parts, how = _split(reading, section.split)
    for name, part in zip(PART_NAMES, parts, strict=True):
        if len(part) < MIN_PART_SAMPLES:
            raise DataError(
                f"{reading.name}: the {name} split has {len(part):,} samples, too short (need {MIN_PART_SAMPLES}); "
                f"split: {how}"
            )
        for letter, samples in (("input", part.x), ("output", part.y)):
            if not np.any(samples):
                raise DataError(f"{reading.name}: the {letter} of the {name} split is all zero; split: {how}")
    if section.check_rates == "on":
        check_rates(parts[0].x, sample_rate_hz, bandwidth_hz, reading.name)
    return Capture(
        name=reading.name,
        sample_rate_hz=sample_rate_hz,
        bandwidth_hz=bandwidth_hz,
        subchannels=_carriers(section, reading, bandwidth_hz),
        channel_spacing_hz=_spacing(section, reading, bandwidth_hz),
        licence=reading.licence,
        note=f"{reading.note} Split: {how}.".lstrip(),
        train=parts[0],
        val=parts[1],
        test=parts[2],
        nperseg=reading.nperseg,
        noise_floor_db=reading.noise_floor_db,
        grid=reading.grid,
        warnings=reading.warnings,
        loop_samples=loop_of(parts, reading.nperseg) if section.cyclic == "auto" else None,
    )


def _carriers(section: DataSection, reading: SourceRecord, bandwidth_hz: float | None) -> int | None:
    """Return the number of carriers from the recipe or the source. Raises DataError if they contradict."""
    if not isinstance(section.carriers, int):
        return reading.subchannels
    if reading.subchannels not in (None, section.carriers):
        raise DataError(
            f"{reading.name}: data.carriers {section.carriers} contradicts the source, which states "
            f"{reading.subchannels}; delete the line"
        )
    if bandwidth_hz is None:
        raise DataError(f"{reading.name}: data.carriers divides the bandwidth; write data.bandwidth_hz too")
    return section.carriers


def _spacing(section: DataSection, reading: SourceRecord, bandwidth_hz: float | None) -> float | None:
    """Return the channel spacing of the recipe [Hz]. Raises DataError where it cannot be that of this signal."""
    spacing_hz = section.channel_spacing_hz
    if spacing_hz == "auto":
        return None
    if bandwidth_hz is None:
        raise DataError(
            f"{reading.name}: data.channel_spacing_hz does not say how wide they are; write data.bandwidth_hz too"
        )
    try:
        spaced_width_hz(bandwidth_hz, _carriers(section, reading, bandwidth_hz) or 1, spacing_hz)
    except ValueError as error:
        raise DataError(
            f"{reading.name}: {error}; data.channel_spacing_hz is between the centres of adjacent channels, "
            "data.bandwidth_hz over all carriers, data.carriers their number"
        ) from None
    return spacing_hz


def settled(section: DataSection, reading: SourceRecord) -> tuple[float | None, float | None]:
    """Return sample rate and bandwidth from the recipe or the source [Hz]. Raises DataError if they contradict."""
    rate = _settle("sample_rate_hz", section.sample_rate_hz, _refined(section, reading), reading.name)
    return rate, _settle("bandwidth_hz", section.bandwidth_hz, reading.bandwidth_hz, reading.name)


def required_rates(section: DataSection, reading: SourceRecord) -> tuple[float, float | None]:
    """Return `settled`. Raises DataError also where no one states the rate, or the bandwidth does not fit into it."""
    sample_rate_hz, bandwidth_hz = settled(section, reading)
    if sample_rate_hz is None:
        raise DataError(
            f"{reading.name} does not state its sample rate: set data.sample_rate_hz in the recipe "
            "(or --sample-rate-hz), for example 983.04e6"
        )
    if bandwidth_hz is not None and bandwidth_hz >= sample_rate_hz:
        raise DataError(
            f"{reading.name}: a bandwidth of {bandwidth_hz / 1e6:g} MHz does not fit into a sample rate of "
            f"{sample_rate_hz / 1e6:g} MS/s; both are given in Hz: correct --bandwidth-hz (data.bandwidth_hz) or "
            "--sample-rate-hz (data.sample_rate_hz)"
        )
    return sample_rate_hz, bandwidth_hz


def _settle(field: str, requested: float | Literal["auto"], stated: float | None, name: str) -> float | None:
    if requested == "auto":
        return stated
    if stated is not None and not math.isclose(requested, stated, rel_tol=1e-6):
        raise DataError(
            f"data.{field} (--{field.replace('_', '-')}) is {requested:,.12g} Hz, but {name} states {stated:,.12g} Hz; "
            "delete it, or correct the source if that is wrong"
        )
    return requested


def _refined(section: DataSection, reading: SourceRecord) -> float | None:
    """Return the stated rate; the requested one where the source states the same, but less exactly."""
    asked, stated = section.sample_rate_hz, reading.sample_rate_hz
    if asked == "auto" or stated is None or not math.isclose(asked, stated, rel_tol=reading.rate_tolerance):
        return stated
    return asked


def _split(reading: SourceRecord, requested: SplitSection | Literal["auto"]) -> tuple[tuple[Part, Part, Part], str]:
    if len(reading.records) == 3 and requested == "auto":
        return _in_order(reading.records), "as given by the source"
    record = joined(reading) if len(reading.records) == 3 else reading.records[0]
    total = len(record)
    cuts, guard, how = cuts_and_guard(reading, requested, total)
    how += f", {guard} guard samples dropped on each side of a cut" if guard else ", no guard samples"
    train, val, test = (_piece(record, a, b) for a, b in spans_of(total, cuts, guard))
    return (train, val, test), how


def cuts_and_guard(
    reading: SourceRecord, requested: SplitSection | Literal["auto"], total: int
) -> tuple[tuple[int, int], int, str]:
    """Return where a record of `total` samples is cut, the guard at each cut [samples], and who says so.

    Raises:
        DataError: the cuts are not inside of the record, or the shares do not add up.
    """
    guard_requested: int | Literal["auto"] = "auto"
    if requested != "auto":
        ratios = (float(requested.train), float(requested.val), float(requested.test))
        cuts, how = cuts_of(total, ratios, "data.split of the recipe"), shares(ratios)
        guard_requested = requested.guard
    elif reading.cuts is not None:
        cuts, how = reading.cuts, f"at samples {reading.cuts[0]:,} and {reading.cuts[1]:,} as the source states"
    else:
        ratios = reading.ratios or DEFAULT_RATIOS
        cuts, how = cuts_of(total, ratios, f"split_ratios of {reading.name}"), shares(ratios)
    if not 0 < cuts[0] < cuts[1] < total:
        raise DataError(f"{reading.name}: cuts at samples {cuts[0]:,} and {cuts[1]:,} do not fit a record of {total:,}")
    return cuts, guard_of(total, guard_requested), how


def _piece(record: Part, start: int, end: int) -> Part:
    """Return samples start .. end - 1 of a record, with what is around them."""
    before, piece, after = (Part(record.x[span], record.y[span]) for span in (
        slice(0, start), slice(start, end), slice(end, len(record))))  # fmt: skip
    return Part(piece.x, piece.y, past=before if len(before) else None, future=after if len(after) else None)


def _in_order(parts: tuple[Part, ...]) -> tuple[Part, Part, Part]:
    """Return the parts that a source gives, each with its neighbours where the input runs on across the seam."""
    train, val, test = parts
    first, second = (_runs_on(a, b) for a, b in pairwise(parts))
    return (
        replace(train, future=val if first else None),
        replace(val, past=train if first else None, future=test if second else None),
        replace(test, past=val if second else None),
    )


def _runs_on(before: Part, after: Part) -> bool:
    excess_db = splice_excess_db(before.x, after.x)
    return excess_db is not None and excess_db <= SEAM_LIMIT_DB


def loop_of(parts: tuple[Part, ...], stated: int | None) -> int | None:
    """Return the length of the loops that every part consists of, whether the source states it, another, or none."""
    if framed(parts, stated):
        return stated
    found = loop_length(parts[0].x)
    return found if framed(parts, found) else None


def framed(parts: tuple[Part, ...], frame: int | None) -> bool:
    """Return whether every part consists of frames played in a loop, as measured, not as the metadata say."""
    return (
        frame is not None
        and all(len(part) % frame == 0 and is_cyclic_frames(part.x, frame) for part in parts)
        and not output_runs_on(parts[0].x, parts[0].y, frame)
    )


def joined(reading: SourceRecord) -> Part:
    """Return the given splits as one record.

    Raises:
        DataError: the signal is not continuous across both seams.
    """
    parts = reading.records
    for (before, after), names in zip(pairwise(parts), pairwise(PART_NAMES), strict=True):
        excess_db = splice_excess_db(before.x, after.x)
        if excess_db is None or excess_db > SEAM_LIMIT_DB:
            found = "too short to tell" if excess_db is None else f"a jump of {excess_db:.0f} dB above normal"
            raise DataError(
                f"{reading.name} comes in three splits that are not from one continuous record "
                f"({names[0]} to {names[1]}: {found}), so it cannot be "
                "split again; use data.split: auto, which keeps the given splits"
            )
    return Part(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]))
