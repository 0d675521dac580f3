"""A short measured check of a plan on its own data and machine: learning rate, gradient norms, speed and memory.

    time a few steps -> lr range test, a fresh model a seed -> a short run at the pick, for the norms -> one scoring

Steps are those of the plan (model, batch, frames, loss, optimizer), taken by `Trial`; only the learning rate is ours.
What is concluded from them is `rules.probed`. A range test is a short look: 100 to 200 steps say where training is
stable and fast at first, not where it ends after thousands.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from dpdrun.data.capture import Capture
from dpdrun.errors import RunError
from dpdrun.plan import Plan
from dpdrun.rules.probed import ProbeReading, median_curve, percentile, valley_of
from dpdrun.training.loop import evaluate_split
from dpdrun.training.step import Trial

SEEDS = 3
LOWEST_LR, HIGHEST_LR = 1e-4, 1.0
FEWEST_RATES, MOST_RATES = 80, 200
TIMED_STEPS = 5
NORM_WARMUP_STEPS = 20
FEWEST_NORMS, MOST_NORMS = 40, 200
GIVEN_UP = 4.0  # a loss of so many times the first one, plus the power of the output, does not come back
OVERHEAD = 1.15  # building models, drawing frames
SLACK = 1.2  # steps are not equally long each time
PERCENTILES = (10, 50, 90, 99)

Report = Callable[[float, str], None]  # share of the work that is done, and what is being done


@dataclass(frozen=True)
class Budget:
    """How the time is spent: rates of each seed's range test, and steps for the norms (their warmup not counted)."""

    rates: int
    norms: int

    @property
    def total(self) -> int:
        """All steps, for a progress bar."""
        return SEEDS * self.rates + NORM_WARMUP_STEPS + self.norms


def share_out(budget_s: float, spent_s: float, step_s: float) -> Budget:
    """As many rates as fit, then as many norms.

    Args:
        budget_s, spent_s: time for the whole probe, and what of it is over [s].
        step_s: time of a step [s].

    Raises:
        RunError: the least does not fit; the message says what would.
    """
    steps = (budget_s - spent_s) / (step_s * OVERHEAD)
    least = Budget(FEWEST_RATES, FEWEST_NORMS)
    if steps < least.total:
        needed = (least.total * step_s * OVERHEAD + spent_s) * SLACK
        raise RunError(
            f"--probe {budget_s:.0f}s is too short here: a step of this plan takes {step_s:.2g} s, and the least is "
            f"{least.total} of them ({SEEDS} seeds of {FEWEST_RATES} learning rates, {FEWEST_NORMS} gradient norms "
            f"after a warmup of {NORM_WARMUP_STEPS}); give --probe {needed:.0f}s, or lower train.batch_size or "
            "the sizes of the model"
        )
    rates = min(MOST_RATES, int((steps - NORM_WARMUP_STEPS) * 0.75 / SEEDS))
    rates = max(FEWEST_RATES, rates)
    norms = int(min(MOST_NORMS, steps - SEEDS * rates - NORM_WARMUP_STEPS))
    return Budget(rates, max(FEWEST_NORMS, norms))


def probe(plan: Plan, capture: Capture, budget_s: float, report: Report = lambda *_: None) -> ProbeReading:
    """Measure a plan.

    Args:
        plan: of a network.
        capture: what it would be trained on; the test part is not touched.
        budget_s: time that it may take [s], about.
        report: is told how far the probe is.

    Raises:
        RunError: a gmp, which has no steps; a budget that is too short; a model that learns at no rate.
    """
    if not plan.total_steps:
        raise RunError("--probe: a gmp is fitted by least squares: it has no steps to measure")
    began = time.perf_counter()
    report(0.0, "timing steps")
    memory = _Memory()
    trial = Trial(plan, capture, seed=0)
    timed = [trial.step(number, LOWEST_LR).seconds for number in range(1, TIMED_STEPS + 1)]
    scoring = time.perf_counter()
    evaluate_split(trial.model, capture, plan)
    score_s = time.perf_counter() - scoring
    peak_mib = memory.growth_mib()
    budget = share_out(budget_s, time.perf_counter() - began, median(timed))
    device = trial.device
    del trial

    done, times = 0, []
    ratio = (HIGHEST_LR / LOWEST_LR) ** (1 / (budget.rates - 1))
    rates = [LOWEST_LR * ratio**i for i in range(budget.rates)]
    losses: list[list[float]] = []
    for seed in range(SEEDS):
        trial, curve = Trial(plan, capture, seed=seed), list[float]()
        for number, lr in enumerate(rates, start=1):
            report((done + number) / budget.total, f"lr range test, seed {seed + 1} of {SEEDS}, lr {lr:.1e}")
            step = trial.step(number, lr)
            curve.append(step.loss)
            times.append(step.seconds)
            if not step.loss <= GIVEN_UP * curve[0] + 1.0:  # nan too
                break
        losses.append(curve)
        done += budget.rates
    curve_db = median_curve(losses)
    tried = rates[: len(curve_db)]
    valley = valley_of(tried, curve_db)
    if valley is None:
        raise RunError(
            f"--probe: no learning rate from {LOWEST_LR:g} to {HIGHEST_LR:g} lowered the loss by 2 dB within "
            f"{budget.rates} steps; check the data (`dpdrun data inspect`), then give the probe more time"
        )

    trial, norms = Trial(plan, capture, seed=0), list[float]()
    for number in range(1, NORM_WARMUP_STEPS + budget.norms + 1):
        report((done + number) / budget.total, f"gradient norms at lr {valley.pick:g}")
        step = trial.step(number, valley.pick * min(1.0, number / NORM_WARMUP_STEPS))
        times.append(step.seconds)
        if number > NORM_WARMUP_STEPS and step.grad_norm < float("inf"):
            norms.append(step.grad_norm)
    if not norms:
        raise RunError(f"--probe: every gradient norm at lr {valley.pick:g} was infinite; write a smaller optim.lr")
    step_s = median(times)
    return ProbeReading(
        device=_words(device),
        seconds=round(time.perf_counter() - began, 1),
        seeds=SEEDS,
        rates_tried=budget.rates,
        lr=valley.pick,
        lr_low=valley.low,
        lr_high=valley.high,
        lr_open=valley.open_above,
        curve=tuple(zip(tried, curve_db, strict=True)),
        norms={share: percentile(norms, share) for share in PERCENTILES},
        norm_steps=len(norms),
        step_s=step_s,
        samples_per_s=plan.batch_size * plan.frame / step_s,
        score_s=score_s,
        peak_mib=peak_mib,
    )


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
