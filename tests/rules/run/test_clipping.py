"""What clipping did in a run: when it is noted, and with which numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run


def findings(**run: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in diagnose_facts(example_run(**run)).findings}


def test_clip_that_always_acts_is_noted_with_the_percentile() -> None:
    finding = findings(norm=3.0, spread=0.2, clip_norm=1.0)["CL201"]
    assert finding.severity == "info"  # AdamW divides it out again
    assert finding.patch["optim.clip_norm"] == pytest.approx(3.0 * math.exp(0.2 * 1.28), rel=0.1)
    assert finding.evidence["value"] == 1.0


def test_clip_in_half_of_the_steps_is_the_limit() -> None:
    def alternating(above: int) -> dict[str, Finding]:
        return findings(norm=lambda t: 2.0 if round(400 * t) % 100 < above else 0.5, spread=0.0, warmup=0)

    assert "CL201" not in alternating(50)
    assert "CL201" in alternating(51)


def test_clip_during_the_warmup_does_not_count() -> None:
    assert "CL201" not in findings(steps=300, warmup=200, norm=lambda t: 5.0 if t <= 2 / 3 else 0.1)


def test_inert_clip() -> None:
    finding = findings(norm=0.05, clip_norm=200.0)["CL202"]
    assert finding.severity == "info"
    assert "has no effect" in finding.message
    assert finding.patch["optim.clip_norm"] < 0.1


def test_clipping_that_is_off_is_not_inert() -> None:
    assert "CL202" not in findings(norm=0.05, clip_norm=math.inf)


def test_one_clipped_step_in_a_thousand_is_not_inert() -> None:
    assert "CL202" not in findings(steps=1000, norm=lambda t: 2.0 if t == 0.5 else 0.1, spread=0.0)
    assert "CL202" in findings(steps=2000, norm=lambda t: 2.0 if t == 0.5 else 0.1, spread=0.0)
