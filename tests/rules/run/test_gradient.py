"""The trend of the gradient norm: what fires, what must not, and how often healthy runs alarm."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import cosine_lr, example_run
from dpdrun.rules.facts.run import RunFacts


def trend_findings(run: RunFacts) -> dict[str, Finding]:
    return {finding.code: finding for finding in diagnose_facts(run).findings if finding.code.startswith("GN")}


def rising(decades: float) -> Callable[[float], float]:
    return lambda t: 0.1 * 10 ** (decades * t)


def test_rise_without_progress_is_a_warning_with_a_lower_lr() -> None:
    found = trend_findings(example_run(norm=rising(1.0), loss=0.1, peak=1e-2))
    assert list(found) == ["GN201"]
    finding = found["GN201"]
    assert (finding.severity, finding.fix, finding.patch) == ("warning", "unsafe", {"optim.lr": 5e-3})
    assert finding.step == 21  # the first after the warmup
    assert finding.evidence["rise_decades"] == pytest.approx(0.95, abs=0.1)
    assert finding.evidence["p"] < 0.005
    assert "optim.lr from 0.01 to 0.005" in finding.advice


def test_rise_with_a_rising_loss_is_an_error() -> None:
    found = trend_findings(example_run(norm=rising(1.0), loss=lambda t: 0.01 * 10**t))
    assert found["GN201"].severity == "error"


def test_rise_with_a_falling_loss_is_never_a_reason_to_lower_the_lr() -> None:
    found = trend_findings(example_run(norm=rising(1.0)))
    assert list(found) == ["GN202"]
    assert found["GN202"].severity == "info"
    assert not found["GN202"].patch


def test_rise_that_follows_the_schedule_is_explained() -> None:
    def norm(t: float) -> float:  # sqrt(2 wd / lr), Defazio 2025
        return math.sqrt(2 * 0.01 / cosine_lr(round(400 * min(t, 0.99)), peak=1e-2, warmup=20, total=400))

    finding = trend_findings(example_run(norm=norm, clip_norm=1e9))["GN202"]
    assert "do not lower the lr" in finding.advice
    assert finding.evidence["slope_against_lr"] == pytest.approx(-0.5, abs=0.1)


def test_the_same_rise_without_weight_decay_is_not_explained() -> None:
    run = example_run(
        norm=lambda t: 0.1 / math.sqrt(cosine_lr(round(400 * min(t, 0.99)), peak=1.0, warmup=20, total=400)),
        weight_decay=0.0,
    )
    assert "do not lower" not in trend_findings(run)["GN202"].advice


def test_a_rise_that_ignores_the_schedule_is_not_explained() -> None:
    """The norm jumps tenfold halfway while the lr falls smoothly: not the -1/2 power of the lr."""
    finding = trend_findings(example_run(norm=lambda t: 0.1 * 10 ** (2.5 * t), clip_norm=1e9))["GN202"]
    assert not finding.evidence["r2"] * (-0.8 <= finding.evidence["slope_against_lr"] <= -0.3)
    assert "do not lower" not in finding.advice


def test_rise_in_the_second_half_only_is_found() -> None:
    """Of 200 steps or more: within 100 the norm of healthy runs wanders by as much."""
    late: dict[str, Any] = {"norm": lambda t: 1.0 if t < 0.5 else 10 ** (2 * (t - 0.5)) / 10, "loss": 0.1}
    assert trend_findings(example_run(**late, steps=600, clip_norm=1e9))["GN201"].step == 311
    assert trend_findings(example_run(**late, steps=200, clip_norm=1e9)) == {}


@pytest.mark.parametrize(
    "norm",
    [
        rising(0.2),  # significant, but less than a doubling
        rising(-1.0),
        lambda t: 5.0 if t < 0.05 else 0.3,  # large in the warmup
        lambda t: 0.3 if int(400 * t) % 50 else 300.0,  # spikes
    ],
    ids=["small", "falling", "warmup", "spikes"],
)
def test_no_trend(norm: Callable[[float], float]) -> None:
    assert not trend_findings(example_run(norm=norm, loss=0.1))


def test_too_few_steps_are_skipped() -> None:
    this = diagnose_facts(example_run(steps=60, warmup=20, norm=rising(3.0), loss=0.1))
    reasons = {skip.code: skip.reason for skip in this.skipped}
    assert "the number of steps after the warmup is 40" in reasons["GN201"]


def test_healthy_noise_seldom_alarms() -> None:
    """60 runs whose norm wanders (a random walk that is pulled back) at a constant loss: at most a few percent."""
    alarms = 0
    for seed in range(60):
        draw, level, walk = random.Random(seed), 0.0, []
        for _ in range(300):
            level = 0.9 * level + draw.gauss(0.0, 0.1)
            walk.append(0.3 * math.exp(level))
        alarms += bool(trend_findings(example_run(steps=300, norm=lambda t, w=walk: w[round(300 * t) - 1], loss=0.1)))
    assert alarms <= 2


def test_non_finite_steps_keep_the_trend_rules_out() -> None:
    this = diagnose_facts(example_run(norm=lambda t: math.nan if t > 0.9 else 0.3))
    assert [finding.code for finding in this.findings] == ["LS201"]
    assert {skip.code for skip in this.skipped} >= {"GN201", "GN202", "CL201", "CL202"}


@pytest.mark.parametrize(("times", "fall", "code"), [(2.0, 0.07, None), (4.0, 0.07, "GN202"), (4.0, 0.0, "GN201")])
def test_a_loss_of_unknown_unit_may_fall_by_a_few_percent(times: float, fall: float, code: str | None) -> None:
    """Fine-tuning: the norm may double, and 7 % of a cross-entropy is learning."""
    run = example_run(
        norm=lambda t: 0.3 * times**t, loss=lambda t: 1.1 * (1.0 - fall * t), spread=0.02, loss_unit="nats", seed=1
    )
    found = {f.code for f in diagnose_facts(run).findings} & {"GN201", "GN202"}
    assert found == ({code} if code else set())
