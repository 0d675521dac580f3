"""Results of a probe on the user's own data and machine, and how they enter a recommendation.

`training.probe` takes the steps; this module evaluates them, in plain numbers.

The learning rate. For each seed a fresh model is trained while the rate rises exponentially (Smith, "Cyclical learning
rates", 2017: the lr range test). The losses are taken in dB, smoothed over neighbouring rates by a running median, and
the median over seeds is the curve. Its valley reaches from the lowest to the highest rate that is within VALLEY_DB of
the lowest point; the pick is its middle in log(lr). The lowest point itself depends on single batches and moved by a
factor of 5 between seeds; both edges are crossings of a steep slope. The test cannot tell which rate of the valley ends
lowest after thousands of steps. docs/results.md, Probe, compares picks with a sweep.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from dpdrun.plan.recommendation import Recommendation
from dpdrun.recipe.patch import render
from dpdrun.rules.text import pluralize, two_digits

VALLEY_DB = 2.0
SMOOTHED = 12  # the running median spans a twelfth of the curve to each side, at least 2 rates
CEILING_DB = 20.0  # a diverged loss, whatever its size
CLIP_PERCENTILE = 90
PROBE = "probe"  # stands where the code of a rule would


@dataclass(frozen=True)
class Valley:
    """The rates around the best one, and the pick among them; `open_above`: no rate was too high."""

    low: float
    high: float
    pick: float
    open_above: bool


@dataclass(frozen=True)
class ProbeReading:
    """The results of a probe.

    Attributes:
        device: the device that took the steps, in words.
        seconds: of the whole command, from its start.
        seeds, rates_tried: of the lr range test.
        lr, lr_low, lr_high, lr_open: the pick, the valley's edges, and whether even the highest rate did not diverge.
        curve: (lr, loss [dB]) of the median over seeds.
        norms: percentiles (10, 50, 90, 99) of the gradient norm after the warmup of a short run at the pick; empty
            where time ran out.
        norm_steps: steps of that run after its warmup.
        step_s, samples_per_s: median time of an optimizer step [s], and training samples a second.
        score_s: one scoring of the validation part [s].
        peak_mib: memory that training took beyond what the process held before [MiB]; on a GPU what torch allocated.
        cut: what was left out to finish in time.
    """

    device: str
    seconds: float
    seeds: int
    rates_tried: int
    lr: float
    lr_low: float
    lr_high: float
    lr_open: bool
    curve: tuple[tuple[float, float], ...]
    norms: dict[int, float]
    norm_steps: int
    step_s: float
    samples_per_s: float
    score_s: float
    peak_mib: float
    cut: tuple[str, ...] = ()

    @property
    def clip_norm(self) -> float | None:
        """90th percentile of the gradient norm, to two digits; None where no norms were measured."""
        return float(f"{self.norms[CLIP_PERCENTILE]:.2g}") if self.norms else None

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form."""
        return asdict(self) | {"clip_norm": self.clip_norm}


def median_curve(losses: Sequence[Sequence[float]]) -> list[float]:
    """Return the median over seeds of the smoothed losses [dB]; a seed has one loss a rate, up to where it diverged."""
    count = max(map(len, losses))
    smooth = [_smoothed([_db(loss) for loss in seed] + [CEILING_DB] * (count - len(seed))) for seed in losses]
    return [median(values) for values in zip(*smooth, strict=True)]


def _db(loss: float) -> float:
    if not math.isfinite(loss):
        return CEILING_DB
    return min(CEILING_DB, 10 * math.log10(max(loss, 1e-12)))


def _smoothed(values: list[float]) -> list[float]:
    reach = max(2, len(values) // SMOOTHED)
    return [median(values[max(0, at - reach) : at + reach + 1]) for at in range(len(values))]


def valley_of(rates: Sequence[float], curve: Sequence[float]) -> Valley | None:
    """Find where a curve is lowest; None where it never falls VALLEY_DB below its start: nothing was learned."""
    limit = min(curve) + VALLEY_DB
    if curve[0] <= limit:
        return None
    inside = [at for at, db in enumerate(curve) if db <= limit]
    low, high = rates[inside[0]], rates[inside[-1]]
    pick = math.sqrt(low * high)
    return Valley(two_digits(low), two_digits(high), two_digits(pick), inside[-1] + 1 == len(curve))


def merged(this: Recommendation, catalogue: Recommendation, probe: ProbeReading) -> Recommendation:
    """Return a recommendation with the lr and clip of a probe, as evidence `measured here`.

    Args:
        this: derived with the probe's values as facts, so that everything that follows from them fits.
        catalogue: derived without them: the reasons name its values, and a value of the user is kept.
        probe: the results.
    """
    found = {
        "optim.lr": (
            f"lr range test on this machine, {pluralize(probe.seeds, 'seed')} of {probe.rates_tried} steps: best from "
            f"{render(probe.lr_low)} to {render(probe.lr_high)}{', or higher' if probe.lr_open else ''}",
            (probe.lr_low, probe.lr_high),
        ),
        "optim.clip_norm": (
            f"{CLIP_PERCENTILE}th percentile of {probe.norm_steps} gradient norms measured early in training",
            (None, None),
        ),
    }
    values = dict(this.values)
    if probe.clip_norm is None:
        del found["optim.clip_norm"]
    for key, (why, (low, high)) in found.items():
        by_rule = catalogue.values.get(key)
        if key not in values or (by_rule is None and key not in catalogue.left_open):
            continue
        if by_rule is not None and by_rule.rule is None:
            continue  # the user's own
        why += f"; {by_rule.rule} says {render(by_rule.value)}" if by_rule else "; no rule covers this kind"
        advised = None if by_rule is None else by_rule.value
        values[key] = replace(
            values[key], low=low, high=high, rule=PROBE, evidence="measured here", why=why, advised=advised
        )
    return replace(this, values=values)


def probed_facts(catalogue: Recommendation, probe: ProbeReading) -> dict[str, float]:
    """Return the facts that a probe sets: those of its values that the user has not given."""
    by_rules = {key for key, value in catalogue.values.items() if value.rule is not None} | catalogue.left_open.keys()
    found = {"lr": probe.lr, "clip_norm": probe.clip_norm}
    return {name: value for name, value in found.items() if value is not None and f"optim.{name}" in by_rules}
