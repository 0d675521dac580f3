from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import firwin, lfilter

from dpdrun.data.capture import Capture
from dpdrun.data.inspection import noise_floor
from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.data.sources import load_capture
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.floor import quiet_band_floor

RATE = 983.04e6
SMALL = OfdmSettings(fft=8192, prefix=576, symbols=3, carrier_bins=333, active=306)
X = ofdm_waveform(SMALL, np.random.default_rng(0))


def amplifier(x: np.ndarray) -> np.ndarray:
    y = x - 0.03 * x * np.abs(x) ** 2 * np.exp(0.5j) + 0.1 * np.roll(x, 1)
    return np.asarray(y)


def with_noise(y: np.ndarray, floor_db: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(len(y)) + 1j * rng.standard_normal(len(y))
    return y + noise * np.sqrt(np.mean(np.abs(y) ** 2) * 10 ** (floor_db / 10) / 2)


@pytest.mark.parametrize("floor_db", [-30.0, -45.0, -60.0])
def test_known_white_noise_is_found(floor_db: float) -> None:
    found = quiet_band_floor(X, with_noise(amplifier(X), floor_db), RATE, bandwidth_hz=200e6)
    assert found.nmse_db == pytest.approx(floor_db, abs=0.3)
    assert "quiet band" in found.method
    assert found.caveat


def test_bandwidth_is_measured_if_not_given() -> None:
    found = quiet_band_floor(X, with_noise(amplifier(X), -45.0), RATE)
    assert found.nmse_db == pytest.approx(-45.0, abs=0.3)


def test_a_short_record_is_not_flattered_by_the_fit() -> None:
    short = [
        quiet_band_floor(X[:4200], with_noise(amplifier(X), -40.0, seed)[:4200], RATE, bandwidth_hz=200e6)
        for seed in range(8)
    ]
    bounds = [found.bound_db for found in short if found.nmse_db is not None]
    assert len(bounds) >= 4
    assert np.mean(bounds) == pytest.approx(-40.0, abs=0.2)


def test_a_filtered_band_edge_gives_no_number() -> None:
    y = lfilter(firwin(201, 380e6, fs=RATE), 1.0, with_noise(amplifier(X), -40.0))
    found = quiet_band_floor(X[:-100], y[100:], RATE, bandwidth_hz=200e6)
    assert found.nmse_db is None
    assert found.bound_db is None
    assert "filter cuts" in found.caveat


@pytest.mark.parametrize("step", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("level", [1.0, 1.5])
def test_distortion_that_looks_white_is_not_taken_for_noise(step: float, level: float) -> None:
    """A step in gain spreads over all frequencies, but it comes and goes with the envelope."""
    rough = X + step * X * (np.abs(X) > level)
    found = quiet_band_floor(X, with_noise(rough, -70.0), RATE, bandwidth_hz=200e6)
    assert found.nmse_db is None
    assert found.bound_db is not None
    assert found.bound_db > -70.0
    assert "follows the envelope" in found.caveat


def test_a_bound_is_a_bound() -> None:
    hard = load_capture(DataSection(source="synthetic/hard"))
    found = noise_floor(hard)
    assert found.nmse_db is None
    assert found.bound_db is not None
    assert hard.noise_floor_db is not None
    assert hard.noise_floor_db < found.bound_db < hard.noise_floor_db + 1.0


def test_regrowth_that_slopes_gives_no_number() -> None:
    cubic = X * np.abs(X) ** 8 * 2e-4  # a power that the fitted polynomial does not have
    found = quiet_band_floor(X, with_noise(X + cubic, -90.0), RATE, bandwidth_hz=200e6)
    assert found.nmse_db is None


def test_frames_in_a_loop_are_fitted_with_their_own_memory() -> None:
    frames = X[: len(X) // 2048 * 2048].reshape(-1, 2048)
    rng = np.random.default_rng(4)
    spectrum = np.fft.fft(rng.standard_normal(frames.shape) + 1j * rng.standard_normal(frames.shape), axis=1)
    spectrum[:, 205:-205] = 0  # each frame is periodic and 20 % wide
    x = np.fft.ifft(spectrum, axis=1)
    y = x - 0.05 * x * np.abs(x) ** 2 + 0.3 * np.roll(x, 3, axis=1)
    y = with_noise(y.ravel(), -45.0)
    framed = quiet_band_floor(x.ravel(), y, RATE, bandwidth_hz=200e6, loop_samples=2048)
    assert framed.nmse_db == pytest.approx(-45.0, abs=0.3)
    unframed = quiet_band_floor(x.ravel(), y, RATE, bandwidth_hz=200e6)
    assert unframed.nmse_db is None or unframed.nmse_db > -44.0


def test_noise_free_records_are_named() -> None:
    found = quiet_band_floor(X, amplifier(X), RATE, bandwidth_hz=200e6)
    assert found.nmse_db is None
    assert "noise-free" in found.caveat


def test_no_quiet_band_and_too_few_samples() -> None:
    assert "no quiet band" in quiet_band_floor(X, X, RATE, bandwidth_hz=600e6).caveat
    assert "too few" in quiet_band_floor(X[:4000], X[:4000], RATE, bandwidth_hz=200e6).caveat


@pytest.fixture(scope="module")
def mild() -> Capture:
    return load_capture(DataSection(source="synthetic/mild"))


def test_the_floor_of_a_capture_is_that_of_its_training_part(mild: Capture) -> None:
    found = noise_floor(mild)
    assert found.nmse_db == pytest.approx(mild.noise_floor_db, abs=0.3)
    assert noise_floor(replace(mild, test=mild.val)) == found
