"""`optim.refine: lm`: refines the best model of AdamW by iterations of Levenberg-Marquardt.

The pair is that of training, and the scores that select the checkpoint of AdamW select here too. Each scoring is a line
of metrics.jsonl (kind `finish`, step counted on from the last optimizer step). The state of an iteration is a file next
to the checkpoint of the loop, so `--resume` continues where it stopped, with the same bits on a CPU.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from dpdrun.errors import RunError
from dpdrun.models._arrays import to_pairs
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.recipe.loader import Loaded
from dpdrun.run.files import write_text
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import Heartbeat
from dpdrun.run.metrics import MetricsWriter
from dpdrun.training import checkpoint
from dpdrun.training.guard import StopSignal
from dpdrun.training.lm.levenberg_marquardt import Iteration, LevenbergMarquardt
from dpdrun.training.loss import weighting_of
from dpdrun.training.task import TrainingTask
from dpdrun.training.telemetry import Monitor

FORMAT = "dpdrun-finish-1"
SCORE_EVERY = 5  # iterations
STUCK = 3  # iterations without a step, one after the other, that end it
ALL_DONE = "all iterations done"
BLOCK = 8_192  # samples: a spectrum with weights needs its resolution


@dataclass
class Refined:
    """Result and state of a refinement.

    Attributes:
        iterations: done.
        seconds: of this part, over all resumed parts [s].
        loss_before_db, loss_db: mean square error over the training part, over unit power and weighted as `train.loss`
            says [dB].
        best_db: selection score of the best model, that of AdamW included [dB]; and the iteration that it came from,
            0 = AdamW's.
        ended: why.
        lines: its lines of metrics.jsonl.
    """

    iterations: int = 0
    seconds: float = 0.0
    loss_before_db: float | None = None
    loss_db: float | None = None
    best_db: float = math.inf
    best_iteration: int = 0
    stuck: int = 0
    ended: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def scored(self) -> int:
        """The last iteration that was scored; 0 where none was."""
        return int(self.lines[-1]["iteration"]) if self.lines else 0

    def to_json(self) -> dict[str, Any]:
        """Return the entry of report.json."""
        return {key: value for key, value in asdict(self).items() if key not in ("lines", "stuck")}


def refine(
    model: BehaviouralModel, plan: Plan, task: TrainingTask, run: RunFolder, monitor: Monitor, *, best_db: float,
    plan_hash: str, resume: bool,
) -> Refined:  # fmt: skip
    """Improve `model` in place, and leave its best version in it and in `run.best`.

    Args:
        model: with the parameters that AdamW's best step left.
        plan: has the number of iterations.
        task: the pair, and the score.
        run: folder of the run.
        monitor: gets each scoring.
        best_db: the score of those parameters.
        plan_hash: of the plan and the data.
        resume: continue from `run.refinement`, where it exists.

    Raises:
        RunError: `run.refinement` is damaged or of another plan, or the disk is full.
        StoppedError, KeyboardInterrupt: SIGTERM or Ctrl-C came; the state was written.
    """
    pair, part = task.pair, task.pair.train
    device = model.scale_x.device
    x, target = (to_pairs(signal).to(device).view(-1, pair.loop_samples or len(part), 2) for signal in (part.x, part.y))
    each = plan.recipe.optim.refine_samples_per_parameter
    if isinstance(each, int):
        wanted = each * sum(tensor.numel() for tensor in model.parameters() if tensor.requires_grad)
        memory = (model.context or 0) + (model.lookahead or 0)
        x, target = evenly_spaced(x, wanted, memory), evenly_spaced(target, wanted, memory)
    model.eval()
    weighting = weighting_of(plan, pair)
    solver = LevenbergMarquardt(model, x, target, pair.scale_y, None if weighting is None else weighting.at)
    state = Refined(best_db=best_db)
    if resume and run.refinement.is_file():
        state = _restore(run, solver, plan_hash)
    else:
        _save(run, solver, state, plan_hash)
    began, total = time.perf_counter() - state.seconds, plan.recipe.optim.refine_iterations
    heartbeat = Heartbeat(run, plan.total_steps)
    with StopSignal() as stop, MetricsWriter(run.metrics) as metrics:
        for line in state.lines:
            metrics.write(line)
        while not state.ended:
            iteration = solver.iterate()
            _count(state, iteration, total)
            state.seconds = time.perf_counter() - began
            heartbeat.beat("finish", plan.total_steps + state.iterations)
            is_scored, signal = state.iterations % SCORE_EVERY == 0 or bool(state.ended), stop.number
            if is_scored:
                _score(state, iteration, plan, task, model, run, metrics, monitor, plan_hash)
            if is_scored or signal:
                _save(run, solver, state, plan_hash)
            if signal:
                done = f"after iteration {state.iterations} of {total} of optim.refine"
                raise stop.stopped(signal, done, f"continue with:\n  {run.resume_command}")
    tensors, _ = checkpoint.read(run.best)
    model.load_state_dict(tensors)
    return state


def evenly_spaced(records: Tensor, wanted: int, memory: int) -> Tensor:
    """Cut records into blocks and return as many as needed, evenly spaced; all records, uncut, where all are needed.

    Args:
        records: (L, T, 2).
        wanted: samples that are scored; the last block is a complete one.
        memory: samples before (and after) a block that its outputs depend on and that are not scored, less than T.

    Returns:
        (blocks, BLOCK + memory, 2), of shorter records (blocks, T, 2).
    """
    length = min(BLOCK, records.shape[1] - memory)
    blocks = records.unfold(1, length + memory, length).transpose(2, 3).flatten(0, 1)
    count = math.ceil(wanted / length)
    if count >= len(blocks):
        return records
    return blocks[[(2 * number + 1) * len(blocks) // (2 * count) for number in range(count)]]


def refined_so_far(run: RunFolder) -> Refined:
    """Return the state of an interrupted refinement. Raises RunError where there is none."""
    return Refined(**json.loads(checkpoint.read_header(run.refinement)["state"]))


def shorten(run: RunFolder, target: RunFolder, loaded: Loaded) -> None:
    """Make a run of the scored iterations out of an interrupted one: `--resume` only has to score it.

    An iteration does not depend on how many are to come, so it has the model of a run that was started with as many.

    Args:
        run: interrupted; it is left as it is.
        target: a new folder.
        loaded: the recipe of `run`, with that number of iterations.

    Raises:
        RunError: nothing was scored yet, or a folder cannot be read or written.
    """
    state = refined_so_far(run)
    count = state.scored
    if not count or loaded.recipe.optim.refine_iterations != count:
        raise RunError(f"{run.path}: {count} iterations of its refinement were scored")
    content = run.read_json(run.plan)
    content["recipe"]["optim"]["refine_iterations"] = count
    plan_hash = Plan.from_json(content).digest(content["data_sha256"])
    state.iterations, state.ended, state.loss_db = count, ALL_DONE, _db(state.lines[-1]["loss"])
    state.seconds = state.lines[-1]["seconds"]
    with RunFolder.creating(target.path):
        for old, new in ((run.best, target.best), (run.refinement, target.refinement), (run.last, target.last)):
            tensors, header = checkpoint.read(old)
            header["plan_hash"] = plan_hash
            if old == run.refinement:
                header["state"] = json.dumps(asdict(state))
            checkpoint.write(new, tensors, header)
        shutil.copyfile(run.metrics, target.metrics)
        write_text(target.recipe, loaded.effective_text)
        target.write_json(target.plan, content)


def _count(state: Refined, iteration: Iteration, total: int) -> None:
    state.iterations += 1
    if state.loss_before_db is None:
        state.loss_before_db = _db(iteration.before)
    state.loss_db = _db(iteration.after)
    state.stuck = 0 if iteration.moved else state.stuck + 1
    if state.iterations >= total:
        state.ended = ALL_DONE
    elif state.stuck >= STUCK:
        state.ended = "no step lowers the loss any more"


def _score(
    state: Refined, iteration: Iteration, plan: Plan, task: TrainingTask, model: BehaviouralModel, run: RunFolder,
    metrics: MetricsWriter, monitor: Monitor, plan_hash: str,
) -> None:  # fmt: skip
    score = task.score()
    model.eval()
    if score.selection_db < state.best_db:
        state.best_db, state.best_iteration = score.selection_db, state.iterations
        header = {"format": checkpoint.FORMAT, "step": f"finish {state.iterations}", "plan_hash": plan_hash}
        checkpoint.save_model(run.best, model, header)
    line = {
        "kind": "finish",
        "step": plan.total_steps + state.iterations,
        "iteration": state.iterations,
        "loss": iteration.after,
        "damping": iteration.damping,
        "gain_ratio": iteration.ratio,
        "val_nmse_db": score.nmse_db,
        **score.line,
        "best_db": state.best_db,
        "seconds": round(state.seconds, 3),
    }
    state.lines.append(line)
    metrics.write(line)
    metrics.flush()
    monitor.refinement(line, plan.recipe.optim.refine_iterations)


def _save(run: RunFolder, solver: LevenbergMarquardt, state: Refined, plan_hash: str) -> None:
    tensors: dict[str, Tensor] = {"theta": solver.theta}
    if solver.curvature is not None:
        tensors["curvature"] = solver.curvature
    header = {"format": FORMAT, "plan_hash": plan_hash, "state": json.dumps(asdict(state))}
    numbers = {"damping": repr(solver.damping), "count": str(solver.count)}
    checkpoint.write(run.refinement, tensors, header | numbers)


def _restore(run: RunFolder, solver: LevenbergMarquardt, plan_hash: str) -> Refined:
    tensors, header = checkpoint.read(run.refinement)
    checkpoint.require(run.refinement, header, FORMAT, plan_hash)
    solver.set_parameters(tensors["theta"])
    curvature = tensors.get("curvature")
    solver.curvature = None if curvature is None else curvature.to(solver.theta.device)
    solver.damping, solver.count = float(header["damping"]), int(header["count"])
    return Refined(**json.loads(header["state"]))


def _db(power: float) -> float:
    return 10 * math.log10(max(power, 1e-30))
