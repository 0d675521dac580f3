"""One answer for every input: a constant loss or accuracy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.run import RunFacts


def of_losses(losses: list[float], **other: Any) -> Finding | None:
    run = RunFacts(step=list(range(1, len(losses) + 1)), loss=losses, **other)
    return next((f for f in diagnose_facts(run).findings if f.code == "LS204"), None)


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ([1.9112, *[1.9105] * 9], True),
        ([0.0291, *[0.0266] * 8], True),
        ([5.0, *[1.9105] * 9], False),  # it fell to that
        ([0.03, *[0.03] * 9], False),  # two digits hide a fall
        ([1e-5] * 9, False),
        ([1.9112, *[1.9105] * 4], True),
        ([1.9112, *[1.9105] * 3], False),
    ],
)
def test_the_same_number_in_every_line(losses: list[float], *, named: bool) -> None:
    finding = of_losses(losses)
    assert (finding is not None and finding.severity == "warning") is named


def test_the_same_number_is_judged_early_in_the_plan() -> None:
    assert of_losses([0.0291, *[0.0266] * 8], total_steps=100) is not None
    assert of_losses([1.9, 1.91, 1.9, 1.91, 1.9, 1.9, 1.91, 1.9], total_steps=100) is None


def test_a_short_log_that_is_still_from_its_first_line_on() -> None:
    losses = [5.300, 5.302, 5.299, 5.301, 5.303, 5.298, 5.301, 5.300, 5.302, 5.299]
    finding = of_losses(losses)
    assert finding is not None
    assert finding.severity == "warning"
    late = diagnose_facts(RunFacts(step=list(range(900, 910)), loss=losses)).findings
    assert "LS204" not in {f.code for f in late}


FALLING = [1.003, 0.891, 0.837, 0.818, 0.744, 0.690, 0.654, 0.634, 0.615, 0.611, 0.601, 0.598]
FROZEN = [0.7202, 0.7202, 0.7198, *[0.7188] * 9]


def test_an_accuracy_that_never_moves_while_the_loss_falls_to_that_of_the_prior() -> None:
    at = list(range(1, 13))
    frozen, moves = (at, FROZEN), (at, [0.60 + 0.01 * k for k in range(12)])
    finding = of_losses(FALLING, loss_unit="nats", eval_metrics={"val_acc": frozen})
    assert finding is not None
    assert finding.severity == "warning"
    assert "has a loss of 0.594" in finding.message  # -0.7188 ln 0.7188 - 0.2812 ln 0.2812
    knows = [0.8 * loss for loss in FALLING]  # more than the prior
    assert of_losses(knows, loss_unit="nats", eval_metrics={"val_acc": frozen}) is None
    assert of_losses(FALLING, loss_unit="nats", eval_metrics={"val_acc": frozen, "test_acc": moves}) is None
    assert of_losses(FALLING, loss_unit="power", eval_metrics={"val_acc": frozen}) is None
    assert of_losses(FALLING, loss_unit="nats", eval_metrics={"best_acc": frozen}) is None


def test_an_accuracy_of_training_counts_where_there_is_none_of_validation() -> None:
    losses = [4.2 + 0.5 / (k + 1) for k in range(20)]
    frozen, moves = [0.13, *[0.1504] * 19], [0.1 + 0.01 * k for k in range(20)]
    steps = list(range(1, 21))
    named = of_losses(losses, loss_unit="nats", train_metrics={"accuracy": (steps, frozen)})
    assert named is not None
    assert "accuracy is 0.1504" in named.message
    assert of_losses(losses, loss_unit="nats", train_metrics={"accuracy": (steps, moves)}) is None
    high = {"accuracy": (steps, [0.951] * 20)}
    assert of_losses(losses, loss_unit="nats", train_metrics=high) is None


@pytest.mark.parametrize(
    ("accuracy", "named"),
    [
        ([0.6, 0.5833, 0.6, 0.6, 0.5833, 0.6], True),
        ([0.91, 0.9333, 0.91, 0.91, 0.9333, 0.91], False),
        ([0.61, 0.58, 0.61, 0.61, 0.58, 0.61], False),  # two digits repeat by themselves
        ([0.6, 0.5833, 0.6167, 0.65, 0.6333, 0.6], False),
    ],
)
def test_an_accuracy_that_takes_the_same_few_values(accuracy: list[float], *, named: bool) -> None:
    steps = [10 * (k + 1) for k in range(6)]
    losses = [0.7 * 0.99**k for k in range(60)]
    run = RunFacts(step=list(range(1, 61)), loss=losses, eval_metrics={"val_acc": (steps, accuracy)})
    assert ("LS204" in {f.code for f in diagnose_facts(run).findings}) is named
    learns = {"acc": (steps, [0.7, 0.8, 0.9, 0.95, 0.97, 0.98])}
    assert "LS204" not in {f.code for f in diagnose_facts(replace(run, train_metrics=learns)).findings}


def test_a_low_accuracy_of_training_beside_a_loss_that_stays() -> None:
    losses = [0.690 - 0.0007 * k for k in range(40)]
    for accuracy, named in (([0.52, 0.58, 0.65], True), ([0.52, 0.7, 0.9], False)):
        run = RunFacts(step=list(range(1, 41)), loss=losses, train_metrics={"acc": ([10, 20, 40], accuracy)})
        messages = [f.message for f in diagnose_facts(run).findings if f.code == "LS204"]
        assert any("the accuracy of training is" in message for message in messages) is named


@pytest.mark.parametrize(
    ("cut_off", "accuracy", "named"),
    [(16.118, 0.5, True), (15.942, 0.7436, True), (100.0, 0.9, True), (12.0, 0.5, False), (16.118, 0.995, False)],
)
def test_wrong_answers_that_are_given_with_certainty(cut_off: float, accuracy: float, *, named: bool) -> None:
    at = [1, 2]
    loss = [cut_off * (1.0 - accuracy)] * 2
    of_training = RunFacts(step=at, loss=loss, loss_unit="nats", train_metrics={"acc": (at, [accuracy] * 2)})
    of_scores = RunFacts(
        step=at, loss=[0.7, 0.5], loss_unit="nats", eval_losses={"": (at, loss)},
        eval_metrics={"val_acc": (at, [100.0 * accuracy] * 2)},
    )  # fmt: skip
    for run in (of_training, of_scores):
        found = {f.code: f for f in diagnose_facts(run).findings}
        assert ("LS204" in found) is named
        assert not named or "with certainty" in found["LS204"].message


@pytest.mark.parametrize(
    ("scores", "named"),
    [
        ([2.31, 2.303, 2.3026, 2.3027, 2.3026], True),  # ln 10
        ([2.31, 2.303, 2.3026, 2.28, 2.25], False),
        ([2.25, 2.303, 2.3026, 2.3027, 2.3026], False),  # it knew more before
        ([2.25, 2.243, 2.2426, 2.2427, 2.2426], False),  # no guess
        ([2.31, 2.303, 2.3026, 2.3027], False),
    ],
)
def test_a_validation_loss_at_the_value_of_a_guess(scores: list[float], *, named: bool) -> None:
    at = list(range(1, len(scores) + 1))
    losses = [2.5 - 0.12 * k for k in range(len(scores))]
    finding = of_losses(losses, loss_unit="nats", eval_losses={"": (at, scores)})
    assert (finding is not None and "ln 10" in finding.message and finding.severity == "error") is named
