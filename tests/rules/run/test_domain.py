"""Validation NMSE against one complex gain, a GMP, and the noise."""

from __future__ import annotations

from typing import Any

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run


def findings(**run: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in diagnose_facts(example_run(**run)).findings}


def scored(*values: float, **run: Any) -> dict[str, Finding]:
    steps = [100 * (i + 1) for i in range(len(values))]
    return findings(eval_step=steps, eval_nmse_db=list(values), **run)


def test_worse_than_one_complex_gain_is_an_error() -> None:
    found = scored(1.5, -7.1, one_tap_db=-19.7, gmp_db=-38.0)
    assert found["DM201"].severity == "error"
    assert "DM202" not in found  # said already
    assert "DM201" not in scored(1.5, -19.8, one_tap_db=-19.7)


def test_first_steps_are_skipped() -> None:
    assert "DM201" not in scored(1.5, one_tap_db=-19.7, steps=100, total=1001)
    assert "DM201" in scored(1.5, one_tap_db=-19.7, steps=100, total=1000)


def test_worse_than_gmp_is_a_warning_when_finished() -> None:
    assert scored(-30.0, -36.0, gmp_db=-38.0)["DM202"].severity == "warning"
    assert "DM202" not in scored(-30.0, -36.0, gmp_db=-38.0, steps=400, total=800)
    assert "DM202" not in scored(-30.0, -37.95, gmp_db=-38.0)  # noise


def test_at_the_noise_floor_names_the_step() -> None:
    finding = scored(-30.0, -39.6, -39.9, floor_db=-40.0)["DM203"]
    assert (finding.severity, finding.step) == ("info", 200)
    assert "DM203" not in scored(-30.0, -38.4, floor_db=-40.0)
