"""Evaluates the diagnose rules on the log of a run while it trains, and reports each new finding once.

They are the rules of `dpdrun diagnose`, on the same facts: their findings after a step are those of a diagnosis of
metrics.jsonl up to that step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_facts, facts_of_run
from dpdrun.plan.plan import Plan
from dpdrun.rules.engine import SEVERITIES
from dpdrun.run.metrics import Metrics
from dpdrun.run.scores import VAL_WITH_PAST
from dpdrun.training.telemetry import Monitor

INTERVAL_SHARE = 0.02  # of the steps, from one evaluation to the next
LEAST_BETWEEN = 50  # steps
COST = 0.004  # of the training time so far: above it an evaluation with `on_finding: warn` is left out
KEPT = ("kind", "step", "lr", "lr_planned", "loss", "grad_norm", "clip_norm", "clipped", "val_nmse_db", VAL_WITH_PAST,
        "group_norms", "group_weights", "group_updates", "group_sizes", "still", "rank_losses", "rank_grad_norms",
        "rank_reduced_norms", "rank_checksums", "skipped", "loss_scale")  # fmt: skip  # what facts are made of


def evaluation_interval(plan: Plan) -> int:
    """Return the steps from one evaluation of the rules to the next."""
    return max(LEAST_BETWEEN, math.ceil(INTERVAL_SHARE * plan.total_steps))


class LiveRules:
    """Evaluates the rules at intervals of a run.

    An evaluation takes time in proportion to the log, so its cost is bounded by leaving some out: with
    `train.on_finding: warn`, where training does not depend on them. For `stop` and `adapt` the steps of the
    evaluations follow from the plan alone, so that a run is reproducible and a resumed one equals the uninterrupted
    one.

    Args:
        plan: of the run.
        monitor: gets the findings.
        log: what was logged before this process began.
        reported: severities that were reported before, by code; kept up to date.
        clock: in seconds; replaced in tests.
    """

    def __init__(
        self, plan: Plan, monitor: Monitor, log: Metrics, reported: dict[str, int], *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self.every = evaluation_interval(plan)
        self._plan, self._monitor, self._clock = plan, monitor, clock
        self._log = Metrics(adapts=list(log.adapts))
        for line in (*log.steps, *log.evals):
            self.add(line)
        self._reported = reported
        self._began, self._spent = clock(), 0.0
        self._broken = False
        self._failed: set[str] = set()  # rules with a bug

    def add(self, line: dict[str, Any]) -> None:
        """Add a line that was written to metrics.jsonl."""
        self._log.add({key: line[key] for key in KEPT if key in line})

    def due(self, step: int) -> bool:
        """Return whether to evaluate after this step. Not after the last one: the diagnosis of the run follows."""
        if step % self.every or step >= self._plan.total_steps or self._broken:
            return False
        is_bounded = self._plan.recipe.train.on_finding == "warn"
        return not is_bounded or self._spent <= COST * (self._clock() - self._began)

    def evaluate(self) -> Diagnosis | None:
        """Evaluate the rules, and report new findings: warnings and errors, each severity once.

        A rule that fails is reported once, and the others continue; None when there are no facts to judge.
        """
        began = self._clock()
        try:
            diagnosis = diagnose_facts(facts_of_run(self._log, self._plan))
        except Exception as error:  # a fault of ours must not end a training; one in a rule, the engine has contained
            self._broken = True
            self._monitor.message(f"the diagnosis during training failed: {error!r}; please report it")
            return None
        for skip in diagnosis.skipped:
            if skip.failed and skip.code not in self._failed:
                self._failed.add(skip.code)
                self._monitor.message(skip.reason)
        for finding in diagnosis.findings:
            rank = SEVERITIES.index(finding.severity)
            if rank > self._reported.get(finding.code, 0):
                self._reported[finding.code] = rank
                self._monitor.finding(finding, diagnosis.facts.step[-1])
        self._spent += self._clock() - began
        return diagnosis
