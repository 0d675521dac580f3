"""Score an entry on the test split of its capture with the package's own evaluation.

A PA model is scored against the measured output. A predistorter is scored through PA models that it is judged by, none
of which needs to be the one that it was trained through; on the Arena's cut of a capture the Arena judges as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.arena.board import DATA
from benchmarks.board.entries import Entry
from benchmarks.dpa_dpd.run import legacy
from dpdrun.data.capture import Capture
from dpdrun.dpd.target_gain import target_gain
from dpdrun.evaluation.assessment import evaluate
from dpdrun.evaluation.cross_model import ReferencePA, score_with_reference
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._cascade import frozen
from dpdrun.models.transformer import Model as Transformer
from dpdrun.plan.measured import Predistortion
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import prepare
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.schema import DataSection
from dpdrun.run.files import sha256_of
from dpdrun.run.scores import chosen

if TYPE_CHECKING:
    from benchmarks.arena.protocol import Arena

ARENA = "Arena"
ARENA_DATA = DataSection.model_validate(DATA)
ARENA_CAPTURE = f"{DATA['source']}, the Arena's cut"
SPLITS = ("val", "test")


def scored(entry: Entry, judges: Mapping[str, Entry], arena: Arena | None) -> dict[str, Any]:
    """Return what the board keeps of an entry.

    Args:
        entry: what to score.
        judges: the PA models that a predistorter of this capture is scored through, by name.
        arena: the judge of the Arena, for predistorters of its board; None where opendpd is not installed.

    Raises:
        DataError: the capture is not at hand.
        RecipeError, RunError, PluginError: recipe and weights do not fit.
    """
    plan, capture = prepare(entry.loaded)
    model = entry.model()
    found = {
        "digest": entry.digest(),
        "task": plan.recipe.task,
        "capture": ARENA_CAPTURE if plan.recipe.data == ARENA_DATA else capture.name,
        "kind": plan.recipe.model.kind,
        "parameters": sum(each.numel() for each in model.parameters() if each.requires_grad),
        "macs_per_sample": model.macs_per_sample,
        "lookahead": model.lookahead,
    }
    if plan.recipe.task == "pa":
        return found | _of_pa(model, plan, capture)
    plan = replace(plan, predistortion=_target(plan, capture))
    seen = {}
    if arena is not None and plan.recipe.data == ARENA_DATA:
        score, none = arena.judge(model), arena.baseline
        seen[ARENA] = {
            name: {"nmse_db": each.nmse_db, "evm_db": each.evm_db, "aclr_worse_db": each.aclr_db}
            for name, each in (("test", score), ("without", none))
        }
        found["operations"] = _operations(model)
    for name, judge in judges.items():
        reference = ReferencePA(judge.folder, sha256_of(judge.weights), judge.loaded.recipe.model.kind,
                                frozen(judge.model()))  # fmt: skip
        report = score_with_reference(model, plan, capture, SPLITS, reference).report
        seen[name] = {
            "digest": judge.digest(),
            "trained_through": entry.about.get("through") == reference.sha256,
            "pa_test_nmse_db": chosen(report["pa"])["nmse_db"]["test"],
            "val_objective_db": chosen(report["splits"]["val"])["objective_db"],
            "test": _linearity(report["splits"]["test"]),
            "without": _linearity(report["baselines"]["one_tap"]["test"]),
        }
    return found | {"judges": _rounded(seen)}


def _of_pa(model: BehaviouralModel, plan: Plan, capture: Capture) -> dict[str, Any]:
    splits = evaluate(model, plan, capture, SPLITS)["splits"]
    test, now = splits["test"], chosen(splits["test"])
    one_record = test["nmse_as_one_record_db"]
    scores = {
        "val_nmse_db": chosen(splits["val"])["nmse_db"],
        "test_nmse_db": now["nmse_db"],
        "test_interval_db": now["linearity"]["intervals"].get("nmse_db"),
        "as_published_db": test["nmse_db"] if one_record is None else one_record,
    }
    return dict(_rounded(scores))


def _target(plan: Plan, capture: Capture) -> Predistortion:
    """Return gain and limit as a training would have them from the same recipe and data."""
    limit, x = plan.recipe.dpd.peak_limit, capture.train.x
    peak = float(np.max(np.abs(x))) if limit == AUTO else float("inf") if limit == OFF else float(limit)
    return Predistortion(None, target_gain(x, capture.train.y, plan.recipe.dpd.gain), peak)


def _linearity(scores: Mapping[str, Any]) -> dict[str, Any]:
    now = chosen(scores)
    intervals = now["linearity"].get("intervals", {})
    return {
        "nmse_db": now["nmse_db"],
        "in_band_db": now["in_band_db"],
        "in_band_interval_db": intervals.get("in_band_error_db"),
        "evm_db": now["linearity"].get("evm_db"),
        "aclr_worse_db": now["aclr_worse_db"],
        "legacy": legacy(now["linearity"]) if now["linearity"].get("nmse_opendpd_legacy_db") is not None else None,
    }


def _operations(model: BehaviouralModel) -> int | None:
    """Return the operations a sample as the Arena counts them; None for what its ledger does not know."""
    from benchmarks.arena.operations import ledger_of

    try:
        return int(ledger_of(model.config).total()["ops"]) if isinstance(model, Transformer) else None
    except ValueError:
        return None


def _rounded(value: Any) -> Any:
    """Return scores to a thousandth of a decibel, at any depth."""
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value
