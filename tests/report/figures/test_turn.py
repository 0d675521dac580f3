from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpdrun.report.figures.turn import turn_of


def levels(qam: int) -> NDArray[np.float64]:
    side = int(np.sqrt(qam))
    return np.arange(1 - side, side, 2) / np.sqrt(2 * (qam - 1) / 3)


def points(qam: int, count: int, size: int, seed: int) -> NDArray[np.complex128]:
    draws = np.random.default_rng(seed).choice(levels(qam), (2, count, size))
    return np.asarray(draws[0] + 1j * draws[1])


def off_grid(received: NDArray[np.complex128], qam: int) -> float:
    """Root mean square distance from the nearest point of the constellation."""
    parts = [np.abs(part.reshape(-1, 1) - levels(qam)).min(axis=1) for part in (received.real, received.imag)]
    return float(np.sqrt(np.mean(parts[0] ** 2 + parts[1] ** 2)))


@settings(max_examples=40)
@given(
    st.sampled_from([4, 16, 64]),  # of 256 points the angle of a symbol of 200 subcarriers is not known well enough
    st.integers(3, 12),
    st.floats(-200.0, 200.0),
    st.booleans(),
    st.integers(0, 1000),
)
def test_window_and_carrier_are_taken_out(qam: int, count: int, early: float, gap: bool, seed: int) -> None:
    """Windows that begin some samples early, symbols at angles of their own, with and without an empty centre."""
    size, fft = 200, 4096
    meant = points(qam, count, size, seed)
    bins = np.arange(size) - size // 2 + (gap & (np.arange(size) >= size // 2))
    angles = np.random.default_rng(seed + 1).uniform(0, 2 * np.pi, (count, 1))
    received = meant * np.exp(-2j * np.pi * bins * early / fft + 1j * angles)
    turn = turn_of(received.reshape(-1), count)
    assert turn is not None
    np.testing.assert_allclose(np.abs(turn), 1.0, atol=1e-12)
    distance = np.diff(levels(qam))[0]
    assert off_grid(received.reshape(-1) * turn, qam) < 0.25 * distance


@pytest.mark.parametrize("count", [1, 4, 20])
def test_no_constellation_no_turn(count: int) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal(200 * count) + 1j * rng.standard_normal(200 * count) for _ in range(30)]
    assert sum(turn_of(each, count) is not None for each in noise) <= 1


def test_nothing_to_go_by() -> None:
    assert turn_of(np.zeros(400, complex), 2) is None
    assert turn_of(np.ones(401, complex), 2) is None
    assert turn_of(np.ones(8, complex), 4) is None
    assert turn_of(np.ones(8, complex), 0) is None


@pytest.mark.parametrize("qam", [16, 64, 256, 1024])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_no_arc_is_left(qam: int, noise: float) -> None:
    """With noise of a tenth of the spacing as without, what is left is the noise."""
    size, count, fft = 612, 5, 16384
    meant = points(qam, count, size, seed=3)
    rng = np.random.default_rng(4)
    spacing = np.diff(levels(qam))[0]
    bins = np.arange(size) - size // 2 + (np.arange(size) >= size // 2)
    angles = rng.uniform(0, 2 * np.pi, (count, 1))
    blurred = meant + noise * spacing / np.sqrt(2) * (
        rng.standard_normal(meant.shape) + 1j * rng.standard_normal(meant.shape)
    )
    received = blurred * np.exp(-2j * np.pi * bins * 576.0 / fft + 1j * angles)
    turn = turn_of(received.reshape(-1), count)
    assert turn is not None
    np.testing.assert_allclose(np.abs(turn), 1.0, atol=1e-12)
    assert off_grid(received.reshape(-1) * turn, qam) < (0.02 + 1.1 * noise) * spacing
