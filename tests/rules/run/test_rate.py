"""The learning rate of a log without a plan."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.run import RunFacts

CODES = ("SC202", "SC203", "SC204", "SC205")
N = 400


def findings(
    lr: Callable[[int], float], loss: Callable[[int], float] = lambda i: 1.0 + math.exp(-i / 100), **other: Any
) -> dict[str, Finding]:
    noise = random.Random(0)
    losses = [loss(i) * math.exp(noise.gauss(0.0, 0.02)) for i in range(N)]
    run = RunFacts(step=list(range(1, N + 1)), loss=losses, lr=[lr(i) for i in range(N)], **other)
    return {f.code: f for f in diagnose_facts(run).findings if f.code in CODES}


def cosine(times: float) -> Callable[[int], float]:
    return lambda i: 1e-4 * (1.0 + math.cos(math.pi * times * i / N))


def test_one_cosine_is_healthy() -> None:
    assert not findings(cosine(0.99))


def test_a_cosine_that_is_stepped_eight_times() -> None:
    finding = findings(cosine(8))["SC203"]
    assert finding.severity == "warning"
    assert "oscillates" in finding.message
    assert "about 8 times" in finding.advice


def restarts(*at: int) -> Callable[[int], float]:
    starts = [0, *at, N]

    def lr(i: int) -> float:
        k = max(j for j in range(len(starts) - 1) if starts[j] <= i)
        return 1e-4 * (1.0 - (i - starts[k]) / (starts[k + 1] - starts[k]))

    return lr


def test_a_restart_counts_where_the_loss_jumps() -> None:
    def jumps(i: int) -> float:
        return 1.0 + math.exp(-i / 100) + (0.6 * math.exp(-(i - 250) / 50) if i >= 250 else 0.0)

    assert findings(restarts(250), jumps)["SC203"].severity == "warning"
    assert findings(restarts(250))["SC203"].severity == "info"
    assert findings(restarts(100, 200, 300), jumps)["SC203"].severity == "info"  # equal periods: on purpose


def test_small_ups_and_downs_are_no_restart() -> None:
    assert "SC203" not in findings(lambda i: 1e-4 * (1.0 - i / N) + (4e-6 if i % 20 < 10 else 0.0))


def test_a_plan_is_compared_by_sc201_alone() -> None:
    lr = restarts(250)
    assert "SC203" not in findings(lr, lr_planned=[lr(i) for i in range(N)])


@pytest.mark.parametrize(("until", "named"), [(40, True), (300, False)])
def test_the_floor(until: int, *, named: bool) -> None:
    assert ("SC204" in findings(lambda i: 1e-3 if i < until else 1e-5, lambda i: 0.1 + math.exp(-i / 8))) is named


def test_a_loss_that_still_falls_at_the_floor_is_healthy() -> None:
    assert "SC204" not in findings(lambda i: 1e-3 if i < 40 else 1e-5, lambda i: math.exp(-i / 200))


def test_a_constant_rate_is_info_of_a_finished_run() -> None:
    assert findings(lambda _: 1e-4, finished=True)["SC205"].severity == "info"
    assert "SC205" not in findings(lambda _: 1e-4, total_steps=2 * N)
    assert "SC205" not in findings(lambda i: 1e-4 * (1.0 - i / N), finished=True)


def test_zeros_at_either_end_are_a_habit_of_logging() -> None:
    assert "SC202" not in {
        f.code
        for f in diagnose_facts(
            RunFacts(step=list(range(1, 21)), loss=[1.0] * 20, lr=[0.0, *[1e-4] * 18, 0.0])
        ).findings
    }
    few = RunFacts(step=list(range(1, 11)), loss=[1.0] * 10, lr=[*[0.0] * 6, *[3e-4] * 4])
    assert "SC202" in {f.code for f in diagnose_facts(few).findings}


def test_a_restart_after_which_the_loss_never_comes_back() -> None:
    lost = findings(restarts(150), lambda i: 1.0 + math.exp(-i / 50) + (0.3 if i >= 150 else 0.0))
    assert lost["SC203"].severity == "warning"
    assert "never comes back" in lost["SC203"].message
