"""A loss that rises and stays up, in its own unit."""

from __future__ import annotations

import math
import random
from itertools import accumulate
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.run import RunFacts

CODES = ("LS205", "LS206")


def facts(losses: list[float], **other: Any) -> RunFacts:
    return RunFacts(step=[10 * (i + 1) for i in range(len(losses))], loss=losses, **other)


def curve(level: Any, n: int, spread: float = 0.03, seed: int = 0) -> list[float]:
    noise = random.Random(seed)
    return [level(i / (n - 1)) * math.exp(noise.gauss(0.0, spread)) for i in range(n)]


def findings(losses: list[float], **other: Any) -> dict[str, Finding]:
    return {f.code: f for f in diagnose_facts(facts(losses, **other)).findings if f.code in CODES}


def falls_then(end: float) -> Any:
    return lambda t: 10.0 - 7.6 * min(1.0, t / 0.3) if t < 0.6 else end


def test_a_cross_entropy_that_lost_half_of_its_progress_has_diverged() -> None:
    finding = findings(curve(falls_then(7.0), 400), loss_unit="nats")["LS205"]
    assert finding.severity == "warning"
    assert finding.step is not None
    assert 2300 <= finding.step <= 2600  # 0.6 of 4000
    assert findings(curve(falls_then(12.0), 400), loss_unit="nats")["LS205"].severity == "error"
    assert "LS205" not in findings(curve(falls_then(2.6), 400), loss_unit="nats")


def test_the_advice_has_a_rate_where_the_log_has_one() -> None:
    losses = curve(falls_then(7.0), 400)
    assert findings(losses, loss_unit="nats", lr=[2e-4] * 400)["LS205"].patch == {"optim.lr": 1e-4}
    assert findings(losses, loss_unit="nats")["LS205"].patch == {}


@pytest.mark.parametrize(("db", "named"), [(4.0, False), (6.5, True)])
def test_a_power_is_judged_in_decibels(db: float, *, named: bool) -> None:
    losses = curve(lambda t: 10 ** (-3 * min(1.0, t / 0.5)) * (1.0 if t < 0.6 else 10 ** (db / 10)), 400)
    assert ("LS205" in findings(losses, loss_unit="power")) is named


def test_a_rise_that_came_back_is_none() -> None:
    assert "LS205" not in findings(curve(lambda t: 2.4 if not 0.4 < t < 0.6 else 7.0, 300), loss_unit="nats")


def test_few_lines() -> None:
    back = [3.0, 2.6, 2.2, 1.9, 1.8, 4.1, 4.4, 4.3, 4.2]
    assert findings(back, loss_unit="nats")["LS206"].severity == "error"
    assert findings([3.0, 2.6, 2.2, 1.9, 1.8, 1.85, 1.9, 1.88, 1.9], loss_unit="nats") == {}
    climbs = [2.6, 1.7, 1.1, 0.7, 0.3, 0.11, 0.061, 0.067, 0.11, 0.2, 0.33, 0.46, 0.55]
    assert "LS205" in findings(climbs)


def test_worse_than_the_first_line() -> None:
    finding = findings([1.64, 11.8, 11.6, 10.4, 10.37, 10.37, 10.37], lr=[5.0] * 7)["LS206"]
    assert finding.severity == "error"
    assert "ln 32000" in finding.message
    assert finding.patch == {"optim.lr": 0.5}
    assert "LS206" not in findings([1.64, 1.9, 2.1, 1.7, 2.0, 1.8, 1.9])
    assert "LS206" not in findings([0.4, 1.9, 0.6, 1.7, 0.9, 1.8, 0.7])  # a first batch that was easy


def test_the_level_of_an_objective_is_not_judged() -> None:
    assert findings(curve(falls_then(12.0), 400), loss_unit="objective") == {}


def test_false_alarms_on_noise() -> None:
    """Seeds 0 to 399: flat and falling curves of 8 to 200 lines, white, AR(1) 0.7 and t3 noise of 3 to 10 %."""
    alarms = 0
    for seed in range(400):
        noise = random.Random(seed)
        n = (8, 12, 20, 30, 60, 200)[seed % 6]
        spread = (0.03, 0.1)[seed % 2]
        white = [noise.gauss(0.0, 1.0) for _ in range(n)]
        kind = seed // 6 % 3
        if kind == 1:
            white = list(accumulate(white, lambda a, b: 0.7 * a + 0.71 * b))
        if kind == 2:
            white = [w / math.sqrt(sum(noise.gauss(0, 1) ** 2 for _ in range(3)) / 3) for w in white]
        fall = (0.0, 2.0)[seed // 18 % 2]
        losses = [2.0 * math.exp(-fall * i / n) * math.exp(spread * w) for i, w in enumerate(white)]
        alarms += any(f.code in CODES for f in diagnose_facts(facts(losses)).findings)
    assert alarms <= 4


def test_few_lines_that_show_no_rise_are_too_little_to_judge() -> None:
    skipped = {each.code for each in diagnose_facts(facts([2.0, 1.9, 1.8, 1.9, 1.8])).skipped}
    assert "LS205" in skipped
    assert "LS206" in {each.code for each in diagnose_facts(facts([2.0, 1.9, 1.8, 1.9])).skipped}


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ([1.24, 2.03, 2.16, 1.98, 1.79], True),
        ([2.0, 1.9, 40.0, 3e5, 2e9], True),
        ([1.24, 1.50, 2.50, 1.55, 2.40], False),  # one of the last is hardly above the first
        ([0.010, 0.026, 0.056, 0.108], True),
        ([0.010, 0.011, 0.012, 0.020], False),
        ([1.6, 1.4, 3.3, 6.4, 5.5, 4.9, 4.9, 4.6], True),
        ([1.6, 1.4, 1.9, 2.4, 2.2, 1.8, 1.8, 1.7], False),
        ([1.6, 1.4, 3.3, 6.4, 1.5, 1.3, 1.2, 1.2], False),  # it came back
        ([0.6961, 0.5976, 0.5201, 0.6256, 0.6384, 0.7054, 0.8133, 0.8076, 0.8333, 0.8496], True),
    ],
)
def test_few_lines_worse_than_the_first(losses: list[float], *, named: bool) -> None:
    assert ("LS206" in findings(losses, loss_unit="nats")) is named
    scores = {"": (list(range(1, len(losses) + 1)), losses)}
    alone = {f.code: f for f in diagnose_facts(RunFacts(eval_losses=scores, loss_unit="nats")).findings}
    assert ("LS206" in alone) is named
    assert not named or "the validation loss rose from" in alone["LS206"].message


