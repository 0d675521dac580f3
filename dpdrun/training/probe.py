"""Measures a plan briefly on its own data and machine: learning rate, gradient norms, speed and memory.

    time a few steps -> lr range test, a fresh model a seed -> a short run at the pick, for the norms -> one scoring

Steps are those of the plan (model, batch, frames, loss, optimizer), by the `TrainStep` of the loop; only the learning
rate is ours. `plan.probe_result` draws the conclusions. The time is kept: where steps become slower than the first
ones, seeds are left out, then gradient norms, and the reading says which. A range test is short: 100 to 200 steps show
where training is stable and fast at first, not where it ends after thousands.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import psutil
import torch

from dpdrun import models
from dpdrun.data.capture import Capture
from dpdrun.errors import RunError
from dpdrun.plan.plan import Plan
from dpdrun.plan.probe_result import ProbeReading, median_curve, valley_of
from dpdrun.rules.statistics import percentile
from dpdrun.training import warm_start
from dpdrun.training.engine import Engine
from dpdrun.training.optimizer import build_optimizer
from dpdrun.training.precision import tensor_cores
from dpdrun.training.process_group import uses_gpu
from dpdrun.training.step import TrainStep, sampler_of
from dpdrun.training.task import evaluate_split

SEEDS, FEWEST_SEEDS = 3, 2  # of a plan; where time runs out, one is enough
LOWEST_LR, HIGHEST_LR = 1e-4, 1.0
FEWEST_RATES, MOST_RATES = 80, 200
TIMED_STEPS = 5
RECENT = 20  # steps that the pace is taken from
NORM_WARMUP_STEPS = 20
FEWEST_NORMS, MOST_NORMS = 40, 200
TOO_FEW_NORMS = 10  # for a 90th percentile
DIVERGED = 4.0  # a loss of so many times the first one, plus the power of the output, does not come back
OVERHEAD = 1.15  # building models, drawing frames
SLACK = 1.2  # steps are not equally long each time
PERCENTILES = (10, 50, 90, 99)
SCORING_SHARE = 0.15  # of the time, at most; a longer scoring is estimated
FORWARD = 1 / 3  # of the work of a step: a backward pass is twice the forward one
END_S = 1.0  # to show the results, and for the interpreter to end [s]

OnStep = Callable[[int, float], None]  # number of a step, and its learning rate
Report = Callable[[float, str], None]  # share of the work that is done, and what is being done


@dataclass(frozen=True)
class Budget:
    """Number of seeds, rates in the range test of each, and steps for the norms (their warmup not counted)."""

    seeds: int
    rates: int
    norms: int

    @property
    def total(self) -> int:
        """Number of all steps, for a progress bar."""
        return self.seeds * self.rates + NORM_WARMUP_STEPS + self.norms


def share_out(budget_s: float, spent_s: float, step_s: float) -> Budget:
    """Divide the time: as many rates as fit, then as many norms; fewer seeds before too few rates.

    Args:
        budget_s, spent_s: time for the whole command, and what of it is over [s].
        step_s: time of a step [s].

    Raises:
        RunError: the smallest budget does not fit; the message says how much time it needs.
    """
    steps = (budget_s - spent_s - END_S) / (step_s * OVERHEAD)
    budgets = (Budget(seeds, FEWEST_RATES, FEWEST_NORMS) for seeds in range(SEEDS, FEWEST_SEEDS - 1, -1))
    least = next((budget for budget in budgets if budget.total <= steps), None)
    if least is None:
        least = Budget(FEWEST_SEEDS, FEWEST_RATES, FEWEST_NORMS)
        needed = math.ceil((least.total * step_s * OVERHEAD + spent_s + END_S) * SLACK)
        raise RunError(
            f"--time {budget_s:.0f}s is too short: startup took {spent_s:.0f} s, a step of this plan takes "
            f"{step_s:.2g} s, and the minimum is {least.total} steps ({least.seeds} seeds of {FEWEST_RATES} learning "
            f"rates, {FEWEST_NORMS} gradient norms after a warmup of {NORM_WARMUP_STEPS}); give --time {needed}s, or "
            "lower train.batch_size or the model sizes"
        )
    rates = min(MOST_RATES, int((steps - NORM_WARMUP_STEPS) * 0.75 / least.seeds))
    rates = max(FEWEST_RATES, rates)
    norms = int(min(MOST_NORMS, steps - least.seeds * rates - NORM_WARMUP_STEPS))
    return Budget(least.seeds, rates, max(FEWEST_NORMS, norms))


@dataclass(frozen=True)
class Stepped:
    """One step: loss, gradient norm before clipping, and its time [s]."""

    loss: float
    grad_norm: float
    seconds: float


class ProbeRun:
    """A fresh model and optimizer of a plan, to take a few steps with: those of the loop, at any learning rate.

    Args:
        plan: of a network.
        capture: what it would be trained on.
        seed: of the weights and of the frames, in place of the plan's. The global generator of torch is left as it was.

    Raises:
        RunError: the plan is of a predistorter, whose steps go through a PA model that is not here.
    """

    def __init__(self, plan: Plan, capture: Capture, *, seed: int) -> None:
        if plan.recipe.task != "pa":
            raise RunError("task dpd cannot be probed: probe the recipe of its PA model instead")
        self._precision, self._passes = plan.recipe.train.precision, plan.recipe.train.accumulate
        engine = Engine(self._precision, plan.recipe.train.device)
        self.device = engine.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = models.build(plan.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
        warm_start.start(self.model, plan)
        self.model.to(self.device).train()
        self._sampler = sampler_of(capture, _with_seed(plan, seed), self.device)
        self._step = TrainStep(plan, capture, self.model, self.model, build_optimizer(self.model, plan), engine)

    def step(self, number: int, lr: float) -> Stepped:
        """Take optimizer step `number` (counted from 1) at a learning rate.

        A step that a loss scale skips (fp16) is tried again at the lower one: what diverges then is the training.
        """
        began = time.perf_counter()
        with tensor_cores(self._precision == "tf32"):
            loss, grad_norm = self._gradient(number)
            while self._step.scaling.will_skip(loss, grad_norm):
                self._step.apply(lr)
                loss, grad_norm = self._gradient(number)
            self._step.apply(lr)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return Stepped(loss, grad_norm, time.perf_counter() - began)

    def _gradient(self, number: int) -> tuple[float, float]:
        shares = self._sampler.shares(number, passes=self._passes, processes=1, process=0)
        return self._step.forward_backward(shares).loss, self._step.clip()


def _with_seed(plan: Plan, seed: int) -> Plan:
    train = plan.recipe.train.model_copy(update={"seed": seed})
    return replace(plan, recipe=plan.recipe.model_copy(update={"train": train}))


class _Clock:
    """Times of the steps so far, and the time that is left."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline - END_S
        self.steps: list[float] = []

    @property
    def left_s(self) -> float:
        return self._deadline - time.perf_counter()

    def allows(self, steps: int) -> bool:
        """Return whether so many more steps fit at the pace of the last ones."""
        return steps * median(self.steps[-RECENT:]) * OVERHEAD <= self.left_s


