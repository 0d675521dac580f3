"""Whether one record continues another: an oversampled signal is predictable from its past, a jump is not.

Some captures are not one long recording: a generator looped a short frame, one period of it was kept, and the frames of
many such measurements were put one after the other (the DPA captures of OpenDPD: 2,560 and 16,384 samples). Then the
first samples of a frame follow its own last samples, not those of the frame before, and a model that is given the
record as it stands sees false memory at every splice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.memory_polynomial import TAPS, fit, instants_of, terms
from dpdrun.rf.metrics import rms

ORDER = 32  # past samples of the linear predictor
FIT_SAMPLES = 20_000
RIDGE = 1e-9  # relative; the samples of an oversampled signal are nearly linearly dependent
LOOKED_AT = 12  # frames
SPLICE_DB = 20.0  # error of predicting across a splice over that within a frame; 50 to 75 dB in the captures here
RUNS_ON_DB = 10.0  # -10 to 2 dB in the captures here
EXAMINED = 131_072  # samples that are searched for splices
HIT_DB = 28.0  # of a prediction error over the median one: 2^-700 a sample by chance, if errors are Gaussian
LATE = 6  # samples after a splice in which its error passes that
SHARE = 2 / 3  # of the splices that have to be in time
RUNS_ON = 0.5  # of the error after splices: what the frame before has to leave of that with a frame's own end
MATTERS = 1e-4  # of the power after splices: a smaller error is none
COMPARED = 4  # frames that are enough for a fit


@dataclass(frozen=True, eq=False)
class Predictor:
    """Least-squares prediction of a sample from the 32 before it.

    Attributes:
        taps: (32,) complex, the oldest sample first.
        usual: 99.9 % quantile of the error power where it was fitted.
    """

    taps: NDArray[np.complex128]
    usual: float


def predictor(x: NDArray[np.complex128]) -> Predictor | None:
    """Fit a predictor to the end of a record; None if the record is too short."""
    if len(x) < 20 * ORDER:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(x[-FIT_SAMPLES:], ORDER + 1)
    X, target = windows[:, :-1], windows[:, -1]
    gram = X.conj().T @ X
    gram += RIDGE * np.trace(gram).real / ORDER * np.eye(ORDER)
    taps = np.linalg.solve(gram, X.conj().T @ target)
    return Predictor(np.asarray(taps, np.complex128), float(np.quantile(np.abs(target - X @ taps) ** 2, 0.999)))


def splice_error_db(fitted: Predictor, before: NDArray[np.complex128], after: NDArray[np.complex128]) -> float:
    """Return the largest prediction error over the first samples of `after`, as if it followed `before`.

    Returns:
        Error power over the usual one [dB]: about 0 or less for a seamless join.
    """
    across = np.concatenate([before[-ORDER:], after[:ORDER]])
    seam = np.lib.stride_tricks.sliding_window_view(across, ORDER + 1)
    worst = float(np.max(np.abs(seam[:, -1] - seam[:, :-1] @ fitted.taps) ** 2))
    tiny = np.finfo(float).tiny
    return float(10 * np.log10((worst + tiny) / (fitted.usual + tiny)))


def splice_excess_db(before: NDArray[np.complex128], after: NDArray[np.complex128]) -> float | None:
    """Return `splice_error_db` with a predictor fitted to `before`; None if the records are too short.

    Args:
        before: (N,) complex.
        after: (M,) complex.
    """
    fitted = predictor(before)
    if fitted is None or len(after) < ORDER:
        return None
    return splice_error_db(fitted, before, after)


def is_cyclic_frames(x: NDArray[np.complex128], frame: int) -> bool:
    """Return whether the record jumps from frame to frame, while each frame continues from its end to its own start.

    Args:
        x: input, (N,) complex, beginning with a frame.
        frame: supposed length of a frame [samples].
    """
    count = min(LOOKED_AT, len(x) // frame)
    if count < 2:
        return False
    frames = x[: count * frame].reshape(count, frame)
    taps = predictor(frames[0])
    if taps is None:
        return False
    onward = [splice_error_db(taps, a, b) for a, b in pairwise(frames)]
    around = [splice_error_db(taps, a, a) for a in frames]
    return bool(np.median(onward) > SPLICE_DB and np.median(around) < RUNS_ON_DB)


def output_runs_on(x: NDArray[np.complex128], y: NDArray[np.complex128], frame: int) -> bool:
    """Return whether the output at the start of a frame remembers the frame before: then it was not played in a loop.

    The input cannot tell: OFDM symbols without prefix and window are periodic, too. A memory polynomial is fitted to
    the output twice: after each splice with the frame before as its past, and with the frame's own end. Of an amplifier
    without memory, or an output that is not aligned, both fits are alike, and nothing is reported.

    Args:
        x, y: (N,) complex each, beginning with a frame.
        frame: length of a frame [samples].
    """
    past, future = max(TAPS), max(0, -min(TAPS))
    count = min(len(x), EXAMINED) // frame
    if count < COMPARED or frame <= 2 * (past + future):
        return False
    x, y = x[: count * frame] / rms(x), y[: count * frame]
    frames, starts = x.reshape(count, frame), y.reshape(count, frame)[1:, :past].ravel()
    inside = instants_of(len(x), FIT_SAMPLES // 4)
    inside = inside[(inside % frame >= past) & (inside % frame < frame - future)]
    explained, output = terms(x, inside), np.concatenate([y[inside], starts])

    def error(before: NDArray[np.complex128]) -> float:
        rows = np.concatenate([before[:, -past:], frames[1:, : past + future]], axis=1)
        after = terms(rows.ravel(), np.arange(rows.size).reshape(rows.shape)[:, past : 2 * past].ravel())
        coefficients = fit(np.concatenate([explained, after]), output)
        return float(np.sum(np.abs(starts - after @ coefficients) ** 2))

    looped = error(frames[1:])
    return looped > MATTERS * float(np.sum(np.abs(starts) ** 2)) and error(frames[:-1]) < RUNS_ON * looped


def loop_length(x: NDArray[np.complex128]) -> int | None:
    """Return the length of the frames of a record that is a row of frames, each played in a loop; None if it is not.

    The splices show in the error of a linear predictor; their distances give the length, and `is_cyclic_frames` the
    proof. Noise in the input above -40 dB hides them.

    Args:
        x: input, (N,) complex, beginning with a frame.
    """
    x = x[:EXAMINED]
    if len(x) < 40 * ORDER:
        return None
    error = _prediction_error(x)
    hits = np.flatnonzero(error > np.median(error) * 10 ** (HIT_DB / 10)) + ORDER
    if not len(hits):
        return None
    starts = hits[np.diff(hits, prepend=-len(x)) > 2 * ORDER]
    gaps = np.diff(starts, prepend=0)
    gaps = gaps[gaps >= 20 * ORDER]
    if not len(gaps):
        return None
    candidates = range(int(gaps.min()) - LATE, int(gaps.min()) + LATE + 1)
    in_time = {length: int(np.sum(starts % length < LATE)) for length in candidates}
    best = max(in_time.values())
    lengths = [length for length, count in in_time.items() if count == best]
    return next((n for n in lengths if best >= SHARE * len(starts) and is_cyclic_frames(x, n)), None)


def _prediction_error(x: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the error power of predicting each sample from the 32 before it, (N - 32,), fitted without the worst."""
    windows = np.lib.stride_tricks.sliding_window_view(x, ORDER + 1)
    keep = np.ones(len(windows), bool)
    error = np.zeros(len(windows))
    for _ in range(2):
        rows = np.flatnonzero(keep)[:: max(1, int(keep.sum()) // FIT_SAMPLES)]
        X, target = windows[rows, :-1], windows[rows, -1]
        gram = X.conj().T @ X
        gram += RIDGE * np.trace(gram).real / ORDER * np.eye(ORDER)
        taps = np.linalg.solve(gram, X.conj().T @ target)
        error = np.abs(windows[:, -1] - windows[:, :-1] @ taps) ** 2
        keep = error <= np.quantile(error, 0.9)
    return np.asarray(error, np.float64)
