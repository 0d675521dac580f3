"""The learning rate that was used against the one that was planned."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import cosine_lr, example_run
from dpdrun.rules.facts.run import RunFacts


def planned(step: int) -> float:
    return cosine_lr(step, peak=1e-2, warmup=20, total=400)


def found(run: RunFacts) -> Finding | None:
    return next((finding for finding in diagnose_facts(run).findings if finding.code == "SC201"), None)


@pytest.mark.parametrize(
    ("realised", "pattern"),
    [
        (0.0, "stuck at zero"),
        (1e-5, "stuck at 1e-05, 0.001 of the planned peak"),
        (lambda step: 0.0 if step < 30 else 1e-5, "stuck at 1e-05, 0.001 of the planned peak"),
        (lambda step: planned(min(400, 2 * step)), "2 times too fast"),
        (lambda step: planned(min(400, 7 * step)), "7 times too fast"),
        (lambda step: 4.0 * planned(step), "4 times the plan"),
        (lambda step: planned(1 + step // 37), "changes once in 37 steps and reached 0.0055, 0.55 of the planned peak"),
        (lambda step: planned(step) if step < 240 else 0.0, "zero from step 240 on, of 400 planned steps"),
        (lambda step: planned(step) * (1.0 if step < 200 else 0.5), "departs from the plan"),
    ],
    ids=[
        "zero",
        "thousandth",
        "the note's own",
        "twice",
        "seven times",
        "scaled",
        "once an epoch",
        "over early",
        "other",
    ],
)
def test_patterns(realised: Callable[[int], float] | float, pattern: str) -> None:
    finding = found(example_run(realised=realised))
    assert finding is not None
    assert finding.severity == "error"
    assert pattern in finding.message
    assert finding.advice


def test_an_epoch_is_called_an_epoch() -> None:
    finding = found(example_run(realised=lambda step: planned(1 + step // 37), steps_per_epoch=36.6))
    assert finding is not None
    assert "the lr changes once per epoch" in finding.message


def test_steps_of_the_plan_are_no_stair() -> None:
    """A planned schedule that moves once an epoch may be followed, and may be missed in another way."""

    def stair(step: int) -> float:
        return planned(1 + 37 * (step // 37))

    steps = range(1, 401)
    finding = found(example_run(realised=lambda step: 0.5 * stair(step), lr_planned=[stair(step) for step in steps]))
    assert finding is not None
    assert "0.5 times the plan" in finding.message


@pytest.mark.parametrize(("zero", "flagged"), [(400, True), (40, True), (10, False), (1, False)])
def test_rates_of_zero_without_a_plan(zero: int, flagged: bool) -> None:
    run = example_run(realised=lambda step: 0.0 if step <= zero else 1e-3, lr_planned=[], loss=0.1)
    codes = {finding.code: finding for finding in diagnose_facts(run).findings}
    assert ("SC202" in codes) is flagged
    assert not flagged or codes["SC202"].severity == "error"


def test_a_rate_of_zero_at_which_the_loss_falls_was_rounded() -> None:
    run = example_run(realised=0.0, lr_planned=[], loss=lambda t: 1.0 - 0.5 * t)
    assert "SC202" not in {finding.code for finding in diagnose_facts(run).findings}


def test_onset_is_the_first_step_that_differs() -> None:
    finding = found(example_run(realised=lambda step: planned(step) * (1.0 if step < 200 else 0.5)))
    assert finding is not None
    assert finding.step == 200
    assert finding.evidence["steps"] == 200  # 200 to 399; both are 0 at the last


@pytest.mark.parametrize("factor", [1.0, 1.0 + 5e-4, 1.0 - 5e-4])
def test_rounding_is_no_difference(factor: float) -> None:
    assert found(example_run(realised=lambda step: factor * planned(step))) is None


def test_nan_is_a_difference() -> None:
    assert found(example_run(realised=lambda step: float("nan") if step == 50 else planned(step))) is not None
