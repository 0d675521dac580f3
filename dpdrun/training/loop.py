"""The training loop, top to bottom: the only one.

    capture -> frames on the device -> forward -> loss after the burn-in -> backward -> norm -> guard -> clip -> step
            -> a metrics line -> now and then: validation score, best model, a look of the rules, checkpoint

What is learnt is a pair (input, target) through a module, which for a predistorter goes through an amplifier: see
`assignment`. The loss is over unit-rms targets, so its size does not depend on the scale of the capture. The same code
runs in every process of a group; what only one of them does is in `record`.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState

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
from dpdrun.training.checkpoint import LOOK, SCORING, Progress, State
from dpdrun.training.compile import compiled
from dpdrun.training.ddp import OwnNorm, broadcast_score, checksum_of, constant_buffers, gather_step_stats
from dpdrun.training.fsdp import Pieces, whole
from dpdrun.training.guard import StopSignal, non_finite
from dpdrun.training.loss import spectral_error, squared_error
from dpdrun.training.optimizer import build_optimizer
from dpdrun.training.precision import LOW, LossScale, tensor_cores
from dpdrun.training.process_group import ProcessGroup, sharing_of, uses_gpu
from dpdrun.training.recorder import RunRecorder
from dpdrun.training.resume import restore
from dpdrun.training.schedule import Plateau, schedule_of
from dpdrun.training.step import sampler_of, seed_dropout
from dpdrun.training.task import TrainingTask, pa_task
from dpdrun.training.telemetry import GROUP_NORM_EVERY, Monitor, ParameterUpdate, group_norms


@dataclass(frozen=True)
class Outcome:
    """What training ended with: steps done, best validation score [dB] and its step, training time [s], adaptations."""

    steps: int
    best_db: float
    best_step: int
    seconds: float
    adapts: list[dict[str, Any]]


def fit(
    model: BehaviouralModel, plan: Plan, capture: Capture, run: RunFolder, monitor: Monitor, *, resume: bool,
    assignment: TrainingTask | None = None, group: ProcessGroup | None = None,
) -> Outcome:  # fmt: skip
    """Train `model` in place and leave its best version in it and in `run.best`.

    Args:
        model: a kind from dpdrun/models, fresh; its own scales map the capture to unit rms.
        plan: concrete settings.
        capture: trains on `capture.train`; selects on `capture.val`. The test part is not touched.
        run: folder that receives metrics, checkpoints and the audit.
        resume: continue from `run.last` instead of starting anew.
        assignment: what is learnt instead of the pair of `capture`, and who scores it; for a predistorter.
        group: the processes that train together; None = this one alone.

    Raises:
        RunError: a non-finite loss or norm, a checkpoint of another plan, a full disk.
        AuditError: training did not do what the plan says.
        FindingError: an error was found and train.on_finding is stop; a checkpoint was written.
        StoppedError, KeyboardInterrupt: SIGTERM or Ctrl-C came; a checkpoint was written.
        LostError: another process has gone; the last finished step was saved, where this is the first process.
        FollowedError: in other processes than the first, in place of what that one raises.
    """
    group = group or ProcessGroup()
    told: dict[str, int] = {}
    task = assignment or pa_task(model, capture, plan, sharing_of(group))
    plan_hash = plan.digest(capture.sha256)
    with StopSignal() as stop, tensor_cores(plan.recipe.train.precision == "tf32"):
        while True:
            try:
                return _fit(model, plan, task, plan_hash, run, monitor, stop, told, group, resume=resume)
            except RolledBackError:  # train.on_finding adapt: go on from the checkpoint that it wrote
                resume = True
            except LostError:
                raise
            except (DpdrunError, KeyboardInterrupt) as error:
                if group.is_rank_zero:
                    raise
                raise FollowedError(getattr(error, "exit_code", EXIT_INTERRUPTED)) from error


def _fit(
    model: BehaviouralModel, plan: Plan, task: TrainingTask, plan_hash: str, run: RunFolder, monitor: Monitor,
    stop: StopSignal, told: dict[str, int], group: ProcessGroup, *, resume: bool,
) -> Outcome:  # fmt: skip
    """`fit`, up to its end or to a step that goes back."""
    train, patience = plan.recipe.train, plan.recipe.optim.plateau
    AcceleratorState._reset_state()  # it outlives its Accelerator, and would refuse this run another precision
    wrapping = DistributedDataParallelKwargs()
    wrapping.to_kwargs = constant_buffers  # accelerate does not know the new name of this argument
    accelerator = Accelerator(
        cpu=group.size > 1 and not uses_gpu(),
        mixed_precision=train.precision if train.precision in LOW else "no",
        kwargs_handlers=[wrapping],
    )
    task.module.to(accelerator.device)  # the model too: it is this module, or in it
    pieces = Pieces(task, model) if train.shard == "fsdp" and group.size > 1 else None
    task, trained = (pieces, pieces.model) if pieces else (task, model)
    optimizer, schedule = build_optimizer(trained, plan), schedule_of(plan)
    optimizer.zero_grad()  # of a step that was not taken, where training has gone back
    progress = Progress.fresh(Plateau(patience.factor, patience.patience, patience.threshold_db))
    log = Metrics()
    if resume:
        progress = restore(run.last, trained, optimizer, group, plan_hash=plan_hash)
        if group.is_rank_zero:
            truncate_metrics(run, progress.step, progress.adapts)
            log = read_metrics(run.path)
    state = State(trained, optimizer, progress, plan_hash)

    sampler = sampler_of(task.pair, plan, accelerator.device)
    error, scale_y = spectral_error(plan, task.pair) or squared_error, task.pair.scale_y
    stepped = compiled(task.module, train.compile, steps=plan.total_steps - progress.step, monitor=monitor)
    with group.peer_loss_as_error():
        wrapped = pieces.divide(stepped, optimizer, group) if pieces else accelerator.prepare(stepped)
    accelerator.unwrap_model(stepped, keep_fp32_wrapper=False)  # of autocast, which scores are to be made without
    prepared, own_norm = accelerator.prepare(optimizer), OwnNorm(wrapped)
    scaling = LossScale(accelerator.scaler, progress.scaler)

    samples, frames_crc = (log.steps[-1]["samples"], log.steps[-1]["frames_crc"]) if log.steps else (0, 0)
    task.module.train()
    began, hint = time.perf_counter() - progress.seconds, f"continue with:\n  {run.resume_command}"

    with RunRecorder(plan, run, monitor, state, log, told, group) as record, record.saving_when_lost():
        if progress.owed and (ending := _after_step(plan, task, progress, record, began, group)):
            record.save()
            raise ending
        for step in range(progress.step + 1, plan.total_steps + 1):
            step_began = drawn = time.perf_counter()
            data_s, loss = 0.0, 0.0
            own_starts = []
            seed_dropout(plan, step, group.rank)
            shares = sampler.shares(step, passes=train.accumulate, processes=group.size, process=group.rank)
            for index, (starts, x, y) in enumerate(shares, start=1):
                data_s += time.perf_counter() - drawn
                samples += x.shape[0] * x.shape[1] * group.size
                own_starts.append(starts)
                with nullcontext() if index == train.accumulate else accelerator.no_sync(wrapped):
                    with group.peer_loss_as_error(), accelerator.autocast():
                        prediction = wrapped(x)
                    part = error(prediction.to(y.dtype), y, plan, scale_y) / train.accumulate
                    with group.peer_loss_as_error():
                        accelerator.backward(part)
                loss += part.item()
                drawn = time.perf_counter()

            lr = schedule.lr_at(step, progress.plateau.drop) * progress.lr_factor
            for parameters in optimizer.param_groups:
                parameters["lr"] = lr
            groups = group_norms(trained, scaling.value) if step % GROUP_NORM_EVERY == 1 else None
            grad_norm = float(whole(accelerator.clip_grad_norm_(trained.parameters(), plan.clip_norm)))  # and unscale
            all_told = gather_step_stats(
                group, loss=loss, own_norm=own_norm.read(), grad_norm=grad_norm, stop=stop.number, starts=own_starts,
                checksum=None if groups is None else checksum_of(trained),
            )  # fmt: skip
            frames_crc = crc32(all_told.starts.tobytes(), frames_crc)
            line: dict[str, Any] = {
                "kind": "step", "step": step, "samples": samples, "frames_crc": frames_crc, "lr": lr, "lr_planned": lr,
                "loss": all_told.loss, "grad_norm": grad_norm, "clip_norm": plan.clip_norm,
                "clipped": grad_norm > plan.clip_norm, **all_told.line,
            }  # fmt: skip
            skipping = scaling.will_skip(all_told.loss, grad_norm)
            if groups is not None and not skipping:
                line["group_norms"] = groups
                line["grad_norm_applied"] = math.hypot(*group_norms(trained).values())
            if not (skipping or (math.isfinite(all_told.loss) and math.isfinite(grad_norm))):
                record.refused(line)
                raise non_finite(line, all_told, plan.frame, run)
            movement = ParameterUpdate(trained) if groups is not None and not skipping else None
            prepared.step()
            line |= (movement.line() if movement is not None else {}) | scaling.line()
            prepared.zero_grad()
            line["lr"] = prepared.param_groups[-1]["lr"]  # what the step used, whoever wrote it
            line |= {"step_s": round(time.perf_counter() - step_began, 6), "data_s": round(data_s, 6)}
            progress.step, progress.seconds, progress.owed = step, time.perf_counter() - began, SCORING
            progress.scaler = scaling.state
            record.step(line)
            ending = _after_step(plan, task, progress, record, began, group)
            due = plan.checkpoint_every and step % plan.checkpoint_every == 0
            leaving = stop.number if group.size == 1 else all_told.stop  # what all know
            if due or leaving or ending or step == plan.total_steps:
                record.save()
            if ending:
                raise ending
            if leaving:
                raise stop.stopped(leaving, f"after step {step} of {plan.total_steps}", hint)
        ends = group.all_gather([checksum_of(trained), stop.number])
        if ends[:, 1].any():  # while the last step was scored and saved
            raise stop.stopped(int(ends[:, 1].max()), f"after step {plan.total_steps} of {plan.total_steps}", hint)

    if group.is_rank_zero:
        log = read_metrics(run.path)
        audited = audit(plan, log, sampler, checksums=ends[:, 0].astype(int).tolist())
        run.write_json(run.audit, audited)
        if not audited["agrees"]:
            raise AuditError(f"{run.audit}: training did not do what the plan says: {differences(audited)}")
    record.finish()
    if not progress.best_step:
        raise DivergedError(f"no validation score was finite in {plan.total_steps} steps: `dpdrun diagnose {run.path}`")
    if pieces:
        pieces.fill()
    if group.is_rank_zero:
        tensors, _ = checkpoint.read(run.best)
        model.load_state_dict(tensors)
    return Outcome(progress.step, progress.best_db, progress.best_step, progress.seconds, log.adapts)


def _after_step(
    plan: Plan, task: TrainingTask, progress: Progress, record: RunRecorder, began: float, group: ProcessGroup
) -> FindingError | None:
    """What follows a step: its scoring where one is due, and a look of the rules; what to raise after a checkpoint.

    A process that is lost here leaves the rest owed, and a resumed run begins with it.
    """
    if progress.owed == SCORING:
        if progress.step % plan.eval_every == 0 or progress.step == plan.total_steps:
            with tensor_cores(False):  # what a model is used with, and scored with later
                score = broadcast_score(group, task.score())
            progress.plateau.update(score.nmse_db)
            record.score(score, time.perf_counter() - began)
        progress.owed = LOOK
    ending = record.look()
    progress.owed = ""
    return ending
