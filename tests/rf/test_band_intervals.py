from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import firwin, lfilter

from dpdrun.rf.aclr import aclr
from dpdrun.rf.band_intervals import aclr_intervals, evm_interval, in_band_interval
from dpdrun.rf.evm import Symbols
from dpdrun.rf.spectrum import in_band_error_db

RATE, BAND = 1e9, 200e6


def band_noise(rng: np.random.Generator, samples: int, bandwidth_hz: float, centre_hz: float = 0.0) -> np.ndarray:
    """Noise of unit power in a band."""
    white = rng.standard_normal(samples + 800) + 1j * rng.standard_normal(samples + 800)
    x = lfilter(firwin(401, bandwidth_hz / 2, fs=RATE, window=("kaiser", 12.0)), 1.0, white)[800:]
    return x / np.sqrt(2 * bandwidth_hz / RATE) * np.exp(2j * np.pi * centre_hz / RATE * np.arange(samples))


def leaky(rng: np.random.Generator, samples: int = 20_000) -> np.ndarray:
    """A band at 0 dB and neighbours of 0.9 of its width 30 and 33 dB below it."""
    sides = ((-200e6, -30.0), (200e6, -33.0))
    leaks = [10 ** (db / 20) * band_noise(rng, samples, 180e6, centre) for centre, db in sides]
    return band_noise(rng, samples, 190e6) + sum(leaks)


def test_aclr_intervals_cover_the_truth_and_are_as_wide_as_the_scores_scatter() -> None:
    rng = np.random.default_rng(0)
    scores, widths, hits = [], [], 0
    for seed in range(40):
        y = leaky(rng)
        found = aclr(y, RATE, BAND, convention="general-v1", nperseg=4096)
        intervals = aclr_intervals(found, y, RATE, BAND, carriers=1, seed=seed)
        assert set(intervals) == {"left", "right", "worse"}
        left = intervals["left"]
        assert left is not None
        assert intervals["worse"] == left  # 3 dB apart: the worse side is the left one in every draw
        scores.append(found.left_dbc)
        widths.append(left.high - left.low)
        hits += left.low <= -30.0 <= left.high
    assert hits >= 33
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(scores), rel=0.4)


def test_the_strongest_carrier_is_chosen_in_every_draw() -> None:
    y = leaky(np.random.default_rng(1))
    found = aclr(y, RATE, BAND, carriers=2, nperseg=2048)
    for name, score in (("left", found.left_dbc), ("right", found.right_dbc), ("worse", found.worse_dbc)):
        limits = aclr_intervals(found, y, RATE, BAND, carriers=2)[name]
        assert limits is not None
        assert limits.low < score < limits.high


def test_in_band_error_of_known_level() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for seed in range(40):
        reference, error = band_noise(rng, 20_000, 220e6), 0.01 * band_noise(rng, 20_000, 220e6)
        score = in_band_error_db(reference, reference + error, RATE, BAND, nperseg=20_000)  # one segment only
        limits = in_band_interval(score, reference, reference + error, RATE, BAND, seed=seed)
        assert limits is not None
        assert limits.high - limits.low < 1.0
        hits += limits.low <= -40.0 <= limits.high
    assert hits >= 33


def test_short_and_perfect_records_have_none() -> None:
    rng = np.random.default_rng(3)
    y = leaky(rng, 2000)
    assert in_band_interval(-40.0, y, 1.01 * y, RATE, BAND) is None
    assert in_band_interval(-40.0, y[:500], 1.01 * y[:500], RATE, BAND) is None
    found = aclr(y, RATE, BAND, convention="general-v1", nperseg=1024)
    assert aclr_intervals(found, y[:500], RATE, BAND, carriers=1) == {"left": None, "right": None, "worse": None}
    long = leaky(rng)
    assert in_band_interval(-np.inf, long, long, RATE, BAND) is None


def test_evm_interval_is_that_of_theory() -> None:
    """6,000 errors, each exponential in power: 4.34/sqrt(6000) dB of standard deviation."""
    rng = np.random.default_rng(4)
    wanted = np.exp(2j * np.pi * rng.random(6000))
    error = 0.01 * (rng.standard_normal(6000) + 1j * rng.standard_normal(6000)) / np.sqrt(2)
    found = Symbols(wanted, 2j * (wanted + error), 2j, 5)
    limits = evm_interval(found)
    assert limits is not None
    assert limits.blocks == 500
    assert limits.low < found.evm_db < limits.high
    assert limits.high - limits.low == pytest.approx(2 * 1.96 * 4.343 / np.sqrt(6000), rel=0.25)


def test_no_gain_no_interval() -> None:
    assert evm_interval(Symbols(np.ones(600) + 0j, np.zeros(600) + 0j, 0j, 1)) is None
