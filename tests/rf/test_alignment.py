from __future__ import annotations

import numpy as np
import pytest

from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.rf.alignment import delay, fft_size

X = ofdm_waveform(OfdmSettings(fft=4096, prefix=288, symbols=3, carrier_bins=167, active=152), np.random.default_rng(0))


def late(x: np.ndarray, samples: float) -> np.ndarray:
    return np.fft.ifft(np.fft.fft(x) * np.exp(-2j * np.pi * np.fft.fftfreq(len(x)) * samples))


@pytest.mark.parametrize("samples", [0.0, 0.25, -0.4, 0.5, 1.0, 12.3, -7.75, 500.0])
def test_delay_is_found_to_a_hundredth(samples: float) -> None:
    found = delay(X, (0.5 - 1j) * late(X, samples))
    assert found.samples == pytest.approx(samples, abs=0.01)
    assert abs(found.whole - samples) <= 0.51


def test_a_nonlinear_noisy_amplifier_keeps_its_delay() -> None:
    noise = np.random.default_rng(1).standard_normal((2, len(X)))
    y = late(X / (1 + 0.1 * np.abs(X) ** 2), 3.2) + 0.05 * (noise[0] + 1j * noise[1])
    assert delay(X, y).samples == pytest.approx(3.2, abs=0.02)


def test_correlation() -> None:
    assert delay(X, 3j * X).correlation == pytest.approx(1.0)
    other = ofdm_waveform(
        OfdmSettings(fft=4096, prefix=288, symbols=3, carrier_bins=167, active=152), np.random.default_rng(9)
    )
    assert delay(X, other).correlation < 0.3


def test_real_tone_and_unequal_spectra_do_not_break_it() -> None:
    tone = np.exp(2j * np.pi * 0.05 * np.arange(4000))
    assert np.isfinite(delay(tone, tone).samples)


def test_fft_size() -> None:
    assert [fft_size(n) for n in (1, 2, 3, 1024, 1025)] == [1, 2, 4, 1024, 2048]
