"""The warmup as the learning rate and the loss went through it."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run


def findings(**run: Any) -> dict[str, Finding]:
    return {f.code: f for f in diagnose_facts(example_run(**run)).findings if f.code.startswith("WU")}


@pytest.mark.parametrize(("warmup", "severity"), [(20, None), (80, None), (120, "info"), (240, "warning")])
def test_late_peaks(warmup: int, severity: str | None) -> None:
    found = findings(warmup=warmup, beta2=0.95)
    assert (found["WU201"].severity if "WU201" in found else None) == severity
    if severity:
        assert found["WU201"].patch == {"optim.warmup": 20}


def test_a_warmup_that_still_runs_is_seen_before_it_ends() -> None:
    message = findings(steps=160, total=400, warmup=240)["WU201"].message
    assert "still rising at step 1" in message
    assert findings(steps=60, total=400, warmup=240) == {}


@pytest.mark.parametrize(("beta2", "severity"), [(0.95, "warning"), (0.999, "info"), (None, "info")])
def test_a_late_peak_before_adam_has_settled_is_an_info(beta2: float | None, severity: str) -> None:
    assert findings(warmup=240, beta2=beta2)["WU201"].severity == severity


def test_constant_rates_have_no_warmup() -> None:
    assert findings(realised=1e-3, lr_planned=[]) == {}


def test_restarts_peak_first_at_the_first() -> None:
    assert findings(realised=lambda step: 1e-3 * (1 - ((step - 1) % 100) / 100), lr_planned=[]) == {}


def jump(t: float) -> float:
    return float(10 ** (-20 * t) if t < 0.05 else 1.5 * 10 ** (-3 * t))


def test_a_jump_after_a_short_warmup() -> None:
    finding = findings(loss=jump, warmup=10, beta2=0.95)["WU202"]
    assert (finding.severity, finding.patch) == ("info", {"optim.warmup": 40})
    assert findings(loss=jump, warmup=40, beta2=0.95) == {}  # long enough
    assert findings(warmup=10, beta2=0.95) == {}


def test_no_warmup_is_a_warning_when_the_first_steps_undo_the_start() -> None:
    def undone(t: float) -> float:
        return 0.1 * 10 ** (-2 * t) if t > 0.02 else 5.0 if t > 0.005 else 1.0

    finding = findings(loss=undone, warmup=1, beta2=0.95)["WU202"]
    assert (finding.severity, finding.patch) == ("warning", {"optim.warmup": 40})
    assert "7." in finding.message
    assert findings(loss=undone, warmup=1, beta2=0.999, steps=200)["WU202"].patch == {"optim.warmup": 20}
    assert findings(loss=undone, warmup=5, beta2=0.5) == {}  # a warmup, and longer than Adam's memory
