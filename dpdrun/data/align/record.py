"""Align the record of a source: estimate on its training split, or use given values; apply to all of it.

The input is not shifted: the output is moved to its sampling instants, and samples without a counterpart are cut. So
the input of an aligned capture is a section of the source's, and the output of a model belongs to the same instants.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from dpdrun.data.align.stages import Decision, decide, with_floors
from dpdrun.data.assemble import cuts_and_guard, joined, loop_of
from dpdrun.data.capture import Part, SourceRecord, UnequalPart, update_with
from dpdrun.errors import DataError
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.schema import AlignSection, DataSection
from dpdrun.rf.metrics import Signal
from dpdrun.rf.synchronization import EnvelopeDelay, Synchronization, envelope_delay

LEAST = 1_000  # samples that input and output have to share


@dataclass(frozen=True)
class Alignment:
    """What was corrected between input and output.

    Attributes:
        values: of the corrections, as a recipe holds them.
        identity: hash of the source's samples and of the values.
        changes: whether any sample was changed or cut.
        first, end: the input samples that were kept, of the record of the source.
        samples: of input and output in the source.
        decision: how the values were found; None where they were given.
        messages: what the user should know.
        joined: splits of the source that are one record: that record aligned, and as it was.
    """

    values: AlignSection
    identity: str
    changes: bool
    first: int
    end: int
    samples: tuple[int, int]
    decision: Decision | None
    messages: tuple[str, ...]
    joined: tuple[Part, Part] | None = None


def align(reading: SourceRecord, section: DataSection, *, floors: bool = False) -> tuple[SourceRecord, Alignment]:
    """Return a source's record with its output aligned to its input, as `data.align` specifies.

    Args:
        reading: of a source.
        section: `data` of a recipe, `align` not off.
        floors: also estimate the noise floor without and with each correction, which takes a second each.

    Raises:
        DataError: input and output do not belong together, or share too few samples.
    """
    if len(reading.records) != 3:
        return _align_record(reading, reading.records[0], section, floors)
    if any(isinstance(part, UnequalPart) for part in reading.records):
        return _align_parts(reading, section)
    try:
        record = joined(reading)
    except DataError:
        return _align_parts(reading, section)
    return _align_record(reading, record, section, floors)


def synchronization_of(values: AlignSection) -> Synchronization:
    """Return the corrections of a recipe in the form that computations use."""
    return Synchronization(
        position=values.delay_samples,
        clock=values.clock_ppm * 1e-6,
        frequency=values.frequency_offset,
        mirrored=values.conjugate == "on",
        dc=complex(values.dc_i, values.dc_q),
        image=complex(values.image_i, values.image_q),
    )


def _values_of(found: Synchronization) -> AlignSection:
    return AlignSection(
        delay_samples=round(found.position, 6),
        clock_ppm=round(found.clock * 1e6, 7),
        frequency_offset=found.frequency,
        conjugate="on" if found.mirrored else "off",
        dc_i=found.dc.real,
        dc_q=found.dc.imag,
        image_i=found.image.real,
        image_q=found.image.imag,
    )


def _align_record(
    reading: SourceRecord, record: Part, section: DataSection, floors: bool
) -> tuple[SourceRecord, Alignment]:
    x, y = record.x, record.y
    decision = None
    if isinstance(section.align, AlignSection):
        values = section.align
    else:
        start, end = _training_split(reading, section, x, y)
        decision = _decide(x[start:end], y, reading.name)
        if floors:
            decision = with_floors(decision, x[start:end], y)
        found = decision.found  # counts from x[start]
        values = _values_of(replace(found, position=found.position - (1.0 + found.clock) * start))
    found = synchronization_of(values)
    first, end = found.overlap(len(x), len(y))
    if end - first < LEAST:
        raise DataError(
            f"{reading.name}: input and output share {max(0, end - first):,} samples at a delay of "
            f"{found.position:,.1f} (need {LEAST:,})"
        )
    aligned = Part(x[first:end], found.restore(y, first, end))
    changes = found != Synchronization() or (first, end) != (0, len(x)) or len(x) != len(y)
    messages = _cut_message(first, end, len(x), len(y)) if (first, end) != (0, len(x)) else ()
    alignment = Alignment(
        values, _identity((record,), values), changes, first, end, (len(x), len(y)), decision, messages
    )
    if len(reading.records) == 3:
        alignment = replace(alignment, joined=(aligned, record))
    if not changes:
        return reading, alignment
    records: tuple[Part] | tuple[Part, Part, Part] = (aligned,)
    cuts = reading.cuts
    if len(reading.records) == 3:
        at = [max(0, edge - first) for edge in np.cumsum([len(part) for part in reading.records])[:2]]
        pieces = [Part(a, b) for a, b in zip(np.split(aligned.x, at), np.split(aligned.y, at), strict=True)]
        records = (pieces[0], pieces[1], pieces[2])
    elif cuts is not None:
        cuts = (cuts[0] - first, cuts[1] - first)
    return replace(reading, records=records, cuts=cuts, note=_note(reading, alignment),
                   warnings=(*reading.warnings, *messages)), alignment  # fmt: skip


def _align_parts(reading: SourceRecord, section: DataSection) -> tuple[SourceRecord, Alignment]:
    """Align splits that are not one record: errors that depend on the time since its start are not corrected."""
    records, messages, decision = reading.records, list[str](), None
    assert len(records) == 3
    train = records[0]
    if isinstance(section.align, AlignSection):
        found = synchronization_of(section.align)
        moving = bool(found.clock or found.frequency)
    else:
        decision = _decide(train.x, train.y, reading.name)
        found = decision.found
        moving = bool(found.clock or found.frequency)
    if moving:
        raise DataError(
            f"{reading.name}: the output has a frequency offset of {found.frequency:.3g} of the sample rate and a "
            f"clock offset of {found.clock * 1e6:.3g} ppm; the three splits are not one record, so what they add up "
            "to at the start of each is not known: align the complete records, before they are split"
        )
    values = _values_of(found)
    found = synchronization_of(values)
    whole = Alignment(values, _identity(records, values), found != Synchronization(), 0, len(train),
                      (len(train.x), len(train.y)), decision, ())  # fmt: skip
    unequal = any(isinstance(part, UnequalPart) for part in records)
    if not whole.changes and not unequal:
        return reading, whole
    loop = None if unequal or section.cyclic != AUTO else loop_of(records, reading.nperseg)
    parts = []
    for part in records:
        if loop is not None:
            parts.append(Part(part.x, _restore_loops(part.y, found, loop)))
            continue
        first, end = found.overlap(len(part.x), len(part.y))
        if end - first < 1:
            raise DataError(f"{reading.name}: a split has no output at a delay of {found.position:,.1f} samples")
        parts.append(Part(part.x[first:end], found.restore(part.y, first, end)))
        messages += _cut_message(first, end, len(part.x), len(part.y))
    whole = replace(whole, changes=True, messages=tuple(messages))
    return replace(reading, records=(parts[0], parts[1], parts[2]), note=_note(reading, whole),
                   warnings=(*reading.warnings, *messages)), whole  # fmt: skip


def _restore_loops(y: Signal, found: Synchronization, loop: int) -> Signal:
    """Return the output of a sequence of loops: each was measured separately, so its delay is a rotation."""
    seen = found.demodulated(y)
    turn = np.exp(2j * np.pi * np.fft.fftfreq(loop) * found.position)
    return np.asarray(np.fft.ifft(np.fft.fft(seen.reshape(-1, loop), axis=1) * turn, axis=1).ravel(), np.complex128)


def _decide(x: Signal, y: Signal, name: str) -> Decision:
    found = decide(x, y)
    if found is None:
        raise _not_one_record(name, envelope_delay(x, y))
    return found


def _not_one_record(name: str, delay: EnvelopeDelay) -> DataError:
    return DataError(
        f"{name}: input and output do not belong together: the envelopes have a correlation of {delay.correlation:.2f} "
        f"at best, and independent records reach {delay.by_chance:.2f}"
    )


def _training_split(reading: SourceRecord, section: DataSection, x: Signal, y: Signal) -> tuple[int, int]:
    """Return first and end of the input samples that will be the training split once both are cut to what they share.

    Only the position of the cut is used; the delay is estimated again on the samples before it.
    """
    delay = envelope_delay(x, y)
    if not delay.found:
        raise _not_one_record(reading.name, delay)
    first, end = max(0, -delay.samples), min(len(x), len(y) - delay.samples)
    if end - first < LEAST:
        raise DataError(
            f"{reading.name}: input and output share {max(0, end - first):,} samples at a delay of {delay.samples:,} "
            f"(need {LEAST:,})"
        )
    if len(reading.records) == 3 and section.split == AUTO:
        return first, max(first + 1, len(reading.records[0]))
    if reading.cuts is not None and section.split == AUTO:
        return first, reading.cuts[0]
    (cut, _), guard, _ = cuts_and_guard(reading, section.split, end - first)
    return first, first + cut - guard


def _identity(records: tuple[Part, ...], values: AlignSection) -> str:
    later = {name for name in ("image_i", "image_q") if not getattr(values, name)}  # runs made before know neither
    digest = hashlib.sha256(values.model_dump_json(exclude=later).encode())
    for part in records:
        digest.update(f"|{len(part.x)}:{len(part.y)}|".encode())
        update_with(digest, part)
    return digest.hexdigest()


def _cut_message(first: int, end: int, samples_x: int, samples_y: int) -> tuple[str, ...]:
    if samples_x == samples_y:
        return ()  # what a delay costs at the ends needs no remark
    return (
        f"the input has {samples_x:,} samples and the output {samples_y:,}; used are the {end - first:,} that both "
        f"have, input samples {first:,} to {end - 1:,}",
    )


def _note(reading: SourceRecord, alignment: Alignment) -> str:
    values = alignment.values
    done = [
        *([f"delay {values.delay_samples:.3f} samples"] if values.delay_samples else []),
        *([f"frequency offset {values.frequency_offset:.4g} of the sample rate"] if values.frequency_offset else []),
        *([f"clock {values.clock_ppm:+.3f} ppm"] if values.clock_ppm else []),
        *(["conjugated"] if values.conjugate == "on" else []),
        *(["DC"] if values.dc_i or values.dc_q else []),
        *(["image"] if values.image_i or values.image_q else []),
    ]
    return f"{reading.note} Aligned: {', '.join(done) or 'cut'}.".lstrip()
