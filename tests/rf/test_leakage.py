from __future__ import annotations

import numpy as np
import pytest

from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.rf.alignment import repeated_share

X = ofdm_waveform(OfdmSettings(fft=4096, prefix=288, symbols=4, carrier_bins=167, active=152), np.random.default_rng(2))


def test_independent_parts_share_nothing() -> None:
    assert repeated_share(X[:9000], X[13_200:]) == 0.0


@pytest.mark.parametrize("gain", [1.0, 0.1j, -3.0])
def test_a_copy_is_found_at_any_gain(gain: complex) -> None:
    assert repeated_share(X[:9000], gain * X[2000:6000]) == 1.0


def test_half_a_copy() -> None:
    mixed = np.concatenate([X[2000:6000], X[13_200:17_200]])
    assert repeated_share(X[:9000], mixed) == pytest.approx(0.5, abs=0.1)


def test_noise_on_top_hides_it_only_when_it_is_strong() -> None:
    noise = 0.7 * np.random.default_rng(3).standard_normal((2, 4000))
    added = noise[0] + 1j * noise[1]
    assert repeated_share(X[:9000], X[2000:6000] + 0.01 * added) == 1.0
    assert repeated_share(X[:9000], X[2000:6000] + added) == 0.0


def test_silence_is_no_repeat() -> None:
    padded = np.concatenate([np.zeros(3000), X[:6000]])
    assert repeated_share(padded, np.zeros(3000, complex)) == 0.0
