"""Conjugate, delay, clipping and lead, put in and found again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dpdrun.diagnosis.signal.alignment_errors import cut, lead, mirror, shift, shifted
from dpdrun.rf.metrics import one_tap_nmse_db

Signal = NDArray[np.complex128]
N = 6000


def noise(seed: int) -> Signal:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(N) + 1j * rng.standard_normal(N)) / np.sqrt(2)


def smooth(seed: int) -> Signal:
    """A waveform of 30 % of the sample rate."""
    return np.fft.ifft(np.fft.fft(noise(seed)) * (np.abs(np.fft.fftfreq(N)) < 0.15)) * 1.8


Y, E = smooth(0), 0.01 * noise(1)


@pytest.mark.parametrize(
    ("p", "angle"),
    [
        (np.conj(Y), 0.0),
        (-np.conj(Y), 180.0),
        (Y.imag + 1j * Y.real, 90.0),
        (-Y.imag - 1j * Y.real, -90.0),
        (np.roll(np.conj(Y), 30), 0.0),
    ],
    ids=["Q negated", "I negated", "swapped", "swapped and negated", "late"],
)
def test_mirrored(p: Signal, angle: float) -> None:
    found = mirror(Y, p + E)
    assert found["mirrored"]
    assert abs((found["mirror_deg"] - angle + 180) % 360 - 180) < 1
    assert found["mirror_nmse_db"] == pytest.approx(-40.0, abs=0.7)


@pytest.mark.parametrize("p", [Y, 1j * Y, noise(7), Y.real + 0j], ids=["same", "turned", "unrelated", "real"])
def test_not_mirrored(p: Signal) -> None:
    assert mirror(Y, p + E) == {}


@pytest.mark.parametrize("late", [0.0, 0.1, -0.37, 1.0, 12.5, -200.0])
def test_shift_is_found_and_taken_back(late: float) -> None:
    p = 0.5 * shifted(Y, -late) + E
    found = shift(Y, p)
    assert found["lag_samples"] == pytest.approx(late, abs=0.01)
    assert found["lag_nmse_db"] == pytest.approx(-34.0, abs=0.7)  # the noise, over half the amplitude
    assert (found["unshifted_nmse_db"] > -30) is (late != 0)


def test_an_integer_shift_is_a_roll() -> None:
    np.testing.assert_allclose(shifted(Y, 3), np.roll(Y, -3), atol=1e-12)


def test_a_delay_of_half_the_record_is_skipped() -> None:
    assert shift(Y, np.roll(Y, N // 2 - 5)) == {}


@pytest.mark.parametrize("how", ["I", "magnitude", "both"])
def test_cut_peaks(how: str) -> None:
    p, top = Y + E, 1.5
    if how == "magnitude":
        p = p * np.minimum(1.0, top / np.abs(p))
    else:
        p = np.minimum(p.real, top) + 1j * (p.imag if how == "I" else np.clip(p.imag, -top, top))
    found = cut(Y, p)
    assert found["clipped_samples"] > 50
    assert found["clip_level"] == pytest.approx(top / np.sqrt(np.mean(np.abs(p) ** 2)), rel=1e-4)
    assert 0.2 < found["clip_short_db"] < 4


def test_single_precision_and_text_keep_the_top() -> None:
    p = np.minimum(Y.real, 1.5) + 1j * Y.imag
    as_text = np.array([complex(float(f"{z.real:.9g}"), float(f"{z.imag:.9g}")) for z in p * 0.77123])
    assert cut(Y, p.astype(np.complex64).astype(np.complex128))
    assert cut(Y, as_text)


@pytest.mark.parametrize("p", [Y + E, np.tile((Y + E)[: N // 12], 12)], ids=["once", "twelve times"])
def test_integer_peaks(p: Signal) -> None:
    assert cut(Y, p) == {}


def test_target_that_is_cut_too_shows_in_the_difference() -> None:
    top = np.clip(Y.real, -1.5, 1.5) + 1j * Y.imag
    found = cut(top, top)
    assert found["clip_short_db"] == pytest.approx(0.0, abs=1e-9)


RNG = np.random.default_rng(0)
WAVE = np.convolve(RNG.standard_normal(4009) + 1j * RNG.standard_normal(4009), np.hanning(9) / 4, mode="valid")
ANSWER = (2 + 1j) * WAVE * (1 - 0.05 * np.abs(WAVE) ** 2)


@pytest.mark.parametrize("samples", [1, 6, 40, 1500])
def test_lead_is_found_with_what_it_costs(samples: int) -> None:
    found = lead(WAVE, np.roll(ANSWER, -samples))
    assert found["lead_samples"] == samples
    assert found["present_nmse_db"] == pytest.approx(one_tap_nmse_db(WAVE, np.roll(ANSWER, -samples)))
    assert found["ahead_nmse_db"] == pytest.approx(one_tap_nmse_db(WAVE[samples:], ANSWER[samples:]))


@pytest.mark.parametrize("samples", [0, 1, 6, 40])
def test_an_answer_that_comes_in_time_or_late_is_none(samples: int) -> None:
    assert lead(WAVE, np.roll(ANSWER, samples)) == {}


def test_a_lead_of_more_than_half_the_record_is_an_accident() -> None:
    assert lead(WAVE, np.roll(ANSWER, -2200)) == {}
