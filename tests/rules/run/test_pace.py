"""A learning rate that was too low or too high, by what the loss did."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import cosine_lr, example_parts, example_run

CODES = ("LR201", "LR202", "LR203", "LR204")


def findings(**run: Any) -> dict[str, Finding]:
    return {f.code: f for f in diagnose_facts(example_run(**run)).findings if f.code in CODES}


SUMMED = list(accumulate(cosine_lr(step, peak=1.0, warmup=20, total=400) for step in range(1, 401)))


def way(t: float) -> float:
    return SUMMED[round(400 * t) - 1] / SUMMED[-1]


def test_an_even_pace_asks_for_a_higher_lr() -> None:
    finding = findings(loss=lambda t: 10 ** (-1.5 * way(t)), peak=1e-4, max_steps=400)["LR201"]
    assert (finding.severity, finding.patch) == ("warning", {"optim.lr": 3e-4})
    assert "train longer (train.max_steps 1200)" in finding.advice
    assert finding.evidence["value"] == pytest.approx(1.0, abs=0.2)


def test_a_rate_that_the_sweeps_found_good_is_not_called_too_low() -> None:
    even: dict[str, Any] = {"loss": lambda t: 10 ** (-1.5 * way(t)), "peak": 1e-2}
    assert "LR201" not in findings(**even, swept_lr=2e-2)
    assert "LR201" in findings(**even, swept_lr=1e-1)


@pytest.mark.parametrize(("octaves", "named"), [(-7, True), (-5, True), (-1, False), (0, False), (1, False), (4, True)])
def test_distance_from_the_swept_rate(octaves: int, *, named: bool) -> None:
    """A loss that levels off looks alike at any rate; what such a network can reach is known."""
    finding = findings(peak=2e-2 * 2.0**octaves, swept_lr=2e-2).get("LR204")
    assert (finding is not None) is named
    if finding is not None:
        assert finding.patch == {"optim.lr": 2e-2}
        assert f"{2 ** abs(octaves)} times {'above' if octaves > 0 else 'below'}" in finding.message


def test_a_run_of_a_length_that_was_not_swept_is_not_compared() -> None:
    run = example_run(peak=1e-4, swept_lr=2e-2, steps=60)
    assert {s.code: s.reason for s in diagnose_facts(run).skipped}["LR204"] == "runs of this length were not swept"


def test_the_length_is_advised_in_the_field_that_the_recipe_uses() -> None:
    finding = findings(loss=lambda t: 10 ** (-1.5 * way(t)), peak=1e-4, epochs=20.0)["LR201"]
    assert "train.epochs 60" in finding.advice


@pytest.mark.parametrize(
    "loss",
    [
        lambda t: 10 ** (-4 * (1 - (1 - way(t)) ** 3)),  # slows down
        lambda t: 10 ** (-2 * min(1.0, way(t) / 0.3) - max(0.0, way(t) - 0.8) * 5),  # falls as the rate decays
        lambda t: 0.9 if way(t) < 0.5 else 0.9 * 10 ** (-3 * min(1.0, (way(t) - 0.5) / 0.2)),  # plateau, drop, level
        lambda t: 0.5,
    ],
    ids=["converges", "anneals", "plateau-then-drop", "flat"],
)
def test_a_loss_that_slows_down_is_silent(loss: Any) -> None:
    assert "LR201" not in findings(loss=loss)


def test_the_final_loss_is_not_predicted() -> None:
    run: dict[str, Any] = {"loss": lambda t: 10 ** (-1.5 * way(t)), "total": 500}
    reasons = {skip.code: skip.reason for skip in diagnose_facts(example_run(**run)).skipped}
    assert "the progress of the run is 0.8" in reasons["LR201"]


def test_blown_up_by_a_high_lr() -> None:
    run: dict[str, Any] = {"loss": lambda t: 0.8 if t < 0.02 else 800.0 * 10 ** (-3 * t), "peak": 0.3}
    finding = findings(**run)["LR202"]
    assert (finding.severity, finding.patch) == ("warning", {"optim.lr": 0.03})
    assert "memory" not in finding.advice
    with_memory = findings(**run, beta2=0.99)["LR202"]
    assert "the warmup of 20 steps is too short for Adam (200)" in with_memory.advice
    assert findings(**run, total=4000, steps=100)["LR202"].severity == "error"  # while it lasts


def test_a_little_above_the_start_is_no_blow_up() -> None:
    assert "LR202" not in findings(loss=lambda t: 1.0 if t < 0.02 else 3.0 * 10 ** (-4 * t))


def test_a_high_lr_is_not_called_too_low() -> None:
    """A loss that first rose falls at an even pace: the size of the updates tells which it is."""
    even: dict[str, Any] = {"loss": lambda t: 10 ** (-1.5 * way(t))}
    assert "LR201" in findings(**even)
    assert "LR201" not in findings(**even, **example_parts(ratio=0.3))


def test_alternating_losses() -> None:
    finding = findings(loss=lambda t: 0.02 if round(400 * t) % 2 else 0.01)["LR203"]
    assert finding.patch == {"optim.lr": 5e-3}
    assert finding.evidence["value"] < -0.5
    assert "LR203" not in findings(loss=lambda t: 0.01 * (1 + 0.5 * math.sin(40 * t)))


def test_sparse_logs_do_not_alternate() -> None:
    run = example_run(loss=lambda t: 0.02 if round(400 * t) % 2 else 0.01)
    sparse = example_run(step=[10 * step for step in run.step], loss=lambda t: 0.02 if round(400 * t) % 2 else 0.01)
    assert "LR203" not in {finding.code for finding in diagnose_facts(sparse).findings}
