from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf.metrics import ccdf_db


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


def test_a_level_that_too_few_samples_exceed_is_not_told() -> None:
    assert ccdf_db(np.exp(1j * np.arange(9_999)))[0.001] is None
    assert ccdf_db(np.exp(1j * np.arange(10_000)))[0.001] is not None


@pytest.mark.parametrize("x", [np.zeros(100) + 0j, np.zeros(0) + 0j])
def test_silence_has_none(x: np.ndarray) -> None:
    with pytest.raises(ValueError, match="without power"):
        ccdf_db(x)
