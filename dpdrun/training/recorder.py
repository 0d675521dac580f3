"""What training leaves behind while it runs: metrics lines, the best model, checkpoints, what the rules say.

The first process of a group keeps the record; in the others the same calls do nothing, so that the loop reads the same
in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from dpdrun.errors import FindingError, LostError
from dpdrun.plan.plan import Plan
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import Heartbeat
from dpdrun.run.metrics import Metrics, MetricsWriter
from dpdrun.training import checkpoint
from dpdrun.training.adapt import FindingPolicy, RolledBackError
from dpdrun.training.checkpoint import State
from dpdrun.training.fsdp import in_pieces
from dpdrun.training.live import look_every
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.task import Score
from dpdrun.training.telemetry import EpochSummary, Monitor

GO_ON, STOP, GO_BACK = 0.0, 1.0, 2.0  # verdicts of the rules, as the first process tells them to the others


class RunRecorder:
    """The record of one training, kept by the first process.

    Args:
        plan, run, monitor, state, log, told: as `Oversight`.
        group: of the training.
    """

    def __init__(
        self,
        plan: Plan,
        run: RunFolder,
        monitor: Monitor,
        state: State,
        log: Metrics,
        told: dict[str, int],
        group: ProcessGroup,
    ) -> None:
        self._plan, self._run, self._monitor, self._state, self._group = plan, run, monitor, state, group
        self._epochs = EpochSummary(plan.frames_per_epoch, plan.batch_size)
        for line in log.steps:
            self._epochs.add(line["step"], line["loss"], line["grad_norm"])
        self._oversight = FindingPolicy(plan, run, monitor, state, log, told) if group.is_rank_zero else None
        self._metrics = MetricsWriter(run.metrics) if group.is_rank_zero else None
        self._heartbeat = Heartbeat(run, plan.total_steps)
        self._every = look_every(plan)
        self._gone_back = False
        self._decides = plan.recipe.train.on_finding != "warn"  # else a look may be left out, and nothing hangs on it

    def __enter__(self) -> RunRecorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._metrics is not None:
            self._metrics.close()

    def step(self, line: dict[str, Any]) -> None:
        """One optimizer step."""
        if self._metrics is None or self._oversight is None:
            return
        self._metrics.write(line)
        self._heartbeat.beat("training", line["step"])
        self._oversight.take(line)
        self._monitor.step(line)
        if (summary := self._epochs.add(line["step"], line["loss"], line["grad_norm"])) is not None:
            self._metrics.write(summary)

    def refused(self, line: dict[str, Any]) -> None:
        """A step that cannot be taken, because a number in it is not finite.

        Raises:
            RolledBackError: in all processes, where train.on_finding: adapt can undo it.
        """
        verdict = GO_ON
        if self._metrics is not None and self._oversight is not None:
            self._metrics.write(line)  # so that `dpdrun diagnose` sees it too
            self._oversight.take(line)
            try:
                self._oversight.look_at_the_end(self._metrics)
            except RolledBackError:
                verdict, self._gone_back = GO_BACK, True
        if self._decides and self._told_to_all(verdict) == GO_BACK:
            raise RolledBackError

    def score(self, score: Score, seconds: float) -> None:
        """One scoring of the validation part, made in all processes; the best model is kept."""
        progress = self._state.progress
        improved = score.selection_db < progress.best_db
        if improved:
            progress.best_db, progress.best_step = score.selection_db, progress.step
            header = {"format": checkpoint.FORMAT, "step": str(progress.step), "plan_hash": self._state.plan_hash}
            checkpoint.save_model(self._own(self._run.best), self._state.model, header)
        if self._metrics is None or self._oversight is None:
            return
        self._heartbeat.beat("validation", progress.step)
        line: dict[str, Any] = {
            "kind": "eval",
            "step": progress.step,
            "val_nmse_db": score.nmse_db,
            **score.line,
            "best_db": progress.best_db,
            "seconds": round(seconds, 3),
        }
        self._metrics.write(line)
        self._metrics.flush()
        self._oversight.take(line)
        self._monitor.evaluation(line)

    def look(self) -> FindingError | None:
        """Ask the rules, where it is time.

        Returns:
            What to raise as soon as a checkpoint is written.

        Raises:
            RolledBackError: train on from `run.last`.
        """
        ending, verdict = None, GO_ON
        if self._metrics is not None and self._oversight is not None:
            if self._oversight.due(self._state.progress.step):
                try:
                    ending = self._oversight.look(self._metrics)
                    self._oversight.keep()
                except RolledBackError:
                    verdict, self._gone_back = GO_BACK, True
            verdict = STOP if ending else verdict
        if self._decides and self._state.progress.step % self._every == 0:
            verdict = self._told_to_all(verdict)
        if verdict == GO_BACK:
            raise RolledBackError
        return FindingError("") if verdict == STOP and ending is None else ending

    def save(self) -> None:
        """Write a checkpoint that can be resumed; the others wait until it is whole."""
        self._save()
        self._group.barrier()

    @contextmanager
    def saving_when_lost(self) -> Iterator[None]:
        """Where another process goes, the last step that was finished is saved before the LostError goes on.

        An exchange fails before the optimizer steps or after it, never within: the parameters are those of
        `progress.step`. A run that was just going back has saved the step that it goes back to.
        """
        try:
            yield
        except LostError as error:
            if self._metrics is None:
                raise
            step, where = self._state.progress.step, "there is nothing to resume"
            divided = in_pieces(self._state.model)  # those of the process that has gone are lost
            if step and not self._gone_back and not divided:
                self._save()
            if self._run.last.is_file():
                saved = f"step {step} of {self._plan.total_steps}"
                saved = "an earlier step" if divided else saved
                saved = "the step that the rules go back to" if self._gone_back else saved
                where = f"{saved} is saved; continue with:\n  {self._run.resume_command}"
            raise LostError(f"{error}\n  {where}") from error

    def _save(self) -> None:
        if self._metrics is not None:
            self._metrics.sync()
        self._state.save(self._own(self._run.last))

    def _own(self, path: Path) -> Path | None:
        """Where this process writes: nowhere, unless it is the first; the others give their pieces of the tensors."""
        return path if self._metrics is not None else None

    def finish(self) -> None:
        """The run is done."""
        if self._oversight is not None:
            self._oversight.finish()

    def _told_to_all(self, verdict: float) -> float:
        """What the first process says."""
        return float(self._group.all_gather([verdict])[0, 0])
