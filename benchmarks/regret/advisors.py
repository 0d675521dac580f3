"""Who advises which learning rate, and what each of them loses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.regret.curves import Curve
from benchmarks.regret.law import fit
from benchmarks.regret.sweep import score_of
from benchmarks.regret.workloads import Workload
from dpdrun.rules.advice import opinion_on
from dpdrun.rules.facts.plan import PlanFacts

OURS = "dpdrun, rules: measured (leave one workload out)"
OURS_BY_DATA = "dpdrun, rules: measured (leave one data set out)"
NOTE_LR = "the note's lr (a GRU: OpenDPD's)"
EFFECTS = {"transformer": ("width", "steps", "batch", "layers"), "gru": ("width", "steps", "batch")}
WIDE, WIDE_LR = 512, 3e-4  # where the note's lowest band ends: the anchor of the scaling laws


def note_lr(job: Workload) -> float:
    """What `rules: note` sets."""
    facts = PlanFacts(kind=job.kind, d_model=job.width, hidden=job.width)
    opinion = opinion_on("optim.lr", facts, "note")
    assert opinion is not None
    return float(opinion.value)


# The advisors that need no run. The scaling laws start from the note's value at the width where its band ends.
BY_FORMULA: dict[str, Callable[[Workload], float]] = {
    NOTE_LR: note_lr,
    "constant 3e-4": lambda _: 3e-4,
    "constant 1e-3": lambda _: 1e-3,
    "3e-4 x sqrt(512 / width)": lambda job: WIDE_LR * math.sqrt(WIDE / job.width),
    "mu-P: 3e-4 x 512 / width": lambda job: WIDE_LR * WIDE / job.width,
}
BY_RUN = {"prodigy": "Prodigy 1.1", "schedule_free": "schedule-free AdamW 1.4"}
RANGE_TEST = "range test (fastai valley)"


def left_out(curves: Sequence[Curve], *, whole_data_set: bool = False) -> dict[str, float]:
    """log2(lr) that our law gives each workload, fitted to all others of the kind; or to those of other data sets."""
    found, fitted = {}, {}
    for curve in curves:
        kind, data = curve.workload.kind, curve.workload.data
        others = [other for other in curves if other is not curve and other.workload.kind == kind]
        if whole_data_set:
            others = [other for other in others if other.workload.data != data]
        key = (kind, data) if whole_data_set else curve.workload.name
        if key not in fitted:
            fitted[key] = fit(others, EFFECTS[kind])
        found[curve.workload.name] = fitted[key].exponent(curve.workload)
    return found


def regrets(
    curves: Sequence[Curve], ours: Mapping[str, float], results: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Regret [dB] by advisor and workload; `ours` is `left_out(curves)`."""
    found = {OURS: {curve.workload.name: curve.regret(ours[curve.workload.name]) for curve in curves}}
    for name, advise in BY_FORMULA.items():
        found[name] = {curve.workload.name: curve.regret(math.log2(advise(curve.workload))) for curve in curves}
    found[RANGE_TEST] = {curve.workload.name: _of_range_tests(curve, results) for curve in curves}
    for optimizer, name in BY_RUN.items():
        found[name] = {curve.workload.name: _of_runs(curve, optimizer, results) for curve in curves}
    return found


def _of_range_tests(curve: Curve, results: Mapping[str, Any]) -> float:
    rates = [results[f"{curve.workload.name}/range_test/{seed}"]["lr"] for seed in range(curve.workload.seeds)]
    return statistics.median(curve.regret(math.log2(rate)) for rate in rates)


def _of_runs(curve: Curve, optimizer: str, results: Mapping[str, Any]) -> float:
    scores = [score_of(results[f"{curve.workload.name}/{optimizer}/{seed}"]) for seed in range(curve.workload.seeds)]
    return max(0.0, statistics.median(scores) - curve.oracle[1])
