"""Single steps that stand out, and what repeats with the epoch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.run import spikes


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
    assert "step 90 (norm x38)" in found["SK202"].message


def echoing(jump_db: float, echo_db: float, at: int = 200, steps: int = 30) -> Callable[[float], float]:
    """A loss of -20 dB that jumps at a step and comes back over some more."""

    def loss(t: float) -> float:
        since = round(400 * t) - at
        return 0.01 * 10 ** ((jump_db if since == 0 else echo_db * (0 < since <= steps)) / 10)

    return loss


@pytest.mark.parametrize(
    ("jump_db", "echo_db", "severity"),
    [
        (12.0, 0.0, "info"),
        (12.0, 8.0, "info"),  # what a lively run does by itself
        (25.0, 0.0, "info"),
        (25.0, 4.0, "info"),
        (17.0, 8.0, "warning"),
        (33.0, 0.0, "warning"),  # no batch of the same data
    ],
)
def test_a_spike_is_graded_by_its_size_and_by_what_it_cost(jump_db: float, echo_db: float, severity: str) -> None:
    finding = findings(loss=echoing(jump_db, echo_db))["SK201"]
    assert (finding.severity, finding.step) == (severity, 200)
    assert finding.evidence["echo_db"] == pytest.approx(echo_db, abs=0.5)
    assert ("keep the learning rate" in finding.advice) is (severity == "info")


def test_an_echo_is_reported_with_its_length_and_its_causes() -> None:
    finding = findings(loss=echoing(20.0, 10.0, steps=30), clip_norm=100.0)["SK201"]
    assert "the loss of the next 10 steps is 10.3 dB above that before, it recovered after 29 steps" in finding.message
    for cause in ("samples of step 200", "resumed there", "lower optim.lr"):
        assert cause in finding.advice
    assert "it has not recovered" in findings(loss=echoing(20.0, 10.0, steps=300))["SK201"].message


def test_the_end_of_a_log_has_no_echo_yet() -> None:
    finding = findings(loss=echoing(20.0, 10.0, at=395))["SK201"]
    assert (finding.severity, finding.evidence["echo_db"]) == ("info", None)


def test_a_restart_of_the_schedule_is_no_spike() -> None:
    loss = echoing(20.0, 10.0, at=201)
    assert "SK201" in findings(loss=loss, realised=lambda step: 1e-2 if step <= 200 else 5e-3)
    assert findings(loss=loss, realised=lambda step: 1e-3 if step <= 200 else 1e-2) == {}


def test_spikes_at_one_place_of_the_epoch_are_of_the_data() -> None:
    every = spiky(80, 40.0)
    found = findings(norm=every, clip_norm=100.0, steps_per_epoch=80.0)["SK202"]
    assert "all at step 40 of an epoch" in found.message
    assert found.patch == {}
    assert "fixed order" in found.advice
    for other in (70.0, 3.0, None):
        elsewhere = findings(norm=every, clip_norm=100.0, steps_per_epoch=other)["SK202"]
        assert "of an epoch" not in elsewhere.message
        assert "optim.lr" in elsewhere.patch


def test_batches_of_another_scale_are_no_matter_of_the_rate() -> None:
    found = findings(loss=spiky(60, 1e6, level=0.01))["SK202"]
    assert "optim.lr" not in found.patch
    assert "inspect the samples" in found.advice


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


def test_three_epochs_are_enough_for_ends_that_stand_out() -> None:
    def loss(t: float) -> float:
        return 0.01 * (0.25 if round(400 * t) % 120 == 0 else 1.0)

    found = findings(loss=loss, spread=0.2, steps_per_epoch=120.0)["SK203"]
    assert "the last step of an epoch (120 steps) has a loss 5.7 dB below the others" in found.message
    assert "3 epochs" in found.message
    whole = findings(loss=loss, spread=0.2, steps_per_epoch=120.6)["SK203"]  # where the last batch was dropped
    assert "(120 steps)" in whole.message


def test_p_of_a_few_is_that_of_the_exact_test() -> None:
    draw = random.Random(3)
    checked = 0
    for n in (3, 4, 5, 8):
        for shift in (0.0, 1.0, 3.0):
            these = [draw.gauss(shift, 1.0) for _ in range(n)]
            those = [draw.gauss(0.0, 1.0) for _ in range(250)]
            expected = stats.mannwhitneyu(these, those, alternative="greater", method="exact").pvalue
            p = spikes._p_greater(these, those)
            assert p == pytest.approx(expected, rel=0.25, abs=1e-6)
            checked += 1
    assert checked == 12


def test_ends_of_few_epochs_keep_their_level() -> None:
    """Noise alone, three epochs: an alarm in one run of a thousand."""
    alarms = sum("SK203" in findings(loss=0.01, spread=0.4, seed=seed, steps_per_epoch=110.0) for seed in range(60))
    assert alarms == 0


def test_an_order_needs_five_epochs() -> None:
    """A loss that wanders is like itself an epoch later by chance."""
    draw = random.Random(0)
    order = [draw.gauss(0.0, 0.2) for _ in range(100)]
    assert "SK203" not in findings(loss=lambda t: 0.01 * 10 ** order[round(400 * t) % 100], steps_per_epoch=100.0)


def test_an_order_that_is_never_shuffled() -> None:
    draw = random.Random(0)
    order = [draw.gauss(0.0, 0.2) for _ in range(25)]

    def loss(t: float) -> float:
        return 0.01 * 10 ** (order[round(400 * t) % 25] - 0.5 * t)

    assert "repeats that of the previous epoch" in findings(loss=loss, steps_per_epoch=25.0)["SK203"].message
    assert "SK203" not in findings(loss=loss, steps_per_epoch=18.0)


def test_shuffled_epochs_are_silent() -> None:
    alarms = sum(
        "SK203" in findings(loss=0.01, spread=0.4, seed=seed, steps_per_epoch=period)
        for seed in range(20)
        for period in (7.0, 20.5, 41.0)
    )
    assert alarms == 0


def test_few_epochs_are_skipped() -> None:
    skipped = {s.code: s.reason for s in diagnose_facts(example_run(steps_per_epoch=130.0)).skipped}
    assert "fewer than 3 epochs" in skipped["SK203"]


def epochs_of(pattern: float, stairs: float, seed: int = 0) -> RunFacts:
    """Eight epochs of 50 lines of a cross-entropy: a pattern that repeats, stairs from one to the next, and noise."""
    draw = random.Random(seed)
    shape = [draw.gauss(0.0, 1.0) for _ in range(50)]
    losses = [
        1.5 * (1.0 - stairs) ** (i // 50) * math.exp(pattern * shape[i % 50] + draw.gauss(0, 0.05)) for i in range(400)
    ]
    return RunFacts(step=list(range(1, 401)), loss=losses, loss_unit="nats", steps_per_epoch=50.0)


@pytest.mark.parametrize(("pattern", "stairs", "named"), [(0.0, 0.4, False), (0.0, 0.1, False), (0.1, 0.1, True)])
def test_stairs_of_epochs_are_no_order_of_the_frames(pattern: float, stairs: float, *, named: bool) -> None:
    assert ("SK203" in {f.code for f in diagnose_facts(epochs_of(pattern, stairs)).findings}) is named
