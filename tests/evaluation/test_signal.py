"""What a report says of the prediction beside its target, and that `diagnose` reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.diagnosis.diagnose import facts_of_run
from dpdrun.evaluation.assessment import evaluate
from dpdrun.evaluation.prediction import predict
from dpdrun.models import gmp
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import load_text
from dpdrun.rf.metrics import nmse_db
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.run.files import encode_numbers
from dpdrun.run.metrics import Metrics

RECIPE = """
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
train: {max_steps: 12, batch_size: 4, frame: 32, burn_in: 8}
"""
FULL = ("model.window=full", "model.positions=sinusoidal", "model.features=iq", "model.embedding=layernorm_mlp")


def plan_of(*overrides: str) -> Plan:
    return make_plan(load_text(RECIPE, Path("r.yaml"), overrides).recipe, 1500)


def model_of(plan: Plan) -> BehaviouralModel:
    """Every weight drawn, so that nothing is hidden behind a zero."""
    torch.manual_seed(0)
    model = models.build(plan.recipe.model, scale_x=0.7, scale_y=1.4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model.eval()


def part(count: int, seed: int) -> Part:
    rng = np.random.default_rng(seed)
    white = rng.normal(size=count + 8) + 1j * rng.normal(size=count + 8)
    x = 0.1 * np.convolve(white, np.hanning(9), mode="valid")
    return Part(x, 2.0 * x * (1 - 0.3 * np.abs(x) ** 2))


CAPTURE = Capture(
    name="test", sample_rate_hz=1e6, bandwidth_hz=None, subchannels=None, licence="", note="",
    train=part(1500, 0), val=part(1100, 1), test=part(300, 2),
)  # fmt: skip


def test_record_and_pieces_of_full_attention() -> None:
    plan = plan_of(*FULL)
    model = model_of(plan)
    report = evaluate(model, plan, CAPTURE)
    facts = SignalFacts.from_json(report["signal"])
    assert facts is not None
    x, y = CAPTURE.val.x, CAPTURE.val.y
    assert facts.nmse_db == report["splits"]["val"]["nmse_db"] == nmse_db(y, predict(model, x))
    assert facts.pieces_nmse_db == nmse_db(y, predict(model, x, piece=32))
    assert (facts.frame, facts.piece, facts.full_attention) == (32, None, True)
    assert (facts.features, facts.embedding) == ("iq", "layernorm_mlp")


def test_scored_in_pieces_there_is_no_second_score() -> None:
    plan = plan_of("train.eval_on=frame")
    facts = SignalFacts.from_json(evaluate(model_of(plan), plan, CAPTURE, ("val",))["signal"])
    assert facts is not None
    assert (facts.frame, facts.piece, facts.pieces_nmse_db, facts.full_attention) == (32, 32, None, False)


def test_least_squares_fit_has_no_frames() -> None:
    text = "{task: pa, data: {source: synthetic/mild}, model: {kind: gmp, delays: 2, order: 3}}"
    plan = make_plan(load_text(text, Path("r.yaml")).recipe, 1500)
    model = models.build(plan.recipe.model, scale_x=CAPTURE.scale_x, scale_y=CAPTURE.scale_y)
    assert isinstance(model, gmp.Model)
    model.fit(CAPTURE.train.x, CAPTURE.train.y, CAPTURE.val.x, CAPTURE.val.y)
    facts = SignalFacts.from_json(evaluate(model, plan, CAPTURE, ("train",))["signal"])
    assert facts is not None
    assert (facts.samples, facts.frame, facts.piece, facts.pieces_nmse_db) == (1500, None, None, None)
    assert facts.features is None


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nothing_is_said_of_a_short_part_or_of_nan() -> None:
    plan = plan_of()
    assert evaluate(model_of(plan), plan, CAPTURE, ("test",))["signal"] is None
    broken = model_of(plan)
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    assert evaluate(broken, plan, CAPTURE, ("val",))["signal"] is None


def test_diagnose_sees_what_the_report_says() -> None:
    plan = plan_of(*FULL)
    report = evaluate(model_of(plan), plan, CAPTURE)
    written = json.loads(json.dumps(encode_numbers(report), allow_nan=False))
    assert facts_of_run(Metrics(), plan, written).signal == SignalFacts.from_json(report["signal"])
    assert facts_of_run(Metrics(), plan, {}).signal is None
