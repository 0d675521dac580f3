"""A short measured check of a plan on its own data and machine: learning rate, gradient norms, speed and memory.

    time a few steps -> lr range test, a fresh model a seed -> a short run at the pick, for the norms -> one scoring

Steps are those of the plan (model, batch, frames, loss, optimizer), taken by `Trial`; only the learning rate is ours.
What is concluded from them is `rules.probed`. The time is kept: where steps become slower than the first ones, seeds
are left out, then gradient norms, and the reading says which. A range test is a short look: 100 to 200 steps say where
training is stable and fast at first, not where it ends after thousands.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch

from dpdrun.data.capture import Capture
from dpdrun.errors import RunError
from dpdrun.plan.plan import Plan
from dpdrun.plan.probe_result import ProbeReading, median_curve, valley_of
from dpdrun.rules.statistics import percentile
from dpdrun.training.step import Trial, machine_device
from dpdrun.training.task import evaluate_split

SEEDS, FEWEST_SEEDS = 3, 2  # of a plan; where time runs out, one is enough
LOWEST_LR, HIGHEST_LR = 1e-4, 1.0
FEWEST_RATES, MOST_RATES = 80, 200
TIMED_STEPS = 5
RECENT = 20  # steps that tell the pace
NORM_WARMUP_STEPS = 20
FEWEST_NORMS, MOST_NORMS = 40, 200
TOO_FEW_NORMS = 10  # for a 90th percentile
GIVEN_UP = 4.0  # a loss of so many times the first one, plus the power of the output, does not come back
OVERHEAD = 1.15  # building models, drawing frames
SLACK = 1.2  # steps are not equally long each time
PERCENTILES = (10, 50, 90, 99)
SCORING_SHARE = 0.15  # of the time, at most; a longer scoring is estimated
FORWARD = 1 / 3  # of the work of a step: a backward pass is twice the forward one
END_S = 1.0  # to show what was found, and for the interpreter to end [s]

Told = Callable[[int, float], None]  # number of a step, and its learning rate
Report = Callable[[float, str], None]  # share of the work that is done, and what is being done


@dataclass(frozen=True)
class Budget:
    """How the time is spent: seeds, rates of each seed's range test, steps for the norms (their warmup not counted)."""

    seeds: int
    rates: int
    norms: int

    @property
    def total(self) -> int:
        """All steps, for a progress bar."""
        return self.seeds * self.rates + NORM_WARMUP_STEPS + self.norms


def share_out(budget_s: float, spent_s: float, step_s: float) -> Budget:
    """As many rates as fit, then as many norms; fewer seeds before too few rates.

    Args:
        budget_s, spent_s: time for the whole command, and what of it is over [s].
        step_s: time of a step [s].

    Raises:
        RunError: the least does not fit; the message says what would.
    """
    steps = (budget_s - spent_s - END_S) / (step_s * OVERHEAD)
    budgets = (Budget(seeds, FEWEST_RATES, FEWEST_NORMS) for seeds in range(SEEDS, FEWEST_SEEDS - 1, -1))
    least = next((budget for budget in budgets if budget.total <= steps), None)
    if least is None:
        least = Budget(FEWEST_SEEDS, FEWEST_RATES, FEWEST_NORMS)
        needed = math.ceil((least.total * step_s * OVERHEAD + spent_s + END_S) * SLACK)
        raise RunError(
            f"--probe {budget_s:.0f}s is too short here: {spent_s:.0f} s are gone, a step of this plan takes "
            f"{step_s:.2g} s, and the least is {least.total} of them ({least.seeds} seeds of {FEWEST_RATES} learning "
            f"rates, {FEWEST_NORMS} gradient norms after a warmup of {NORM_WARMUP_STEPS}); give --probe {needed}s, or "
            "lower train.batch_size or the sizes of the model"
        )
    rates = min(MOST_RATES, int((steps - NORM_WARMUP_STEPS) * 0.75 / least.seeds))
    rates = max(FEWEST_RATES, rates)
    norms = int(min(MOST_NORMS, steps - least.seeds * rates - NORM_WARMUP_STEPS))
    return Budget(least.seeds, rates, max(FEWEST_NORMS, norms))


