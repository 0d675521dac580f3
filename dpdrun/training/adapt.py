"""What findings do to the run that they are about: warn, stop it, or go back and lower the learning rate.

`train.on_finding: adapt` keeps checkpoints to go back to (`checkpoints/good-<step>.safetensors`), one at each look of
the rules: the last ones, and further back ever fewer, so that going back undoes at most about twice as many steps as
it has to, and their number grows with the logarithm of the run (twelve at most for its fifty looks). At an error that
a lower learning rate cures, training goes on from the last of them before the step where the error began, with a rate
that is lower from there on. That is written as a checkpoint and as a line in metrics.jsonl, and taken up by the same
code as `--resume`: so a run that adapts repeats itself, and a resumed one is the uninterrupted one.
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
from dpdrun.training.checkpoint import State
from dpdrun.training.live import LiveRules
from dpdrun.training.telemetry import Monitor

MOST_ADAPTS = 3  # in a run; what three lower rates do not cure is no matter of the rate
FACTOR = 0.5  # where the advice of a finding is no factor below 1


class RolledBackError(Exception):
    """Not for the user: training has gone back; `run.last` holds the step and the rate that it goes on with."""


class FindingPolicy:
    """The rules beside a training, and what `train.on_finding` makes of what they say.

    Args:
        plan, run, monitor: of the training.
        state: what a checkpoint is made of.
        log: what was logged before the step of `state`.
        told: severities of findings that were told before, by code; kept up to date.
    """

    def __init__(
        self, plan: Plan, run: RunFolder, monitor: Monitor, state: State, log: Metrics, told: dict[str, int]
    ) -> None:
        self._plan, self._run, self._monitor, self._state = plan, run, monitor, state
        self._mode = plan.recipe.train.on_finding
        self._live = LiveRules(plan, monitor, log, told)
        self.take, self.due = self._live.take, self._live.due
        if self._mode == "adapt":
            self._forget_after(state.progress.step)
            if not state.progress.step:
                self.keep()

    def look(self, metrics: MetricsWriter) -> FindingError | None:
        """Ask the rules after a step.

        Returns:
            What to raise as soon as a checkpoint is written, where a finding is to stop the run.

        Raises:
            RolledBackError: train on from `run.last`.
        """
        this = self._live.look()
        errors = [finding for finding in this.findings if finding.severity == "error"] if this else []
        if this is None or not errors or self._mode == "warn":
            return None
        if self._mode == "stop":
            return self._stopped(errors[0])
        cures = [(finding, factor) for finding in errors if (factor := cure(finding, this)) is not None]
        if cures:
            self._go_back(*min(cures, key=lambda pair: (pair[0].step or 0, pair[0].code)), metrics)
        return None

    def look_at_the_end(self, metrics: MetricsWriter) -> None:
        """The step could not be taken: a number is not finite. Raises RolledBackError where that can be undone."""
        if self._mode == "adapt":
            self.look(metrics)

    def keep(self) -> None:
        """Keep a checkpoint to go back to, if this run may."""
        if self._mode != "adapt":
            return
        now = self._state.progress.step
        replace(self._state, progress=replace(self._state.progress, owed="")).save(self._run.good(now))
        for step, path in self._run.goods().items():
            if not is_kept(step // self._live.every, now // self._live.every):
                path.unlink()

    def finish(self) -> None:
        """The run is done: there is nothing to go back to."""
        self._forget_after(-1)

    def _forget_after(self, last: int) -> None:
        for step, path in self._run.goods().items():
            if step > last:
                path.unlink()

    def _stopped(self, finding: Finding) -> FindingError:
        step, advice = self._state.progress.step, f"\n  advice: {finding.advice}" if finding.advice else ""
        return FindingError(
            f"stopped after step {step} of {self._plan.total_steps}, as train.on_finding: stop asks: "
            f"{finding.code} {finding.slug}: {finding.message}{advice}\n"
            f"  more: dpdrun diagnose {self._run.path}\n"
            f"  to go on all the same:\n  {self._run.resume_command} --set train.on_finding=warn"
        )

    def _go_back(self, finding: Finding, factor: float, metrics: MetricsWriter) -> None:
        """Undo the steps from where a finding began, unless the run has done so too often."""
        progress, done = self._state.progress, len(self._state.progress.adapts)
        onset = finding.step if finding.step is not None else 1
        before = [step for step in self._run.goods() if step < onset]
        if done == MOST_ADAPTS or not before:
            why = f"after {done} adaptations" if before else "without a checkpoint to go back to"
            self._monitor.message(f"{finding.code} is not answered by a lower lr any more, {why}")
            return
        to_step, now = max(before), max(progress.step, onset)
        back = checkpoint.restore(
            self._run.good(to_step), self._state.model, self._state.optimizer, plan_hash=self._state.plan_hash
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
        self._forget_after(to_step)
        State(self._state.model, self._state.optimizer, back, self._state.plan_hash).save(self._run.last)
        self._tell_adapted(line, metrics)
        raise RolledBackError

    def _tell_adapted(self, line: dict[str, Any], metrics: MetricsWriter) -> None:
        metrics.write(line)
        self._monitor.message(
            f"adapted ({len(self._state.progress.adapts) + 1} of at most {MOST_ADAPTS}): {line['code']}: "
            f"{line['message']}; back from step {line['step']} to step {line['to_step']}, the lr is "
            f"{line['lr_factor']:g} times the planned one from there on"
        )


def cure(finding: Finding, this: Diagnosis) -> float | None:
    """What to multiply the learning rate with, where a finding advises a lower one; None where it does not."""
    advised, rate = finding.patch.get("optim.lr"), this.facts.top_lr
    if not isinstance(advised, float) or not advised < rate:
        return None
    return advised / rate if advised > 0.0 else FACTOR


def is_kept(turn: int, now: int) -> bool:
    """Whether the checkpoint of look number `turn` is still kept at look `now`: for ever longer the rounder in binary.

    The first is never dropped.
    """
    lowest_bit = turn & -turn
    return turn == 0 or now - turn < 4 * lowest_bit