def probe(
    plan: Plan, capture: Capture, budget_s: float, report: Report = lambda *_: None, *, spent_s: float = 0.0
) -> ProbeReading:
    """Measure a plan.

    Args:
        plan: of a network.
        capture: what it would be trained on; the test part is not touched.
        budget_s: time for the whole command [s].
        report: gets the progress of the probe.
        spent_s: what of it is over [s].

    Raises:
        RunError: a gmp, which has no steps; a budget that is too short; a model that learns at no rate.
    """
    if not plan.total_steps:
        raise RunError("a gmp is fitted by least squares: it has no steps to measure")
    began = time.perf_counter()
    clock = _Clock(began + budget_s - spent_s)
    report(0.0, "timing steps")
    memory = _Memory(plan.recipe.train.device)
    run = ProbeRun(plan, capture, seed=0)
    while len(clock.steps) < TIMED_STEPS and (not clock.steps or clock.allows(TIMED_STEPS)):
        clock.steps.append(run.step(len(clock.steps) + 1, LOWEST_LR).seconds)
    step_s = median(clock.steps)
    cut: list[str] = []
    score_s = len(capture.val) / (plan.batch_size * plan.frame) * step_s * FORWARD
    if score_s <= SCORING_SHARE * clock.left_s:
        scoring = time.perf_counter()
        evaluate_split(run.model, capture, plan)
        score_s = time.perf_counter() - scoring
    else:
        cut.append("the time of an evaluation (estimated from a forward pass)")
    peak_mib = memory.growth_mib()
    budget = share_out(budget_s, spent_s + time.perf_counter() - began, step_s)
    device = run.device
    del run

    ratio = (HIGHEST_LR / LOWEST_LR) ** (1 / (budget.rates - 1))
    rates = [LOWEST_LR * ratio**i for i in range(budget.rates)]

    def report_step(before: int, doing: str, number: int, lr: float) -> None:
        report((before + number) / budget.total, f"{doing}, lr {lr:.1e}")

    losses: list[list[float]] = []
    reserved = NORM_WARMUP_STEPS + FEWEST_NORMS
    for seed in range(budget.seeds):
        if losses and not clock.allows(budget.rates + reserved):
            break
        on_step = partial(report_step, seed * budget.rates, f"lr range test, seed {seed + 1} of {budget.seeds}")
        curve = _range_test(ProbeRun(plan, capture, seed=seed), rates, clock, reserved if losses else 0, on_step)
        if curve is None:
            break
        losses.append(curve)
    if not losses:
        raise RunError(
            f"--time {budget_s:.0f}s: time ran out before one lr range test of {budget.rates} steps was complete: "
            f"steps became slower, from {step_s:.2g} to {median(clock.steps[-3:]):.2g} s (other work on this "
            f"machine?); give more time, such as --time {2 * budget_s:.0f}s"
        )
    if len(losses) < SEEDS:
        cut.append(f"{len(losses)} of {SEEDS} seeds")
    curve_db = median_curve(losses)
    tried = rates[: len(curve_db)]
    valley = valley_of(tried, curve_db)
    if valley is None:
        raise RunError(
            f"no learning rate from {LOWEST_LR:g} to {HIGHEST_LR:g} lowered the loss by 2 dB within "
            f"{budget.rates} steps; check the data (`dpdrun data inspect`), then increase --time"
        )

    on_step = partial(report_step, budget.seeds * budget.rates, "gradient norms")
    norms = _norms(ProbeRun(plan, capture, seed=0), valley.pick, budget.norms, clock, on_step)
    if norms is None:
        raise RunError(f"every gradient norm at lr {valley.pick:g} was infinite; write a smaller optim.lr")
    if len(norms) < TOO_FEW_NORMS:
        cut.append("gradient norms (clip_norm is that of the rules)")
    elif len(norms) < min(FEWEST_NORMS, budget.norms):
        cut.append(f"{len(norms)} of {FEWEST_NORMS} gradient norms")
    step_s = median(clock.steps)
    return ProbeReading(
        device=_device_name(device),
        seconds=round(spent_s + time.perf_counter() - began, 1),
        seeds=len(losses),
        rates_tried=budget.rates,
        lr=valley.pick,
        lr_low=valley.low,
        lr_high=valley.high,
        lr_open=valley.open_above,
        curve=tuple(zip(tried, curve_db, strict=True)),
        norms={share: percentile(norms, share) for share in PERCENTILES} if len(norms) >= TOO_FEW_NORMS else {},
        norm_steps=len(norms),
        step_s=step_s,
        samples_per_s=plan.batch_size * plan.frame / step_s,
        score_s=score_s,
        peak_mib=peak_mib,
        cut=tuple(cut),
    )


