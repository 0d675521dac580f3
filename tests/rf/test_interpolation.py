from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf.interpolation import REACH, derivative, interpolate

N = np.arange(3000)
INNER = slice(REACH, -REACH)


@pytest.mark.parametrize("frequency", [0.0, 0.1, -0.2, 0.35, -0.42])
def test_a_tone_is_known_between_its_samples(frequency: float) -> None:
    instants = 140.3 + np.arange(2700) * 1.0002
    found = interpolate(np.exp(2j * np.pi * frequency * N), instants)
    assert np.max(np.abs(found - np.exp(2j * np.pi * frequency * instants))) < 1e-4  # -80 dB at its worst sample


def test_whole_instants_are_the_samples_themselves() -> None:
    y = np.exp(0.3j * N)
    assert np.array_equal(interpolate(y, np.arange(5, 500, dtype=np.float64)), y[5:500])


def test_outside_of_the_record_is_silence() -> None:
    y = np.ones(100, complex)
    assert np.array_equal(interpolate(y, np.array([-2.0, 0.0, 99.0, 100.0])), [0, 1, 1, 0])


def test_the_derivative_of_a_tone() -> None:
    tone = np.exp(2j * np.pi * 0.15 * N)
    assert np.max(np.abs(derivative(tone) - 2j * np.pi * 0.15 * tone)[INNER]) < 1e-4
