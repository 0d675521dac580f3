"""Validation scores beside the training loss: overfitting, noise, another measure."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.facts.signal import SignalFacts

EVERY = 20
STEPS = list(range(EVERY, 401, EVERY))
CODES = ("EV201", "EV202", "EV203", "EV204", "EV205")


def scored(scores: list[float], **run: Any) -> RunFacts:
    facts: dict[str, Any] = {"eval_step": STEPS, "eval_nmse_db": scores, "loss_is_nmse": True}
    return example_run(**(facts | run))


def findings(scores: list[float], **run: Any) -> dict[str, Finding]:
    return {f.code: f for f in diagnose_facts(scored(scores, **run)).findings if f.code in CODES}


def of_training(offset: float = 0.0, sigma: float = 0.3, seed: int = 0) -> list[float]:
    """Scores that follow the training loss of the example, with noise."""
    draw = random.Random(seed)
    loss = example_run().loss
    at = [10 * math.log10(sum(loss[s - 10 : s]) / 10) for s in STEPS]
    return [value + offset + draw.gauss(0.0, sigma) for value in at]


def test_scores_like_the_training_loss_are_healthy() -> None:
    assert sum(bool(findings(of_training(seed=seed))) for seed in range(20)) == 0


def overfitted(rise_db: float) -> list[float]:
    best = 5
    draw = random.Random(0)
    fall = [-20.0 - 2 * k for k in range(best + 1)]
    rise = [-30.0 + rise_db * (k - best) / (len(STEPS) - best - 1) for k in range(best + 1, len(STEPS))]
    return [value + draw.gauss(0.0, 0.2) for value in (*fall, *rise)]


def test_overfitting() -> None:
    finding = findings(overfitted(6.0), max_steps=400, weight_decay=0.0)["EV201"]
    assert (finding.severity, finding.step, finding.patch) == ("warning", 120, {"train.max_steps": 120})
    assert "now 0" in finding.advice
    assert not findings(overfitted(6.0), epochs=3.0)["EV201"].patch  # the recipe sets the length otherwise


def test_a_slight_rise_is_none() -> None:
    assert "EV201" not in findings(overfitted(0.5))


def test_both_getting_worse_is_no_overfitting() -> None:
    assert "EV201" not in findings(overfitted(6.0), loss=lambda t: 10 ** (-3 + t))


def test_scores_that_jump_about() -> None:
    draw = random.Random(1)
    found = findings([-20 - 0.3 * k + draw.choice((-3.0, 3.0)) for k in range(20)], loss=lambda t: 0.01 * 10**-t)
    assert found["EV202"].severity == "warning"
    assert "data.split" in found["EV202"].advice


def test_scores_that_jump_with_the_loss_are_a_matter_of_the_lr() -> None:
    def loss(t: float) -> float:
        return 0.01 * 10 ** (0.4 * (math.ceil(20 * t) % 2))

    assert "EV202" not in findings([-20 - 0.3 * k + (4.0 if k % 2 else 0.0) for k in range(20)], loss=loss)


def test_few_scores_have_no_noise() -> None:
    run = scored([-20.0 - 3 * (k % 2) for k in range(8)], eval_step=STEPS[:8])
    skipped = {skip.code: skip.reason for skip in diagnose_facts(run).skipped}
    assert "needs 16 validation scores, there are 8" in skipped["EV202"]


@pytest.mark.parametrize(("offset", "severity"), [(2.0, None), (4.5, "warning"), (9.0, "warning"), (13.0, "error")])
def test_validation_unlike_training(offset: float, severity: str | None) -> None:
    found = findings(of_training(offset), steps_per_epoch=100.0)
    assert (found["EV203"].severity if "EV203" in found else None) == severity
    if severity:
        assert "after 0.2 passes over the data" in found["EV203"].message


def test_a_gap_that_comes_later_is_another_matter() -> None:
    grown = [value + (9.0 if k >= 8 else 0.0) for k, value in enumerate(of_training())]
    assert "EV203" not in findings(grown)


def test_a_gap_after_many_passes_may_be_overfitting() -> None:
    assert "EV203" not in findings(of_training(9.0), steps_per_epoch=2.0)


def test_a_loss_in_other_units_is_not_compared() -> None:
    assert "EV203" not in findings(of_training(9.0), loss_is_nmse=False)


def test_a_validation_loss_will_do_where_there_is_no_nmse() -> None:
    scores = [-20 - 0.3 * k + (4.0 if k % 2 else 0.0) for k in range(len(STEPS))]
    of_nmse = findings(scores)["EV202"]
    losses = [1e-3 * 10 ** (score / 10) for score in scores]  # another unit: 30 dB lower
    of_loss = findings([], eval_step=[], eval_loss_step=STEPS, eval_loss=losses)["EV202"]
    assert (of_loss.severity, of_nmse.severity) == ("info", "warning")  # near 0, large relative changes mean little
    assert of_loss.step == of_nmse.step
    assert of_loss.evidence["value"] == pytest.approx(of_nmse.evidence["value"])
    assert "dB" in of_nmse.message
    assert "dB" not in of_loss.message


def test_overfitting_of_a_validation_loss_is_judged_in_its_own_unit() -> None:
    losses = [10 ** (score / 10) for score in overfitted(6.0)]
    found = findings([], eval_step=[], eval_loss_step=STEPS, eval_loss=losses)
    assert "EV205" in found
    assert "EV201" not in found


def test_a_training_loss_of_known_power_is_a_training_nmse() -> None:
    power = 0.02  # of the target: the loss is a mean square
    low = dict(loss_is_nmse=None, target_power=power, loss=lambda t: power * 10 ** (-2.0 - t))
    assert "EV203" in findings([-5.0] * len(STEPS), **low)
    assert "EV203" not in findings([-30.0] * len(STEPS), **low)


def test_scores_are_the_nmse_where_both_are_known_and_finite_in_any_case() -> None:
    both = RunFacts(eval_step=[1, 2], eval_nmse_db=[-3.0, math.nan], eval_loss_step=[1, 2, 3], eval_loss=[1.0] * 3)
    assert both.scores_db == [(1, -3.0)]
    loss = RunFacts(eval_loss_step=[1, 2, 3, 4, 5], eval_loss=[0.1, 0.0, -1.0, math.inf, math.nan])
    assert loss.scores_db == [(1, pytest.approx(-10.0))]
    assert RunFacts().get("scores_db") is None


def parting(gap_db: float) -> list[float]:
    """Scores that follow the training loss at first and are so far above it in the last quarter."""
    return [value + gap_db * min(1.0, k / 14) ** 2 for k, value in enumerate(of_training())]


@pytest.mark.parametrize(
    ("gap", "period", "severity"),
    [
        (2.0, 4.0, None),
        (5.0, 4.0, "info"),
        (9.0, 4.0, "warning"),
        (9.0, 100.0, "info"),  # four passes: not enough to memorise
        (2.0, 100.0, "info"),
        (0.3, 100.0, None),
    ],
)
def test_overfitting_of_the_training_set(gap: float, period: float, severity: str | None) -> None:
    found = findings(parting(gap), steps_per_epoch=period)
    assert (found["EV204"].severity if "EV204" in found else None) == severity


def test_overfitting_reports_passes_over_the_data_and_what_helps() -> None:
    finding = findings(parting(9.0), steps_per_epoch=4.0, weight_decay=0.0)["EV204"]
    assert "after 100 passes over the data" in finding.message
    assert "more training data" in finding.advice
    assert "now 0" in finding.advice
    assert STEPS[0] < (finding.step or 0) < STEPS[-1]


def test_a_gap_that_is_there_from_the_start_is_not_learned() -> None:
    assert "EV204" not in findings(of_training(9.0), steps_per_epoch=4.0)


def test_passes_must_be_known() -> None:
    assert "EV204" not in findings(parting(9.0), steps_per_epoch=None)
    assert "EV204" not in findings(parting(9.0), steps_per_epoch=4.0, loss_is_nmse=False)


@pytest.mark.parametrize("code", ["EV202", "EV203", "EV204"])
def test_what_the_record_explains_is_reported_once(code: str) -> None:
    """A network that is worse on the whole record jumps about, and is unlike training, for that reason."""
    noisy = [-20 - 0.3 * k + (6.0 if k % 2 else 0.0) for k in range(len(STEPS))]
    scores = {"EV202": noisy, "EV203": of_training(9.0), "EV204": parting(9.0)}[code]
    run = scored(scores, steps_per_epoch=4.0 if code == "EV204" else 100.0)
    before = {finding.code for finding in diagnose_facts(run).findings}
    worse = replace(run, signal=SignalFacts(samples=6144, nmse_db=-20.0, pieces_nmse_db=-26.0, frame=64))
    after = {finding.code for finding in diagnose_facts(worse).findings}
    assert (code in before, code in after, "SG201" in after) == (True, False, True)


SWINGS = [1.66, 1.12, 1.25, 6.16, 1.61, 1.16, 0.53, 2.03, 1.3]


@pytest.mark.parametrize(
    ("scores", "accuracy", "named"),
    [
        (SWINGS, 0.6, True),
        (SWINGS, 0.97, False),  # the loss of few wrong answers
        ([0.1 * score for score in SWINGS], 0.6, False),  # below that of training
        ([9.0, *[0.5 * score for score in SWINGS]], 0.6, False),  # most of it is gained
        ([1.2 + 0.02 * (-1) ** k for k in range(9)], 0.6, False),
    ],
)
def test_a_validation_loss_that_swings_where_training_does_not(
    scores: list[float], accuracy: float, *, named: bool
) -> None:
    steps = list(range(1, len(scores) + 1))
    run = RunFacts(
        step=steps, loss=[0.8 - 0.04 * k for k in range(len(scores))], loss_unit="nats", steps_per_epoch=1.0,
        eval_loss_step=steps, eval_loss=scores,
        eval_metrics={"val_acc": (steps, [accuracy + 0.0013 * (5 * k % 11) for k in steps])},
    )  # fmt: skip
    found = {f.code: f for f in diagnose_facts(run).findings}
    assert ("EV202" in found and found["EV202"].severity == "warning") is named
