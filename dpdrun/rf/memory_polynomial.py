"""A small memory polynomial on chosen instants of a record: how well an input explains an output, within 0.1 s.

Terms x[n-k] |x[n-k]|^p for p = 0 .. 6 and k = -2 .. 9 (Kim and Konstantinou 2001). With two future samples the score
hardly depends on a fraction of a sample of delay. It serves to compare the same instants with and without a change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal, rms, to_db

POWERS = 7
TAPS = range(-2, 10)  # [samples]
ROWS = 16_000  # instants that are used at most
FIT_SHARE = 0.75  # the first part is fitted, the rest is scored: a drift or a slip shows there
RIDGE = 1e-9


@dataclass(frozen=True)
class Explained:
    """How much of an output its input explains, on the last quarter of a record, after a fit to the rest of it.

    Attributes:
        one_tap_db: NMSE of one complex gain [dB].
        polynomial_db: NMSE of the memory polynomial [dB].
    """

    one_tap_db: float
    polynomial_db: float


def instants_of(samples: int, rows: int = ROWS) -> NDArray[np.int64]:
    """Return instants of a record that have all taps, in order, at most `rows`.

    They are drawn at random, the same ones each time. At every fourth sample, a tone at a quarter of the sample rate,
    as a frequency offset makes of a DC, cannot be told from a DC, and loops of a length divisible by four show a
    quarter of their samples.
    """
    at = np.arange(max(TAPS), samples - max(0, -min(TAPS)))
    return at if len(at) <= rows else np.sort(np.random.default_rng(0).choice(at, rows, replace=False))


def terms(x: Signal, at: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Return the terms of the polynomial at instants of x, (R, POWERS * len(TAPS)), for x with an rms of about 1."""
    delayed = x[at[:, None] - np.array(TAPS)]
    envelope = np.abs(delayed)
    columns = [delayed]
    for _ in range(POWERS - 1):
        columns.append(columns[-1] * envelope)
    return np.concatenate(columns, axis=1)


def fit(A: NDArray[np.complex128], y: Signal) -> Signal:
    """Return the coefficients of a slightly regularized least-squares fit; A: (R, C), y: (R,) -> (C,)."""
    scale = np.sqrt(np.mean(np.abs(A) ** 2, axis=0))
    scale[scale == 0.0] = 1.0
    gram = (A.conj().T @ A) / np.outer(scale, scale)
    gram += RIDGE * len(A) * np.eye(A.shape[1])
    return np.asarray(np.linalg.solve(gram, (A.conj().T @ y) / scale) / scale, np.complex128)


def explained(x: Signal, y: Signal) -> Explained:
    """Return how much of y one gain and a memory polynomial of x explain.

    Args:
        x, y: (N,) complex each.
    """
    at = instants_of(len(x))
    x = x / rms(x)
    A, target = terms(x, at), y[at]
    split = int(FIT_SHARE * len(at))
    power = float(np.sum(np.abs(target[split:]) ** 2))
    errors = []
    for columns in (x[at][:, None], A):
        c = fit(columns[:split], target[:split])
        errors.append(to_db(float(np.sum(np.abs(target[split:] - columns[split:] @ c) ** 2)) / power))
    return Explained(*errors)


def fitted(x: Signal, y: Signal) -> Callable[[Signal], Signal]:
    """Return the polynomial fitted to a record: a function of a looping input, (N,), that gives its output, (N,).

    Args:
        x, y: (M,) complex each.
    """
    scale, at = rms(x), instants_of(len(x))
    c = fit(terms(x / scale, at), y[at])
    before, after = max(TAPS), max(0, -min(TAPS))

    def output(u: Signal) -> Signal:
        looped = np.asarray(np.concatenate([u[-before:], u, u[:after]]) / scale, np.complex128)
        instants = np.arange(before, before + len(u))
        return np.concatenate([terms(looped, instants[start : start + ROWS]) @ c for start in range(0, len(u), ROWS)])

    return output


def prediction(x: Signal, y: Signal, at: NDArray[np.int64]) -> tuple[Signal, Signal]:
    """Return the polynomial's output at instants, fitted to y over the whole record, and its slope per sample.

    The slope is a central difference: 7 % too small at a tenth of the sample rate, which is enough to be iterated with.

    Args:
        x, y: (N,) complex each.
        at: instants with all their taps and one sample more on each side, (R,).

    Returns:
        (R,) complex128 each.
    """
    x = x / rms(x)
    every = instants_of(len(x))
    c = fit(terms(x, every), y[every])
    value, before, after = (
        np.concatenate([terms(x, at[start : start + ROWS] + step) @ c for start in range(0, len(at), ROWS)])
        for step in (0, -1, 1)
    )
    return value, np.asarray((after - before) / 2, np.complex128)
