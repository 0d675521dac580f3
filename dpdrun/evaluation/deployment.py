"""Measure what the rules about a model in use judge (DP201 to DP205)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.evaluation.prediction import Samples, predict
from dpdrun.models._base import BehaviouralModel
from dpdrun.rf.metrics import to_db
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.deployment import DeploymentFacts
from dpdrun.rules.facts.run import RunFacts
from dpdrun.run.scores import chosen

BLOCKS = (512, 1024, 2048, 4096)
MAX_SAMPLES = 2**15


def deployment_findings(**facts: Any) -> list[Finding]:
    """Return the findings of the DP rules on facts of a `DeploymentFacts`."""
    return diagnose_facts(RunFacts(deployment=DeploymentFacts(**facts)), about="deployment").findings


def reset_facts(model: BehaviouralModel, x: Samples, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reset of the state changes, by length of the blocks, with the error of the run; {} if unknown.

    Args:
        x: a record, (N,) complex; its beginning, if it is long.
        report: report.json of the run.
    """
    error = _error_db(report)
    if error is None or model.lookahead is None:
        return {}
    changes = reset_change_db(model, x[:MAX_SAMPLES])
    return {"reset_change_db": changes, "error_db": error} if changes else {}


def reset_change_db(model: BehaviouralModel, x: Samples) -> dict[int, float]:
    """Return the power of what a reset of the state in each block changes over that of the output [dB], by length."""
    y = predict(model, x)
    power = float(np.vdot(y, y).real)
    changes = {}
    for length in (each for each in BLOCKS if 2 * each <= len(x)):
        change = predict(model, x, frame=length) - y
        changes[length] = to_db(float(np.vdot(change, change).real) / power) if power else -np.inf
    return changes


def judge_facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a predistorter is scored by, from the report of an evaluation; {} of a PA model."""
    judged = report.get("through") or report
    pa, error = judged.get("pa"), _error_db(judged)
    if not pa or error is None or not pa.get("nmse_db"):
        return {}
    return {"judge": str(pa["path"]), "judge_error_db": next(iter(pa["nmse_db"].values())), "error_db": error}


def _error_db(report: Mapping[str, Any]) -> float | None:
    """Return the NMSE of the first split of a report."""
    found = chosen(next(iter((report.get("splits") or {}).values()), {})).get("nmse_db")
    return float(found) if isinstance(found, int | float) else None
