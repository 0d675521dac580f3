"""Clipping, finiteness and the domain: where the thresholds lie."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dpdrun.diagnosis import diagnose_facts
from dpdrun.rules.catalogue import Finding
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


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_names_the_first_step(bad: float) -> None:
    finding = findings(steps=100, norm=lambda t: bad if t > 0.5 else 0.3, loss=0.1)["LS201"]
    assert (finding.severity, finding.step) == ("error", 51)
    assert finding.patch["optim.lr"] < 1e-2


def scored(*values: float, **run: Any) -> dict[str, Finding]:
    steps = [100 * (i + 1) for i in range(len(values))]
    return findings(eval_step=steps, eval_nmse_db=list(values), **run)


def test_worse_than_one_complex_gain_is_an_error() -> None:
    found = scored(1.5, -7.1, one_tap_db=-19.7, gmp_db=-38.0)
    assert found["DM201"].severity == "error"
    assert "DM202" not in found  # said already
    assert "DM201" not in scored(1.5, -19.8, one_tap_db=-19.7)


def test_first_steps_are_not_judged() -> None:
    assert "DM201" not in scored(1.5, one_tap_db=-19.7, steps=100, total=1001)
    assert "DM201" in scored(1.5, one_tap_db=-19.7, steps=100, total=1000)


def test_worse_than_gmp_is_a_warning_when_finished() -> None:
    assert scored(-30.0, -36.0, gmp_db=-38.0)["DM202"].severity == "warning"
    assert "DM202" not in scored(-30.0, -36.0, gmp_db=-38.0, steps=400, total=800)
    assert "DM202" not in scored(-30.0, -37.95, gmp_db=-38.0)  # noise


def test_at_the_noise_floor_names_the_step() -> None:
    finding = scored(-30.0, -39.6, -39.9, floor_db=-40.0)["DM203"]
    assert (finding.severity, finding.step) == ("info", 200)
    assert "DM203" not in scored(-30.0, -39.4, floor_db=-40.0)
