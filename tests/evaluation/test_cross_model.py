"""A predistorter validated through a PA model that it was not trained through."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.data.sources import load_capture
from dpdrun.dpd.cascade import cascade_of, dpd_settings, stored_pa_model
from dpdrun.errors import RunError
from dpdrun.evaluation.assessment import evaluate_with_plots
from dpdrun.evaluation.cross_model import (
    add_cross_model_scores,
    load_reference_pa,
    require_independent,
    score_with_reference,
)
from dpdrun.evaluation.prediction import predict
from dpdrun.rf.metrics import nmse_db
from dpdrun.training.job import load_run


@pytest.mark.parametrize("name", ["least", "network"])
def test_scores_are_those_through_the_other_model(dpd_runs: Path, name: str) -> None:
    model, plan, _ = load_run(dpd_runs / name)
    capture = load_capture(plan.recipe.data)
    own = evaluate_with_plots(model, plan, capture, ("val", "test"))
    reference = load_reference_pa(dpd_runs / "other", capture)
    scores = score_with_reference(model, plan, capture, ("val", "test"), reference, own)
    _, other = stored_pa_model(dpd_runs / "other")
    cascade = cascade_of(model, plan, capture, other).eval()
    for split, part in (("val", capture.val), ("test", capture.test)):
        expected = nmse_db(dpd_settings(plan).gain * part.x, predict(cascade, part.x))
        score, mine = scores.report["splits"][split], own.report["splits"][split]
        assert score["nmse_db"] == pytest.approx(expected, abs=1e-9)
        assert score["linearity"]["nmse_db"] == pytest.approx(expected, abs=1e-9)
        assert score["nmse_db"] != mine["nmse_db"]
        found = scores.report["difference"][split]
        assert found["nmse_db"] == pytest.approx(score["nmse_db"] - mine["nmse_db"])
        assert found["aclr_worse_db"] == pytest.approx(score["aclr_worse_db"] - mine["aclr_worse_db"])
        of_pa = nmse_db(part.y, predict(other, part.x))
        assert scores.report["pa"]["nmse_db"][split] == pytest.approx(of_pa)
        assert scores.report["baselines"]["one_tap"][split]["power_db"] == pytest.approx(0.0, abs=0.1)
    assert scores.report["pa"]["same_kind"]  # both are gmp

    report, plots = add_cross_model_scores(own, scores)
    assert report["through"] == scores.report
    assert [plot.split for plot in plots] == ["val", "test"]
    for plot in plots:
        assert [trace.name for trace in plot.traces][-2:] == ["through other", "this run"]


def test_its_own_pa_model_is_refused(dpd_runs: Path) -> None:
    _, plan, _ = load_run(dpd_runs / "least")
    capture = load_capture(plan.recipe.data)
    reference = load_reference_pa(dpd_runs / "pa", capture)
    with pytest.raises(RunError, match="was trained through this PA model"):
        require_independent(reference, dpd_runs / "least", plan)
    _, of_pa, _ = load_run(dpd_runs / "other")
    with pytest.raises(RunError, match="run of a PA model"):
        require_independent(reference, dpd_runs / "other", of_pa)
    require_independent(load_reference_pa(dpd_runs / "other", capture), dpd_runs / "least", plan)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("network", "run of task dpd"),
        ("elsewhere", "trained on other samples"),
        ("none", "no such run folder"),
    ],
)
def test_what_is_no_reference_is_refused(dpd_runs: Path, name: str, why: str) -> None:
    _, plan, _ = load_run(dpd_runs / "least")
    with pytest.raises(RunError, match=why) as caught:
        load_reference_pa(dpd_runs / name, load_capture(plan.recipe.data))
    assert str(dpd_runs / name) in str(caught.value)
