"""The facts of a log for the rules, and why some rules cannot be evaluated."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from itertools import pairwise
from shlex import quote
from statistics import median
from typing import Any

from dpdrun.diagnosis.logs.log import COLUMNS, NothingLoggedError, Points, TrainingLog
from dpdrun.diagnosis.logs.names import Asked, listing
from dpdrun.diagnosis.logs.units import (
    CLIPS,
    WORDS,
    loss_unit,
    target_power,
    without_accuracy,
    without_perplexity,
)
from dpdrun.errors import DataError
from dpdrun.rules.facts.run import RunFacts

WARM = 0.9  # of the largest lr: a log that begins below it shows a warmup
LOOKED_FOR = ("loss", "loss_db", "grad_norm", "val_nmse_db", "val_loss")
RISES = 0.01  # what ends so much above its start, and has no name of a loss, may be a score
NO_LOSS = 1e-12  # below 0 by rounding
SELDOM = 0.5  # of the steps: a column with fewer values sets the pace for all


def facts_of_log(log: TrainingLog, asked: Asked) -> RunFacts:
    """Return the facts of a log for the rules; assumptions are added to its notes.

    Loss and gradient norm are put on the steps of whichever is logged less often; the learning rate holds until the
    next one is logged. A step with a number that is not finite is always kept.

    Raises:
        NothingLoggedError: the columns are there, but empty.
        DataError: neither loss nor gradient norm nor a validation score was found; one line with the `--map` to use.
    """
    if asked.values:
        log.notes.append(f"from --map: {', '.join(f'{key} {value}' for key, value in asked.values.items())}")
    log.found |= {key: f"{value:g} (given)" for key, value in asked.constants.items()}
    without_perplexity(log)
    unit = None if without_accuracy(log) else loss_unit(log)
    if unit == "objective" and "loss" in log.found:
        log.leave_out(
            "loss", f"{log.found['loss']} is {WORDS[unit]} about progress (reinforcement learning, GAN, ELBO)"
        )
    loss, grad_norm, val = _loss(log, asked), _norms(log), log.column("val_nmse_db")
    signed = log.column("loss") if "loss" in log.absent else Points()
    scores = _eval_losses(log)
    if log.doubtful and _rises(loss):  # a score
        log.found.pop("loss", None)
        raise DataError(_nothing(log))
    if log.doubtful and "loss" in log.found:
        log.notes.append(f"loss: {log.found['loss']}, the only number of training (--map loss=COLUMN)")
    if not (len(loss) or len(grad_norm) or len(val) or len(signed) or scores):
        if any(key in log.found for key in LOOKED_FOR):
            raise NothingLoggedError(f"{log.path}: no numbers yet: nothing has been logged")
        raise DataError(_nothing(log))
    steps = _axis([column for column in (loss, grad_norm) if len(column)]) or list(signed.steps)
    steps = steps or next((list(at) for at, _ in scores.values()), [])

    def on_axis(key: str, column: Points | None = None) -> list[float]:
        if key in asked.constants:
            return [asked.constants[key]] * len(steps)
        return _held(log.column(key) if column is None else column, steps)

    lr, norms, clip = on_axis("lr"), on_axis("", grad_norm), on_axis("clip_norm")
    clipped = [value > 0.0 for value in on_axis("clipped")]
    if not clipped and norms and clip:
        clipped = [not norm <= limit for norm, limit in zip(norms, clip, strict=True)]
    values = _values(log, asked, steps, lr)
    log.loss_unit = unit if len(loss) or len(signed) else None
    return RunFacts(
        step=steps,
        lr=lr,
        lr_planned=on_axis("lr_planned"),
        loss=on_axis("", loss),
        grad_norm=norms,
        clip_norm=clip,
        clipped=clipped,
        eval_step=val.steps,
        eval_nmse_db=val.values,
        eval_loss_step=log.column("val_loss").steps,
        eval_loss=log.column("val_loss").values,
        eval_losses=scores,
        eval_metrics={name: (each.steps, each.values) for name, each in log.eval_metrics.items() if len(each)},
        train_metrics={name: (each.steps, each.values) for name, each in log.train_metrics.items() if len(each)},
        adversaries={side: (each.steps, each.values) for side, each in log.adversaries.items()},
        line_steps=[step for step, _ in log.lines],
        line_loss=[value for _, value in log.lines],
        signed_step=signed.steps,
        signed_loss=signed.values,
        reports_nan=log.reports_nan,
        finished=log.finished,
        loss_unit=log.loss_unit,
        target_power=target_power(log.column("val_loss").values, val.values) if unit == "power" else None,
        assumed_clip=CLIPS.get(log.program) if norms and not clip else None,
        **values,
    )


def _values(log: TrainingLog, asked: Asked, steps: list[int], lr: list[float]) -> dict[str, Any]:
    """Return the facts that are single values, and note what was assumed and what the log cannot show."""
    values = {**log.values, **asked.values}
    if "nmse" in log.found.get("loss_db", "").lower():
        values["loss_is_nmse"] = True
    if "warmup_steps" not in values and (warmup := _warmup(steps, lr)):
        values["warmup_steps"] = warmup
        log.notes.append(
            f"warmup until {log.unit} {warmup}, where the learning rate stops rising (--map warmup_steps=N)"
        )
    if finite := [rate for rate in lr if math.isfinite(rate)]:
        values.setdefault("peak_lr", max(finite))
    if log.unit == "epoch":
        values.setdefault("steps_per_epoch", 1.0)
    elif log.epochs and steps:
        values.setdefault("steps_per_epoch", steps[-1] / log.epochs)
    if len(steps) > 1 and (gap := median(b - a for a, b in pairwise(steps))) > 1:
        log.notes.append(f"one value every {gap:g} {log.unit}s: what happens in between is not visible")
    if log.unit == "epoch":
        log.notes.append("one line per epoch: what happens within an epoch is not visible")
    return values


def _eval_losses(log: TrainingLog) -> dict[str, tuple[list[int], list[float]]]:
    """Return the validation losses by evaluation set; one without a name is that under ""."""
    sets = {name: each for name, each in log.eval_losses.items() if len(each)}
    if len(val := log.column("val_loss")):
        sets[""] = val
    return {name: (each.steps, each.values) for name, each in sets.items()}


def _nothing(log: TrainingLog) -> str:
    """Return one line: which column is missing, what the log has, and the `--map` to use."""
    doubts = [f"no usable {key.replace('_', ' ')} column: {log.absent[key]}" for key in LOOKED_FOR
              if key in log.absent]  # fmt: skip
    if doubts:
        return f"{log.path}: {doubts[0]}"
    free = [name for name in log.names if name not in log.found.values()]
    likely = [name for name in free if re.search("loss|cost|entropy|nll|err|train", name, re.IGNORECASE)]
    example = quote(f"loss={next(iter([*likely, *reversed(free)]), 'COLUMN')}")
    return f"{log.path}: no loss column found; {listing(log.names)}; if there is one, name it: --map {example}"


def _loss(log: TrainingLog, asked: Asked) -> Points:
    """Return the loss as a power; one in dB is turned into it, which keeps every ratio."""
    if len(column := log.column("loss_db")):
        log.notes.append(f"{log.found['loss_db']} is in dB: read as a loss of 10^(dB/10)")
        return Points(column.steps, [_power(value) for value in column.values])
    if "loss" in asked.constants:
        del log.found["loss"]
        log.notes.append("loss: ignored, because it is constant")
    column = log.column("loss") if "loss" in log.found else Points()
    column.values = [0.0 if -NO_LOSS < value < 0.0 else value for value in column.values]
    if (at := _first_negative(column)) is None:
        return column
    name, where = log.found["loss"], f"first {column.values[at]:g} at step {column.steps[at]}"
    log.leave_out(
        "loss",
        f"{name} is negative ({where}), so few rules can judge it; if it is in dB, set --map loss_db={name}",
    )
    return Points()


def _rises(column: Points) -> bool:
    values = [value for value in column.values if math.isfinite(value)]
    third = max(1, len(values) // 3)
    return sum(values[-third:]) > (1.0 + RISES) * sum(values[:third])


def _norms(log: TrainingLog) -> Points:
    """Return gradient norms; a column with a negative value is rejected."""
    column = log.column("grad_norm")
    if (at := _first_negative(column)) is None:
        return column
    where = f"at step {column.steps[at]} ({column.values[at]:g})"
    log.leave_out("grad_norm", f"{log.found['grad_norm']} is negative {where}, so it is not a norm")
    return Points()


def _first_negative(column: Points) -> int | None:
    return next((i for i, value in enumerate(column.values) if value < 0.0), None)


def _power(db: float) -> float:
    try:
        return math.pow(10.0, db / 10.0)
    except OverflowError:
        return math.inf  # above 3080 dB


def _axis(paced: list[Points]) -> list[int]:
    """Return the steps that the rules see, of loss and norm."""
    if not paced:
        return []
    rare, *often = sorted(paced, key=len)
    steps = set(rare.steps)
    if often:
        shared = steps.intersection(often[0].steps)
        if len(shared) > SELDOM * len(steps):
            steps = shared
    for column in paced:
        steps.update(step for step, value in zip(column.steps, column.values, strict=True) if not math.isfinite(value))
    return sorted(steps)


def _held(column: Points, steps: list[int]) -> list[float]:
    """Return the last value at or before each step; before the first one, the first."""
    if column.steps == steps or not len(column):
        return list(column.values)
    return [column.values[max(0, bisect_right(column.steps, step) - 1)] for step in steps]


def _warmup(steps: list[int], lr: list[float]) -> int | None:
    """Return the step up to which the learning rate rises from well below its peak; None where it does not.

    Only a rise without a fall counts: a cyclic schedule is not a warmup.
    """
    if len(lr) < 3 or not all(math.isfinite(rate) for rate in lr):
        return None
    peak = max(lr)
    if peak <= 0.0 or lr[0] >= WARM * peak:
        return None
    at = lr.index(peak)
    rises = all(b >= a for a, b in pairwise(lr[: at + 1]))
    return steps[at] if rises and at < len(lr) - 1 else None


def skip_reason(needed: list[str], log: TrainingLog) -> str | None:
    """Return why a rule cannot be evaluated, by the facts that are missing; FOR_RUNS where no log could have them."""
    if not needed:
        return None
    if any(name not in COLUMNS and name not in _UNSAID for name in needed):
        return FOR_RUNS
    if {"clip_norm", "grad_norm"} & set(needed):
        needed = [name for name in needed if name != "clipped"]  # follows from the two
    parts = []
    plain = [name for name in needed if name in COLUMNS and name not in log.absent]
    if plain:
        parts.append(f"needs {', '.join(plain)}: the log has no such column{'s' if len(plain) > 1 else ''}")
    parts += [f"needs {name}: {log.absent[name]}" for name in needed if name in log.absent]
    unsaid = list(dict.fromkeys(_UNSAID[name] for name in needed if name not in COLUMNS))
    if unsaid:
        parts.append(f"needs {' and '.join(unsaid)}: not in the log")
    return "; ".join(parts)


FOR_RUNS = "only for runs of dpdrun, or with --prediction"
_SCORE = "a validation NMSE (--map val_nmse_db=COLUMN)"
_LENGTH = "the length of the run (--map total_steps=N)"
_UNSAID: dict[str, str] = {
    "one_tap_db": "the NMSE of one complex gain (--map one_tap_db=DB)",
    "gmp_db": "the NMSE of a gmp (--map gmp_db=DB)",
    "floor_db": "the noise floor (--map floor_db=DB)",
    "progress": _LENGTH,
    "total_steps": _LENGTH,
    "warmup_steps": "the warmup (--map warmup_steps=N)",
    "peak_lr": "the peak learning rate (--map peak_lr=X)",
    "weight_decay": "the weight decay (--map weight_decay=X)",
    "schedule": "the schedule (--map schedule=cosine)",
    "batch": "the batch size (--map batch=N)",
    "eps": "the eps of Adam (--map eps=1e-8)",
    "beta2": "the beta2 of Adam (--map beta2=0.999)",
    "parameters": "the number of parameters (--map parameters=N)",
    "epochs": "the number of epochs (--map epochs=N)",
    "steps_per_epoch": "the steps in an epoch (--map steps_per_epoch=N)",
    "nmse_offset_db": "whether the loss is an NMSE (--map loss_db=COLUMN, of an NMSE in dB)",
    "assumed_clip": "the clipping threshold (--map clip_norm=X)",
    "scorings": "a validation loss (--map val_loss=COLUMN)",
    "adversaries": "the losses of a discriminator and a generator",
    "eval_losses": "a validation loss (--map val_loss=COLUMN)",
    "eval_loss": "a validation loss (--map val_loss=COLUMN)",
    "loss_is_nmse": "whether the loss is an NMSE (--map loss_db=COLUMN, of an NMSE in dB)",
    "kind": "the kind of model (--map kind=transformer)",
    "best_nmse_db": _SCORE,
    "eval_nmse_db": _SCORE,
    "scores_db": "a validation score (--map val_nmse_db=COLUMN or val_loss=COLUMN)",
    "eval_step": _SCORE,
}
