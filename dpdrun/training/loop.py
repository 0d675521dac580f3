"""The training loop, from top to bottom.

    capture -> frames on the device -> forward -> loss after the burn-in -> backward -> norm -> guard -> clip -> step
            -> a metrics line -> at intervals: validation score, best model, evaluation of the rules, checkpoint

What is trained is a pair (input, target) through a module, which for a predistorter includes a PA model: see
`task`. The loss is over unit-rms targets, so its size does not depend on the scale of the capture. The same code runs
in every process of a group; what only rank 0 does is in `recorder`.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from dpdrun.data.capture import Capture
from dpdrun.errors import (
    EXIT_INTERRUPTED,
    AuditError,
    DivergedError,
    DpdrunError,
    FindingError,
    FollowedError,
    LostError,
)
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, read_metrics, truncate_metrics
from dpdrun.training import checkpoint
from dpdrun.training.adapt import RolledBackError
from dpdrun.training.audit import audit, differences
from dpdrun.training.checkpoint import RULES, SCORING, Progress, TrainingState
from dpdrun.training.compile import compiled
from dpdrun.training.ddp import OwnNorm, StepStats, broadcast_score, checksum_of, gather_step_stats
from dpdrun.training.engine import Engine, engine_of
from dpdrun.training.guard import StopSignal, non_finite
from dpdrun.training.optimizer import build_optimizer
from dpdrun.training.precision import tensor_cores
from dpdrun.training.process_group import ProcessGroup, sharing_of
from dpdrun.training.recorder import RunRecorder
from dpdrun.training.schedule import Plateau, schedule_of
from dpdrun.training.step import Passes, TrainStep, sampler_of, seed_dropout
from dpdrun.training.task import TrainingTask, pa_task
from dpdrun.training.telemetry import GROUP_NORM_EVERY, Monitor, ParameterUpdate, group_norms


@dataclass(frozen=True)
class TrainingOutcome:
    """The result of training: steps done, best validation score [dB] and its step, training time [s], adaptations."""

    steps: int
    best_db: float
    best_step: int
    seconds: float
    adapts: list[dict[str, Any]]


def fit(
    model: BehaviouralModel, plan: Plan, capture: Capture, run: RunFolder, monitor: Monitor, *, resume: bool,
    task: TrainingTask | None = None, group: ProcessGroup | None = None,
) -> TrainingOutcome:  # fmt: skip
    """Train `model` in place; its best version is in it and in `run.best` afterwards.

    Args:
        model: a kind from dpdrun/models, fresh; its own scales map the capture to unit rms.
        plan: concrete settings.
        capture: trains on `capture.train`; selects on `capture.val`. The test split is not touched.
        run: folder that receives metrics, checkpoints and the audit.
        monitor: gets each metrics line and finding.
        resume: continue from `run.last` instead of from the first step.
        task: what is trained instead of the pair of `capture`, and how it is scored; for a predistorter.
        group: the processes that train together; None = this one alone.

    Raises:
        RunError: a non-finite loss or norm, a checkpoint of another plan, a full disk.
        AuditError: training deviated from the plan.
        FindingError: an error was found and train.on_finding is stop; a checkpoint was written.
        StoppedError, KeyboardInterrupt: on SIGTERM or Ctrl-C; a checkpoint was written.
        LostError: another process was lost; on rank 0 the last finished step was saved.
        FollowedError: on the other ranks, if rank 0 raises one of these.
    """
    group, reported = group or ProcessGroup(), dict[str, int]()
    task = task or pa_task(model, capture, plan, sharing_of(group))
    precision, plan_hash = plan.recipe.train.precision, plan.digest(capture.sha256)
    with StopSignal() as stop, tensor_cores(precision == "tf32"):
        while True:
            try:
                with engine_of(group, precision, plan.recipe.train.device) as engine:
                    training = _Training(model, plan, task, plan_hash, run, monitor, engine, group, stop, resume=resume)
                    return training.run(reported)
            except RolledBackError:  # train.on_finding: adapt; continue from the checkpoint that it wrote
                resume = True
            except LostError:
                raise
            except (DpdrunError, KeyboardInterrupt) as error:
                if group.is_rank_zero:
                    raise
                raise FollowedError(getattr(error, "exit_code", EXIT_INTERRUPTED)) from error


class _Training:
    """A training run, from its first or next step to the last one, or to a rollback.

    Args: as `fit`, and `plan_hash` of its checkpoints, `engine` of the group, `stop` for signals.
    """

    def __init__(
        self, model: BehaviouralModel, plan: Plan, task: TrainingTask, plan_hash: str, run: RunFolder, monitor: Monitor,
        engine: Engine, group: ProcessGroup, stop: StopSignal, *, resume: bool,
    ) -> None:  # fmt: skip
        self._model, self._plan, self._task, self._run, self._monitor = model, plan, task, run, monitor
        self._group, self._stop = group, stop
        task.module.to(engine.device)  # the model too: it is this module, or inside of it
        optimizer, self._schedule = build_optimizer(model, plan), schedule_of(plan)
        optimizer.zero_grad()  # gradients of a step that was not taken before a rollback
        plateau = plan.recipe.optim.plateau
        progress = Progress.fresh(Plateau(plateau.factor, plateau.patience, plateau.threshold_db))
        self._log = Metrics()
        if resume:
            progress = checkpoint.restore_all(run.last, model, optimizer, group, plan_hash=plan_hash)
            if group.is_rank_zero:
                truncate_metrics(run, progress.step, progress.adapts)
                self._log = read_metrics(run.path)
        self._state, self._progress = TrainingState(model, optimizer, progress, plan_hash), progress
        self._sampler = sampler_of(task.pair, plan, engine.device)
        steps_left = plan.total_steps - progress.step
        module = compiled(task.module, plan.recipe.train.compile, steps=steps_left, monitor=monitor)
        with group.peer_loss_as_error():
            module = engine.prepare(module)
        self._step = TrainStep(plan, task.pair, model, module, optimizer, engine, group=group, scaler=progress.scaler)
        self._own_norm = OwnNorm(model, group)
        last = self._log.steps[-1] if self._log.steps else {"samples": 0, "frames_crc": 0}
        self._samples, self._frames_crc = last["samples"], last["frames_crc"]
        task.module.train()
        self._began = time.perf_counter() - progress.seconds

    def run(self, reported: dict[str, int]) -> TrainingOutcome:
        """Train; `reported` holds the severities of the findings so far, by code."""
        plan, progress, group = self._plan, self._progress, self._group
        recorder = RunRecorder(plan, self._run, self._monitor, self._state, self._log, reported, group)
        with recorder, recorder.saving_when_lost(), self._own_norm:
            if progress.owed and (error := self._score_and_evaluate(recorder)):
                recorder.save()
                raise error
            for step in range(progress.step + 1, plan.total_steps + 1):
                stats = self._train_one_step(step, recorder)
                error = self._score_and_evaluate(recorder)
                signal = self._stop.number if group.size == 1 else stats.stop  # the same in all processes
                if self._saves_after(step) or signal or error:
                    recorder.save()
                if error:
                    raise error
                if signal:
                    raise self._stopped(signal)
            ends = group.all_gather([checksum_of(self._model), self._stop.number])
            if ends[:, 1].any():  # a signal came while the last step was scored and saved
                raise self._stopped(int(ends[:, 1].max()))
        self._audit(ends[:, 0].astype(int).tolist())
        recorder.finish()
        self._load_best()
        return TrainingOutcome(progress.step, progress.best_db, progress.best_step, progress.seconds, self._log.adapts)

    def _train_one_step(self, step: int, recorder: RunRecorder) -> StepStats:
        """Take an optimizer step and log it; returns its statistics over all processes.

        Raises:
            DivergedError: loss or norm is not finite; the parameters are those before the step.
            RolledBackError: the same, and train.on_finding: adapt can undo it.
        """
        began, plan, group, progress = time.perf_counter(), self._plan, self._group, self._progress
        lr = self._schedule.lr_at(step, progress.plateau.drop) * progress.lr_factor
        seed_dropout(plan, step, group.rank)
        passes = self._step.forward_backward(
            self._sampler.shares(step, passes=plan.recipe.train.accumulate, processes=group.size, process=group.rank)
        )
        is_detailed = step % GROUP_NORM_EVERY == 1
        norms = group_norms(self._model, self._step.scaling.value) if is_detailed else None
        grad_norm = self._step.clip()
        stats = gather_step_stats(
            group, loss=passes.loss, own_norm=self._own_norm.read(), grad_norm=grad_norm, stop=self._stop.number,
            starts=passes.starts, checksum=checksum_of(self._model) if is_detailed else None,
        )  # fmt: skip
        line = self._line(step, lr, passes, stats, grad_norm)
        update = None
        is_skipped = self._step.scaling.will_skip(stats.loss, grad_norm)
        if is_detailed and not is_skipped:
            line["group_norms"] = norms
            line["grad_norm_applied"] = math.hypot(*group_norms(self._model).values())
            update = ParameterUpdate(self._model)
        if not (is_skipped or (math.isfinite(stats.loss) and math.isfinite(grad_norm))):
            recorder.non_finite_step(line)
            raise non_finite(line, stats, plan.frame, self._run)
        applied = self._step.apply(lr)
        line |= (update.line() if update else {}) | applied
        line |= {"step_s": round(time.perf_counter() - began, 6), "data_s": round(passes.data_s, 6)}
        progress.step, progress.seconds, progress.owed = step, time.perf_counter() - self._began, SCORING
        progress.scaler = self._step.scaling.state
        recorder.step(line)
        return stats

    def _line(self, step: int, lr: float, passes: Passes, stats: StepStats, grad_norm: float) -> dict[str, Any]:
        """Return the metrics line of a step before it is applied; samples and frames count on from the last one."""
        self._samples += passes.samples * self._group.size
        self._frames_crc = crc32(stats.starts.tobytes(), self._frames_crc)
        clip_norm = self._plan.clip_norm
        return {
            "kind": "step", "step": step, "samples": self._samples, "frames_crc": self._frames_crc, "lr": lr,
            "lr_planned": lr, "loss": stats.loss, "grad_norm": grad_norm, "clip_norm": clip_norm,
            "clipped": grad_norm > clip_norm, **stats.line,
        }  # fmt: skip

    def _score_and_evaluate(self, recorder: RunRecorder) -> FindingError | None:
        """Score the val split and evaluate the rules where due; returns the error to raise after a checkpoint.

        If a process is lost here, the remaining work is owed, and a resumed run does it first.
        """
        plan, progress = self._plan, self._progress
        if progress.owed == SCORING:
            if progress.step % plan.eval_every == 0 or progress.step == plan.total_steps:
                with tensor_cores(False):  # the precision that the model is used in, and scored in later
                    score = broadcast_score(self._group, self._task.score())
                progress.plateau.update(score.nmse_db)
                recorder.score(score, time.perf_counter() - self._began)
            progress.owed = RULES
        error = recorder.evaluate_rules()
        progress.owed = ""
        return error

    def _saves_after(self, step: int) -> bool:
        every = self._plan.checkpoint_every
        return step == self._plan.total_steps or (every > 0 and step % every == 0)

    def _stopped(self, signal: int) -> BaseException:
        done = f"after step {self._progress.step} of {self._plan.total_steps}"
        return self._stop.stopped(signal, done, f"continue with:\n  {self._run.resume_command}")

    def _audit(self, checksums: list[int]) -> None:
        """Compare planned and realised values. Raises AuditError on rank 0 where they differ."""
        if not self._group.is_rank_zero:
            return
        self._log = read_metrics(self._run.path)
        audited = audit(self._plan, self._log, self._sampler, checksums=checksums)
        self._run.write_json(self._run.audit, audited)
        if not audited["agrees"]:
            raise AuditError(f"{self._run.audit}: training deviated from the plan: {differences(audited)}")

    def _load_best(self) -> None:
        """Load the best weights into the model, on rank 0. Raises DivergedError if there are none."""
        if not self._progress.best_step:
            steps, command = self._plan.total_steps, f"dpdrun diagnose {self._run.path}"
            raise DivergedError(f"no validation score was finite in {steps} steps: `{command}`")
        if self._group.is_rank_zero:
            tensors, _ = checkpoint.read(self._run.best)
            self._model.load_state_dict(tensors)
