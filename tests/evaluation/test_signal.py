"""What a report says of the prediction beside its target, and that `diagnose` reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dpdrun import models
from dpdrun.diagnosis.diagnose import facts_of_run
from dpdrun.evaluation.assessment import evaluate
from dpdrun.evaluation.prediction import predict
from dpdrun.models import gmp
from dpdrun.plan.plan import make_plan
from dpdrun.recipe.loader import load_text
from dpdrun.rf.metrics import nmse_db
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.run.files import encode_numbers
from dpdrun.run.metrics import Metrics
from tests.evaluation.cases import capture_of, part, plan_of, random_model

FULL = ("model.window=full", "model.positions=sinusoidal", "model.features=iq", "model.embedding=layernorm_mlp")
CAPTURE = capture_of(val=part(1100, 1))


def test_record_and_pieces_of_full_attention() -> None:
    plan = plan_of(*FULL)
    model = random_model(plan)
    report = evaluate(model, plan, CAPTURE)
    facts = SignalFacts.from_json(report["signal"])
    assert facts is not None
    x, y = CAPTURE.val.x, CAPTURE.val.y
    assert facts.nmse_db == report["splits"]["val"]["nmse_db"] == nmse_db(y, predict(model, x))
    assert facts.pieces_nmse_db == nmse_db(y, predict(model, x, frame=32))
    assert (facts.frame, facts.piece, facts.full_attention) == (32, None, True)
    assert (facts.features, facts.embedding) == ("iq", "layernorm_mlp")


def test_of_a_cut_record_the_prediction_from_the_real_past_is_compared() -> None:
    plan = plan_of()
    val = CAPTURE.val
    capture = capture_of(val=replace(val, past=part(600, 2)))
    report = evaluate(random_model(plan), plan, capture, ("val",))
    facts = SignalFacts.from_json(report["signal"])
    assert facts is not None
    score = report["splits"]["val"]
    assert facts.nmse_db == score["with_past"]["nmse_db"] != score["nmse_db"]


def test_scored_in_pieces_there_is_no_second_score() -> None:
    plan = plan_of("train.eval_on=frame")
    facts = SignalFacts.from_json(evaluate(random_model(plan), plan, CAPTURE, ("val",))["signal"])
    assert facts is not None
    assert (facts.frame, facts.piece, facts.pieces_nmse_db, facts.full_attention) == (32, 32, None, False)


def test_least_squares_fit_has_no_frames() -> None:
    text = "{task: pa, data: {source: synthetic/mild}, model: {kind: gmp, delays: 2, order: 3}}"
    plan = make_plan(load_text(text, Path("r.yaml")).recipe, 2000)
    model = models.build(plan.recipe.model, scale_x=CAPTURE.scale_x, scale_y=CAPTURE.scale_y)
    assert isinstance(model, gmp.Model)
    model.fit(CAPTURE.train.x, CAPTURE.train.y, CAPTURE.val.x, CAPTURE.val.y)
    facts = SignalFacts.from_json(evaluate(model, plan, CAPTURE, ("train",))["signal"])
    assert facts is not None
    assert (facts.samples, facts.frame, facts.piece, facts.pieces_nmse_db) == (2000, None, None, None)
    assert facts.features is None


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_short_part_or_nan_gives_no_facts() -> None:
    plan = plan_of()
    assert evaluate(random_model(plan), plan, CAPTURE, ("test",))["signal"] is None
    broken = random_model(plan)
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    assert evaluate(broken, plan, CAPTURE, ("val",))["signal"] is None


def test_diagnose_sees_what_the_report_says() -> None:
    plan = plan_of(*FULL)
    report = evaluate(random_model(plan), plan, CAPTURE)
    written = json.loads(json.dumps(encode_numbers(report), allow_nan=False))
    assert facts_of_run(Metrics(), plan, written).signal == SignalFacts.from_json(report["signal"])
    assert facts_of_run(Metrics(), plan, {}).signal is None
