"""Read the capture of a round, and put its samples at the instants of the looping waveform that was played.

A generator plays the waveform again and again, and an analyser starts anywhere in it. So the capture is compared with
the looping waveform, aligned by the estimators of `data.align`, and its periods are averaged. A generator that plays
once gives one period between silence; silence is dropped.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from dpdrun.data.align.stages import decide
from dpdrun.data.checks import check_samples
from dpdrun.data.formats.detect import open_contents
from dpdrun.data.formats.waveform import check_readable
from dpdrun.data.resampling import rate_ratio
from dpdrun.data.roles import single
from dpdrun.errors import DataError
from dpdrun.rf.alignment import delay
from dpdrun.rf.metrics import Signal, rms
from dpdrun.rf.resampling import resample
from dpdrun.rf.synchronization import Synchronization, feature

BELONGS = 0.5  # correlation of the envelopes; noise as strong as the signal leaves about that
LOUD = 0.5  # of the loudest block; an amplifier that is off leaks the signal, too
BLOCKS = 32  # of the waveform, which are played or not
SHORTEST = 256  # samples of a block whose correlation says something
LEAST_SHARE = 0.9  # of the waveform that has to be measured


@dataclass(frozen=True, eq=False)
class RawCapture:
    """A capture as read.

    Attributes:
        name: of its file.
        y: at the sample rate of the waveform, (M,) complex128.
        sha256: of the samples as read.
        reach: frequency up to which it holds the output, as a share of the waveform's sample rate.
    """

    name: str
    y: Signal
    sha256: str
    reach: float


@dataclass(frozen=True, eq=False)
class AlignedOutput:
    """The output at the instants of the waveform.

    Attributes:
        first: sample of the waveform that y[0] belongs to; y continues from there, around the end.
        y: (K,) complex128, K <= N; mean over the periods that were captured.
        periods: mean number of them.
        delay_samples: position of the waveform's sample 0 in the capture, within [0, N).
        found: what was corrected.
    """

    first: int
    y: Signal
    periods: float
    delay_samples: float
    found: Synchronization

    def of(self, waveform: Signal) -> Signal:
        """Return the samples of a looping waveform, (N,), that belong to y, (K,)."""
        return waveform[(self.first + np.arange(len(self.y))) % len(waveform)]


def read_capture(
    path: Path, rate_hz: float, *, output: str | None, columns: str | None, output_rate_hz: float | None
) -> RawCapture:
    """Read the output from a file of any format.

    Args:
        path: one signal, or several of which one is the output.
        rate_hz: of the waveform [Hz].
        output: name of the signal.
        columns: of a text file without a header.
        output_rate_hz: of the capture, if it is not that of the waveform [Hz]; it is resampled.

    Raises:
        DataError: the file cannot be read, or states another sample rate.
    """
    check_readable(path, "the measured file")
    name = str(path)
    contents = open_contents(path, name, columns=columns)
    y = np.asarray(single(contents, name, "output", output).load(), np.complex128)
    check_samples(y, name, ("I", "Q"))
    stated, given = contents.sample_rate_hz, output_rate_hz or rate_hz
    if stated is not None and abs(stated / given - 1) > contents.rate_tolerance:
        raise DataError(
            f"{name} states a sample rate of {stated:,.10g} Hz, but "
            + (f"--output-rate-hz is {given:,.10g} Hz" if output_rate_hz else f"the waveform has {rate_hz:,.10g} Hz")
            + f"; capture at {rate_hz:,.10g} Hz, or give --output-rate-hz {stated:.10g} to resample it"
        )
    sha256 = hashlib.sha256(y.tobytes()).hexdigest()
    if given == rate_hz:
        return RawCapture(name, y, sha256, 0.5)
    resampled = resample(y, rate_ratio(rate_hz, given, "--output-rate-hz"))
    return RawCapture(name, resampled, sha256, min(0.5, 0.5 * given / rate_hz))


def align_output(reference: Signal, capture: RawCapture) -> AlignedOutput:
    """Put the samples of a capture at the instants of a looping waveform.

    Args:
        reference: one period of what the amplifier's output is expected to be, up to a factor, (N,) complex128: the
            waveform, or a prediction from it.
        capture: (M,) complex128, M >= N.

    Raises:
        DataError: the capture is shorter than the waveform, or does not belong to it.
    """
    samples, y = len(reference), capture.y
    if len(y) < samples:
        raise DataError(
            f"{capture.name}: {len(y):,} samples at the waveform's sample rate, but the waveform has {samples:,}; "
            "capture at least one period (two or more are averaged)"
        )
    offset = loop_offset(reference, y)
    start, end = _played(reference, capture, offset)
    looped = reference[(offset + np.arange(start, end)) % samples]
    part = y[start:end]
    found = _synchronization(looped, part, capture.name)
    first, last = found.overlap(len(looped), len(part))
    restored = found.restore(part, first, last)
    at = (offset + start + np.arange(first, last)) % samples
    count = np.bincount(at, minlength=samples)
    summed = np.bincount(at, restored.real, samples) + 1j * np.bincount(at, restored.imag, samples)
    begin, length = (0, samples) if count.all() else (int(at[0]), last - first)
    if length < LEAST_SHARE * samples:
        raise DataError(
            f"{capture.name}: only {length:,} of the waveform's {samples:,} samples were captured; capture one period "
            "or more without a break"
        )
    used = (begin + np.arange(length)) % samples
    late = (start + found.position - (offset + start) * (1.0 + found.clock)) % samples
    mean = np.asarray(summed[used] / count[used], np.complex128)
    return AlignedOutput(begin, mean, float(count[used].mean()), late, found)


def loop_offset(reference: Signal, y: Signal) -> int:
    """Return the sample of a looping reference, (N,), that y[0] is nearest to, by the envelopes; y: (M,)."""
    samples = len(reference)
    folded = np.zeros(-(-len(y) // samples) * samples, np.complex128)
    folded[: len(y)] = feature(y)
    cross = np.fft.fft(folded.reshape(-1, samples).sum(axis=0)) * np.conj(np.fft.fft(feature(reference)))
    late = int(np.argmax(np.abs(np.fft.ifft(cross))))
    return (samples - late) % samples


def _played(reference: Signal, capture: RawCapture, offset: int) -> tuple[int, int]:
    """Return first and end of the longest stretch of a capture in which the reference is played."""
    samples, y = len(reference), capture.y
    block = -(-samples // max(1, min(BLOCKS, samples // SHORTEST)))
    begins = np.flatnonzero((offset + np.arange(len(y))) % samples % block == 0).tolist()
    edges = sorted({0, *begins, len(y)})
    wanted = feature(reference)
    spans = [(start, end) for start, end in pairwise(edges) if end - start >= SHORTEST]
    levels = [rms(y[start:end]) for start, end in spans]
    stretches, highest = [(0, 0)], 0.0
    for (start, end), level in zip(spans, levels, strict=True):
        alike = _correlation(wanted[(offset + np.arange(start, end)) % samples], feature(y[start:end]))
        highest = max(highest, alike)
        if alike < BELONGS or level < LOUD * max(levels):
            continue
        if stretches[-1][1] == start:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    start, end = max(stretches, key=lambda each: each[1] - each[0])
    if end == start:
        raise DataError(
            f"{capture.name}: this is not the output for the waveform of this loop: their envelopes have a correlation "
            f"of {highest:.2f} at best (needed: {BELONGS:g})"
        )
    return start, end


def _correlation(a: Signal, b: Signal) -> float:
    energy = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(abs(np.vdot(a, b))) / energy if energy > 0 else 0.0


def _synchronization(looped: Signal, y: Signal, name: str) -> Synchronization:
    """Return the corrections that help, and the delay to a fraction of a sample in any case.

    `decide` leaves a small delay alone, because it does not matter to a model; here every round is to be compared with
    the one before.
    """
    decision = decide(looped, y)
    if decision is None:
        raise DataError(f"{name}: this is not the output for the waveform of this loop: no delay aligns the two")
    found = decision.found
    for _ in range(2):
        first, end = found.overlap(len(looped), len(y))
        late = delay(looped[first:end], found.restore(y, first, end)).samples
        found = replace(found, position=found.position + late)
    return found
