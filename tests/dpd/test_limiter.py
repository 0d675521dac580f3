"""The limiter on arrays, and that its twin on tensors does the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.dpd.limiter import limit_magnitude

VALUES = st.complex_numbers(max_magnitude=1e6, allow_nan=False, allow_infinity=False)


@given(st.lists(VALUES, min_size=1, max_size=20), st.floats(1e-3, 1e3))
def test_nothing_is_louder_than_the_limit_and_no_phase_turns(values: list[complex], peak: float) -> None:
    u = np.array(values, np.complex128)
    played = limit_magnitude(u, peak)
    assert np.all(np.abs(played) <= peak * (1 + 1e-12))
    quiet = np.abs(u) <= peak
    assert np.array_equal(played[quiet], u[quiet])
    assert np.allclose(played * np.abs(u), u * np.abs(played), atol=1e-9)


def test_no_limit_leaves_the_signal_as_it_is() -> None:
    u = np.array([3.0 + 4.0j, 0.0])
    assert limit_magnitude(u, float("inf")) is u


@pytest.mark.parametrize("peak", [0.5, 5.0, float("inf")])
def test_the_tensor_version_is_the_same(peak: float) -> None:
    from dpdrun.models._arrays import to_complex, to_pairs
    from dpdrun.models._cascade import limit

    rng = np.random.default_rng(0)
    u = rng.normal(size=100) + 1j * rng.normal(size=100)
    u[7] = 0.0
    assert np.allclose(to_complex(limit(to_pairs(u), peak)), limit_magnitude(u, peak), atol=1e-6)
