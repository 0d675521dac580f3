"""Acts on the findings of a run (`train.on_finding`): warn, stop, or roll back with a lower learning rate.

`train.on_finding: adapt` keeps rollback points (`checkpoints/rollback-<step>.safetensors`), one at each evaluation of
the rules: the last ones, and further back ever fewer, so that a rollback undoes at most about twice as many steps as
it has to, and their number grows with the logarithm of the run (twelve at most for its fifty evaluations). At an error
that a lower learning rate remedies, training continues from the last of them before the step where the error began,
with a rate that is lower from there on. That is written as a checkpoint and as a line in metrics.jsonl, and loaded by
the code of `--resume`: so a run that adapts is reproducible, and a resumed one equals the uninterrupted one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.errors import FindingError
from dpdrun.plan.plan import Plan
from dpdrun.rules.engine import Finding
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, MetricsWriter
from dpdrun.training import checkpoint
from dpdrun.training.checkpoint import TrainingState
from dpdrun.training.live import LiveRules
from dpdrun.training.telemetry import Monitor

MOST_ADAPTS = 3  # in a run; what three lower rates do not remedy has another cause
FACTOR = 0.5  # where the advice of a finding is no factor below 1


class RolledBackError(Exception):
    """Not for the user: training was rolled back; `run.last` holds the step and the rate that it continues with."""


class FindingPolicy:
    """Evaluates the rules while a run trains, and acts on their findings by `train.on_finding`.

    Args:
        plan, run, monitor: of the training.
        state: what a checkpoint holds.
        log: what was logged before the step of `state`.
        reported: severities of findings that were reported before, by code; kept up to date.
    """

    def __init__(
        self, plan: Plan, run: RunFolder, monitor: Monitor, state: TrainingState, log: Metrics, reported: dict[str, int]
    ) -> None:
        self._plan, self._run, self._monitor, self._state = plan, run, monitor, state
        self._mode = plan.recipe.train.on_finding
        self._live = LiveRules(plan, monitor, log, reported)
        self.due = self._live.due
        self.metrics = MetricsWriter(run.metrics)
        if self._mode == "adapt":
            self.drop_rollback_points(after=state.progress.step)
            if not state.progress.step:
                self.save_rollback_point()

    def record(self, line: dict[str, Any]) -> None:
        """Write a line to metrics.jsonl, for the rules too."""
        self.metrics.write(line)
        self._live.add(line)

    def evaluate(self) -> FindingError | None:
        """Evaluate the rules after a step.

        Returns:
            The error to raise as soon as a checkpoint is written, where a finding stops the run.

        Raises:
            RolledBackError: training continues from `run.last`.
        """
        diagnosis = self._live.evaluate()
        errors = [finding for finding in diagnosis.findings if finding.severity == "error"] if diagnosis else []
        if diagnosis is None or not errors or self._mode == "warn":
            return None
        if self._mode == "stop":
            return self._stopped(errors[0])
        remedies = [(finding, factor) for finding in errors if (factor := lr_factor_of(finding, diagnosis)) is not None]
        if remedies:
            self._roll_back(*min(remedies, key=lambda pair: (pair[0].step or 0, pair[0].code)))
        return None

    def save_rollback_point(self) -> None:
        """Save a checkpoint to roll back to, if this run may."""
        if self._mode != "adapt":
            return
        now = self._state.progress.step
        replace(self._state, progress=replace(self._state.progress, owed="")).save(self._run.rollback_point(now))
        for step, path in self._run.rollback_points().items():
            if not is_kept(step // self._live.every, now // self._live.every):
                path.unlink()

    def drop_rollback_points(self, *, after: int) -> None:
        """Remove the rollback points after a step."""
        for step, path in self._run.rollback_points().items():
            if step > after:
                path.unlink()

    def _stopped(self, finding: Finding) -> FindingError:
        step, advice = self._state.progress.step, f"\n  advice: {finding.advice}" if finding.advice else ""
        return FindingError(
            f"stopped after step {step} of {self._plan.total_steps} by train.on_finding: stop: "
            f"{finding.code} {finding.slug}: {finding.message}{advice}\n"
            f"  more: dpdrun diagnose {self._run.path}\n"
            f"  to continue anyway:\n  {self._run.resume_command} --set train.on_finding=warn"
        )

    def _roll_back(self, finding: Finding, factor: float) -> None:
        """Undo the steps from where a finding began, unless the run was rolled back too often."""
        progress, done = self._state.progress, len(self._state.progress.adapts)
        onset = finding.step if finding.step is not None else 1
        before = [step for step in self._run.rollback_points() if step < onset]
        if done == MOST_ADAPTS or not before:
            why = f"after {done} adaptations" if before else "there is no rollback point before the error"
            self._monitor.message(f"{finding.code}: the lr is not lowered again, {why}")
            return
        to_step, now = max(before), max(progress.step, onset)
        back = checkpoint.restore(
            self._run.rollback_point(to_step), self._state.model, self._state.optimizer, plan_hash=self._state.plan_hash
        )
        line: dict[str, Any] = {
            "kind": "adapt",
            "step": now,
            "to_step": to_step,
            "code": finding.code,
            "onset": finding.step,
            "factor": factor,
            "lr_factor": progress.lr_factor * factor,
            "message": finding.message,
        }
        back.adapts = [*progress.adapts, line]
        back.best_db, back.best_step = progress.best_db, progress.best_step  # the best model stays the best
        back.seconds = progress.seconds
        self.drop_rollback_points(after=to_step)
        replace(self._state, progress=back).save(self._run.last)
        self._report_adaptation(line)
        raise RolledBackError

    def _report_adaptation(self, line: dict[str, Any]) -> None:
        self.metrics.write(line)
        self._monitor.message(
            f"adapted ({len(self._state.progress.adapts) + 1} of at most {MOST_ADAPTS}): {line['code']}: "
            f"{line['message']}; rolled back from step {line['step']} to step {line['to_step']}, the lr is "
            f"{line['lr_factor']:g} times the planned one from there on"
        )


def lr_factor_of(finding: Finding, diagnosis: Diagnosis) -> float | None:
    """Return the factor on the learning rate that a finding advises; None where it advises no lower one."""
    advised, rate = finding.patch.get("optim.lr"), diagnosis.facts.top_lr
    if not isinstance(advised, float) or not advised < rate:
        return None
    return advised / rate if advised > 0.0 else FACTOR


def is_kept(turn: int, now: int) -> bool:
    """Return whether the rollback point of evaluation `turn` is kept at evaluation `now`.

    The more zeros end its number in binary, the longer it is kept; the first is never dropped.
    """
    lowest_bit = turn & -turn
    return turn == 0 or now - turn < 4 * lowest_bit
