"""Accuracies and other metrics of the validation."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.run import RunFacts


def test_a_metric_that_collapses_while_the_training_loss_falls() -> None:
    steps = list(range(10, 210, 10))
    peak = [0.3, 0.5, 0.6, 0.62, *[0.6 - 0.02 * k for k in range(16)]]
    rises = [0.3 + 0.02 * k for k in range(20)]
    losses = [2.0 - 0.008 * k for k in range(200)]

    def found(losses: list[float], **other: Any) -> dict[str, Finding]:
        run = RunFacts(step=list(range(1, 201)), loss=losses, **other)
        return {f.code: f for f in diagnose_facts(run).findings}

    finding = found(losses, eval_metrics={"val_prec": (steps, peak)})["EV209"]
    assert finding.severity == "warning"
    assert "val_prec is best at step 40 (0.62)" in finding.message
    assert "EV209" not in found(losses, eval_metrics={"val_prec": (steps, rises)})
    assert "EV209" not in found(losses, eval_metrics={"val_wer": (steps, peak)})  # lower is better
    assert "EV209" not in found([2.0] * 200, eval_metrics={"val_prec": (steps, peak)})
    scored = {"": (steps, [1.0 - 0.01 * k for k in range(20)])}
    assert "EV209" not in found(losses, eval_metrics={"val_prec": (steps, peak)}, eval_losses=scored)


@pytest.mark.parametrize(
    ("score", "named"), [([0.5, 0.55, 0.52], True), ([0.5, 0.8, 0.82], False), ([0.5, 0.5], False)]
)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_an_accuracy_of_validation_far_below_that_of_training(score: list[float], scale: float, *, named: bool) -> None:
    steps = list(range(1, len(score) + 1))
    run = RunFacts(
        train_metrics={"acc": (steps, [0.6, 0.9, 0.95][: len(steps)])},
        eval_metrics={"val_acc": (steps, [scale * value for value in score])},
    )
    found = {f.code: f for f in diagnose_facts(run).findings}
    assert ("EV210" in found) is named
    assert not named or "90% in training and 52% in validation" in found["EV210"].message


@pytest.mark.parametrize(("swing", "named"), [(0.25, True), (0.05, False)])
def test_an_accuracy_of_validation_that_swings_while_that_of_training_does_not(swing: float, *, named: bool) -> None:
    steps = list(range(1, 11))
    run = RunFacts(
        train_metrics={"acc": (steps, [0.5 + 0.02 * k for k in range(10)])},
        eval_metrics={"val_acc": (steps, [0.6 + 0.02 * k - swing * (k % 2) for k in range(10)])},
    )
    found = {f.code: f for f in diagnose_facts(run).findings}
    assert ("EV210" in found) is named
    assert not named or "swings by" in found["EV210"].message


@pytest.mark.parametrize(
    ("scores", "training", "named"),
    [
        ([0.02, 0.0, 0.0, 0.0], [], True),
        ([0.2, 0.3, 0.001, 0.004, 0.0, 0.02], [], True),  # lost again
        ([0.0, 0.0, 0.1, 0.3], [], False),
        ([0.0, 0.0], [], False),
        ([0.0, 0.0, 0.0], [0.01, 0.01, 0.02], False),  # the accuracy of a regression
        ([0.0, 0.0, 0.0], [0.1, 0.4, 0.6], True),
    ],
)
def test_an_accuracy_that_stays_at_zero(scores: list[float], training: list[float], *, named: bool) -> None:
    steps = list(range(1, len(scores) + 1))
    run = RunFacts(
        step=steps, loss=[2.0 - 0.2 * k for k in range(len(scores))], loss_unit="nats",
        eval_metrics={"val_acc": (steps, scores)},
        train_metrics={"acc": (steps[: len(training)], training)} if training else {},
    )  # fmt: skip
    found = {f.code: f for f in diagnose_facts(run).findings}
    assert ("EV211" in found) is named


def test_an_error_rate_of_zero_is_no_metric_at_zero() -> None:
    steps = [1, 2, 3, 4]
    assert "EV211" not in {
        f.code for f in diagnose_facts(RunFacts(eval_metrics={"val_wer": (steps, [0.0] * 4)})).findings
    }


@pytest.mark.parametrize(
    ("name", "scores", "named"),
    [
        ("val_auc", [0.5, 0.49, 0.51, 0.5, 0.52], True),
        ("val_auc", [0.5, 0.49, 0.51, 0.58, 0.6], False),
        ("val_pr_auc", [0.5, 0.49, 0.51, 0.5, 0.52], False),  # chance depends on the share of the class
        ("val_auc", [0.3, 0.4, 0.45, 0.5, 0.52], False),
        ("val_r2", [-0.2, -0.01, -0.02, -0.1], True),
        ("val_r2", [-0.2, -0.01, 0.3, 0.4], False),
        ("val_r2", [-0.2, -0.1], False),
    ],
)
def test_a_score_at_chance(name: str, scores: list[float], *, named: bool) -> None:
    run = RunFacts(eval_metrics={name: (list(range(1, len(scores) + 1)), scores)})
    assert ("EV211" in {f.code for f in diagnose_facts(run).findings}) is named
