"""A loss that leaves its minimum, and one that stays flat."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run


def findings(**run: Any) -> dict[str, Finding]:
    return {f.code: f for f in diagnose_facts(example_run(**run)).findings if f.code.startswith("LS")}


def rising(decades: float, since: float = 0.6) -> Any:
    return lambda t: 0.01 * 10 ** (decades * max(0.0, t - since))


def test_divergence_says_where_it_began() -> None:
    finding = findings(loss=rising(5.0))["LS202"]
    assert finding.severity == "error"
    assert finding.step is not None
    assert 235 <= finding.step <= 260  # 0.6 of 400
    assert finding.patch == {"optim.lr": 5e-3}
    assert finding.evidence["value"] == pytest.approx(17, abs=2)


def test_a_smaller_rise_is_a_warning() -> None:
    assert findings(loss=rising(2.0))["LS202"].severity == "warning"
    assert "LS202" not in findings(loss=rising(1.0))


def test_a_rise_that_came_back_is_none() -> None:
    assert "LS202" not in findings(loss=lambda t: 1.0 if 0.4 < t < 0.6 else 0.01)


def test_the_warmup_is_not_looked_at() -> None:
    assert "LS202" not in findings(loss=lambda t: 1e-4 if t < 0.05 else 0.01)


def test_a_restart_may_cost_some_decibels() -> None:
    def loss(t: float) -> float:
        return 0.01 if t < 0.4 else 0.001 if t < 0.5 else 0.007

    restarted: dict[str, Any] = {"loss": loss, "realised": lambda step: 1e-3 if step < 200 else 1e-2}
    assert "LS202" not in findings(**restarted, lr_planned=[])
    assert "LS202" in findings(loss=loss, realised=1e-2, lr_planned=[])


def test_after_a_restart_the_loss_is_compared_with_that_of_such_a_rate() -> None:
    def loss(t: float) -> float:
        return 0.01 if t < 0.4 else 1e-4 if t < 0.5 else 0.2

    run: dict[str, Any] = {"loss": loss, "lr_planned": []}
    finding = findings(**run, realised=lambda step: 1e-3 if 160 < step < 200 else 1e-2)["LS202"]
    assert finding.evidence["value"] == pytest.approx(13, abs=1)  # not the 33 dB from the low rate
    assert "LS202" not in findings(**run, realised=lambda step: 1e-3 if step < 200 else 1e-2)  # nothing to compare


SCORES = {"eval_step": [100, 200, 300, 400], "eval_nmse_db": [-15.0, -25.0, -25.0, -25.0]}


def plateau(t: float) -> float:
    return float(10 ** (-2.5 * min(t / 0.4, 1.0)))


def test_a_constant_rate_ends_on_a_plateau() -> None:
    run = {"loss": plateau, "realised": 1e-2, "lr_planned": [], "schedule": "constant", **SCORES}
    finding = findings(**run)["LS203"]
    assert finding.patch == {"optim.schedule": "cosine"}
    assert "LS203" not in findings(**run, floor_db=-27.0)  # as good as it gets
    assert "LS203" not in findings(**run, total=500)  # not finished
    assert "LS203" not in findings(**(run | {"loss": lambda t: 10 ** (-2.5 * t)}))  # still falling
    assert "LS203" not in findings(**(run | {"realised": lambda step: 1e-2 * (20 / max(20, step)) ** 0.5}))  # decays


def test_a_constant_rate_that_is_known_to_be_high_may_still_fall() -> None:
    falls = {"loss": lambda t: 10 ** (-2 * min(t / 0.4, 1.0) - 0.5 * t), "realised": 1e-2, "lr_planned": [], **SCORES}
    assert "LS203" not in findings(**falls, schedule="constant")
    assert "LS203" in findings(**falls, schedule="constant", swept_lr=1.5e-2)
    assert "LS203" not in findings(**falls, schedule="constant", swept_lr=4e-2)  # low: people do that on purpose


def test_the_end_of_a_decay_is_no_plateau() -> None:
    assert "LS203" not in findings(loss=plateau, **SCORES)
