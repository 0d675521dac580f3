"""What a model is held against, and what it puts out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpdrun.data.sources import load_capture
from dpdrun.dpd.cascade import dpd_settings, stored_pa_model
from dpdrun.evaluation.prediction import predict
from dpdrun.evaluation.scoring import ScoringContext, scores_of
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.ofdm_grid import symbol_starts
from dpdrun.rf.spectrum import SEGMENT
from dpdrun.training.job import load_run


def test_a_pa_model_is_held_against_the_measured_output(dpd_runs: Path) -> None:
    model, plan, _ = load_run(dpd_runs / "pa")
    capture = load_capture(plan.recipe.data)
    context = ScoringContext(model, plan, capture)
    assert context.pair is capture
    np.testing.assert_array_equal(context.output("val").cold, predict(model, capture.val.x))
    assert not context.simulated
    with pytest.raises(ValueError, match="no PA model"):
        _ = context.cascade


def test_a_predistorter_is_held_against_the_wanted_signal(dpd_runs: Path) -> None:
    model, plan, _ = load_run(dpd_runs / "least")
    capture = load_capture(plan.recipe.data)
    _, pa = stored_pa_model(dpd_runs / "pa")
    context = ScoringContext(model, plan, capture, pa)
    np.testing.assert_allclose(context.pair.test.y, dpd_settings(plan).gain * capture.test.x)
    output = context.output("test")
    np.testing.assert_allclose(output.cold, predict(pa, predict(model, capture.test.x)), atol=1e-5)
    trace = context.trace("name", "test", output.chosen)
    assert trace is not None
    scene = context.plot_data("test", [None, trace])
    assert scene.traces == (trace,)
    assert (scene.capture, scene.split, scene.simulated, scene.nperseg) == (capture.name, "test", True, SEGMENT)
    np.testing.assert_array_equal(scene.x, capture.test.x)


def test_without_a_pa_model_it_is_held_against_the_input(dpd_runs: Path) -> None:
    model, plan, _ = load_run(dpd_runs / "least")
    capture = load_capture(plan.recipe.data)
    context = ScoringContext(model, plan, capture)
    np.testing.assert_array_equal(context.pair.test.y, capture.test.x)
    np.testing.assert_allclose(context.pair.test.x, capture.test.y / dpd_settings(plan).gain)


def test_symbols_are_found_in_the_input() -> None:
    """In a noisy output they would be found a little elsewhere, or not at all."""
    capture = load_capture(DataSection(source="synthetic/mild"))
    assert capture.grid is not None
    count = sum(map(len, symbol_starts(capture.test.x, capture.sample_rate_hz, capture.grid)))
    assert count > 0
    rng = np.random.default_rng(0)
    noisy = capture.test.y + 0.3 * (
        rng.standard_normal(len(capture.test)) + 1j * rng.standard_normal(len(capture.test))
    )
    found = scores_of(capture, "test", noisy, capture.test.y)
    assert found is not None
    assert found.symbols is not None
    assert found.symbols.count == count


@pytest.mark.parametrize("broken", [0.0, np.nan, np.inf])
def test_what_is_silent_or_not_finite_has_no_scores(broken: float) -> None:
    capture = load_capture(DataSection(source="synthetic/mild"))
    y = np.full(len(capture.test), complex(broken))
    assert scores_of(capture, "test", capture.test.y, y) is None
