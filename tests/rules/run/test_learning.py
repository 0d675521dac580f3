"""A run that never learned, and one that memorised its training set."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.run import RunFacts

CODES = ("LS204", "LS208", "LR201")


def facts(curve: Any, n: int = 60, spread: float = 0.02, seed: int = 0, **other: Any) -> RunFacts:
    """A log of another program: steps and losses, Gaussian noise relative to the level."""
    noise = random.Random(seed)
    level = curve if callable(curve) else lambda _: curve
    losses = [level(i / (n - 1)) * (1.0 + noise.gauss(0.0, spread)) for i in range(n)]
    return RunFacts(step=[10 * (i + 1) for i in range(n)], loss=losses, **other)


def findings(*args: Any, **kwargs: Any) -> dict[str, Finding]:
    return {f.code: f for f in diagnose_facts(facts(*args, **kwargs)).findings if f.code in CODES}


@pytest.mark.parametrize("classes", [2, 4, 10, 1000])
def test_a_loss_that_stays_at_ln_k_is_an_error(classes: int) -> None:
    finding = findings(math.log(classes), loss_unit="nats")["LS204"]
    assert finding.severity == "error"
    assert f"ln {classes}," in finding.message


def test_a_flat_loss_elsewhere_is_a_warning_where_the_lines_suffice_to_say_so() -> None:
    assert findings(5.3)["LS204"].severity == "warning"
    assert findings(5.3, n=20, spread=0.01)["LS204"].severity == "warning"
    assert "LS204" not in findings(5.3, n=8, spread=0.04)  # a fall of 6 % would not show
    assert "LS204" in findings(5.3, n=30, spread=0.05)  # all lines together: no fall shows, and none of 25 % is hidden
    assert "LS204" not in findings(5.3, n=7, spread=0.02)
    assert "LS204" in findings(5.3, n=5, spread=0.0005)  # five lines are enough where they hardly move
    assert "LS204" in findings(5.3, n=5, spread=0.001, steps_per_epoch=1.0)  # a line is an epoch


def test_an_excerpt_from_later_is_not_where_it_began() -> None:
    losses = [5.3 + 0.01 * (k * 7 % 5) for k in range(60)]
    for first, named in ((1, True), (900, False)):
        run = RunFacts(step=list(range(first, first + 60)), loss=losses)
        assert any(f.code == "LS204" for f in diagnose_facts(run).findings) is named


def test_a_warmup_is_not_over() -> None:
    rises = [1e-6 * (k + 1) for k in range(60)]
    assert "LS204" not in findings(5.3, lr=rises)
    assert "LS204" in findings(5.3, lr=[1e-4] * 60)


@pytest.mark.parametrize(("fall", "named"), [(0.0, True), (0.08, False)])
def test_a_loss_that_falls_is_learning(fall: float, *, named: bool) -> None:
    assert ("LS204" in findings(lambda t: 5.3 * (1.0 - fall * t))) is named


def test_a_fall_of_two_percent_in_all_is_said_with_its_size() -> None:
    found = findings(lambda t: 5.3 * (1.0 - 0.02 * t), n=400, spread=0.005)["LS204"]
    assert 0.015 < found.evidence["value"] < 0.025


def test_a_fall_in_the_first_lines_is_learning() -> None:
    assert "LS204" not in findings(lambda t: 3.0 if t > 0.01 else 5.3, n=400, spread=0.02)


def test_noise_hides_a_flat_loss_but_not_at_the_value_of_guessing() -> None:
    assert "LS204" not in findings(5.3, spread=0.4, n=60)
    assert "LS204" in findings(5.3, spread=0.2, n=60)  # no trend
    assert "LS204" not in findings(lambda t: 5.3 * (1.0 - 0.5 * t), spread=0.2, n=60)
    assert "LS204" not in findings(5.3, spread=0.2, n=9)
    assert "LS204" not in findings(5.3, spread=0.2, n=60, total_steps=1500)  # before half of the run
    assert "LS204" in findings(5.3, spread=0.08, n=200)
    assert findings(math.log(2), spread=0.1, n=300, loss_unit="nats")["LS204"].severity == "error"


def test_a_poor_start_that_comes_down_to_guessing_has_not_learned() -> None:
    def curve(t: float) -> float:
        return math.log(10) * (1.0 + 0.15 * math.exp(-40 * t))

    assert findings(curve, spread=0.01, n=200, loss_unit="nats")["LS204"].severity == "error"
    assert "LS204" not in findings(lambda t: 1.07 * curve(t), spread=0.01, n=200, loss_unit="nats")


def test_the_same_accuracy_each_time_is_a_constant_answer() -> None:
    def settles(t: float) -> float:
        return 0.57 + 0.07 * math.exp(-30 * t)

    steps = list(range(10, 310, 10))
    same = {"val_acc": (steps, [0.72414] * 30)}
    other = {"val_acc": (steps, [0.72 + 0.001 * k for k in range(30)])}
    assert findings(settles, n=30, spread=0.005, eval_metrics=same)["LS204"].severity == "warning"
    assert "LS204" not in findings(settles, n=30, spread=0.005, eval_metrics=other)
    perfect = {"val_acc": (steps, [1.0] * 30)}
    assert "LS204" not in findings(settles, n=30, spread=0.005, eval_metrics=perfect)


def test_nothing_is_said_early_or_of_an_objective() -> None:
    assert "LS204" not in findings(math.log(10), total_steps=10_000)
    assert "LS204" in findings(math.log(10), total_steps=1000)
    assert "LS204" not in findings(math.log(10), loss_unit="objective")


def test_an_nmse_of_predicting_nothing() -> None:
    steps = [100, 200, 300, 400, 500]
    flat = dict(loss_unit="power", eval_step=steps)
    assert findings(0.1178, eval_nmse_db=[-0.1, 0.0, -0.05, -0.1, 0.1], **flat)["LS204"].severity == "error"
    assert findings(0.1178, eval_nmse_db=[-20.0] * 5, **flat)["LS204"].severity == "warning"


def test_by_heart_silences_a_higher_rate() -> None:
    n = 200
    curve = lambda t: 3.0 * 10 ** (-2.5 * t)  # noqa: E731
    log: dict[str, Any] = {"n": n, "lr": [1e-4] * n, "finished": True, "total_steps": 10 * n, "epochs": 20.0}
    found = findings(curve, **log, loss_unit="nats")
    assert found["LS208"].severity == "info"
    assert "LR201" not in found
    few = findings(curve, **{**log, "epochs": 2.0}, loss_unit="nats")
    assert "LS208" not in few
    assert few["LR201"].severity == "info"
    assert few["LR201"].patch == {}
    assert "LS208" not in findings(curve, **log, loss_unit="power")


def test_false_alarms_on_curves_that_fall() -> None:
    """300 curves of each kind, seeds 0 to 299: exp(-t), a fall of 8 %, at 8 to 200 lines and noise of 3 and 10 %."""
    alarms = 0
    for seed in range(300):
        n = (12, 30, 60, 200)[seed % 4]
        spread = (0.03, 0.1)[seed // 4 % 2]
        run = facts(lambda t: 2.7 * math.exp(-2.0 * t), n=n, spread=spread, seed=seed)
        alarms += any(f.code == "LS204" and f.severity != "info" for f in diagnose_facts(run).findings)
    assert alarms == 0


def test_a_probability_of_zero_is_named_in_few_lines() -> None:
    run = RunFacts(step=[26400, 26500, 26600], loss=[87.3365] * 3)
    found = {f.code: f for f in diagnose_facts(run).findings}
    assert "the right class has a probability of 0" in found["LS204"].message
    assert "LS204" not in {f.code for f in diagnose_facts(RunFacts(step=[1, 2, 3], loss=[87.4] * 3)).findings}


def test_a_rate_that_hardly_falls_shows_a_part_of_a_long_run() -> None:
    assert "LS204" not in findings(5.3, lr=[2.543e-4 - 1.4e-8 * k for k in range(60)])
    assert "LS204" in findings(5.3, lr=[2.5e-4 * (1 - k / 60) for k in range(60)])


def test_a_few_lines_at_the_value_of_guessing_among_few_classes() -> None:
    at_chance = [1.609, 1.612, 1.605]  # ln 5
    found = {f.code: f for f in diagnose_facts(RunFacts(step=[1, 2, 3], loss=at_chance, loss_unit="nats")).findings}
    assert "= ln 5" in found["LS204"].message
    scores = RunFacts(eval_losses={"": ([1, 2, 3, 4], [1.386, 1.386, 1.387, 1.385])})
    assert "the validation loss is 1.385 to 1.387" in diagnose_facts(scores).findings[0].message
    for losses in ([1.609, 1.55, 1.50], [2.08, 2.07, 2.085], [1.609, 1.609]):  # falls; ln 8 proves nothing; two lines
        run = RunFacts(step=list(range(1, len(losses) + 1)), loss=losses, loss_unit="nats")
        assert "LS204" not in {f.code for f in diagnose_facts(run).findings}


def test_an_excerpt_at_a_level_that_no_learning_network_keeps() -> None:
    def excerpt(level: float) -> set[str]:
        losses = [level + 0.01 * (k % 3) for k in range(12)]
        run = RunFacts(step=list(range(16_000, 18_400, 200)), loss=losses, loss_unit="nats")
        return {f.code for f in diagnose_facts(run).findings}

    assert "LS204" in excerpt(7.34)
    assert "LS204" not in excerpt(2.4)


@pytest.mark.parametrize(
    ("floor", "named"), [(math.log(2), True), (0.25, True), (0.6, False), (0.9 * math.log(2), False)]
)
def test_a_loss_that_only_comes_down_to_a_guess(floor: float, *, named: bool) -> None:
    falls = [floor * (1.0 + 0.3 * 0.6**k) for k in range(12)]
    run = RunFacts(step=list(range(1, 13)), loss=falls, loss_unit="nats" if floor > 0.5 else None)
    assert ("LS204" in {f.code for f in diagnose_facts(run).findings}) is named
    below = RunFacts(step=run.step, loss=[*falls[:5], 0.5 * floor, *falls[6:]], loss_unit=run.loss_unit)
    assert "LS204" not in {f.code for f in diagnose_facts(below).findings}  # it has been better than a guess
