"""The gradient norm of logs that lack the plan, the rate or the loss."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.run import RunFacts

CODES = ("GN201", "GN202", "GN203", "GN205", "GN206", "GN207", "CL203", "PR202", "LS201")


def facts(
    norm: Callable[[float], float], loss: Callable[[float], float] | None = None, n: int = 200, **other: Any
) -> RunFacts:
    noise = random.Random(0)
    norms = [norm(i / n) * math.exp(noise.gauss(0.0, 0.1)) for i in range(n)]
    losses = [loss(i / n) * math.exp(noise.gauss(0.0, 0.02)) for i in range(n)] if loss else []
    return RunFacts(step=list(range(1, n + 1)), grad_norm=norms, loss=losses, **other)


def findings(*args: Any, **kwargs: Any) -> dict[str, Finding]:
    return {f.code: f for f in diagnose_facts(facts(*args, **kwargs)).findings if f.code in CODES}


@pytest.mark.parametrize("size", [0.0, 1e-9])
def test_no_gradient_next_to_a_flat_loss(size: float) -> None:
    finding = findings(lambda _: size, lambda _: 2.3)["GN206"]
    assert finding.severity == "error"


def test_a_column_of_zeros_next_to_a_loss_that_falls_was_not_measured() -> None:
    assert "GN206" not in findings(lambda _: 0.0, lambda t: 2.3 * math.exp(-t))
    assert "GN206" not in findings(lambda _: 1e-3, lambda _: 2.3)
    assert "GN206" not in findings(lambda _: 1e-9, lambda _: 0.001)  # learned


@pytest.mark.parametrize(("times", "severity"), [(2.0, None), (5.0, "warning"), (1000.0, "error")])
def test_a_norm_that_grows_is_judged_alone(times: float, severity: str | None) -> None:
    found = findings(lambda t: 0.1 * times**t).get("GN207")
    assert (found and found.severity) == severity


def test_it_is_info_while_the_loss_falls() -> None:
    found = findings(lambda t: 0.1 * 5.0**t, lambda t: 2.0 * math.exp(-t))
    assert found["GN207"].severity == "info"
    assert findings(lambda t: 0.1 * 5.0**t, lambda _: 2.0)["GN207"].severity == "warning"


def test_few_lines_have_to_grow_tenfold() -> None:
    assert "GN207" in findings(lambda t: 10 ** (2 * t), n=10)
    assert "GN207" not in findings(lambda t: 5**t, n=10)


def test_a_ceiling_is_the_clip() -> None:
    run = facts(lambda _: 1.0, lambda t: 2.0 * math.exp(-t))
    capped = [min(1.0, norm) for norm in run.grad_norm]
    found = {f.code: f for f in diagnose_facts(RunFacts(step=run.step, loss=run.loss, grad_norm=capped)).findings}
    assert found["GN203"].severity == "info"
    assert "GN205" not in found
    assert "GN203" not in findings(lambda _: 1.0, lambda t: 2.0 * math.exp(-t))
    assert "GN203" not in findings(lambda _: 0.0, lambda t: 2.0 * math.exp(-t))


def test_the_assumed_clip_is_said_to_be_one() -> None:
    finding = findings(lambda _: 3.0, lambda t: 2.0 * math.exp(-t), assumed_clip=1.0)["CL203"]
    assert finding.severity == "info"
    assert "does not say which clip was used" in finding.message
    assert "CL203" not in findings(lambda _: 0.5, lambda t: 2.0 * math.exp(-t), assumed_clip=1.0)


def overflowing(*at: int, loss: float = 1.0, n: int = 300) -> dict[str, Finding]:
    run = facts(lambda _: 0.5, lambda t: 2.0 * math.exp(-t) * loss, n=n)
    norms = [math.inf if i in at else norm for i, norm in enumerate(run.grad_norm)]
    found = diagnose_facts(RunFacts(step=run.step, loss=run.loss, grad_norm=norms).without_overflows()).findings
    return {f.code: f for f in found}


def test_a_few_norms_that_are_not_finite_are_steps_that_fp16_skipped() -> None:
    found = overflowing(0, 150)
    assert found["PR202"].severity == "info"
    assert "LS201" not in found
    assert overflowing(*range(10, 300, 20))["PR202"].severity == "warning"


def test_more_than_that_is_an_error() -> None:
    assert "LS201" in overflowing(*range(280, 300))  # to the end
    assert "LS201" in overflowing(*range(1, 299))
    assert "LS201" in overflowing(5, loss=math.nan)


@pytest.mark.parametrize(("size", "named"), [(1.0, False), (1e6, True)])
def test_a_huge_norm_that_rises_steadily(size: float, *, named: bool) -> None:
    rises = [size * (1.0 + 0.04 * i + 0.02 * (i % 2)) for i in range(17)]
    stays = [4.0, 4.4, 3.0, 5.4, 2.7, 6.6, 4.3, 3.9, 4.8, 2.0, 4.0, 4.6, 5.9, 6.0, 2.9, 4.0, 3.0]

    def codes(losses: list[float]) -> set[str]:
        run = RunFacts(step=list(range(1, 18)), grad_norm=rises, loss=losses)
        return {f.code for f in diagnose_facts(run).findings}

    assert ("GN207" in codes(stays)) is named
    assert "GN207" not in codes([6.0 - 0.2 * i for i in range(17)])


def test_reinforcement_learning_without_a_single_gradient() -> None:
    assert "rewards" in findings(lambda _: 0.0, n=6, loss_unit="objective")["GN206"].advice
    assert "GN206" not in findings(lambda t: 0.0 if t < 0.8 else 0.1, n=6, loss_unit="objective")
    assert "GN206" not in findings(lambda _: 0.0, lambda _: 2.3, n=6)


def test_a_few_norms_that_grow_thirtyfold() -> None:
    norms = [0.24, 0.27, 1.36, 1.28, 17.2, 7.1, 21.8, 23.0, 3.8, 14.4]
    assert "GN207" in findings(lambda t: norms[round(10 * t)], lambda _: 0.7, n=10)
    assert "GN207" not in findings(lambda t: norms[round(10 * t)] ** 0.6, lambda _: 0.7, n=10)
