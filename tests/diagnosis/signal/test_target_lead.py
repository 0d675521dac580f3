"""A target that comes before its input, by known numbers of samples."""

from __future__ import annotations

import numpy as np
import pytest

from dpdrun.diagnosis.signal.target_lead import lead
from dpdrun.rf.metrics import one_tap_nmse_db

RNG = np.random.default_rng(0)
X = np.convolve(RNG.standard_normal(4009) + 1j * RNG.standard_normal(4009), np.hanning(9) / 4, mode="valid")
Y = (2 + 1j) * X * (1 - 0.05 * np.abs(X) ** 2)


@pytest.mark.parametrize("samples", [1, 6, 40, 1500])
def test_lead_is_found_with_what_it_costs(samples: int) -> None:
    found = lead(X, np.roll(Y, -samples))
    assert found is not None
    assert found.samples == samples
    assert found.present_nmse_db == pytest.approx(one_tap_nmse_db(X, np.roll(Y, -samples)))
    assert found.ahead_nmse_db == pytest.approx(one_tap_nmse_db(X[samples:], Y[samples:]))


@pytest.mark.parametrize("samples", [0, 1, 6, 40])
def test_an_answer_that_comes_in_time_or_late_is_none(samples: int) -> None:
    assert lead(X, np.roll(Y, samples)) is None


def test_a_lead_of_more_than_half_the_record_is_an_accident() -> None:
    assert lead(X, np.roll(Y, -2200)) is None
