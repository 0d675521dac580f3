from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import find_peaks

from dpdrun.rf.ofdm_grid import OfdmGrid, _peaks, around_centre, carrier_at_zero, symbol_starts

RATE = 61.44e6
FFT, PREFIX = 1024, 128
PERIOD = FFT + PREFIX
STEP = RATE / FFT


def ofdm(symbols: int, centre: int = 0, active: int = 120, seed: int = 0) -> np.ndarray:
    """QPSK on subcarriers around a bin, with prefixes."""
    rng = np.random.default_rng(seed)
    spectrum = np.zeros((symbols, FFT), np.complex128)
    bins = (centre + np.array(around_centre(active))) % FFT
    spectrum[:, bins] = rng.choice([-1, 1], (symbols, active)) + 1j * rng.choice([-1, 1], (symbols, active))
    body = np.fft.ifft(spectrum, axis=1) * FFT / np.sqrt(2 * active)
    return np.concatenate([body[:, -PREFIX:], body], axis=1).ravel()


def grid(half_band_hz: float | None = None, carriers: tuple[float, ...] = (0.0,)) -> OfdmGrid:
    return OfdmGrid(FFT, PREFIX, carriers, around_centre(120), half_band_hz)


def test_subcarriers_leave_the_centre_free() -> None:
    assert around_centre(6) == (-3, -2, -1, 1, 2, 3)


@pytest.mark.parametrize("lead", [0, 60, 77, 500, PERIOD - 1])
def test_every_complete_symbol_is_found(lead: int) -> None:
    """The record begins anywhere in a symbol and ends anywhere in another."""
    x = ofdm(6)[lead:-300]
    found = symbol_starts(x, RATE, grid())[0]
    truth = [k * PERIOD - lead + PREFIX // 2 for k in range(6)]
    complete = [t for t in truth if t >= PREFIX // 2 and t + FFT + PREFIX // 2 <= len(x)]
    assert len(complete) >= 4
    assert len(found) == len(complete)
    assert found == pytest.approx(complete, abs=PREFIX // 8)


def test_a_symbol_at_the_very_ends_of_a_record_counts() -> None:
    assert symbol_starts(ofdm(1), RATE, grid()) == ((PREFIX // 2,),)


def test_carriers_with_clocks_of_their_own() -> None:
    late = 400
    x = ofdm(5, -200) + np.roll(ofdm(5, 200, seed=1), late)
    low, high = symbol_starts(x, RATE, grid(80 * STEP, (-200 * STEP, 200 * STEP)))
    assert low == pytest.approx([k * PERIOD + PREFIX // 2 for k in range(5)], abs=PREFIX // 4)
    assert high[:4] == pytest.approx([k * PERIOD + late + PREFIX // 2 for k in range(4)], abs=PREFIX // 4)


def test_noise_has_no_symbols() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(20_000) + 1j * rng.standard_normal(20_000)
    assert symbol_starts(x, RATE, grid()) == ((),)


@pytest.mark.parametrize(("x", "prefix"), [(ofdm(1)[:-1], PREFIX), (np.zeros(4000) + 0j, PREFIX), (ofdm(3), 0)])
def test_nothing_to_find(x: np.ndarray, prefix: int) -> None:
    assert symbol_starts(x, RATE, OfdmGrid(FFT, prefix, (0.0, 1e6), around_centre(120))) == ((), ())


def test_a_carrier_is_brought_to_zero_and_the_others_taken_away() -> None:
    time = np.arange(FFT) / RATE
    x = np.exp(2j * np.pi * 50 * STEP * time) + 5 * np.exp(-2j * np.pi * 200 * STEP * time)
    assert carrier_at_zero(x, RATE, 50 * STEP, 80 * STEP) == pytest.approx(np.ones(FFT), abs=1e-9)
    assert np.abs(np.fft.fft(carrier_at_zero(x, RATE, 50 * STEP, None)))[-250] == pytest.approx(5 * FFT)


@pytest.mark.parametrize(
    "values",
    [(1, 0, (0.0,), (1,)), (64, 65, (0.0,), (1,)), (64, -1, (0.0,), (1,)), (64, 8, (), (1,)), (64, 8, (0.0,), ())],
)
def test_no_grid(values: tuple[int, int, tuple[float, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="an OFDM grid needs"):
        OfdmGrid(*values)


def test_subcarriers_must_fit() -> None:
    with pytest.raises(ValueError, match="no room"):
        OfdmGrid(64, 8, (0.0,), around_centre(64))


def test_peaks_are_those_of_scipy() -> None:
    """With ties and plateaus, which rounded values bring."""
    rng = np.random.default_rng(0)
    for case in range(400):
        values = rng.random(int(rng.integers(3, 80))).round(case % 4 + 1)
        height, distance = float(rng.random()), int(rng.integers(1, 12))
        wanted, _ = find_peaks(values, height=height, distance=distance)
        assert _peaks(values, height, distance) == wanted.tolist()
