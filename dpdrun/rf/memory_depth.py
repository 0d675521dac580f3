"""Estimate the memory depth of an amplifier by a sweep of least-squares fits with growing memory.

Every candidate is a memory polynomial with lagging envelope terms (Morgan et al. 2006, eq. 24), fitted to the training
split and scored on the validation split. The memory is that of the shortest candidate within TIE_DB of the best one, on
blocks of the training split that were held out of the fit: those of one input level alone, fitted and held out in
turn. A split with another level or temperature than the one before it differs by a slow gain, which long memory terms
would be credited with.
Beyond `FULL_TAPS` delays a candidate adds linear taps (reflections in cables) and the mean power over an octave of
delays (bias circuits, traps, heat); those cost few coefficients, so the sweep can reach thousands of samples.
A second, shorter sweep measures the gain of future samples for a linear filter: if the recording was resampled or
aligned by a band-limited filter, part of that filter's response is ahead of its peak.

All fits come from one matrix of normal equations, ordered by delay: a candidate is a corner of it.
Seconds for 30,000 samples on one core. Shapes: N samples, C columns (coefficients), R rows of the regression.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal, rms, to_db

# Candidates with all terms [samples, the current one counted]
MEMORY_DEPTHS = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32)
FULL_TAPS = MEMORY_DEPTHS[-1]
# Candidates that add the octave's mean power, and linear taps up to LINEAR_TAPS
FAR_REACHES = (64, 128, 256, 512, 1024, 2048)
LINEAR_TAPS = 128
AHEAD = (1, 2, 3, 4, 6, 8, 12, 16)  # future samples

TIE_DB = 0.15  # of the memory: the uncertainty of a score on 20,000 validation samples
AHEAD_GAIN_DB = 0.05  # future taps that gain less are omitted: they delay the output
EXACT_DB = -90.0  # lower scores are clamped to this: differences there come from arithmetic and 16-bit numbers
AHEAD_TIE_DB = 0.03  # fits to one split share its errors, so smaller differences count

EARLY_POWERS, EARLY_DELAYS = 7, 4  # |x|^0 .. |x|^6 at the first delays: the static curve is where high orders matter
LATE_POWERS = 3
CROSS_POWERS = (1, 2)
RIDGES = (1e-10, 1e-8, 1e-6, 1e-5, 1e-4)  # relative to columns of unit norm; the validation split chooses
ROWS_PER_COLUMN = 4  # a candidate with more coefficients than a quarter of the samples is not tried
MAX_SAMPLES = 32_768
BLOCK, BLOCKS = 2_048, 16  # samples of a block, and blocks in a short record: every second one is held out
LEAST_BLOCKS = 4  # of one level to fit to, and as many to hold out
LEVEL_DB = 1.0  # blocks of OFDM vary by 0.6 dB of themselves, loops by 1.3 dB
CHUNK = 8_192  # rows held in memory at a time

Matrix = NDArray[np.complex128]


@dataclass(frozen=True)
class MemorySweep:
    """Scores of the least-squares fits: NMSE on the validation split [dB], EXACT_DB or higher.

    Attributes:
        candidates: (memory [samples, the current one counted], NMSE [dB]), shortest first.
        ahead: (future samples, NMSE [dB]) at the chosen memory, 0 first.
        held: the candidates' scores on held-out blocks of one level of the training split; empty where it is too short
            for such blocks: the memory is then judged by `candidates`.
    """

    candidates: tuple[tuple[int, float], ...]
    ahead: tuple[tuple[int, float], ...]
    held: tuple[tuple[int, float], ...] = ()

    @property
    def memory(self) -> int:
        """Samples that an output depends on, the current one counted: the shortest within TIE_DB of the best."""
        return _shortest(self.held or self.candidates)

    @property
    def near_memory(self) -> int:
        """The same of terms that a window can hold, up to LINEAR_TAPS samples.

        What slower effects gain beyond (traps, bias circuits, heat) is a matter of thousands of samples.
        """
        return _shortest([each for each in self.held or self.candidates if each[0] <= LINEAR_TAPS])

    @property
    def slow_gain_db(self) -> float:
        """What longer candidates gain over those of up to LINEAR_TAPS samples [dB], at least 0."""
        judged = self.held or self.candidates
        return min(db for reach, db in judged if reach <= LINEAR_TAPS) - min(db for _, db in judged)

    @property
    def is_longer(self) -> bool:
        """Whether the longest candidate was needed, so that the memory may be longer than `memory`."""
        return self.memory == (self.held or self.candidates)[-1][0]

    @property
    def lookahead(self) -> int:
        """Future samples worth using: the fewest within AHEAD_TIE_DB of the best, 0 if that gains too little."""
        best = min(db for _, db in self.ahead)
        if self.ahead[0][1] - best < AHEAD_GAIN_DB:
            return 0
        return next(count for count, db in self.ahead if db <= best + AHEAD_TIE_DB)

    @property
    def lookahead_gain_db(self) -> float:
        """Gain of the best number of future samples over none [dB], at least 0."""
        return self.ahead[0][1] - min(db for _, db in self.ahead)

    @property
    def polynomial_db(self) -> float:
        """The best of all fits, which a network has to beat."""
        return min(db for _, db in (*self.candidates, *self.ahead))


def _shortest(candidates: Sequence[tuple[int, float]]) -> int:
    best = min(db for _, db in candidates)
    return next(reach for reach, db in candidates if db <= best + TIE_DB)


def fit_memory_sweep(x: Signal, y: Signal, x_val: Signal, y_val: Signal, *, loop: int | None = None) -> MemorySweep:
    """Fit every candidate.

    Args:
        x, y: input and output of the training split, (N,); the first MAX_SAMPLES are used.
        x_val, y_val: of the validation split.
        loop: the records are rows of loops of this many samples (`data.continuity`); None: one record each.
    """
    used = min(len(x), MAX_SAMPLES)
    reaches = [reach for reach in (*MEMORY_DEPTHS, *FAR_REACHES) if _fits(reach, used, loop)] or [MEMORY_DEPTHS[0]]
    columns = _Columns.up_to(reaches[-1])
    scale_x, scale_y = rms(x), rms(y)
    (x, y), (x_val, y_val) = (
        (a[:MAX_SAMPLES] / scale_x, b[:MAX_SAMPLES] / scale_y) for a, b in ((x, y), (x_val, y_val))
    )
    groups = _groups(x, loop or min(BLOCK, max(1, len(x) // BLOCKS)))
    parts = [_normal_equations(columns, x, y, loop, spans) for spans in groups]
    fit, check = _total(parts), _normal_equations(columns, x_val, y_val, loop, [(0, len(x_val))])
    past = columns.reach > 0

    scores = {reach: _score(past & (columns.reach <= reach), fit, check) for reach in reaches}
    candidates = tuple((reach, db) for reach, (db, _) in scores.items())
    held: tuple[tuple[int, float], ...] = ()
    level = sum(end - start for start, end in groups[0])
    if min(len(groups[0]), len(groups[1])) >= LEAST_BLOCKS:
        most = max((reach for reach in reaches if _fits(reach, level, loop)), default=reaches[0])
        held = tuple(
            (reach, _score(past & (columns.reach <= reach), parts[0], parts[1], [ridge])[0])
            for reach, (_, ridge) in scores.items() if reach <= most
        )  # fmt: skip
    memory = MemorySweep(candidates, ((0, 0.0),), held).memory
    ahead = [(0, dict(candidates)[memory])]
    for count in AHEAD:
        chosen = (columns.reach <= memory) & (columns.reach >= -count)
        ahead.append((count, _score(chosen, fit, check)[0]))
    return MemorySweep(candidates, tuple(ahead), held)


def _groups(x: Signal, block: int) -> tuple[list[Span], list[Span], list[Span]]:
    """Return blocks of the most usual level to fit to, those in between to hold out, and all others.

    A block counts if the one before it, which is its past, has that level too.
    """
    spans = [(start, min(start + block, len(x))) for start in range(0, len(x), block)]
    level = np.array([to_db(float(np.mean(np.abs(x[start:end]) ** 2))) for start, end in spans])
    near = np.abs(level[:, None] - level[None]) < LEVEL_DB
    usual = near[int(np.argmax(near.sum(axis=1)))]
    usual = usual & np.concatenate([usual[:1], usual[:-1]])
    alike = [span for span, counts in zip(spans, usual, strict=True) if counts]
    return alike[::2], alike[1::2], [span for span, counts in zip(spans, usual, strict=True) if not counts]


def _total(parts: Sequence[Equations]) -> Equations:
    grams, moments, powers = zip(*parts, strict=True)
    return np.sum(grams, axis=0), np.sum(moments, axis=0), float(sum(powers))


def _fits(reach: int, samples: int, loop: int | None) -> bool:
    """Tell whether the record is long enough for a candidate's coefficients and memory."""
    columns = int(np.sum(_Columns.up_to(reach).reach > 0))
    return columns * ROWS_PER_COLUMN <= samples and reach <= (loop or samples // 8)


@dataclass(frozen=True)
class _Columns:
    """The columns of the regression.

    Attributes:
        terms: (delay, power) of x[n - k] |x[n - k]|^p, (delay, power) of x[n] |x[n - k]|^p, and (first, end) of the
            delays whose mean power x[n] is multiplied by.
        reach: (C,) memory that a column needs, in samples with the current one; minus j for j future samples.
    """

    own: tuple[tuple[int, int], ...]
    cross: tuple[tuple[int, int], ...]
    slow: tuple[tuple[int, int], ...]
    reach: NDArray[np.int64]

    @classmethod
    def up_to(cls, reach: int) -> _Columns:
        near, far = min(reach, FULL_TAPS), min(reach, LINEAR_TAPS)
        own = [(k, p) for k in range(near) for p in range(EARLY_POWERS if k < EARLY_DELAYS else LATE_POWERS)]
        own += [(k, 0) for k in range(near, far)]
        own += [(-j, 0) for j in range(1, AHEAD[-1] + 1)]
        cross = [(k, p) for k in range(1, near) for p in CROSS_POWERS]
        ends = [end for end in FAR_REACHES if end <= reach]
        slow = [(end // 2, end) for end in ends]
        far_of = {k: next((end for end in FAR_REACHES if k < end), k + 1) for k in range(FULL_TAPS, far)}
        needs = [k if k < 0 else far_of.get(k, k + 1) for k, _ in own] + [k + 1 for k, _ in cross] + ends
        return cls(tuple(own), tuple(cross), tuple(slow), np.array(needs))

    @property
    def before(self) -> int:
        """Past samples that a row needs."""
        return int(self.reach.max()) - 1

    def rows(self, x: Signal, start: int, end: int) -> Matrix:
        """Return the columns for outputs of x[start:end], (C, R); x has `before` samples before, AHEAD after them."""
        envelope = np.abs(x)
        power = np.concatenate([[0.0], np.cumsum(envelope**2)])
        powers = [envelope**p for p in range(EARLY_POWERS)]
        now = x[start:end]
        columns = [x[start - k : end - k] * powers[p][start - k : end - k] for k, p in self.own]
        columns += [now * powers[p][start - k : end - k] for k, p in self.cross]
        for first, last in self.slow:
            mean = (power[start - first + 1 : end - first + 1] - power[start - last + 1 : end - last + 1]) / (
                last - first
            )
            columns.append(now * mean)
        return np.array(columns)


Span = tuple[int, int]  # (first, end) in a record; of a row of loops, complete ones
Equations = tuple[Matrix, Matrix, float]


def _normal_equations(columns: _Columns, x: Signal, y: Signal, loop: int | None, spans: Sequence[Span]) -> Equations:
    """Return A^H A: (C, C), A^H y: (C,) and |y|^2, over outputs of the spans with past and future in the record."""
    from scipy.linalg.blas import zherk  # half the work of a product; scipy takes long to import

    count = len(columns.reach)
    gram, moment, power = np.zeros((count, count), np.complex128), np.zeros(count, np.complex128), 0.0
    for record, target in _records(x, y, loop, columns.before, spans):
        for start in range(columns.before, columns.before + len(target), CHUNK):
            end = min(start + CHUNK, columns.before + len(target))
            near = record[start - columns.before : end + AHEAD[-1]]
            A = columns.rows(near, columns.before, columns.before + end - start)
            b = target[start - columns.before : end - columns.before]
            gram += zherk(1.0, A.T, trans=2)  # the upper triangle
            moment += A.conj() @ b
            power += float(np.vdot(b, b).real)
    return np.triu(gram) + np.triu(gram, 1).conj().T, moment, power


def _records(
    x: Signal, y: Signal, loop: int | None, before: int, spans: Sequence[Span]
) -> Iterator[tuple[Signal, Signal]]:
    """Yield inputs with their past and future, and the outputs of the spans that have both."""
    for start, end in spans:
        if loop is None:
            first, last = max(start, before), min(end, len(y) - AHEAD[-1])
            if first < last:
                yield x[first - before : last + AHEAD[-1]], y[first:last]
            continue
        for at in range(start, end - loop + 1, loop):
            yield np.pad(x[at : at + loop], (before, AHEAD[-1]), mode="wrap"), y[at : at + loop]


def _score(
    chosen: NDArray[np.bool_], fit: Equations, check: Equations, ridges: Sequence[float] = RIDGES
) -> tuple[float, float]:
    """Return NMSE [dB] of the fit with the chosen columns on the other equations, at least EXACT_DB, and its ridge."""
    index = np.flatnonzero(chosen)
    corner = np.ix_(index, index)
    gram, moment = fit[0][corner], fit[1][index]
    norms = np.sqrt(gram.diagonal().real)
    norms[norms == 0.0] = 1.0
    gram = gram / np.outer(norms, norms)
    errors = []
    for ridge in ridges:
        c = np.linalg.solve(gram + ridge * np.eye(len(index)), moment / norms) / norms
        error = np.vdot(c, check[0][corner] @ c).real - 2 * np.vdot(c, check[1][index]).real
        errors.append(1.0 + float(error) / check[2])
    best = int(np.argmin(errors))
    return to_db(max(errors[best], 10 ** (EXACT_DB / 10))), ridges[best]
