"""Single steps that stand out, and what repeats with the epoch."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dpdrun.diagnosis import diagnose_facts
from dpdrun.rules.catalogue import Finding
from dpdrun.rules.examples import example_run


def findings(**run: Any) -> dict[str, Finding]:
    return {f.code: f for f in diagnose_facts(example_run(**run)).findings if f.code.startswith("SK")}


def spiky(every: int, times: float, level: float = 0.3) -> Callable[[float], float]:
    return lambda t: level * (times if round(400 * t) % every == every // 2 else 1.0)


def test_one_spike_keeps_the_learning_rate() -> None:
    finding = findings(norm=lambda t: 30.0 if round(400 * t) == 200 else 0.3, clip_norm=100.0)["SK201"]
    assert (finding.severity, finding.step) == ("info", 200)
    assert list(finding.patch) == ["optim.clip_norm"]
    assert finding.patch["optim.clip_norm"] == pytest.approx(0.34, abs=0.02)
    assert "keep the learning rate" in finding.advice


def test_a_clip_that_bounds_the_spike_already_is_left() -> None:
    finding = findings(norm=lambda t: 30.0 if round(400 * t) == 200 else 0.3, clip_norm=0.4)["SK201"]
    assert not finding.patch


def test_many_spikes_are_a_warning_with_a_lower_lr() -> None:
    found = findings(norm=spiky(60, 40.0), clip_norm=100.0)
    assert list(found) == ["SK202"]
    assert found["SK202"].severity == "warning"
    assert found["SK202"].patch["optim.lr"] == 5e-3
    assert found["SK202"].evidence["n"] == 6
    assert "step 90 (norm x37)" in found["SK202"].message


def test_spikes_of_the_loss_count_as_well() -> None:
    found = findings(loss=spiky(60, 40.0, level=0.01))
    assert "loss x4" in found["SK202"].message


@pytest.mark.parametrize("times", [3.0, 8.0])
def test_small_ones_do_not(times: float) -> None:
    assert findings(norm=spiky(60, times), loss=spiky(60, times, level=0.01)) == {}


def test_heavy_tails_are_no_spikes() -> None:
    """A loss of small batches: a spread of 1.5 dB and the tails of Student's t with 6 degrees of freedom."""
    alarms = 0
    for seed in range(30):
        draw = random.Random(seed)
        tails = [draw.gauss(0, 1) / (draw.gammavariate(3, 1 / 3) ** 0.5) for _ in range(400)]
        run = example_run()
        heavy = replace(run, loss=[0.01 * 10 ** (0.15 * tail) for tail in tails])
        alarms += "SK202" in {finding.code for finding in diagnose_facts(heavy).findings}
    assert alarms <= 1


@pytest.mark.parametrize(
    ("factor", "phase", "said"),
    [(4.0, 0, "the last step of an epoch (20 steps) has a loss 6.0 dB above"),
     (0.25, 0, "the last step of an epoch (20 steps) has a loss 6.0 dB below"),
     (4.0, 1, "the first step of an epoch (20 steps) has a loss 6.0 dB above")],
)  # fmt: skip
def test_ends_of_epochs(factor: float, phase: int, said: str) -> None:
    run = {"loss": lambda t: 0.01 * (factor if round(400 * t) % 20 == phase else 1.0), "spread": 0.02}
    assert said in findings(**run, steps_per_epoch=20.0)["SK203"].message
    assert "SK203" not in findings(**run, steps_per_epoch=27.0)


def test_an_order_that_is_never_shuffled() -> None:
    draw = random.Random(0)
    order = [draw.gauss(0.0, 0.2) for _ in range(25)]

    def loss(t: float) -> float:
        return 0.01 * 10 ** (order[round(400 * t) % 25] - 0.5 * t)

    assert "repeats that of the epoch before" in findings(loss=loss, steps_per_epoch=25.0)["SK203"].message
    assert "SK203" not in findings(loss=loss, steps_per_epoch=18.0)


def test_shuffled_epochs_are_silent() -> None:
    alarms = sum(
        "SK203" in findings(loss=0.01, spread=0.4, seed=seed, steps_per_epoch=period)
        for seed in range(20)
        for period in (7.0, 20.5, 41.0)
    )
    assert alarms == 0


def test_few_epochs_are_said_to_be_few() -> None:
    skipped = {s.code: s.reason for s in diagnose_facts(example_run(steps_per_epoch=100.0)).skipped}
    assert "fewer than 5 epochs" in skipped["SK203"]
