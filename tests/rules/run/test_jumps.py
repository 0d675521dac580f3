"""A loss whose level changes abruptly, and spikes in logs that have only the loss."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.run import RunFacts

CODES = ("LS207", "SK201", "SK202", "SK204", "SK205")


def findings(level: Any, n: int = 400, spread: float = 0.03, **other: Any) -> dict[str, Finding]:
    noise = random.Random(0)
    losses = [level(i) * math.exp(noise.gauss(0.0, spread)) for i in range(n)]
    run = RunFacts(step=list(range(1, n + 1)), loss=losses, **other)
    return {f.code: f for f in diagnose_facts(run).findings if f.code in CODES}


def resumed(height: float) -> Any:
    """Falls from 3 to 1, jumps by `height`, and falls again."""
    return lambda i: 3.0 - 2.0 * i / 200 if i < 200 else 1.0 + height * math.exp(-(i - 200) / 80)


@pytest.mark.parametrize(("height", "named"), [(0.1, False), (1.0, True)])
def test_a_jump_to_another_level(height: float, *, named: bool) -> None:
    found = findings(resumed(height))
    assert ("LS207" in found) is named
    if named:
        assert found["LS207"].step == pytest.approx(201, abs=3)


def test_what_goes_with_it_is_named() -> None:
    lr = [1e-4 * (1.0 - i / 200) if i < 200 else 1e-4 * (1.0 - (i - 200) / 200) for i in range(400)]
    assert "the learning rate rises there" in findings(resumed(1.0), lr=lr)["LS207"].message
    assert "learning rate" not in findings(resumed(1.0))["LS207"].message


def test_the_first_tenth_may_do_anything() -> None:
    assert "LS207" not in findings(lambda i: 1.0 if i < 20 else 2.0 * math.exp(-i / 200))


def every_sixty(height: float) -> Any:
    return lambda i: height if i % 60 == 30 else 1.5


@pytest.mark.parametrize(("height", "named"), [(2.0, False), (4.0, True)])
def test_spikes_of_a_cross_entropy(height: float, *, named: bool) -> None:
    found = findings(every_sixty(height), loss_unit="nats")
    assert ("SK204" in found) is named
    if named:
        assert found["SK204"].severity == "warning"
        assert findings(lambda i: height if i == 200 else 1.5, loss_unit="nats")["SK204"].severity == "info"


def test_a_power_may_be_twice_itself() -> None:
    assert not findings(every_sixty(4.0), loss_unit="power")
    found = findings(every_sixty(40.0), loss_unit="power")
    assert found["SK202"].severity == "warning"  # without a norm and without a rate
    assert found["SK202"].patch == {}


def test_a_short_log() -> None:
    found = findings(lambda i: 5e9 if i in (3, 6, 9) else 140.0, n=14)
    assert found["SK205"].severity == "warning"
    assert findings(lambda i: 3e3 if i == 6 else 140.0, n=14)["SK205"].severity == "info"
    assert not findings(lambda i: 700.0 if i in (3, 6, 9) else 140.0, n=14)
    assert not findings(lambda i: 140.0 * math.exp(-i), n=14)  # a steep start


def test_a_loss_that_may_be_negative_is_judged_by_its_spread() -> None:
    levels = [-2.0 - 0.01 * i for i in range(24)]
    calm = RunFacts(signed_step=list(range(24)), signed_loss=levels)
    spiky = RunFacts(
        signed_step=list(range(24)), signed_loss=[683.0 if i in (6, 13) else v for i, v in enumerate(levels)]
    )
    assert "SK205" in {f.code for f in diagnose_facts(spiky).findings}
    assert not diagnose_facts(calm).findings


def test_spikes_of_a_loss_that_may_be_negative() -> None:
    def of(losses: list[float]) -> set[str]:
        run = RunFacts(signed_step=list(range(1, len(losses) + 1)), signed_loss=losses)
        return {f.code for f in diagnose_facts(run).findings if f.severity == "warning"}

    usual = [90.0, 24.0, 21.0, 6.0, 5.0, 3.0, -2.2, 5.5, 15.0, 25.0, 5.2, -2.4, -2.6, -2.6, 12.0, 27.0, 5.2, -2.8]
    assert "SK205" not in of(usual)
    assert "SK205" in of([*usual[:4], 683.0, *usual[4:9], 717.0, *usual[9:]])
    assert "SK205" not in of([100.0 * math.exp(-k / 2) - 3.0 for k in range(20)])  # it only falls


@pytest.mark.parametrize(("spike", "severity"), [(4000.0, "warning"), (20.0, "info")])
def test_one_spike_is_a_warning_where_it_is_a_thousand_times_the_rest(spike: float, severity: str) -> None:
    losses = [-4.1, -4.5, -4.4, -4.3, spike, -2.4, -2.9]
    run = RunFacts(signed_step=list(range(1, 8)), signed_loss=losses)
    assert {f.code: f.severity for f in diagnose_facts(run).findings}["SK205"] == severity


def test_a_loss_near_zero_that_goes_up_and_down_tenfold_has_no_spikes() -> None:
    noise = random.Random(1)
    losses = [0.02 * math.exp(noise.gauss(0.0, 1.5)) for _ in range(86)]
    assert max(losses) > 10 * sorted(losses)[43]
    run = RunFacts(step=list(range(1, 87)), loss=losses, loss_unit="nats")
    assert "SK205" not in {f.code for f in diagnose_facts(run).findings}


def test_a_small_jump_that_undoes_all_progress() -> None:
    def level(i: int) -> float:
        falls = 55.0 - 7.0 * min(i, 12) / 12
        return falls if i < 12 else 54.3 if i < 30 else 54.3 - 1.2 * (i - 30)

    assert findings(level, n=65, spread=0.002)["LS207"].step == 13
    assert "LS207" not in findings(lambda i: level(i) - (3.0 if 12 <= i < 30 else 0.0), n=65, spread=0.002)


def test_one_validation_loss_of_a_thousand_times_the_usual() -> None:
    for blown, named in ((789.0, True), (2.0, False)):
        scores = {"": (list(range(1, 11)), [0.09, 0.08, blown, 0.07, 0.06, 0.06, 0.05, 0.05, 0.05, 0.05])}
        run = RunFacts(step=list(range(1, 11)), loss=[0.3 - 0.02 * k for k in range(10)], eval_losses=scores)
        found = {f.code: f for f in diagnose_facts(run).findings}
        assert ("SK205" in found) is named
        assert not named or "789 at step 3" in found["SK205"].message
