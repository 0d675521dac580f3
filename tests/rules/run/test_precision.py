"""What a loss scaler did to a run."""

from __future__ import annotations

import pytest

from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_facts
from dpdrun.rules.examples import example_run


def diagnosed(skipped: list[int], *, scale: float | None = 64.0) -> Diagnosis:
    return diagnose_facts(example_run(loss_scale=scale, skipped=skipped))


def test_steps_that_are_skipped_again_and_again_are_a_warning() -> None:
    finding = next(each for each in diagnosed([50, 90, 130, 170, 210]).findings if each.code == "PR201")
    assert (finding.severity, finding.step, finding.patch) == ("warning", 50, {"train.precision": "bf16"})
    assert "5 of 405 steps were skipped" in finding.message
    assert "ended at 64" in finding.message


@pytest.mark.parametrize("skipped", [[], [50, 90, 130, 170], [0] * 16])
def test_a_scaler_that_looks_for_its_scale_is_healthy(skipped: list[int]) -> None:
    """One step in a hundred, and any number before the first that was taken."""
    assert "PR201" in diagnosed(skipped).healthy


def test_where_nothing_is_scaled_the_rule_says_nothing() -> None:
    assert "PR201" in {each.code for each in diagnosed([], scale=None).skipped}
