"""Models in use, from plain facts."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.facts.deployment import DeploymentFacts
from dpdrun.rules.facts.run import RunFacts


def judged(**facts: Any) -> dict[str, Any]:
    found = diagnose_facts(RunFacts(deployment=DeploymentFacts(**facts)), about="deployment").findings
    return {finding.code: finding for finding in found}


def test_nothing_known_is_nothing_found() -> None:
    assert judged() == {}
    other = diagnose_facts(RunFacts(deployment=DeploymentFacts(level_db=60.0)))
    assert [skip for skip in other.skipped if skip.code.startswith("DP")] == []  # not of a training


def test_another_scale_is_told_from_a_higher_drive() -> None:
    found = judged(level_db=90.3, beyond_db=90.0)
    assert list(found) == ["DP201"]
    assert "multiply the waveform by 3.055e-05" in found["DP201"].advice
    assert "20.0 dB less power" in judged(level_db=-20.0)["DP201"].message
    assert judged(level_db=-19.0, beyond_db=0.9) == {}
    assert "has 3.0 dB more power than the training input: the" in judged(level_db=3.0)["DP202"].message
    peaks = judged(level_db=0.5, beyond_db=2.0, beyond_share=0.001)["DP202"].message
    assert "the waveform peaks 2.0 dB above the training input (0.001 of its samples are above)" in peaks


@pytest.mark.parametrize(("rate", "codes"), [(1e6, []), (1e6 + 0.5, []), (1.1e6, ["DP203"])])
def test_the_sample_rate(rate: float, codes: list[str]) -> None:
    assert list(judged(rate_hz=rate, trained_rate_hz=1e6)) == codes
    assert list(judged(rate_hz=rate)) == []


def test_a_reset_counts_by_what_it_adds_to_the_error() -> None:
    found = judged(reset_change_db={512: -38.0, 4096: -48.0}, error_db=-38.0)["DP204"]
    assert "costs 3.01 dB in blocks of 512, 0.41 dB in blocks of 4,096" in found.message
    assert judged(reset_change_db={512: -55.0, 4096: float("-inf")}, error_db=-38.0) == {}


@pytest.mark.parametrize(("judge", "severity"), [(-50.1, None), (-49.9, "info"), (-40.0, "info"), (-39.9, "warning")])
def test_a_judge_has_to_be_10_db_better(judge: float, severity: str | None) -> None:
    found = judged(judge="runs/pa", judge_error_db=judge, error_db=-40.0)
    assert (found["DP205"].severity if found else None) == severity
