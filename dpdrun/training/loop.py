"""The training loop, top to bottom: the only one, and the only importer of accelerate.

    capture -> frames on the device -> forward -> loss after the burn-in -> backward -> norm -> guard -> clip -> step
            -> a metrics line -> now and then: validation score, best model, a look of the rules, checkpoint

What is learnt is a pair (input, target) through a module, which for a predistorter goes through an amplifier: see
`assignment`. The loss is over unit-rms targets, so its size does not depend on the scale of the capture.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

from accelerate import Accelerator
from accelerate.state import AcceleratorState

from dpdrun.data.capture import Capture
from dpdrun.errors import DivergedError, RunError
from dpdrun.evaluation import piece_of, predict
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan import Plan
from dpdrun.rf.metrics import nmse_db
from dpdrun.runlog import Metrics, MetricsWriter, RunFolder, read_metrics, truncate_metrics
from dpdrun.training import checkpoint
from dpdrun.training.adapt import Oversight, RolledBackError
from dpdrun.training.assignment import Assignment, OwnPair
from dpdrun.training.audit import audit
from dpdrun.training.checkpoint import Progress, State
from dpdrun.training.compile import compiled
from dpdrun.training.guard import StopSignal, non_finite
from dpdrun.training.loss import spectral_error, squared_error
from dpdrun.training.optimizer import build_optimizer
from dpdrun.training.schedule import Plateau, schedule_of
from dpdrun.training.step import sampler_of
from dpdrun.training.telemetry import GROUP_NORM_EVERY, EpochSummary, Monitor, Movement, group_norms


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
    assignment: Assignment | None = None,
) -> Outcome:  # fmt: skip
    """Train `model` in place and leave its best version in it and in `run.best`.

    Args:
        model: a kind from dpdrun/models, fresh; its own scales map the capture to unit rms.
        plan: concrete settings.
        capture: trains on `capture.train`; selects on `capture.val`. The test part is not touched.
        run: folder that receives metrics, checkpoints and the audit.
        resume: continue from `run.last` instead of starting anew.
        assignment: what is learnt instead of the pair of `capture`, and who scores it; for a predistorter.

    Raises:
        RunError: a non-finite loss or norm, a checkpoint of another plan, a full disk.
        FindingError: an error was found and train.on_finding is stop; a checkpoint was written.
        StoppedError, KeyboardInterrupt: SIGTERM or Ctrl-C came; a checkpoint was written.
    """
    told: dict[str, int] = {}
    task = assignment or own_pair(model, capture, plan)
    plan_hash = plan.digest(capture.sha256)
    with StopSignal() as stop:
        while True:
            try:
                return _fit(model, plan, task, plan_hash, run, monitor, stop, told, resume=resume)
            except RolledBackError:  # train.on_finding adapt: go on from the checkpoint that it wrote
                resume = True


def _fit(
    model: BehaviouralModel,
    plan: Plan,
    task: Assignment,
    plan_hash: str,
    run: RunFolder,
    monitor: Monitor,
    stop: StopSignal,
    told: dict[str, int],
    *,
    resume: bool,
) -> Outcome:
    """`fit`, up to its end or to a step that goes back."""
    train, settings = plan.recipe.train, plan.recipe.optim
    AcceleratorState._reset_state()  # it outlives its Accelerator, and would refuse this run another precision
    accelerator = Accelerator(mixed_precision="no" if train.precision == "fp32" else train.precision)
    if plan.batch_size % (train.accumulate * accelerator.num_processes):
        raise RunError(
            f"train.batch_size {plan.batch_size} does not divide into {accelerator.num_processes} processes x "
            f"{train.accumulate} accumulated passes"
        )
    task.module.to(accelerator.device)  # the model too: it is this module, or in it
    optimizer = build_optimizer(model, plan)
    schedule = schedule_of(plan)
    patience = settings.plateau
    progress = Progress(0, float("inf"), 0, 0.0, Plateau(patience.factor, patience.patience, patience.threshold_db))
    if resume:
        progress = checkpoint.restore(run.last, model, optimizer, plan_hash=plan_hash)
        truncate_metrics(run, progress.step, progress.adapts)
    state = State(model, optimizer, progress, plan_hash)

    sampler = sampler_of(task.pair, plan, accelerator.device)
    error, scale_y = spectral_error(plan, task.pair) or squared_error, task.pair.scale_y
    wrapped, prepared = accelerator.prepare(
        compiled(task.module, train.compile, steps=plan.total_steps - progress.step, monitor=monitor), optimizer
    )

    epochs = EpochSummary(plan.frames_per_epoch, plan.batch_size)
    samples, frames_crc = 0, 0
    log = read_metrics(run.path) if resume else Metrics()
    for done in log.steps:
        epochs.add(done["step"], done["loss"], done["grad_norm"])
        samples, frames_crc = done["samples"], done["frames_crc"]
    oversight = Oversight(plan, run, monitor, state, log, told)
    task.module.train()
    began = time.perf_counter() - progress.seconds

    with MetricsWriter(run.metrics) as metrics:
        for step in range(progress.step + 1, plan.total_steps + 1):
            step_began = time.perf_counter()
            data_s, loss = 0.0, 0.0
            drawn = time.perf_counter()
            shares = sampler.shares(
                step, passes=train.accumulate, processes=accelerator.num_processes, process=accelerator.process_index
            )
            for index, (starts, x, y) in enumerate(shares, start=1):
                data_s += time.perf_counter() - drawn
                samples += x.shape[0] * x.shape[1] * accelerator.num_processes
                frames_crc = crc32(starts.tobytes(), frames_crc)
                with nullcontext() if index == train.accumulate else accelerator.no_sync(wrapped):
                    with accelerator.autocast():
                        prediction = wrapped(x)
                    part = error(prediction, y, plan, scale_y) / train.accumulate
                    accelerator.backward(part)
                loss += accelerator.reduce(part.detach(), reduction="mean").item()
                drawn = time.perf_counter()

            lr = schedule.lr_at(step, progress.plateau.drop) * progress.lr_factor
            for group in optimizer.param_groups:
                group["lr"] = lr
            groups = group_norms(model) if step % GROUP_NORM_EVERY == 1 else None
            grad_norm = float(accelerator.clip_grad_norm_(model.parameters(), plan.clip_norm))
            line: dict[str, Any] = {
                "kind": "step",
                "step": step,
                "samples": samples,
                "frames_crc": frames_crc,
                "lr": lr,
                "lr_planned": lr,
                "loss": loss,
                "grad_norm": grad_norm,
                "clip_norm": plan.clip_norm,
                "clipped": grad_norm > plan.clip_norm,
            }
            if groups is not None:
                line["group_norms"] = groups
                line["grad_norm_applied"] = math.hypot(*group_norms(model).values())
            if not (math.isfinite(loss) and math.isfinite(grad_norm)):
                metrics.write(line)  # so that `dpdrun diagnose` sees it too
                oversight.take(line)
                oversight.look_at_the_end(metrics)
                raise non_finite(line, sampler.starts(step), plan.frame, _last_good(run))
            movement = Movement(model) if groups is not None else None
            prepared.step()
            line |= movement.line() if movement is not None else {}
            prepared.zero_grad()
            line["lr"] = prepared.param_groups[-1]["lr"]  # what the step used, whoever wrote it
            line |= {"step_s": round(time.perf_counter() - step_began, 6), "data_s": round(data_s, 6)}
            metrics.write(line)
            oversight.take(line)
            monitor.step(line)
            if (summary := epochs.add(step, loss, grad_norm)) is not None:
                metrics.write(summary)

            progress.step, progress.seconds = step, time.perf_counter() - began
            if step % plan.eval_every == 0 or step == plan.total_steps:
                score = task.score()
                progress.plateau.update(score.nmse_db)
                if score.selection_db < progress.best_db:
                    progress.best_db, progress.best_step = score.selection_db, step
                    if accelerator.is_main_process:
                        checkpoint.save_model(run.best, model, {"format": checkpoint.FORMAT, "step": str(step)})
                scored: dict[str, Any] = {
                    "kind": "eval",
                    "step": step,
                    "val_nmse_db": score.nmse_db,
                    **score.line,
                    "best_db": progress.best_db,
                    "seconds": round(time.perf_counter() - began, 3),
                }
                metrics.write(scored)
                metrics.flush()
                oversight.take(scored)
                monitor.evaluation(scored)
            ending = None
            if oversight.due(step):
                ending = oversight.look(metrics)
                oversight.keep()
            due = plan.checkpoint_every and step % plan.checkpoint_every == 0
            leaving = stop.received  # read once: a signal that comes while the checkpoint is written waits for the next
            if (due or leaving or ending or step == plan.total_steps) and accelerator.is_main_process:
                metrics.flush()
                state.save(run.last)
            if ending:
                raise ending
            if leaving:
                raise stop.stopped(
                    f"after step {step} of {plan.total_steps}", f"continue with:\n  {run.resume_command}"
                )

    log = read_metrics(run.path)
    run.write_json(run.audit, audit(plan, log, sampler))
    oversight.finish()
    if not progress.best_step:
        raise DivergedError(
            f"no validation score was finite in {plan.total_steps} steps; see `dpdrun diagnose {run.path}`"
        )
    tensors, _ = checkpoint.read(run.best)
    model.load_state_dict(tensors)
    return Outcome(progress.step, progress.best_db, progress.best_step, progress.seconds, log.adapts)


def own_pair(model: BehaviouralModel, capture: Capture, plan: Plan) -> OwnPair:
    """The assignment of task pa."""
    return OwnPair(model, capture, partial(evaluate_split, model, capture, plan))


def evaluate_split(model: BehaviouralModel, capture: Capture, plan: Plan) -> float:
    """Validation NMSE [dB] as the plan scores it: on the whole record, or cut into frames."""
    model.eval()
    prediction = predict(model, capture.val.x, piece=piece_of(plan), loop=capture.loop_samples)
    score = nmse_db(capture.val.y, prediction)
    model.train()
    return score


def _last_good(run: RunFolder) -> str:
    good = [path for path in (run.last, run.best) if path.is_file()]
    return f"last good: {good[0]}" if good else "no checkpoint had been written yet"
