"""Whether a model is scored on what it was trained on."""

from __future__ import annotations

import math

import pytest

from dpdrun.rules.advice import derive
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts

FULL: dict[str, object] = {"kind": "transformer", "d_model": 8, "layers": 1, "window": math.inf}
WINDOWED: dict[str, object] = {"kind": "transformer", "d_model": 8, "layers": 2, "window": 32, "conv": 4}
GRU: dict[str, object] = {"kind": "gru", "hidden": 8, "layers": 1}


def checked(model: dict[str, object], **facts: object) -> dict[str, Finding]:
    advice = derive(PlanFacts(**model, **facts), "measured")  # type: ignore[arg-type]
    return {finding.code: finding for finding in advice.warnings if finding.code.startswith("EV")}


@pytest.mark.parametrize(
    ("lengths", "flagged"),
    [
        ({"samples": 58_980}, True),
        ({}, True),
        ({"samples": 58_980, "val_samples": 19_662}, True),
        ({"samples": 200}, False),
        ({"samples": 58_980, "val_samples": 150}, False),
    ],
)
def test_full_attention_on_frames_and_records(lengths: dict[str, int], flagged: bool) -> None:
    assert ("EV101" in checked(FULL, frame=200, eval_on="record", **lengths)) is flagged


def test_the_ratio_of_lengths_is_that_of_the_scored_split() -> None:
    assert (
        "98 times longer"
        in checked(FULL, frame=200, eval_on="record", samples=58_980, val_samples=19_662)["EV101"].message
    )
    assert "times longer" not in checked(FULL, frame=200, eval_on="record")["EV101"].message


def test_full_attention_on_pieces_is_worth_a_word_that_has_no_fix() -> None:
    found = checked(FULL, frame=200, eval_on="frame", samples=58_980)
    assert [(f.code, f.severity, f.fix) for f in found.values()] == [("EV102", "info", "none")]


@pytest.mark.parametrize("model", [WINDOWED, GRU], ids=["windowed", "gru"])
def test_a_record_is_no_other_context_for_a_window_or_a_state(model: dict[str, object]) -> None:
    assert checked(model, frame=256, burn_in=65, eval_on="record", samples=58_980) == {}


@pytest.mark.parametrize("model", [WINDOWED, GRU], ids=["windowed", "gru"])
@pytest.mark.parametrize(("burn_in", "severity"), [(65, "warning"), (0, "info")])
def test_pieces_score_outputs_that_training_left_out(model: dict[str, object], burn_in: int, severity: str) -> None:
    finding = checked(model, frame=256, burn_in=burn_in, eval_on="frame", samples=58_980)["EV103"]
    assert (finding.severity, finding.patch) == (severity, {"train.eval_on": "record"})
