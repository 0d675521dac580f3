"""Validation losses of other programs' logs next to the training loss."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.run import RunFacts

CODES = ("EV201", "EV205", "EV206", "EV207", "EV208")


def facts(*sets: list[float], fall: float = 1.5, **other: Any) -> RunFacts:
    """200 lines of training, and evaluation sets with scores at even distances; the training loss falls by decades."""
    losses = [2.0 * 10 ** (-fall * i / 200) for i in range(200)]
    scores = {
        name: ([200 * (k + 1) // len(values) for k in range(len(values))], values)
        for name, values in zip(("", "b", "c"), sets, strict=False)
    }
    return RunFacts(step=list(range(1, 201)), loss=losses, eval_losses=scores, **other)


def findings(*sets: list[float], **other: Any) -> dict[str, Finding]:
    return {f.code: f for f in diagnose_facts(facts(*sets, **other)).findings if f.code in CODES}


@pytest.mark.parametrize(
    ("scores", "named"),
    [
        ([1.0, 1.05, 1.2], True),  # +12 % in the mean of the two
        ([1.0, 1.02, 1.06], False),  # +4 %: too little
        ([1.2, 1.0, 1.04, 1.08, 1.12], True),
        ([1.2, 1.0, 1.01, 1.02, 1.03], False),
        ([1.2, 1.1, 1.0, 1.2], False),  # one score after the best
        ([1.3, 1.2, 1.1, 1.0, 1.4], False),  # the last of five
        ([1.2, 1.0, 1.1, 1.08], False),  # not one after the other
        ([1.0, 0.9, 0.85, 0.82], False),
    ],
)
def test_few_scores(scores: list[float], *, named: bool) -> None:
    assert ("EV205" in findings(scores)) is named


def test_a_training_loss_that_stands_still_is_no_overfitting() -> None:
    scores = [1.2, 1.0, 1.04, 1.08, 1.12]
    assert "EV205" not in findings(scores, fall=0.03)
    assert "EV205" not in findings(scores, fall=0.1)  # the training loss is not below the validation loss
    assert "EV205" in findings(scores, fall=0.4)


def test_many_scores_in_any_order() -> None:
    scores = [1.3, 1.1, 1.0, 1.12, 1.1, 1.16, 1.15, 1.22, 1.2, 1.3]
    finding = findings(scores)["EV205"]
    assert finding.step == 60
    assert finding.evidence["value"] == pytest.approx(0.24)
    noisy = [1.3, 1.1, 1.0, 1.3, 1.02, 1.28, 1.03, 1.3, 1.01, 1.1]
    assert "EV205" not in findings(noisy, fall=0.1)


@pytest.mark.parametrize(
    ("scores", "named"),
    [
        ([2.0, 1.0, 0.5, 0.4, 0.43, 0.46], False),  # two scores, a twelfth part of the gain
        ([2.0, 1.0, 0.9, 0.8, 1.2, 1.7], True),  # two scores that lose half of it
        ([9.0, 0.3, 0.1, 0.01, 0.012, 0.013, 0.012, 0.014, 0.013], False),  # small against the gain
        ([1.5, 0.6, 0.61, 0.3, 0.6, 0.59, 0.6, 0.61, 0.6, 0.59, 0.6], False),  # one lucky score
    ],
)
def test_what_rises_has_to_count_against_what_was_gained(scores: list[float], *, named: bool) -> None:
    assert ("EV205" in findings(scores)) is named


def test_a_rise_is_a_remark_where_hardly_an_answer_is_wrong() -> None:
    rises, at = [1.0, 1.1, 1.2, 1.3], [50, 100, 150, 200]
    perfect, good = {"val_acc": (at, [0.99, 0.996, 0.997, 0.997])}, {"val_acc": (at, [0.9, 0.96, 0.97, 0.97])}
    assert findings(rises, eval_metrics=perfect)["EV205"].severity == "info"
    assert findings(rises, eval_metrics=good)["EV205"].severity == "warning"


def test_each_evaluation_set_is_judged() -> None:
    falls, rises = [1.0, 0.9, 0.85, 0.8], [1.0, 1.1, 1.2, 1.3]
    finding = findings(falls, rises)["EV205"]
    assert "validation loss of b" in finding.message
    assert "1 of 2 evaluation sets" in finding.message
    assert "EV205" not in findings(falls, falls)


def test_a_metric_that_still_improves_is_named() -> None:
    rises = [1.0, 1.1, 1.2, 1.3]
    at = [50, 100, 150, 200]
    better, worse = {"eval_accuracy": (at, [0.8, 0.82, 0.83, 0.84])}, {"eval_accuracy": (at, [0.8, 0.79, 0.78, 0.77])}
    assert "eval_accuracy 0.8 -> 0.84 still improves" in findings(rises, eval_metrics=better)["EV205"].message
    assert "improves" not in findings(rises, eval_metrics=worse)["EV205"].message
    wer = {"eval_wer": (at, [34.0, 33.0, 32.0, 31.0])}
    assert "eval_wer" in findings(rises, eval_metrics=wer)["EV205"].message


def test_scores_that_are_not_finite() -> None:
    assert findings([math.nan] * 4)["EV207"].severity == "error"
    assert "EV207" not in findings([1.0, math.nan, 0.9, 0.8])
    assert findings([math.nan])["EV207"].severity == "error"


def test_too_few_scores_are_skipped_not_healthy() -> None:
    skipped = {s.code: s.reason for s in diagnose_facts(facts([1.0, 1.1])).skipped}
    assert skipped["EV205"] == "needs 3 validation scores, there are 2"


def test_false_alarms_on_flat_scores() -> None:
    """150 runs, seeds 0 to 149: 3 to 12 scores of one level with a noise of 2 %; training falls to a hundredth."""
    alarms = 0
    for seed in range(150):
        noise = random.Random(seed)
        alarms += "EV205" in findings([math.exp(noise.gauss(0.0, 0.02)) for _ in range(3 + seed % 10)])
    assert alarms <= 9


@pytest.mark.parametrize(("times", "named"), [(4.0, True), (2.0, False)])
def test_a_validation_far_above_training_from_the_start(times: float, *, named: bool) -> None:
    run = facts([])
    means = [sum(run.loss[20 * k : 20 * k + 20]) / 20 for k in range(10)]
    assert ("EV208" in findings([times * mean for mean in means])) is named
    later = [mean * (1.0 if k < 3 else times) for k, mean in enumerate(means)]
    assert "EV208" not in findings(later)


@pytest.mark.parametrize(
    ("scores", "named"),
    [
        ([0.50, 0.51, 0.49, 0.50, 0.52, 0.51], True),
        ([0.50, 0.50, 0.50, 0.50, 0.50], True),
        ([0.50, 0.48, 0.47, 0.46, 0.45], False),
        ([0.50, 0.51, 0.49, 0.50], False),  # too few
    ],
)
def test_a_validation_that_never_improves(scores: list[float], *, named: bool) -> None:
    steps = [20 * (k + 1) for k in range(len(scores))]
    losses = [0.99**k for k in range(20 * len(scores))]

    def found(first: int) -> dict[str, Finding]:
        evals = {"": ([first + step for step in steps], scores)}
        run = RunFacts(step=[first + k + 1 for k in range(len(losses))], loss=losses, eval_losses=evals)
        return {f.code: f for f in diagnose_facts(run).findings}

    assert ("EV206" in found(0)) is named
    assert not named or "never improved" in found(0)["EV206"].message
    assert "EV206" not in found(5000)  # an excerpt from later


def test_scores_between_lines_are_compared_with_the_line_before() -> None:
    scores = [1.0, 0.8, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    evals = {"": ([10 * (k + 1) for k in range(8)], scores)}
    losses = [2.0 * 0.7**k for k in range(4)]  # every 20 steps: half of the scores have no line of their own
    run = RunFacts(step=[20, 40, 60, 80], loss=losses, eval_losses=evals, loss_unit="nats")
    assert "EV205" in {f.code for f in diagnose_facts(run).findings}


def test_a_validation_loss_that_stays_while_an_accuracy_rises_is_no_standstill() -> None:
    steps = [20, 40, 60, 80, 100, 120]
    evals = {"": (steps, [0.50, 0.51, 0.49, 0.50, 0.52, 0.51])}
    for accuracy, named in (([0.5, 0.6, 0.7, 0.75, 0.8, 0.82], False), ([0.5, 0.51, 0.5, 0.5, 0.52, 0.51], True)):
        run = RunFacts(
            step=list(range(1, 121)), loss=[0.99**k for k in range(120)], eval_losses=evals,
            eval_metrics={"val_acc": (steps, accuracy)},
        )  # fmt: skip
        assert any(f.code == "EV206" for f in diagnose_facts(run).findings) is named


def test_what_training_gains_has_to_show_in_validation() -> None:
    hardly = [1.0, 0.97, 0.98, 0.96, 0.97, 0.95, 0.94, 0.93]
    assert "only from 1 to 0.94" in findings(hardly, fall=1.0)["EV206"].message
    assert "EV206" not in findings([2.0, 1.6, 1.4, 1.3, 1.25, 1.2, 1.19, 1.18], fall=1.0)
    assert "EV206" not in findings(hardly, fall=0.2)


def test_a_score_that_is_one_number_is_not_computed_again() -> None:
    frozen = [1.0, 0.9, *[0.8] * 9]
    assert "to the last digit in 9 scores in a row" in findings(frozen, fall=0.5)["EV206"].message
    assert "EV206" not in findings([1.0, 0.9, 0.85, 0.82, 0.81, 0.8, 0.8, 0.79, 0.79, 0.78, 0.78], fall=0.5)


def test_a_score_that_falls_by_little_but_surely_improves() -> None:
    surely = [2.586 - 0.004 * k + 0.002 * (k % 2) for k in range(24)]
    assert "EV206" not in findings(surely, fall=0.3)
    never = [2.586, 2.57, 2.6, 2.56, 2.59, 2.61, 2.58, 2.6]
    assert "never improved" in findings(never, fall=0.3)["EV206"].message
    assert "EV206" not in findings(never, fall=0.1)  # the training loss falls by little as well: near a floor


def test_a_slow_but_steady_rise() -> None:
    steady = [1.0, 0.8, 0.75, 0.736, 0.737, 0.745, 0.755, 0.77, 0.78, 0.79]
    assert "EV205" in findings(steady)
    assert "EV205" not in findings([*steady[:4], 0.74, 0.735, 0.74, 0.737, 0.742, 0.738], fall=0.1)


def test_a_rise_with_exceptions_counts_where_it_is_far_above_the_noise() -> None:
    scores = [
        1.27,
        1.26,
        1.25,
        1.25,
        1.23,
        1.22,
        1.08,
        1.06,
        1.05,
        1.04,
        1.058,
        1.09,
        1.136,
        1.127,
        1.128,
        1.143,
        1.145,
    ]
    assert "EV205" in findings(scores)
    assert "EV205" in findings([4.8, 2.07, 1.98, 1.93, 2.3, 2.298, 2.65])  # the bend is not noise


def test_a_small_rise_that_is_sure_is_overfitting() -> None:
    steadily = [4.10, 3.80, 3.65, 3.58, 3.56, 3.58, 3.61, 3.65, 3.69]  # 9 % of the fall, one after the other
    assert "EV205" in findings(steadily)
    assert "EV205" not in findings([4.10, 3.80, 3.65, 3.58, 3.56, 3.57, 3.56, 3.57, 3.56])
    assert "EV205" not in findings([400.0, 3.80, 3.65, 3.58, 3.56, 3.58, 3.61, 3.65, 3.69])  # little of what it fell


def test_a_standstill_of_the_loss_is_none_while_the_error_rate_falls() -> None:
    hardly = [1.0, 0.97, 0.98, 0.96, 0.97, 0.95, 0.94, 0.93]
    steps = [25 * (k + 1) for k in range(8)]
    assert "EV206" in findings(hardly, fall=1.0)
    falls = {"eval_wer": (steps, [14.0, 12.5, 12.0, 11.5, 11.0, 10.5, 10.2, 10.0])}
    assert "EV206" not in findings(hardly, fall=1.0, eval_metrics=falls)


def test_a_validation_loss_that_loses_all_it_had_gained() -> None:
    for scores, named in (([0.29, 0.268, 0.369], True), ([0.99, 0.54, 3.6, 0.7, 1.1, 1.0, 1.1], True),
                          ([0.29, 0.268, 0.28], False), ([0.29, 0.31], False)):  # fmt: skip
        found = findings(scores, fall=0.1)
        assert ("above its first score" in found["EV206"].message if "EV206" in found else False) is named


@pytest.mark.parametrize(
    ("late", "fall", "named"),
    [(1.4, 1.5, True), (1.2, 1.5, False), (1.4, 0.1, False)],  # within the noise; training hardly falls
)
def test_many_noisy_scores_after_the_best_while_training_falls_far(late: float, fall: float, *, named: bool) -> None:
    scores = [9.0, 4.0, 2.0, 1.1, 1.0, *[late + 0.1 * (-1) ** k for k in range(10)]]
    found = findings(scores, fall=fall)
    assert ("EV205" in found) is named
    assert not named or found["EV205"].evidence["threshold"] == pytest.approx(0.1)


def test_the_limit_that_is_reported_is_that_of_the_way_it_was_found() -> None:
    assert findings([1.2, 1.0, 1.04, 1.08, 1.12])["EV205"].evidence["threshold"] == pytest.approx(0.06)
    many = [1.3, 1.1, 1.0, 1.12, 1.1, 1.16, 1.15, 1.22, 1.2, 1.3]
    assert findings(many)["EV205"].evidence["threshold"] == pytest.approx(0.04)
    creeps = [1.4, 1.2, 1.1, 1.0, *[1.0 + 0.004 * k for k in range(1, 10)]]
    assert findings(creeps)["EV205"].evidence["threshold"] == pytest.approx(0.02)  # a twentieth of the fall before


@pytest.mark.parametrize(
    ("scores", "named"),
    [
        ([2.0, 1.95, 1.9, 1.92], True),
        ([2.0, 1.6, 1.5, 1.5], False),  # it gained
        ([2.0, 1.95, 1.9], False),
        ([0.5, 0.49, 0.48, 0.49], False),  # near the training loss
    ],
)
def test_a_validation_loss_far_above_training_that_hardly_falls(scores: list[float], *, named: bool) -> None:
    steps = [50 * (k + 1) for k in range(len(scores))]
    run = RunFacts(step=list(range(1, 201)), loss=[0.42 - 0.0002 * k for k in range(200)], loss_unit="nats",
                   eval_losses={"": (steps, scores)})  # fmt: skip
    assert ("EV206" in {f.code for f in diagnose_facts(run).findings}) is named


@pytest.mark.parametrize(("accuracy", "named"), [(0.5, True), (0.9, False)])
def test_a_poor_network_is_not_near_its_floor(accuracy: float, *, named: bool) -> None:
    steps = list(range(1, 7))
    run = RunFacts(
        step=steps, loss=[0.7 - 0.03 * k for k in range(6)], steps_per_epoch=1.0, loss_unit="nats",
        eval_losses={"": (steps, [0.635, 0.634, 0.635, 0.641, 0.64, 0.638])},
        eval_metrics={"val_acc": (steps, [accuracy + 0.0013 * (5 * k % 7) for k in range(6)])},
    )  # fmt: skip
    assert ("EV206" in {f.code for f in diagnose_facts(run).findings}) is named
