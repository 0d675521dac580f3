"""Do two records follow each other without a gap? An oversampled signal is predictable from its past, a jump is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ORDER = 32  # past samples of the linear predictor
FIT_SAMPLES = 20_000
RIDGE = 1e-9  # relative; the samples of an oversampled signal are nearly linearly dependent


def seam_excess_db(before: NDArray[np.complex128], after: NDArray[np.complex128]) -> float | None:
    """How much worse a linear predictor does on the first samples of `after` than inside `before`.

    The predictor (order 32, least squares) is fitted on the end of `before`; its errors at the first 32 samples of
    `after` see both sides of the seam.

    Args:
        before: (N,) complex.
        after: (M,) complex.

    Returns:
        Power of the largest error at the seam over the 99.9 % quantile of the usual error power [dB]; about 0 or
        less for a seamless join. None where the records are too short to tell.
    """
    if len(before) < 20 * ORDER or len(after) < ORDER:
        return None
    past = before[-FIT_SAMPLES:]
    windows = np.lib.stride_tricks.sliding_window_view(past, ORDER + 1)
    X, target = windows[:, :-1], windows[:, -1]
    gram = X.conj().T @ X
    gram += RIDGE * np.trace(gram).real / ORDER * np.eye(ORDER)
    taps = np.linalg.solve(gram, X.conj().T @ target)
    usual = float(np.quantile(np.abs(target - X @ taps) ** 2, 0.999))
    across = np.concatenate([past[-ORDER:], after[:ORDER]])
    seam = np.lib.stride_tricks.sliding_window_view(across, ORDER + 1)
    worst = float(np.max(np.abs(seam[:, -1] - seam[:, :-1] @ taps) ** 2))
    tiny = np.finfo(float).tiny
    return float(10 * np.log10((worst + tiny) / (usual + tiny)))
