from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.rf import metrics
from dpdrun.rf.metrics import ccdf_db, padded_segments


def noise(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(samples) + 1j * rng.standard_normal(samples)


Y = noise(4000)


@pytest.mark.parametrize(
    ("prediction", "expected_db"),
    [
        (0 * Y, 0.0),  # predicting zero
        (1.1 * Y, -20.0),  # 10 % too large
        (Y * np.exp(0.1j), 20 * np.log10(2 * np.sin(0.05))),  # |1 - e^jp| = 2 sin(p/2)
        (-Y, 20 * np.log10(2)),
        (Y, -np.inf),
    ],
)
def test_nmse_in_closed_form(prediction: np.ndarray, expected_db: float) -> None:
    assert metrics.nmse_db(Y, prediction) == pytest.approx(expected_db, abs=1e-9)


def test_uncorrelated_output_of_equal_power_is_3_db() -> None:
    assert metrics.nmse_db(noise(100_000, 1), noise(100_000, 2)) == pytest.approx(3.01, abs=0.1)


def test_nmse_is_pooled_not_averaged() -> None:
    y = np.concatenate([np.full(100, 10 + 0j), np.full(100, 0.1 + 0j)])
    prediction = y + 1.0
    assert metrics.nmse_db(y, prediction) == pytest.approx(10 * np.log10(200 / (100 * 100.01)))


@given(st.floats(1e-3, 1e3), st.floats(-np.pi, np.pi))
def test_nmse_knows_no_scale_and_no_phase(scale: float, phase: float) -> None:
    gain = scale * np.exp(1j * phase)
    prediction = Y + 0.01 * noise(4000, 3)
    assert metrics.nmse_db(gain * Y, gain * prediction) == pytest.approx(metrics.nmse_db(Y, prediction), abs=1e-9)


@pytest.mark.parametrize(("y", "prediction"), [(Y, Y[:-1]), (Y[:, None], Y[:, None]), (0 * Y, Y)])
def test_nmse_refuses_what_it_cannot_score(y: np.ndarray, prediction: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"equal length|without power"):
        metrics.nmse_db(y, prediction)


def opendpd_nmse(y: np.ndarray, prediction: np.ndarray, nperseg: int) -> float:
    """As opendpd 2.4.2 computes it: zero-padded segments, then NMSE() of utils/metrics.py, on (S, T, 2) arrays."""

    def segments(z: np.ndarray) -> np.ndarray:
        padded = np.concatenate([z, np.zeros(-len(z) % nperseg)]).reshape(-1, nperseg)
        return np.stack([padded.real, padded.imag], axis=-1)

    a, b = segments(prediction), segments(y)
    mse = np.mean(np.square(b[..., 0] - a[..., 0]) + np.square(b[..., 1] - a[..., 1]), axis=-1)
    energy = np.mean(np.square(b[..., 0]) + np.square(b[..., 1]), axis=-1)
    return float(np.mean(10 * np.log10(mse / energy)))


@pytest.mark.parametrize("nperseg", [4000, 1000, 999, 7000])
def test_legacy_nmse_is_that_of_opendpd(nperseg: int) -> None:
    y = Y * np.linspace(0.1, 2, 4000)
    prediction = y + 0.05 * noise(4000, 5)
    expected = opendpd_nmse(y, prediction, nperseg)
    assert metrics.nmse_opendpd_legacy_db(y, prediction, nperseg) == pytest.approx(expected, abs=1e-9)
    if nperseg < 4000:
        assert expected != pytest.approx(metrics.nmse_db(y, prediction), abs=0.1)


def test_one_tap_gain_is_the_least_squares_one() -> None:
    x = noise(4000, 7)
    y = (0.8 - 0.3j) * x + 0.1 * noise(4000, 8)
    expected = np.linalg.lstsq(x[:, None], y, rcond=None)[0][0]
    assert metrics.one_tap_gain(x, y) == pytest.approx(expected)
    best = metrics.one_tap_nmse_db(x, y)
    assert best == pytest.approx(metrics.nmse_db(y, expected * x))
    assert metrics.one_tap_nmse_db(x, y, expected * 1.02) > best


def test_papr() -> None:
    assert metrics.papr_db(np.exp(1j * np.arange(100))) == pytest.approx(0.0)
    pulse = np.zeros(100, complex)
    pulse[3] = 5j
    assert metrics.papr_db(pulse) == pytest.approx(20.0)


def test_gain_by_envelope_follows_a_compressing_amplifier() -> None:
    x = noise(50_000, 10)
    y = x / np.sqrt(1 + np.abs(x) ** 2) * np.exp(0.1j * np.abs(x))
    level, gain = metrics.gain_by_envelope(x, y, bins=40, min_samples=30)
    magnitude = level * metrics.rms(x)
    assert len(level) > 20
    assert np.allclose(np.abs(gain), 1 / np.sqrt(1 + magnitude**2), rtol=0.02)
    assert np.allclose(np.angle(gain), 0.1 * magnitude, atol=0.01)


def test_to_db_of_nothing() -> None:
    assert metrics.to_db(0.0) == -np.inf
    assert metrics.to_db(100.0) == pytest.approx(20.0)


def test_noise_exceeds_its_mean_exponentially() -> None:
    """|x|^2 of complex Gaussian noise is exponential: it exceeds -ln(p) times its mean with probability p."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(400_000) + 1j * rng.standard_normal(400_000)
    found = ccdf_db(x)
    assert list(found) == [0.1, 0.01, 0.001, 0.0001]
    for p, level in found.items():
        assert level == pytest.approx(10 * np.log10(-np.log(p)), abs=0.25)


def test_a_constant_envelope_never_does() -> None:
    assert ccdf_db(np.exp(1j * np.arange(1000)), (0.1,))[0.1] == pytest.approx(0.0, abs=1e-9)


def test_a_level_that_too_few_samples_exceed_is_omitted() -> None:
    assert ccdf_db(np.exp(1j * np.arange(9_999)))[0.001] is None
    assert ccdf_db(np.exp(1j * np.arange(10_000)))[0.001] is not None


@pytest.mark.parametrize("x", [np.zeros(100) + 0j, np.zeros(0) + 0j])
def test_silence_has_none(x: np.ndarray) -> None:
    with pytest.raises(ValueError, match="without power"):
        ccdf_db(x)


def test_the_last_segment_is_filled_up() -> None:
    found = padded_segments(np.arange(1, 8) + 0j, 3)
    assert found.tolist() == [[1, 2, 3], [4, 5, 6], [7, 0, 0]]


def test_full_segments_need_no_padding() -> None:
    assert padded_segments(np.ones(6) + 0j, 3).tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(("x", "nperseg"), [(np.zeros(0) + 0j, 4), (np.ones((2, 2)) + 0j, 4), (np.ones(4) + 0j, 0)])
def test_nothing_to_cut(x: np.ndarray, nperseg: int) -> None:
    with pytest.raises(ValueError, match="need a"):
        padded_segments(x, nperseg)
