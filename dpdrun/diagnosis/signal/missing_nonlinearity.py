"""Check the prediction for the nonlinearity of the target: by gain over input level, and against fits of the input.

Shapes: N samples; x is the input, y the target, p the prediction. Results are facts by their names in `SignalFacts`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal, one_tap_gain, to_db

FIR_TAPS = range(-4, 28)  # of the linear fit: later inputs are positive [samples]
NONLINEAR_TAPS = range(-2, 8)
POWERS = (1, 2, 4, 6)  # of |x|, at each of them
COEFFICIENTS = len(FIR_TAPS) + len(NONLINEAR_TAPS) * len(POWERS)
ROWS_PER_COEFFICIENT = 10  # fewer samples are not fitted: the fit takes 1 / ROWS_PER_COEFFICIENT of the noise with it
MAX_SAMPLES = 32_768
RIDGE = 1e-10  # relative to columns of unit norm
CLEAR = 10.0  # a nonlinear part below so many times what chance gives is none
SURE = 0.1  # largest standard error of a share that is given
BLOCK = 64  # samples: errors of samples farther apart are taken as independent
KNOTS = 24  # of a curve of gain over |x|


def by_level(x: Signal, y: Signal, p: Signal, groups: int) -> dict[str, Any]:
    """Compare the gains of y and p over x in groups of equally many samples, from small to large |x|.

    The share is sum |x|^2 |G_p - G_y|^2 over sum |p - y|^2, less what noise gives by chance, after p was divided by its
    gain over y: that leaves an error which does not know y in place, where the best factor would shrink p with it.
    Angles are without jumps of 360 degrees. Empty where the input has no power in a group, or p nothing of y.
    """
    gain = one_tap_gain(y, p)
    if gain == 0:
        return {}
    p = p / gain
    order = np.argsort(np.abs(x), kind="stable")
    mismatch = chance = 0.0
    target: list[complex] = []
    model: list[complex] = []
    for group in np.array_split(order, groups):
        u, v, w = x[group], y[group], p[group]
        power = float(np.sum(np.abs(u) ** 2))
        if power == 0:
            return {}
        of_y, of_p = one_tap_gain(u, v), one_tap_gain(u, w)
        target.append(of_y)
        model.append(of_p)
        mismatch += power * abs(of_p - of_y) ** 2
        chance += float(np.mean(np.abs(w - v) ** 2))
    error = float(np.sum(np.abs(p - y) ** 2))
    share = max(0.0, mismatch - chance) / error if error > 0 else 0.0
    facts: dict[str, Any] = {"level_share": share}
    for name, gains in (("target", target), ("model", model)):
        facts[f"{name}_gain_db"] = tuple(to_db(abs(gain) ** 2) for gain in gains)
        facts[f"{name}_gain_deg"] = tuple(float(angle) for angle in np.degrees(np.unwrap(np.angle(gains))))
    return facts


def left_by_curves(x: Signal, y: Signal, p: Signal) -> tuple[float, float]:
    """Return what the best curve of gain over |x| leaves of y and of p: the spread of AM/AM and AM/PM [dB].

    The curve is linear between KNOTS values of |x| at equal distances, by least squares. (Ten steps of gain would leave
    -31 dB of a curve without any spread, of an amplifier that turns the phase by 20 degrees.)
    """
    envelope = np.abs(x)
    knots = np.linspace(0.0, float(np.max(envelope)), KNOTS)
    hats = np.stack([np.interp(envelope, knots, each) for each in np.eye(KNOTS)], axis=1)
    Q, _ = np.linalg.qr(hats[:, np.any(hats > 0, axis=0)] * x[:, None])
    left = (float(np.linalg.norm(each - Q @ (Q.conj().T @ each)) / np.linalg.norm(each)) for each in (y, p))
    of_y, of_p = (to_db(share**2) for share in left)
    return of_y, of_p


def against_fits(x: Signal, y: Signal, p: Signal) -> dict[str, Any]:
    """Fit a FIR filter and a memory polynomial to y by least squares, and look for the polynomial's extra part in p.

    With N the nonlinear columns made orthogonal to the filter's, y_N and p_N the projections of y and p on them, the
    share is Re <y_N, p_N> / <y_N, y_N>: 1 for a perfect model whatever its noise, 0 for a linear one. Its standard
    error is that of the sum of Re(conj(y_N) e), where e is what the fits leave of p, from the sums of blocks: an error
    that is large where y_N is, or that lasts for some samples, says less than white noise of its power would.
    Empty where the record is shorter than ROWS_PER_COEFFICIENT samples a coefficient.
    """
    x, y, p = x[:MAX_SAMPLES], y[:MAX_SAMPLES], p[:MAX_SAMPLES]
    if len(x) < ROWS_PER_COEFFICIENT * COEFFICIENTS:
        return {}
    inside = slice(FIR_TAPS[-1], len(x) + FIR_TAPS[0])
    y, p = y[inside], p[inside]
    A = _columns(x, inside)
    gram, on_y, on_p = A.conj().T @ A, A.conj().T @ y, A.conj().T @ p
    norms = np.sqrt(np.maximum(np.diag(gram).real, 1e-300))
    gram, on_y, on_p = gram / np.outer(norms, norms), on_y / norms, on_p / norms
    gram += RIDGE * np.eye(len(gram))
    L = np.linalg.cholesky(gram)  # columns in order: the filter's first, so the rest of L^-1 is orthogonal to them
    white_y, white_p = np.linalg.solve(L, on_y), np.linalg.solve(L, on_p)
    filtered = len(FIR_TAPS)
    power_y = float(np.vdot(y, y).real)
    linear = float(np.vdot(white_y[:filtered], white_y[:filtered]).real)
    nonlinear = float(np.vdot(white_y[filtered:], white_y[filtered:]).real)
    left_y = max(power_y - linear - nonlinear, 1e-12 * power_y)
    chance = (COEFFICIENTS - filtered) * left_y / len(y)
    share = None
    if nonlinear > CLEAR * chance:
        extra = A @ (np.linalg.solve(L.conj().T, np.where(np.arange(len(L)) < filtered, 0, white_y)) / norms)
        left = p - A @ (np.linalg.solve(L.conj().T, white_p) / norms)
        if _error_of_sum((extra.conj() * left).real) < SURE * nonlinear:
            share = float(np.vdot(white_y[filtered:], white_p[filtered:]).real) / nonlinear
    return {
        "linear_nmse_db": to_db((left_y + nonlinear) / power_y),
        "polynomial_nmse_db": to_db(left_y / power_y),
        "nonlinear_share": share,
    }


def _error_of_sum(values: NDArray[np.float64]) -> float:
    """Return the standard error of a sum of values that are correlated over up to BLOCK samples."""
    blocks = np.add.reduceat(values, np.arange(0, len(values), BLOCK))
    return float(np.linalg.norm(blocks))


def _columns(x: Signal, inside: slice) -> NDArray[np.complex128]:
    """Return (R, COEFFICIENTS) columns for the outputs of x[inside]: the taps of the filter, then nonlinear terms."""
    x = x / np.max(np.abs(x))
    envelope = np.abs(x)
    terms = [(x, tap) for tap in FIR_TAPS] + [(x * envelope**p, tap) for p in POWERS for tap in NONLINEAR_TAPS]
    return np.stack([term[inside.start - tap : inside.stop - tap] for term, tap in terms], axis=1)
