"""The judge of exported files: it must see every way to be wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpdrun.errors import RunError
from dpdrun.export.verify import CHUNKS, reference_outputs, relative_error, require_equal, stream_step

X = np.random.default_rng(0).standard_normal(5000) + 0j


def delayed(x: Any, state: Any) -> Any:
    """y[n] = x[n - 1]: late by one, as a model with look-ahead is."""
    joined = np.concatenate([state["last"], x], axis=1)
    return joined[:, :-1], {"last": joined[:, -1:]}


def test_chunks_are_uneven_and_the_state_is_carried() -> None:
    lengths = []

    def step(x: Any, state: Any) -> Any:
        lengths.append(x.shape[1])
        return delayed(x, state)

    state = {"last": np.zeros((1, 1, 2), np.float32)}
    found = stream_step(step, state, X, lookahead=1)
    np.testing.assert_allclose(found, X, rtol=1e-6)
    assert sum(lengths) == len(X) + 1
    assert tuple(lengths[: len(CHUNKS)]) == CHUNKS
    assert len(set(lengths)) > 5


def test_a_step_that_forgets_its_state_is_caught() -> None:
    state = {"last": np.zeros((1, 1, 2), np.float32)}
    found = stream_step(lambda x, _: delayed(x, state), state, X, lookahead=1)
    with pytest.raises(RunError, match=r"m\.onnx: the output of the exported file differs.*nothing was written"):
        require_equal(found, [X], "m.onnx")


def test_one_wrong_sample_in_thousands_is_caught() -> None:
    off = X.copy()
    off[4321] += 2e-5 * np.sqrt(np.mean(np.abs(X) ** 2))
    assert relative_error(off, X) == pytest.approx(2e-5)
    with pytest.raises(RunError, match=r"2\.0e-05 of the rms"):
        require_equal(off, [X], "m.onnx")
    assert require_equal(off, [2 * X, off], "m.onnx") == 0.0
    off[0] = np.nan
    assert relative_error(off, X) == float("inf")


def test_silence_equals_silence_alone() -> None:
    silence = np.zeros_like(X)
    assert (relative_error(silence, silence), relative_error(X, silence)) == (0.0, float("inf"))


def test_an_output_that_is_not_finite_is_refused(case: Any) -> None:
    with pytest.raises(RunError, match="not finite on the test split"):
        reference_outputs(case.graph.model, np.full(64, 1e38 + 1e38j))


def test_the_output_of_a_run_in_both_precisions(case: Any) -> None:
    single, double = reference_outputs(case.graph.model, case.x)
    assert 0 < relative_error(single, double) < 1e-4
    assert next(case.graph.model.buffers()).dtype.itemsize == 4  # the model itself stays as it is