class _Clock:
    """How long steps take, and what of the time is left."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline - END_S
        self.steps: list[float] = []

    @property
    def left_s(self) -> float:
        return self._deadline - time.perf_counter()

    def allows(self, steps: int) -> bool:
        """Whether so many more steps fit, at the pace of the last ones."""
        return steps * median(self.steps[-RECENT:]) * OVERHEAD <= self.left_s


def probe(
    plan: Plan, capture: Capture, budget_s: float, report: Report = lambda *_: None, *, spent_s: float = 0.0
) -> ProbeReading:
    """Measure a plan.

    Args:
        plan: of a network.
        capture: what it would be trained on; the test part is not touched.
        budget_s: time for the whole command [s].
        report: is told how far the probe is.
        spent_s: what of it is over [s].

    Raises:
        RunError: a gmp, which has no steps; a budget that is too short; a model that learns at no rate.
    """
    if not plan.total_steps:
        raise RunError("--probe: a gmp is fitted by least squares: it has no steps to measure")
    began = time.perf_counter()
    clock = _Clock(began + budget_s - spent_s)
    report(0.0, "timing steps")
    memory = _Memory()
    trial, device = Trial(plan, capture, seed=0), machine_device()
    while len(clock.steps) < TIMED_STEPS and (not clock.steps or clock.allows(TIMED_STEPS)):
        clock.steps.append(trial.step(len(clock.steps) + 1, LOWEST_LR).seconds)
    step_s = median(clock.steps)
    cut: list[str] = []
    score_s = len(capture.val) / (plan.batch_size * plan.frame) * step_s * FORWARD
    if score_s <= SCORING_SHARE * clock.left_s:
        scoring = time.perf_counter()
        evaluate_split(trial.model, capture, plan)
        score_s = time.perf_counter() - scoring
    else:
        cut.append("the time of a scoring is that of a forward pass")
    peak_mib = memory.growth_mib()
    budget = share_out(budget_s, spent_s + time.perf_counter() - began, step_s)
    del trial

    ratio = (HIGHEST_LR / LOWEST_LR) ** (1 / (budget.rates - 1))
    rates = [LOWEST_LR * ratio**i for i in range(budget.rates)]

    def tell(before: int, doing: str, number: int, lr: float) -> None:
        report((before + number) / budget.total, f"{doing}, lr {lr:.1e}")

    losses: list[list[float]] = []
    reserved = NORM_WARMUP_STEPS + FEWEST_NORMS
    for seed in range(budget.seeds):
        if losses and not clock.allows(budget.rates + reserved):
            break
        told = partial(tell, seed * budget.rates, f"lr range test, seed {seed + 1} of {budget.seeds}")
        curve = _range_test(Trial(plan, capture, seed=seed), rates, clock, reserved if losses else 0, told)
        if curve is None:
            break
        losses.append(curve)
    if not losses:
        raise RunError(
            f"--probe {budget_s:.0f}s: the time was up before one lr range test of {budget.rates} steps had ended: "
            f"steps became slower, from {step_s:.2g} to {median(clock.steps[-3:]):.2g} s (other work on this "
            f"machine?); give more time, such as --probe {2 * budget_s:.0f}s"
        )
    if len(losses) < SEEDS:
        cut.append(f"{len(losses)} of {SEEDS} seeds")
    curve_db = median_curve(losses)
    tried = rates[: len(curve_db)]
    valley = valley_of(tried, curve_db)
    if valley is None:
        raise RunError(
            f"--probe: no learning rate from {LOWEST_LR:g} to {HIGHEST_LR:g} lowered the loss by 2 dB within "
            f"{budget.rates} steps; check the data (`dpdrun data inspect`), then give the probe more time"
        )

    told = partial(tell, budget.seeds * budget.rates, "gradient norms")
    norms = _norms(Trial(plan, capture, seed=0), valley.pick, budget.norms, clock, told)
    if norms is None:
        raise RunError(f"--probe: every gradient norm at lr {valley.pick:g} was infinite; write a smaller optim.lr")
    if len(norms) < TOO_FEW_NORMS:
        cut.append("no gradient norms: clip_norm is that of the rules")
    elif len(norms) < min(FEWEST_NORMS, budget.norms):
        cut.append(f"{len(norms)} of {FEWEST_NORMS} gradient norms")
    step_s = median(clock.steps)
    return ProbeReading(
        device=_words(device),
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


def _range_test(trial: Trial, rates: list[float], clock: _Clock, reserved: int, told: Told) -> list[float] | None:
    """Losses while the rate rises, cut off where they diverge; None where the time is up but for `reserved` steps."""
    curve: list[float] = []
    for number, lr in enumerate(rates, start=1):
        if clock.left_s <= 0 or (reserved and not clock.allows(reserved)):
            return None
        told(number, lr)
        step = trial.step(number, lr)
        curve.append(step.loss)
        clock.steps.append(step.seconds)
        if not step.loss <= GIVEN_UP * curve[0] + 1.0:  # nan too
            break
    return curve


def _norms(trial: Trial, lr: float, count: int, clock: _Clock, told: Told) -> list[float] | None:
    """Finite gradient norms after a warmup, as many as the time allows; None where steps were taken but none is."""
    norms: list[float] = []
    number = 0
    while number < NORM_WARMUP_STEPS + count and clock.left_s > 0:
        number += 1
        rate = lr * min(1.0, number / NORM_WARMUP_STEPS)
        told(number, rate)
        step = trial.step(number, rate)
        clock.steps.append(step.seconds)
        if number > NORM_WARMUP_STEPS and step.grad_norm < float("inf"):
            norms.append(step.grad_norm)
    return None if number == NORM_WARMUP_STEPS + count and not norms else norms


class _Memory:
    """Growth of memory since it was made: of the process on a CPU, of torch's allocations on a GPU."""

    def __init__(self) -> None:
        self._cuda = torch.cuda.is_available()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        self._before = 0.0 if self._cuda else _resident_mib()

    def growth_mib(self) -> float:
        if self._cuda:
            return torch.cuda.max_memory_allocated() / 2**20
        unit = 2**20 if sys.platform == "darwin" else 2**10  # getrusage(2): bytes there, KiB here
        return max(0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit - self._before)


def _resident_mib() -> float:
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _words(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'' if threads == 1 else 's'}"