def _range_test(run: ProbeRun, rates: list[float], clock: _Clock, reserved: int, on_step: OnStep) -> list[float] | None:
    """Return losses while the rate rises, cut off where they diverge; None where only `reserved` steps still fit."""
    curve: list[float] = []
    for number, lr in enumerate(rates, start=1):
        if clock.left_s <= 0 or (reserved and not clock.allows(reserved)):
            return None
        on_step(number, lr)
        step = run.step(number, lr)
        curve.append(step.loss)
        clock.steps.append(step.seconds)
        if not step.loss <= DIVERGED * curve[0] + 1.0:  # nan too
            break
    return curve


def _norms(run: ProbeRun, lr: float, count: int, clock: _Clock, on_step: OnStep) -> list[float] | None:
    """Return finite gradient norms after a warmup, as many as the time allows; None where all are infinite."""
    norms: list[float] = []
    number = 0
    while number < NORM_WARMUP_STEPS + count and clock.left_s > 0:
        number += 1
        rate = lr * min(1.0, number / NORM_WARMUP_STEPS)
        on_step(number, rate)
        step = run.step(number, rate)
        clock.steps.append(step.seconds)
        if number > NORM_WARMUP_STEPS and step.grad_norm < float("inf"):
            norms.append(step.grad_norm)
    return None if number == NORM_WARMUP_STEPS + count and not norms else norms


class _Memory:
    """Growth of memory since it was created: of the process on a CPU, of torch's allocations on a GPU."""

    def __init__(self, device: str) -> None:
        self._cuda = uses_gpu(device)
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        self._before = 0.0 if self._cuda else psutil.Process().memory_info().rss / 2**20

    def growth_mib(self) -> float:
        if self._cuda:
            return torch.cuda.max_memory_allocated() / 2**20
        return max(0.0, _peak_mib() - self._before)


def _peak_mib() -> float:
    """Return the peak memory of this process [MiB]."""
    try:
        import resource
    except ImportError:  # Windows, where psutil has it
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # getrusage(2): bytes there, KiB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'' if threads == 1 else 's'}"
