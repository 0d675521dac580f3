"""Whether one record continues another: an oversampled signal is predictable from its past, a jump is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER = 32  # past samples of the linear predictor
FIT_SAMPLES = 20_000
RIDGE = 1e-9  # relative; the samples of an oversampled signal are nearly linearly dependent


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
