"""Estimate how the receiver of an output saw it: late, at another frequency, with another clock, mirrored, with DC.

The model: with x[m] the input and g the amplifier, the record of its output is

    y[n] = dc + w + image conj(w),   w = mirror( g(x)(m) e^(2j pi f n) ),   n = position + (1 + clock) m

where mirror is conj() for swapped I and Q (a swap is j conj()), and f is in cycles per output sample. So m is the
instant of an input sample, n that of the same moment in the output, and the input is never moved.

Each step is blind to those that come after it, so none has to be known at the start: envelopes do not see frequency,
phase and mirror; y conj(x) has a line at f whatever the amplifier does to the envelope; then joint
least-squares steps (Gauss-Newton), in which delay, clock and frequency do not disturb each other, against the input,
and at last against a memory polynomial of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf import memory_polynomial
from dpdrun.rf.alignment import fft_size, phase_slope
from dpdrun.rf.interpolation import REACH, SHORT, derivative, interpolate
from dpdrun.rf.metrics import Signal, rms

PIECE = 32_768  # samples of the input that the coarse search uses: a clock of 200 ppm slips 7 samples in it
BLOCKS = 16
WIDEST_PPM = 300.0
SEARCH = 8  # samples around the expected delay of a block
CONSTANT_ENVELOPE = 0.05  # variance of |x|^2 over its squared mean; OFDM has 1, noise at -S dB adds 2 10^(-S/10)
STEADY = 1e-9  # of the squared power: a phase that turns evenly
CHANCE = 1e-3  # probability that two independent records pass for one
LINE_OVER_MEAN = 20.0  # of the spectrum of y conj(x): 64 for 2,000 samples that fit, 7 to 10 for ones that do not
MIRROR_RATIO = 3.0
PHASE_BLOCK = 2048
ROUNDS = 5
CONVERGED = 1e-6  # samples over the record
EDGE = SHORT + 1
SAME_PEAK = 0.9  # of the highest peak: a loop that is played again and again has many; the nearest counts


@dataclass(frozen=True)
class Synchronization:
    """How the receiver saw the output; see the text of this module.

    Attributes:
        position: in the output, of the first input sample [samples]: how late the output is.
        clock: sample rate of the output over that of the input, less 1.
        frequency: f [cycles per output sample].
        mirrored: I and Q are swapped, or one of them is negated, in one of the two.
        dc: as the receiver added it.
        image: of its I/Q imbalance, over the signal as it received it (`rf.receiver_image` estimates it).
    """

    position: float = 0.0
    clock: float = 0.0
    frequency: float = 0.0
    mirrored: bool = False
    dc: complex = 0j
    image: complex = 0j

    def instants(self, first: int, end: int) -> NDArray[np.float64]:
        """Return where in the output the input samples first .. end - 1 are, (end - first,)."""
        return self.position + (1.0 + self.clock) * np.arange(first, end, dtype=np.float64)

    def overlap(self, samples_x: int, samples_y: int) -> tuple[int, int]:
        """Return first and end of the input samples whose output is in the record, with the ends of a filter."""
        whole = self.clock == 0.0 and float(self.position).is_integer()
        margin = 0 if whole else REACH
        first = np.ceil((margin - self.position) / (1.0 + self.clock))
        end = np.floor((samples_y - 1 - margin - self.position) / (1.0 + self.clock)) + 1
        return max(0, int(first)), min(samples_x, int(end))

    def restore(self, y: Signal, first: int, end: int, reach: int = REACH) -> Signal:
        """Return the output at the instants of the input samples first .. end - 1, as if nothing had happened to it.

        Args:
            y: (M,) complex.
            first, end: input samples, from `overlap`.
            reach: of the interpolation filter (`rf.interpolation`).
        """
        margin = REACH + 1
        instants = self.instants(first, end)
        low = max(0, int(instants[0]) - margin)
        seen = self.demodulated(y[low : int(instants[-1]) + margin + 1])
        if self.frequency:
            seen = seen * np.exp(-2j * np.pi * self.frequency * np.arange(low, low + len(seen)))
        return interpolate(np.asarray(seen, np.complex128), instants - low, reach)

    def demodulated(self, y: Signal) -> Signal:
        """Return samples of the output without DC, image and mirror, (M,)."""
        seen = y - self.dc
        if self.image:
            seen = (seen - self.image * np.conj(seen)) / (1.0 - abs(self.image) ** 2)
        return np.conj(seen) if self.mirrored else seen

    def tone(self, first: int, end: int) -> Signal:
        """Return what a DC of 1 becomes in `restore`, (end - first,)."""
        return np.asarray(np.exp(-2j * np.pi * self.frequency * self.instants(first, end)), np.complex128)


@dataclass(frozen=True)
class EnvelopeDelay:
    """Delay between two envelopes.

    Attributes:
        samples: of y against x; whole.
        correlation: normalised, 0 to 1.
        by_chance: what independent records of this length and bandwidth exceed once in a thousand.
    """

    samples: int
    correlation: float
    by_chance: float

    @property
    def found(self) -> bool:
        """Whether the two belong together."""
        return self.correlation > self.by_chance


def envelope_variance(x: Signal) -> float:
    """Return var(|x|^2) / mean(|x|^2)^2: 0 for a constant envelope, about 1 for OFDM."""
    power = np.abs(x) ** 2
    mean = float(np.mean(power))
    return float(np.var(power)) / mean**2 if mean > 0 else 0.0


def feature(x: Signal) -> Signal:
    """Return what shows a delay at any frequency offset, phase or mirror: |x|^2, or the phase step."""
    if envelope_variance(x) > CONSTANT_ENVELOPE:
        power = np.abs(x) ** 2
        return np.asarray(power - np.mean(power), np.complex128)
    return _turn(x)


def _turn(x: Signal) -> Signal:
    """Return x[n + 1] conj(x[n]) less its mean; nothing where that is all there is: a tone is the same everywhere."""
    turn = np.append(x[1:] * np.conj(x[:-1]), 0.0)
    turn[:-1] -= np.mean(turn[:-1])
    power = float(np.mean(np.abs(x) ** 2))
    return np.asarray(turn if np.mean(np.abs(turn) ** 2) > STEADY * power**2 else np.zeros(len(x)), np.complex128)


def envelope_delay(x: Signal, y: Signal) -> EnvelopeDelay:
    """Return the delay of y against x from their envelopes.

    Args:
        x: (N,) complex.
        y: (M,) complex, of any other length.

    A constant envelope is replaced by the turn of the phase from sample to sample, less its mean: that does not see a
    frequency offset either. A mirrored y is found too.
    """
    a, b = feature(x), feature(y)
    if envelope_variance(x) <= CONSTANT_ENVELOPE < envelope_variance(y):  # the same kind of both
        b = _turn(y)
    size = fft_size(len(a) + len(b))
    A = np.fft.fft(a, size)
    energy = float(np.linalg.norm(a))
    best = EnvelopeDelay(0, 0.0, 1.0)
    summed = np.concatenate([[0.0], np.cumsum(np.abs(b) ** 2)])
    lags = np.arange(-(len(a) - 1), len(b))
    local = summed[np.minimum(lags + len(a), len(b))] - summed[np.maximum(lags, 0)]
    norm = energy * np.sqrt(float(np.max(local, initial=0.0))) + 1e-300  # of all lags: a short overlap is worth less
    for mirrored in (False, True):
        B = np.fft.fft(np.conj(b) if mirrored else b, size)
        found = np.abs(np.fft.ifft(B * np.conj(A)))[lags % size] / norm
        top = float(np.max(found))
        if top > best.correlation:
            near = lags[found > SAME_PEAK * top]
            peak = int(near[np.argmin(np.abs(near))])
            here = slice(max(0, peak - lags[0] - SEARCH), peak - lags[0] + SEARCH)
            at = int(lags[here][np.argmax(found[here])])
            best = EnvelopeDelay(at, float(found[at - lags[0]]), _by_chance(A, B, len(a), len(b)))
    return best


def _by_chance(A: Signal, B: Signal, samples_a: int, samples_b: int) -> float:
    """Return the level that the largest of all lags exceeds with probability CHANCE for independent records.

    Each lag is a mean over N samples of a product whose spectrum is wide only in part, so that N counts by the
    bandwidth: kappa = sum(Sa) sum(Sb) / (K sum(Sa Sb)).
    """
    Sa, Sb = np.abs(A) ** 2, np.abs(B) ** 2
    cross = float(np.sum(Sa * Sb))
    kappa = float(np.sum(Sa)) * float(np.sum(Sb)) / (len(Sa) * cross) if cross > 0 else 1e-9
    lags = samples_a + samples_b
    return float(min(1.0, np.sqrt(2 * np.log(lags / CHANCE) / (kappa * min(samples_a, samples_b)))))


def synchronize(x: Signal, y: Signal) -> Synchronization | None:
    """Estimate how a receiver saw the output of an amplifier.

    Args:
        x: input, (N,) complex, N >= 1,000.
        y: output, (M,) complex.

    Returns:
        None where the two do not belong together: their envelopes correlate no more than by chance.
    """
    middle = max(0, len(x) - PIECE) // 2
    piece = slice(middle, min(len(x), middle + PIECE))
    centred = y - np.mean(y)
    coarse = envelope_delay(x[piece], centred)
    if not coarse.found:
        return None
    start = Synchronization(position=float(coarse.samples - middle))
    start = _coarse_clock(x, centred, start)
    line = _line(x, centred, start)
    if line is None:
        return None
    found = replace(_fine_frequency(x, centred, line), dc=0j)
    return refine_by_polynomial(x, y, refine(x, y, found))


def refine(x: Signal, y: Signal, found: Synchronization, rounds: int = ROUNDS) -> Synchronization:
    """Improve an estimate by joint least squares, until a round moves no sample by CONVERGED."""
    for _ in range(rounds):
        found, moved = _joint_step(x, y, found)
        if moved < CONVERGED:
            break
    return found


def refine_by_polynomial(x: Signal, y: Signal, found: Synchronization, rounds: int = 2) -> Synchronization:
    """Return the estimate with clock, frequency and DC measured against a memory polynomial in place of the input.

    Against the input, the frequency of sound records is off by 0.3 to 0.6 degrees over the record, because the phase
    of an amplifier follows the envelope, and the mean envelope wanders. A polynomial knows that phase: 0.01 to 0.2
    degrees are left. The delay in the middle of the record stays: the taps of the polynomial would take it up.
    """
    for _ in range(rounds):
        first, end = found.overlap(len(x), len(y))
        o, near = replace(found, dc=0j).restore(y, first, end, SHORT), x[first:end]
        at = memory_polynomial.instants_of(end - first)[1:-1]
        p, slope = memory_polynomial.prediction(near, o, at)
        A = memory_polynomial.terms(near / rms(near), at)
        time = (at - (end - first - 1) / 2) / (end - first)
        tone = found.tone(first, end)[at]
        columns = np.concatenate([A, np.stack([time * p, time * slope, tone], axis=1)], axis=1)
        turn, slip, dc = memory_polynomial.fit(columns, o[at])[-3:]
        dc = complex(np.conj(dc) if found.mirrored else dc)
        clock = (1.0 + found.clock) * (1.0 - float(slip.real) / (end - first))
        middle = (first + end - 1) / 2
        found = replace(
            found,
            position=found.position + (1.0 + found.clock - clock) * middle,
            clock=clock - 1.0,
            frequency=_wrapped(found.frequency + float(turn.imag) / (2 * np.pi * (end - first) * clock)),
            dc=dc + found.image * dc.conjugate(),  # the receiver's, before its image was removed with it
        )
    return found


def _coarse_clock(x: Signal, y: Signal, found: Synchronization) -> Synchronization:
    """Return the line through the envelope delays of blocks, where it has a slope for certain."""
    length = len(x) // BLOCKS
    reach = SEARCH + int(WIDEST_PPM * 1e-6 * len(x))
    centre, late, weight = [], [], []
    for block in range(BLOCKS):
        start = block * length
        begin = start + round(found.position) - reach
        low, high = max(0, begin), begin + length + 2 * reach
        if high > len(y) or begin < 0:
            continue
        delay = envelope_delay(x[start : start + length], y[low:high])
        if delay.found:
            fraction = _envelope_fraction(x[start : start + length], y, low + delay.samples)
            centre.append(start + (length - 1) / 2)
            late.append(low + delay.samples + fraction - start)
            weight.append(delay.correlation)
    if len(centre) < 4:
        return found
    at, delays, weights = np.array(centre), np.array(late), np.array(weight)
    keep = np.abs(delays - np.median(delays)) <= reach
    for _ in range(3):  # without the blocks that are off the line
        design = np.stack([np.ones(int(keep.sum())), at[keep] - at.mean()], axis=1) * weights[keep, None]
        (offset, slope), *_ = np.linalg.lstsq(design, delays[keep] * weights[keep], rcond=None)
        off = delays - offset - slope * (at - at.mean())
        spread = max(0.02, 1.4826 * float(np.median(np.abs(off[keep]))))
        keep = np.abs(off) <= 4 * spread
        if keep.sum() < 4:
            return found
    error = spread / np.sqrt(np.sum((at[keep] - at[keep].mean()) ** 2))
    slope = slope if abs(slope) > 4 * error else 0.0
    offset = offset if slope else float(np.median(delays[keep]))
    return replace(found, position=float(offset - slope * at.mean()), clock=float(slope))


def _envelope_fraction(x: Signal, y: Signal, begin: int) -> float:
    """Return the fraction of the delay of y[begin:] against x, by the phase slope of the cross-spectrum of features."""
    if begin < 0 or begin + len(x) > len(y):
        return 0.0
    size = fft_size(2 * len(x))
    a, b = feature(x), feature(y[begin : begin + len(x)])
    cross = np.fft.fft(b, size) * np.conj(np.fft.fft(a, size))
    fraction = phase_slope(cross, np.asarray(np.fft.fftfreq(size), np.float64))
    return fraction if abs(fraction) < 1 else 0.0


def _nearest(x: Signal, y: Signal, found: Synchronization) -> tuple[Signal, Signal, NDArray[np.int64]]:
    """Return x, the output samples nearest to its instants, and their numbers in y, all (K,)."""
    n = np.rint(found.instants(0, len(x))).astype(np.int64)
    inside = (n >= 0) & (n < len(y))
    return x[inside], y[n[inside]], n[inside]


def _line(x: Signal, y: Signal, found: Synchronization) -> Synchronization | None:
    """Return whether y is mirrored, and the frequency of the line in y conj(x); None where there is no line."""
    xs, ys, _ = _nearest(x, y, found)
    size = fft_size(2 * len(xs))
    straight, mirrored = (np.abs(np.fft.fft(side * np.conj(xs), size)) ** 2 for side in (ys, np.conj(ys)))
    level = {False: float(np.max(straight)), True: float(np.max(mirrored))}
    best = level[True] > level[False]
    spectrum = mirrored if best else straight
    mean = max(float(np.mean(straight)), float(np.mean(mirrored)))
    real = np.allclose(xs.imag, 0) or level[best] < MIRROR_RATIO * level[not best]  # x and conj(x) may be alike
    if level[best] < LINE_OVER_MEAN * mean or (real and best):
        if level[False] < LINE_OVER_MEAN * mean:
            return None
        best, spectrum = False, straight
    return replace(found, mirrored=best, frequency=float(np.fft.fftfreq(size)[np.argmax(spectrum)]))


def _fine_frequency(x: Signal, y: Signal, found: Synchronization) -> Synchronization:
    """Return the frequency from the phases of block sums, unwrapped."""
    xs, ys, n = _nearest(x, y, found)
    product = (np.conj(ys) if found.mirrored else ys) * np.conj(xs)
    length = min(PHASE_BLOCK, max(64, len(xs) // BLOCKS))
    count = len(xs) // length
    frequency = found.frequency
    for _ in range(3):
        turned = product * np.exp(-2j * np.pi * frequency * n)
        sums = turned[: count * length].reshape(count, length).sum(axis=1)
        at = n[: count * length].reshape(count, length).mean(axis=1)
        step = np.sum(sums[1:] * np.conj(sums[:-1]))
        frequency += float(np.angle(step)) / (2 * np.pi * float(np.mean(np.diff(at))))
    turned = product * np.exp(-2j * np.pi * frequency * n)
    sums = turned[: count * length].reshape(count, length).sum(axis=1)
    phase = np.unwrap(np.angle(sums))
    slope = np.polyfit(at - at.mean(), phase, 1, w=np.sqrt(np.abs(sums)))[0] if count >= 3 else 0.0
    return replace(found, frequency=_wrapped(frequency + float(slope) / (2 * np.pi)))


def _joint_step(x: Signal, y: Signal, found: Synchronization) -> tuple[Synchronization, float]:
    """Return one Gauss-Newton step over delay, clock, frequency and DC, and by how many samples it moved the output."""
    first, end = found.overlap(len(x), len(y))
    first, end = first + EDGE, end - EDGE
    rows = np.arange(first, end)
    centre = (first + end - 1) / 2
    time = rows - centre
    o = replace(found, dc=0j).restore(y, first, end, SHORT)
    slope = derivative(x[first - EDGE : end + EDGE])[EDGE:-EDGE]
    x = x[first:end]
    columns = np.stack([x, slope, time * x, time * slope, found.tone(first, end)], axis=1)
    scale = np.sqrt(np.mean(np.abs(columns) ** 2, axis=0)) + 1e-300
    columns /= scale
    gram = columns.conj().T @ columns
    gram += 1e-12 * np.trace(gram).real / len(gram) * np.eye(len(gram))
    c = np.linalg.solve(gram, columns.conj().T @ o) / scale
    gain = c[0]
    early, turn, slip = float((c[1] / gain).real), float((c[2] / gain).imag), float((c[3] / gain).real)
    # x(m + early + slip (m - centre)) was seen: look that much later
    clock = 1.0 + found.clock
    position = found.position + clock * (slip * centre - early)
    clock *= 1.0 - slip
    frequency = _wrapped(found.frequency + turn / (2 * np.pi * clock))
    dc = complex(np.conj(c[4]) if found.mirrored else c[4])
    moved = abs(early) + abs(slip) * len(rows) / 2 + abs(turn) * len(rows)
    return replace(found, position=position, clock=clock - 1.0, frequency=frequency, dc=dc), moved


def _wrapped(frequency: float) -> float:
    return (frequency + 0.5) % 1.0 - 0.5
