"""Baselines: fitted to the training part alone, and what they can model."""

from __future__ import annotations

from dataclasses import replace

from dpdrun.data.capture import Capture, Part
from dpdrun.evaluation.assessment import evaluate
from dpdrun.evaluation.baselines import floor_of, gmp_baseline, one_tap_outputs
from dpdrun.evaluation.prediction import Split, part_of
from dpdrun.rf.metrics import nmse_db
from tests.evaluation.cases import capture_of, plan_of, random_model


def one_tap_baseline(capture: Capture, splits: tuple[Split, ...]) -> dict[str, dict[str, float]]:
    outputs = one_tap_outputs(capture, splits)
    return {split: {"nmse_db": nmse_db(part_of(capture, split).y, y.cold)} for split, y in outputs.items()}


def test_baselines_are_fitted_to_the_training_part_alone() -> None:
    capture = capture_of()
    changed = replace(capture, test=Part(capture.test.x, 3j * capture.test.y))
    for baseline in (one_tap_baseline, gmp_baseline):
        assert baseline(capture, ("val",)) == baseline(changed, ("val",))
        assert baseline(capture, ("test",))["test"]["nmse_db"] < -15 < baseline(changed, ("test",))["test"]["nmse_db"]


def test_a_gmp_models_a_cubic_amplifier_and_one_gain_does_not() -> None:
    capture = capture_of()
    gmp, one_tap = gmp_baseline(capture, ("val", "test")), one_tap_baseline(capture, ("val", "test"))
    for split in ("val", "test"):
        assert gmp[split]["nmse_db"] < one_tap[split]["nmse_db"] - 20
    assert gmp["parameters"] > 0


def test_a_known_floor_is_taken_and_an_unknown_one_is_explained() -> None:
    known = floor_of(capture_of(noise_floor_db=-42.0))
    assert known["nmse_db"] == -42.0
    assert "known" in known["method"]
    unknown = floor_of(capture_of())
    assert unknown["nmse_db"] is None
    assert "too few" in unknown["caveat"]
    plan = plan_of()
    report = evaluate(random_model(plan), plan, capture_of(), ("val",))
    assert report["db_left"] is report["splits"]["val"]["db_left"] is None
