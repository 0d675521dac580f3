"""Scores against plain numpy, every score of linearity beside them, what a report says, what is drawn."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dpdrun.data.capture import Part
from dpdrun.data.sources import load_capture
from dpdrun.evaluation.assessment import evaluate, evaluate_with_plots
from dpdrun.evaluation.prediction import predict
from dpdrun.rf.aclr import aclr
from dpdrun.rf.metrics import one_tap_gain
from dpdrun.run.files import encode_numbers
from dpdrun.training.job import load_run
from tests.evaluation.cases import capture_of, nmse, plan_of, random_model


@pytest.mark.parametrize("eval_on", ["record", "frame"])
def test_scores_are_those_of_plain_numpy(eval_on: str) -> None:
    plan, capture = plan_of(f"train.eval_on={eval_on}"), capture_of(noise_floor_db=-42.0)
    model = random_model(plan).train()
    report = evaluate(model, plan, capture, ("train", "val", "test"))
    assert list(report["splits"]) == ["train", "val", "test"]
    assert not model.training
    gain = np.linalg.lstsq(capture.train.x[:, None], capture.train.y, rcond=None)[0][0]
    for name, each in capture.parts.items():
        prediction = predict(model, each.x, frame=32 if eval_on == "frame" else None)
        score = report["splits"][name]
        assert score["nmse_db"] == pytest.approx(nmse(each.y, prediction), abs=1e-9)
        assert score["samples"] == len(each)
        assert report["baselines"]["one_tap"][name]["nmse_db"] == pytest.approx(nmse(each.y, gain * each.x), abs=1e-9)
        assert score["gain_over_gmp_db"] == report["baselines"]["gmp"][name]["nmse_db"] - score["nmse_db"]
        assert score["db_left"] == pytest.approx(score["nmse_db"] + 42.0)
        assert score["nmse_opendpd_legacy_db"] is None
    assert report["db_left"] == report["splits"]["test"]["db_left"]


def test_the_report_names_model_capture_costs_and_rules() -> None:
    plan, capture = plan_of("optim.lr=0.5"), capture_of()
    model = random_model(plan)
    report = evaluate(model, plan, capture, ("val",))
    assert (report["task"], report["model"]) == ("pa", "transformer")
    peak = float(np.abs(capture.train.x).max())
    assert report["capture"] == {
        "name": "test", "sha256": capture.sha256, "loop_samples": None, "train_peak": peak
    }  # fmt: skip
    assert report["parameters"] == sum(p.numel() for p in model.parameters())
    assert report["macs_per_sample"] == model.macs_per_sample
    assert report["lookahead"] == 0
    assert report["rules"]
    assert report["rules"] == {key: origin.rule for key, origin in plan.provenance.items() if origin.rule}
    assert "optim.lr" not in report["rules"]  # written by the user
    assert set(report["splits"]) == set(report["baselines"]["one_tap"]) == {"val"}


def test_frozen_parameters_are_not_counted() -> None:
    plan = plan_of()
    model = random_model(plan)
    before = evaluate(model, plan, capture_of(), ("val",))["parameters"]
    first = next(model.parameters()).requires_grad_(False)
    assert evaluate(model, plan, capture_of(), ("val",))["parameters"] == before - first.numel()


def test_the_legacy_score_is_the_mean_over_segments() -> None:
    plan, capture = plan_of(), capture_of(nperseg=80)
    model = random_model(plan)
    score = evaluate(model, plan, capture, ("test",))["splits"]["test"]
    padding = np.zeros(-len(capture.test) % 80)
    assert padding.size
    x, y = np.append(capture.test.x, padding), np.append(capture.test.y, padding)
    parts = [nmse(y[i : i + 80], predict(model, x[i : i + 80])) for i in range(0, len(x), 80)]  # each begins cold
    assert score["nmse_opendpd_legacy_db"] == pytest.approx(np.mean(parts), abs=1e-5)
    assert score["nmse_db"] == pytest.approx(nmse(capture.test.y, predict(model, capture.test.x)), abs=1e-9)
    assert score["nmse_as_one_record_db"] is None


def test_a_score_below_the_floor_is_shown_as_it_is() -> None:
    plan = plan_of()
    report = evaluate(random_model(plan), plan, capture_of(noise_floor_db=60.0), ("val", "test"))
    assert report["db_left"] == report["splits"]["test"]["nmse_db"] - 60.0 < 0


def smooth(part: Part) -> Part:
    """As slow that the stated 200 kHz hold all of it."""
    x = np.convolve(part.x, np.hanning(25) / 6, mode="same")
    return Part(x, 2.0 * x * (1 - 0.3 * np.abs(x) ** 2))


def test_the_report_has_every_linearity_score() -> None:
    plan, capture = plan_of(), capture_of()
    parts = {name: smooth(each) for name, each in capture.parts.items()}
    capture = replace(capture, bandwidth_hz=2e5, **parts)
    model = random_model(plan)
    found = evaluate_with_plots(model, plan, capture, ("val", "test"))
    assert [scene.split for scene in found.plots] == ["val", "test"]
    for scene in found.plots:
        each, score = capture.parts[scene.split], found.report["splits"][scene.split]
        assert [trace.name for trace in scene.traces] == ["one complex gain", "gmp, least squares", "this run"]
        this = scene.traces[-1]
        np.testing.assert_array_equal(this.y, predict(model, each.x))
        np.testing.assert_array_equal(this.reference, each.y)
        assert score["linearity"] == this.scores.to_json()
        assert score["linearity"]["nmse_db"] == pytest.approx(score["nmse_db"], abs=1e-9)
        for name, trace in zip(("one_tap", "gmp"), scene.traces, strict=False):
            assert found.report["baselines"][name][scene.split]["linearity"]["nmse_db"] == trace.scores.nmse_db
        amplifier = found.report["amplifier"][scene.split]
        leakage = aclr(each.y, 1e6, 2e5, convention="general-v1")
        assert amplifier["measured"]["aclr_worse_dbc"] == leakage.worse_dbc
        assert amplifier["model"]["aclr_worse_dbc"] == score["linearity"]["aclr_worse_dbc"]
        linear = one_tap_gain(each.x, each.y) * each.x
        assert amplifier["measured"]["nmse_db"] == pytest.approx(nmse(linear, each.y))
    assert [each["method"] for each in found.report["floors"]] == ["repeats", "quiet band", "smallest inputs"]
    assert json.loads(json.dumps(encode_numbers(found.report))) == encode_numbers(found.report)


@pytest.mark.parametrize("broken", [math.nan, 0.0])
def test_a_model_without_an_output_has_a_report(broken: float) -> None:
    plan, capture = plan_of(), capture_of()
    model = random_model(plan)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(broken)
    found = evaluate_with_plots(model, plan, capture, ("val",))
    assert "silent or not finite" in found.report["splits"]["val"]["linearity"]["missing"]["all"]
    assert [trace.name for trace in found.plots[0].traces] == ["one complex gain", "gmp, least squares"]


def test_a_predistorter_is_scored_by_the_same_conventions(dpd_runs: Path) -> None:
    """What selected it, and what an evaluation says of it, are the same numbers."""
    model, plan, _ = load_run(dpd_runs / "least")
    found = evaluate_with_plots(model, plan, load_capture(plan.recipe.data))
    assert found.report["floors"] == []
    for scene in found.plots:
        assert [trace.name for trace in scene.traces] == ["no predistortion", "gmp, least squares", "this run"]
        baseline_scores = [found.report["baselines"][name][scene.split] for name in ("one_tap", "gmp")]
        for score in (found.report["splits"][scene.split], *baseline_scores):
            same = {"nmse_db": "nmse_db", "in_band_db": "in_band_error_db", "aclr_worse_db": "aclr_worse_dbc",
                    "power_db": "power_change_db"}  # fmt: skip
            for ours, theirs in same.items():
                assert score[ours] == pytest.approx(score["linearity"][theirs], abs=1e-9), ours
