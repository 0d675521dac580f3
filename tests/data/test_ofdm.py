from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch

from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.rf.ofdm_grid import symbol_starts

SETTINGS = OfdmSettings()


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return ofdm_waveform(SETTINGS, np.random.default_rng(0))


def test_numerology_is_five_nr_carriers() -> None:
    assert SETTINGS.sample_rate_hz / SETTINGS.fft == 60e3
    assert SETTINGS.carrier_bins * 60e3 == 39.96e6
    assert SETTINGS.active * 60e3 == 36.72e6
    assert SETTINGS.bandwidth_hz == 200e6
    assert SETTINGS.occupied_hz == pytest.approx(196.56e6)
    assert SETTINGS.samples == 105_216


def test_the_grid_says_where_the_symbols_are(x: np.ndarray) -> None:
    """Every subcarrier of the grid holds power and the centres of the carriers do not; symbols begin where they do."""
    grid = SETTINGS.grid
    starts = symbol_starts(x, SETTINGS.sample_rate_hz, grid)
    period = SETTINGS.fft + SETTINGS.prefix
    assert len(starts) == SETTINGS.carriers
    assert len(starts[0]) == SETTINGS.symbols
    for found, symbol in zip(starts[0], range(SETTINGS.symbols), strict=True):
        assert found == pytest.approx(symbol * period + SETTINGS.prefix / 2, abs=SETTINGS.prefix / 8)
    power = np.abs(np.fft.fft(x[SETTINGS.prefix :][: SETTINGS.fft])) ** 2
    centres = np.round(np.array(grid.carriers_hz) / SETTINGS.sample_rate_hz * SETTINGS.fft).astype(int)
    active = (centres[:, None] + np.array(grid.bins)).ravel() % SETTINGS.fft
    assert len(set(active)) == SETTINGS.carriers * SETTINGS.active
    assert np.sum(power[active]) > 0.9999 * np.sum(power)
    assert np.max(power[centres % SETTINGS.fft]) < 0.1 * np.median(power[active])


def test_unit_rms_and_crest_factor(x: np.ndarray) -> None:
    power = np.abs(x) ** 2
    assert len(x) == SETTINGS.samples
    assert np.mean(power) == pytest.approx(1.0)
    assert 10 * np.log10(power.max()) == pytest.approx(10.0, abs=0.1)


def test_crest_factor_reduction_does_the_work() -> None:
    relaxed = ofdm_waveform(OfdmSettings(papr_db=20.0), np.random.default_rng(0))
    tight = ofdm_waveform(OfdmSettings(papr_db=8.0), np.random.default_rng(0))
    peaks = [10 * np.log10(np.max(np.abs(s) ** 2)) for s in (relaxed, tight)]
    assert peaks[0] > 10.2
    assert peaks[1] < 8.3


def density(x: np.ndarray, low: float, high: float) -> float:
    """Mean density [dB] between two frequencies [Hz], by another estimator's settings than our own."""
    f, d = welch(x, SETTINGS.sample_rate_hz, "blackmanharris", 8192, return_onesided=False, detrend=False)
    return float(10 * np.log10(np.mean(d[(f >= low) & (f < high)])))


@pytest.mark.parametrize("carrier", [-2, -1, 0, 1, 2])
def test_carriers_are_level_and_separated(x: np.ndarray, carrier: int) -> None:
    centre = carrier * 39.96e6
    level = density(x, centre - 17e6, centre + 17e6)
    assert level == pytest.approx(-10 * np.log10(5 * 36.72e6), abs=0.15)
    for guard in (centre - 19.98e6, centre + 19.98e6):
        assert density(x, guard - 0.4e6, guard + 0.4e6) < level - 35


def test_nothing_outside(x: np.ndarray) -> None:
    in_band = density(x, -17e6, 17e6)
    assert density(x, 102e6, 490e6) < in_band - 80
    assert density(x, -490e6, -102e6) < in_band - 80


def test_symbols_demodulate_to_the_constellation() -> None:
    """One symbol, without its prefix, back through an FFT: 256-QAM points, blurred by clipping alone."""
    loose = OfdmSettings(papr_db=30.0, symbols=3)
    x = ofdm_waveform(loose, np.random.default_rng(5))
    start = loose.fft + 2 * loose.prefix + 0
    spectrum = np.fft.fft(x[start : start + loose.fft])
    occupied = np.concatenate([np.arange(1, 300), np.arange(-300, 0)])  # of the middle carrier
    points = spectrum[occupied] / np.sqrt(np.mean(np.abs(spectrum[occupied]) ** 2)) * np.sqrt(170.0)
    nearest = 2 * np.round((points.real - 1) / 2) + 1 + 1j * (2 * np.round((points.imag - 1) / 2) + 1)
    error = np.sqrt(np.mean(np.abs(points - nearest) ** 2) / 170.0)
    assert error < 0.03
    assert len(np.unique(nearest.real)) == 16


def test_it_loops_without_a_seam(x: np.ndarray) -> None:
    second_difference = np.abs(np.diff(np.concatenate([x, x[:2]]), 2))
    assert second_difference[-2:].max() <= second_difference[:-2].max()


def test_seed_decides() -> None:
    small = OfdmSettings(fft=1024, prefix=72, symbols=2, carrier_bins=41, active=38)
    a, b, c = (ofdm_waveform(small, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.allclose(a, c)