def test_a_power_has_to_rise_further() -> None:
    losses = [0.016, 0.014, 0.033, 0.034, 0.035, 0.036, 0.035, 0.034]
    assert "LS206" in findings(losses, loss_unit="nats")
    assert "LS206" not in findings(losses, loss_unit="power")


def test_a_validation_that_rises_while_training_falls_is_no_divergence() -> None:
    scores = {"": ([10, 20, 30, 40], [0.010, 0.026, 0.056, 0.108])}
    assert "LS206" not in findings([2.0, 1.5, 1.0, 0.5], eval_losses=scores)
    assert "LS206" in findings([2.0, 2.2, 2.1, 2.3], eval_losses=scores)


def test_a_sum_that_starts_again_with_each_epoch_did_not_rise() -> None:
    sums = [0.2 + (90.0 - 8.0 * epoch) * batch / 5 for epoch in range(10) for batch in range(5)]
    assert "LS206" not in findings(sums, loss_unit="nats")


def test_an_explosion_in_few_lines_is_compared_by_logarithms() -> None:
    losses = [0.144, 2.5e4, 7.6e4, 2.9e4, 1.3e5, 4.4e5, 2.1e5, 1.2e6]  # spread as wide as its mean
    assert findings(losses)["LS206"].severity == "error"


def test_a_small_rise_that_stays_is_a_warning_where_it_is_no_noise() -> None:
    def curve(t: float) -> float:
        return 5.2 + 4.0 * math.exp(-20 * t) if t < 0.4 else 6.4

    found = findings([curve(i / 139) * (1.0 + 0.005 * (i * 7 % 5 - 2)) for i in range(140)], loss_unit="nats")
    assert found["LS205"].severity == "warning"
    assert "LS205" not in findings([curve(i / 139) * (1.0 + 0.2 * (i * 7 % 5 - 2)) for i in range(140)])


def test_all_later_lines_far_above_the_first() -> None:
    assert findings([184.0, 1746.7, 1746.7, 1746.7])["LS206"].severity == "error"
    assert "LS206" not in findings([184.0, 230.0, 300.0, 310.0])


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ([2.28, 11.05], True),
        ([1.13, 0.92, 2.3, 95.8], True),
        ([1.13, 0.92, 95.8, 2.3], False),  # a spike
        ([1.13, 0.92, 2.3, 3.0], False),
    ],
)
def test_the_last_of_a_few_lines_is_three_times_the_first(losses: list[float], *, named: bool) -> None:
    run = RunFacts(step=list(range(1, len(losses) + 1)), loss=losses)
    found = {f.code: f for f in diagnose_facts(run).findings}
    assert ("LS206" in found) is named
    assert not named or found["LS206"].evidence["threshold"] == 3.0


def test_the_limit_of_short_logs_is_their_own() -> None:
    losses = [1.0, 1.01, 1.0, 1.02, 1.2, 1.22, 1.25, 1.24, 1.26, 1.27]
    run = RunFacts(step=list(range(1, 11)), loss=losses)
    assert {f.code: f.evidence["threshold"] for f in diagnose_facts(run).findings}["LS206"] == 1.15


def test_a_loss_that_starts_at_zero_has_no_ratio() -> None:
    run = RunFacts(step=list(range(1, 31)), loss=[0.0] + [1.0] * 29)
    assert not [skip for skip in diagnose_facts(run).skipped if skip.failed]


EPOCHS = [1.0, 0.97, 1.73, 1.83, 1.66, 1.61, 1.6]


def test_the_means_of_epochs_are_compared_without_noise() -> None:
    assert "LS206" in findings(EPOCHS, steps_per_epoch=1.0, loss_unit="nats")
    assert "LS206" not in findings(EPOCHS, loss_unit="nats")  # single batches
    back = [*EPOCHS[:5], 1.0, 0.9]
    assert "LS206" not in findings(back, steps_per_epoch=1.0, loss_unit="nats")


@pytest.mark.parametrize(("last", "named"), [(34.4, True), (0.15, False)])
def test_a_last_line_far_above_all_others(last: float, *, named: bool) -> None:
    losses = [0.0711, 0.05, 0.046, 0.043, 0.041, 0.04, 0.038, 0.037, 0.036, last]
    assert ("LS206" in findings(losses)) is named


@pytest.mark.parametrize(
    ("end", "named"), [([0.31, 0.4, 0.7], True), ([0.4, 0.31, 0.7], False), ([0.2, 0.25, 0.28], False)]
)
def test_a_few_lines_that_end_in_a_climb(end: list[float], *, named: bool) -> None:
    assert ("LS205" in findings([1.0, 0.4, 0.2, 0.1, *end])) is named
