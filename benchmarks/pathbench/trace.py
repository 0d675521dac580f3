"""Does a fault leave a trace? A few plain numbers of a run, against those of the healthy runs of its cell.

They are about what training did, not about what the recipe asked for, and are no statistics of any rule: medians,
shares and extremes. A number departs when it lies outside the healthy range by more than the width of that range, and
by more than its floor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dpdrun.rules.facts.run import RunFacts

FLOORS = {  # what counts as a difference at all, in the unit of the number
    "loss_start_db": 1.0,  # median of the first tenth
    "loss_middle_db": 1.0,  # of the fifth around the middle
    "loss_end_db": 0.5,  # of the last fifth
    "loss_top_db": 2.0,  # highest over the median, second half
    "loss_dip_db": 2.0,  # median over the lowest, second half
    "norm_middle": 0.15,  # log10 of the gradient norm: the same
    "norm_end": 0.15,
    "norm_top": 0.3,
    "lr_off": 0.01,  # largest difference from the planned learning rate, as a share of its peak
    "clipped": 0.1,  # share of the steps
    "update": 0.15,  # log10 of the median size of an update, as a share of the weights
    "still": 0.5,  # tensors that did not move at half of the looks or more
    "val_gap_db": 0.5,  # last validation score over the loss at the end
    "val_jumps_db": 0.5,  # median difference of neighbouring scores, second half
    "broken": 0.5,  # numbers that are none
}


def traces(run: RunFacts) -> dict[str, float]:
    """The numbers of a run; one that cannot be told is missing."""
    found: dict[str, float] = {"broken": float(sum(not math.isfinite(value) for value in (*run.loss, *run.grad_norm)))}
    count = len(run.step)
    if count < 50:
        return found
    loss, norm = (np.nan_to_num(np.asarray(each, float), posinf=1e9) for each in (run.loss_db, run.log_norm))
    half = slice(count // 2, count)
    found["loss_start_db"] = _median(loss[: count // 10])
    for name, values in (("loss", loss), ("norm", norm)):
        unit = "_db" if name == "loss" else ""
        found[f"{name}_middle{unit}"] = _median(values[2 * count // 5 : 3 * count // 5])
        found[f"{name}_end{unit}"] = _median(values[4 * count // 5 :])
        found[f"{name}_top{unit}"] = float(values[half].max()) - _median(values[half])
    found["loss_dip_db"] = _median(loss[half]) - float(loss[half].min())
    lr, planned = np.asarray(run.lr), np.asarray(run.lr_planned)
    found["lr_off"] = float(np.abs(lr - planned).max() / max(planned.max(), 1e-30))
    found["clipped"] = float(np.mean(run.clipped))
    if run.group_step:
        weight = np.sqrt(np.nansum(np.square(list(run.group_weight.values())), axis=0))
        update = np.sqrt(np.nansum(np.square(list(run.group_update.values())), axis=0))
        found["update"] = math.log10(max(_median(update / np.maximum(weight, 1e-30)), 1e-12))
        found["still"] = float(sum(2 * len(seen) >= len(run.group_step) for seen in run.still.values()))
    scores = np.asarray([value for value in run.eval_nmse_db if math.isfinite(value)])
    if len(scores) >= 4:
        found["val_gap_db"] = float(scores[-1]) - found["loss_end_db"]
        found["val_jumps_db"] = _median(np.abs(np.diff(scores[len(scores) // 2 :])))
    return found


def departs(numbers: Mapping[str, float], healthy: Sequence[Mapping[str, float]]) -> list[str]:
    """Names of the numbers that are unlike those of the healthy runs."""
    found = []
    for name, value in numbers.items():
        others = [each[name] for each in healthy if name in each]
        if not others:
            continue
        low, high = min(others), max(others)
        beyond = max(low - value, value - high)
        if beyond > max(high - low, FLOORS[name]):
            found.append(name)
    return found


def _median(values: np.ndarray) -> float:
    return float(np.median(values))
