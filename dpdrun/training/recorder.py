"""Records a run while it trains: metrics lines, the best model, checkpoints, findings of the rules.

Rank 0 writes; in the other processes the same calls only take part in what is exchanged, so that the loop reads the
same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from dpdrun.errors import FindingError, LostError
from dpdrun.plan.plan import Plan
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import Heartbeat
from dpdrun.run.metrics import Metrics
from dpdrun.training import checkpoint
from dpdrun.training.adapt import FindingPolicy, RolledBackError
from dpdrun.training.checkpoint import TrainingState
from dpdrun.training.live import evaluation_interval
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.task import Score
from dpdrun.training.telemetry import EpochSummary, Monitor

CONTINUE, STOP, ROLL_BACK = 0.0, 1.0, 2.0  # verdicts of the rules, as rank 0 broadcasts them


class RunRecorder:
    """Records one training, on rank 0.

    Args:
        plan, run, monitor, state, log, reported: as `FindingPolicy`.
        group: of the training.
    """

    def __init__(
        self, plan: Plan, run: RunFolder, monitor: Monitor, state: TrainingState, log: Metrics,
        reported: dict[str, int], group: ProcessGroup,
    ) -> None:  # fmt: skip
        self._plan, self._run, self._monitor, self._state, self._group = plan, run, monitor, state, group
        self._epochs = EpochSummary(plan.frames_per_epoch, plan.batch_size)
        for line in log.steps:
            self._epochs.add(line["step"], line["loss"], line["grad_norm"])
        self._policy = FindingPolicy(plan, run, monitor, state, log, reported) if group.is_rank_zero else None
        self._heartbeat = Heartbeat(run, plan.total_steps)
        self._every = evaluation_interval(plan)
        self._rolled_back = False
        self._mode = plan.recipe.train.on_finding
        self._decides = self._mode != "warn"  # else an evaluation may be left out, without effect

    def __enter__(self) -> RunRecorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._policy is not None:
            self._policy.metrics.close()

    def step(self, line: dict[str, Any]) -> None:
        """Log an optimizer step."""
        if self._policy is None:
            return
        self._policy.record(line)
        self._heartbeat.beat("training", line["step"])
        self._monitor.step(line)
        if (summary := self._epochs.add(line["step"], line["loss"], line["grad_norm"])) is not None:
            self._policy.metrics.write(summary)

    def non_finite_step(self, line: dict[str, Any]) -> None:
        """Log a step that cannot be taken, because a number in it is not finite.

        Raises:
            RolledBackError: in all processes, where train.on_finding: adapt can undo it.
        """
        verdict = CONTINUE
        if self._policy is not None:
            self._policy.record(line)  # so that `dpdrun diagnose` sees it too
            if self._mode == "adapt":
                verdict, _ = self._evaluate(self._policy)
        if self._decides and self._broadcast(verdict) == ROLL_BACK:
            raise RolledBackError

    def score(self, score: Score, seconds: float) -> None:
        """Log a scoring of the val split, made in all processes, and save the model where it is the best so far."""
        progress = self._state.progress
        improved = score.selection_db < progress.best_db
        if improved:
            progress.best_db, progress.best_step = score.selection_db, progress.step
        if self._policy is None:
            return
        if improved:
            header = {"format": checkpoint.FORMAT, "step": str(progress.step), "plan_hash": self._state.plan_hash}
            checkpoint.save_model(self._run.best, self._state.model, header)
        self._heartbeat.beat("validation", progress.step)
        line: dict[str, Any] = {
            "kind": "eval",
            "step": progress.step,
            "val_nmse_db": score.nmse_db,
            **score.line,
            "best_db": progress.best_db,
            "seconds": round(seconds, 3),
        }
        self._policy.record(line)
        self._policy.metrics.flush()
        self._monitor.evaluation(line)

    def evaluate_rules(self) -> FindingError | None:
        """Evaluate the rules, if it is time.

        Returns:
            The error to raise as soon as a checkpoint is written.

        Raises:
            RolledBackError: training continues from `run.last`.
        """
        error, verdict = None, CONTINUE
        if self._policy is not None and self._policy.due(self._state.progress.step):
            verdict, error = self._evaluate(self._policy)
            if verdict != ROLL_BACK:
                self._policy.save_rollback_point()
        if self._decides and self._state.progress.step % self._every == 0:
            verdict = self._broadcast(verdict)
        if verdict == ROLL_BACK:
            raise RolledBackError
        return FindingError("") if verdict == STOP and error is None else error

    def _evaluate(self, policy: FindingPolicy) -> tuple[float, FindingError | None]:
        try:
            error = policy.evaluate()
        except RolledBackError:
            self._rolled_back = True
            return ROLL_BACK, None
        return STOP if error else CONTINUE, error

    def save(self) -> None:
        """Write a checkpoint that can be resumed; all processes wait until it is complete."""
        self._save()
        self._group.barrier()

    @contextmanager
    def saving_when_lost(self) -> Iterator[None]:
        """Save the last finished step where another process is lost, before the LostError continues.

        An exchange fails before the optimizer steps or after it, never within: the parameters are those of
        `progress.step`. A run that is being rolled back has saved the step that it goes back to.
        """
        try:
            yield
        except LostError as error:
            if self._policy is None:
                raise
            step, where = self._state.progress.step, "there is nothing to resume"
            if step and not self._rolled_back:
                self._save()
            if self._run.last.is_file():
                saved = "the rollback point" if self._rolled_back else f"step {step} of {self._plan.total_steps}"
                where = f"{saved} is saved; continue with:\n  {self._run.resume_command}"
            raise LostError(f"{error}\n  {where}") from error

    def _save(self) -> None:
        if self._policy is not None:
            self._policy.metrics.sync()
            self._state.save(self._run.last)

    def finish(self) -> None:
        """Remove what only an unfinished run needs."""
        if self._policy is not None:
            self._policy.drop_rollback_points(after=-1)

    def _broadcast(self, verdict: float) -> float:
        """Return the verdict of rank 0."""
        return float(self._group.all_gather([verdict])[0, 0])
