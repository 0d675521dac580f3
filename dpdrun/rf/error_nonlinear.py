"""Is the nonlinearity of the target in the prediction? By gain over input level, and against fits of the input.

Shapes: N samples; x is the input, y the target, p the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Levels:
    """Gains by level of |x| [dB], the share of the error that they are, and what they leave of y and p [dB]."""

    target_gain_db: tuple[float, ...]
    model_gain_db: tuple[float, ...]
    share: float
    target_spread_db: float
    model_spread_db: float


def by_level(x: Signal, y: Signal, p: Signal, groups: int) -> Levels | None:
    """Compare the gains of y and p over x in groups of equally many samples, from small to large |x|.

    The share is sum |x|^2 |G_p - G_y|^2 over sum |p - y|^2, less what noise gives by chance, after p was divided by its
    gain over y: that leaves an error which does not know y in place, where the best factor would shrink p with it.
    None where the input has no power in a group, or p nothing of y.
    """
    gain = one_tap_gain(y, p)
    if gain == 0:
        return None
    p = p / gain
    order = np.argsort(np.abs(x), kind="stable")
    mismatch = left_y = left_p = chance = 0.0
    gains: list[tuple[float, float]] = []
    for group in np.array_split(order, groups):
        u, v, w = x[group], y[group], p[group]
        power = float(np.sum(np.abs(u) ** 2))
        if power == 0:
            return None
        of_y, of_p = one_tap_gain(u, v), one_tap_gain(u, w)
        gains.append((to_db(abs(of_y) ** 2), to_db(abs(of_p) ** 2)))
        mismatch += power * abs(of_p - of_y) ** 2
        chance += float(np.mean(np.abs(w - v) ** 2))
        left_y += float(np.sum(np.abs(v - of_y * u) ** 2))
        left_p += float(np.sum(np.abs(w - of_p * u) ** 2))
    error, power_y = float(np.sum(np.abs(p - y) ** 2)), float(np.sum(np.abs(y) ** 2))
    share = max(0.0, mismatch - chance) / error if error > 0 else 0.0
    return Levels(
        tuple(target for target, _ in gains),
        tuple(model for _, model in gains),
        share,
        to_db(left_y / power_y),
        to_db(left_p / float(np.sum(np.abs(p) ** 2))),
    )


@dataclass(frozen=True)
class Fits:
    """NMSE of a linear filter and of a memory polynomial on y [dB]; how much of their difference p has, or None."""

    linear_nmse_db: float
    polynomial_nmse_db: float
    share: float | None


def against_fits(x: Signal, y: Signal, p: Signal) -> Fits | None:
    """Fit a FIR filter and a memory polynomial to y by least squares, and look for the polynomial's extra part in p.

    With N the nonlinear columns made orthogonal to the filter's, y_N and p_N the projections of y and p on them, the
    share is Re <y_N, p_N> / <y_N, y_N>: 1 for a perfect model whatever its noise, 0 for a linear one.
    None where the record is shorter than ROWS_PER_COEFFICIENT samples a coefficient.
    """
    x, y, p = x[:MAX_SAMPLES], y[:MAX_SAMPLES], p[:MAX_SAMPLES]
    if len(x) < ROWS_PER_COEFFICIENT * COEFFICIENTS:
        return None
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
    power_y, power_p = float(np.vdot(y, y).real), float(np.vdot(p, p).real)
    linear = float(np.vdot(white_y[:filtered], white_y[:filtered]).real)
    nonlinear = float(np.vdot(white_y[filtered:], white_y[filtered:]).real)
    left_y = max(power_y - linear - nonlinear, 1e-12 * power_y)
    left_p = max(power_p - float(np.vdot(white_p, white_p).real), 0.0)
    chance = (COEFFICIENTS - filtered) * left_y / len(y)
    share = None
    if nonlinear > CLEAR * chance and left_p / len(y) < SURE**2 * nonlinear:
        share = float(np.vdot(white_y[filtered:], white_p[filtered:]).real) / nonlinear
    return Fits(to_db((left_y + nonlinear) / power_y), to_db(left_y / power_y), share)


def _columns(x: Signal, inside: slice) -> NDArray[np.complex128]:
    """(R, COEFFICIENTS) columns for the outputs of x[inside]: the taps of the filter, then the nonlinear terms."""
    x = x / np.max(np.abs(x))
    envelope = np.abs(x)
    terms = [(x, tap) for tap in FIR_TAPS] + [(x * envelope**p, tap) for p in POWERS for tap in NONLINEAR_TAPS]
    return np.stack([term[inside.start - tap : inside.stop - tap] for term, tap in terms], axis=1)
