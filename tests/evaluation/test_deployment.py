"""What is measured of a model in use."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dpdrun import models
from dpdrun.evaluation.deployment import deployment_findings, judge_facts, reset_facts
from dpdrun.recipe.schema import GMPModel

REPORT = {"splits": {"val": {"nmse_db": -30.0, "with_past": {"nmse_db": -38.0}}}}


def test_a_reset_changes_the_outputs_that_lack_their_past() -> None:
    model = models.build(GMPModel(kind="gmp", order=1, delays=3, cross=0), scale_x=1.0, scale_y=1.0)
    with torch.no_grad():
        model.aligned.zero_()
        model.aligned[0, :, 0] = torch.tensor([1.0, 0.0, 0.5])  # y[n] = x[n] + x[n - 2] / 2
    x = np.ones(4096, complex)
    facts = reset_facts(model.eval(), x, REPORT)
    assert facts["error_db"] == -38.0
    assert list(facts["reset_change_db"]) == [512, 1024, 2048]
    for length, db in facts["reset_change_db"].items():
        lost = 2 * (4096 // length - 1) * 0.25  # two samples of each block but the first
        total = 2 * 1.0 + 4094 * 2.25
        assert db == pytest.approx(10 * np.log10(lost / total), abs=0.01)
    assert [each.code for each in deployment_findings(**facts)] == ["DP204"]
    assert reset_facts(model, x, {}) == {}


def test_the_judge_is_the_one_that_the_score_comes_from() -> None:
    assert judge_facts(REPORT) == {}
    own = REPORT | {"pa": {"path": "runs/pa", "nmse_db": {"val": -40.0}}}
    assert judge_facts(own) == {"judge": "runs/pa", "judge_error_db": -40.0, "error_db": -38.0}
    other = {"pa": {"path": "runs/other", "nmse_db": {"val": -45.0}}, "splits": {"val": {"nmse_db": -33.0}}}
    assert judge_facts(own | {"through": other})["judge_error_db"] == -45.0
    assert judge_facts(own | {"through": other})["error_db"] == -33.0
