"""Scores against plain numpy, predictions in pieces and in chunks, baselines, floor."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dpdrun import evaluation, models
from dpdrun.data.capture import Capture, Part
from dpdrun.evaluation import evaluate, floor_of, gmp_baseline, one_tap_baseline, piece_of, predict
from dpdrun.plan import Plan, make_plan
from dpdrun.recipe.loader import load_text

RECIPE = """
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 2, heads: 2, window: 8}
train: {max_steps: 12, batch_size: 4, frame: 32, burn_in: 8}
"""
MODELS = {
    "transformer": (),
    "lookahead": ("model.lookahead=3",),
    "full": ("model.window=full", "model.positions=sinusoidal"),
    "gru": ("model={kind: gru, hidden: 4}",),
}


def plan_of(*overrides: str) -> Plan:
    return make_plan(load_text(RECIPE, Path("r.yaml"), overrides).recipe, 2000)


def random_model(plan: Plan) -> nn.Module:
    """A model whose every weight is drawn, so that nothing is hidden behind a zero."""
    torch.manual_seed(0)
    model = models.build(plan.recipe.model, scale_x=0.7, scale_y=1.4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model.eval()


def noise(count: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=count) + 1j * rng.normal(size=count)


def part(count: int, seed: int) -> Part:
    """Smooth noise through a memoryless cubic amplifier."""
    x = 0.1 * np.convolve(noise(count + 8, seed), np.hanning(9), mode="valid")
    return Part(x, 2.0 * x * (1 - 0.3 * np.abs(x) ** 2))


def capture_of(**more: Any) -> Capture:
    return Capture(
        name="test", sample_rate_hz=1e6, bandwidth_hz=None, subchannels=None, licence="", note="",
        train=part(2000, 0), val=part(500, 1), test=part(300, 2), **more,
    )  # fmt: skip


def nmse(y: Any, prediction: Any) -> float:
    """By the definition, on its own."""
    return 10 * math.log10(np.linalg.norm(prediction - y) ** 2 / np.linalg.norm(y) ** 2)


@pytest.mark.parametrize("kind", MODELS)
def test_one_pass_is_the_model_in_the_units_of_the_capture(kind: str) -> None:
    model, x = random_model(plan_of(*MODELS[kind])), noise(50)
    pairs = torch.tensor(np.stack([x.real, x.imag], -1), dtype=torch.float32)
    with torch.no_grad():
        direct = model(pairs[None])[0].double().numpy()
    np.testing.assert_array_equal(predict(model, x), direct[:, 0] + 1j * direct[:, 1])


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("count", [101, 128, 7])
def test_chunks_with_carried_state_equal_one_pass(kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = random_model(plan_of(*MODELS[kind])), noise(count)
    whole = predict(model, x)
    monkeypatch.setattr(evaluation, "WHOLE_RECORD_SAMPLES", 5)
    monkeypatch.setattr(evaluation, "CHUNK_SAMPLES", 16)
    lengths: list[int] = []
    step = model.step
    monkeypatch.setattr(model, "step", lambda x, state: lengths.append(x.shape[1]) or step(x, state))  # type: ignore[func-returns-value]
    np.testing.assert_allclose(predict(model, x), whole, atol=1e-5 * np.abs(whole).max())
    if kind != "full":  # which cannot be cut: it attends to the whole record
        assert len(lengths) == math.ceil(count / 16) + (kind == "lookahead")  # a flush behind the end
        assert max(lengths) <= 16


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("count", [60, 64, 20, 9, 1])
def test_pieces_equal_calls_of_their_own(kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last piece is shorter, where the record is shorter than a piece, and where batches are cut."""
    model, x = random_model(plan_of(*MODELS[kind])), noise(count)
    expected = np.concatenate([predict(model, x[start : start + 20]) for start in range(0, count, 20)])
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(predict(model, x, piece=20), expected, atol=tolerance)
    monkeypatch.setattr(evaluation, "CHUNK_SAMPLES", 45)  # two pieces at a time
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda module, arguments: sizes.append(arguments[0].shape[0]))
    np.testing.assert_allclose(predict(model, x, piece=20), expected, atol=tolerance)
    assert max(sizes) <= 2


def test_pieces_do_not_see_each_other() -> None:
    model, x = random_model(plan_of()), noise(64)
    other = x.copy()
    other[:20] *= 3
    a, b = predict(model, x, piece=20), predict(model, other, piece=20)
    np.testing.assert_array_equal(a[20:], b[20:])
    assert not np.allclose(predict(model, x)[20:], predict(model, other)[20:])


def test_a_plan_says_how_a_record_is_cut() -> None:
    assert piece_of(plan_of()) is None
    assert piece_of(plan_of("train.eval_on=frame")) == 32


@pytest.mark.parametrize("eval_on", ["record", "frame"])
def test_scores_are_those_of_plain_numpy(eval_on: str) -> None:
    plan, capture = plan_of(f"train.eval_on={eval_on}"), capture_of(noise_floor_db=-42.0)
    model = random_model(plan).train()
    report = evaluate(model, plan, capture, ("train", "val", "test"))
    assert list(report["splits"]) == ["train", "val", "test"]
    assert not model.training
    gain = np.linalg.lstsq(capture.train.x[:, None], capture.train.y, rcond=None)[0][0]
    for name, each in capture.parts.items():
        prediction = predict(model, each.x, piece=32 if eval_on == "frame" else None)
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
    assert report["capture"] == {"name": "test", "sha256": capture.sha256, "loop_samples": None}
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


def test_baselines_are_fitted_to_the_training_part_alone() -> None:
    capture = capture_of()
    changed = Capture(**{
        **{name: getattr(capture, name) for name in ("name", "sample_rate_hz", "bandwidth_hz", "subchannels")},
        "licence": "", "note": "", "train": capture.train, "val": capture.val,
        "test": Part(capture.test.x, 3j * capture.test.y),
    })  # fmt: skip
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


def test_a_score_below_the_floor_is_shown_as_it_is() -> None:
    plan = plan_of()
    report = evaluate(random_model(plan), plan, capture_of(noise_floor_db=60.0), ("val", "test"))
    assert report["db_left"] == report["splits"]["test"]["nmse_db"] - 60.0 < 0


@pytest.mark.parametrize("lookahead", [0, 3])
@pytest.mark.parametrize("loop", [40, 20])
def test_a_loop_is_given_its_own_end_as_past_and_its_own_beginning_as_future(loop: int, lookahead: int) -> None:
    from dpdrun import models
    from dpdrun.recipe.schema import TransformerModel

    torch.manual_seed(0)
    config = TransformerModel(
        kind="transformer", d_model=8, layers=2, heads=2, window=8, lookahead=lookahead, residual_init="xavier"
    )
    model = models.build(config, scale_x=1.0, scale_y=1.0).eval()
    rng = np.random.default_rng(0)
    x = rng.normal(size=120) + 1j * rng.normal(size=120)
    played = [np.tile(each, 4) for each in x.reshape(-1, loop)]  # what the amplifier saw
    expected = np.concatenate([predict(model, each)[2 * loop : 3 * loop] for each in played])
    assert loop != 40 or model.context < 2 * loop
    np.testing.assert_allclose(predict(model, x, loop=loop), expected, atol=1e-5)
    assert not np.allclose(predict(model, x), expected, atol=1e-3)
