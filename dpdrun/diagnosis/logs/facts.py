"""A log as its reader found it -> what the rules see, and why some of them cannot look."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median

from dpdrun.diagnosis.logs.log import COLUMNS, LogSource, NothingLoggedError, Points, RawLog
from dpdrun.diagnosis.logs.names import Asked, listing
from dpdrun.errors import DataError
from dpdrun.rules.facts.run import RunFacts

WARM = 0.9  # of the largest lr: a log that begins below it shows a warmup
SELDOM = 0.5  # of the steps: a column with fewer values sets the pace for all


def facts_of_log(log: RawLog, asked: Asked) -> tuple[RunFacts, LogSource]:
    """What the rules see of a log.

    Loss and gradient norm are put on the steps of whichever is logged more seldom; the learning rate holds until the
    next one is logged. A step with a number that is not finite is always kept.

    Raises:
        NothingLoggedError: the columns are there, but empty.
        DataError: neither loss nor gradient norm nor a validation score was found.
    """
    notes, absent = list(log.notes), dict(log.absent)
    columns = dict(log.columns)
    for key, value in asked.constants.items():
        log.found[key] = f"{value:g} (given)"
    loss = _loss(columns, asked.constants, log.found, notes, absent)
    grad_norm = _norms(columns.get("grad_norm", Points()), log.found, notes, absent)
    val = columns.get("val_nmse_db", Points())
    val_loss = columns.get("val_loss", Points())
    if not (len(loss) or len(grad_norm) or len(val)):
        if any(key in log.found for key in ("loss", "loss_db", "grad_norm", "val_nmse_db")):
            raise NothingLoggedError(f"{log.path}: no numbers yet: nothing has been logged")
        raise DataError(_nothing(log, val_loss, absent))
    paced = [column for column in (loss, grad_norm) if len(column)]
    steps = _axis(paced) if paced else []
    nmse = "nmse" in log.found.get("loss_db", "").lower()
    held = {key: column for key, column in columns.items() if key in ("lr", "lr_planned", "clip_norm", "clipped")}

    def on_axis(column: Points, key: str = "") -> list[float]:
        if key in asked.constants:
            return [asked.constants[key]] * len(steps)
        return _held(column, steps) if len(column) else []

    lr = on_axis(held.get("lr", Points()), "lr")
    norms = on_axis(grad_norm)
    clip = on_axis(held.get("clip_norm", Points()), "clip_norm")
    clipped = [value > 0.0 for value in on_axis(held.get("clipped", Points()), "clipped")]
    if not clipped and norms and clip:
        clipped = [not norm <= limit for norm, limit in zip(norms, clip, strict=True)]
    values = {**log.values, **asked.values}
    if nmse:
        values["loss_is_nmse"] = True
    if "warmup_steps" not in values and (warmup := _warmup(steps, lr)):
        values["warmup_steps"] = warmup
        notes.append(f"the learning rate rises up to {log.unit} {warmup}: taken as the warmup (--map warmup_steps=N)")
    if lr and (finite := [rate for rate in lr if math.isfinite(rate)]):
        values.setdefault("peak_lr", max(finite))
    if (gap := _gap(steps)) > 1:
        notes.append(f"a value every {gap:g} {log.unit}s: anything between them is not visible")
    if log.unit == "epoch":
        notes.append("one line per epoch: every step below is an epoch, and spikes within an epoch are not visible")
    facts = RunFacts(
        step=steps,
        lr=lr,
        lr_planned=on_axis(held.get("lr_planned", Points()), "lr_planned"),
        loss=on_axis(loss),
        grad_norm=norms,
        clip_norm=clip,
        clipped=clipped,
        eval_step=val.steps,
        eval_nmse_db=val.values,
        eval_loss_step=val_loss.steps,
        eval_loss=val_loss.values,
        **values,
    )
    return facts, LogSource(log.format, log.path, log.unit, log.found, notes, absent, val_loss)


def _nothing(log: RawLog, val_loss: Points, absent: Mapping[str, str]) -> str:
    what = "only a validation loss" if len(val_loss) else "no loss, no gradient norm and no validation NMSE"
    said = [f"{key}: {why}" for key, why in absent.items() if key in ("loss", "loss_db", "grad_norm")]
    example = next((name for name in log.names if "loss" in name.lower()), "NAME")
    lines = [f"{log.path}: {what} found in this log ({log.format})", *said, listing(log.names)]
    return "\n  ".join([*lines, f"assign the columns: --map loss={example},grad_norm=NAME,lr=NAME"])


def _loss(
    columns: Mapping[str, Points],
    constants: Mapping[str, float],
    found: dict[str, str],
    notes: list[str],
    absent: dict[str, str],
) -> Points:
    """The loss as a power; one in dB is turned into it, which keeps every ratio."""
    if "loss_db" in columns and len(columns["loss_db"]):
        column = columns["loss_db"]
        notes.append(f"{found['loss_db']} is in dB: read as a loss of 10^(dB/10)")
        return Points(column.steps, [_power(value) for value in column.values])
    if "loss" in constants:
        del found["loss"]
        notes.append("loss: constant, so ignored")
    column = columns.get("loss", Points())
    negative = next((i for i, value in enumerate(column.values) if value < 0.0), None)
    if negative is None:
        return column
    name = found.pop("loss")
    absent["loss"] = (
        f"{name} is negative (first {column.values[negative]:g} at step {column.steps[negative]}), so it is not a "
        f"power; if it is in dB, set --map loss_db={name}"
    )
    notes.append(f"loss: not read, since {absent['loss']}")
    return Points()


def _norms(column: Points, found: dict[str, str], notes: list[str], absent: dict[str, str]) -> Points:
    """Gradient norms; a column with a negative one is none."""
    negative = next((i for i, value in enumerate(column.values) if value < 0.0), None)
    if negative is None:
        return column
    name = found.pop("grad_norm")
    absent["grad_norm"] = f"{name} is negative at step {column.steps[negative]} ({column.values[negative]:g})"
    notes.append(f"grad_norm: ignored, because {absent['grad_norm']}, which is impossible for a norm")
    return Points()


def _power(db: float) -> float:
    try:
        return math.pow(10.0, db / 10.0)
    except OverflowError:
        return math.inf  # above 3080 dB


def _axis(paced: list[Points]) -> list[int]:
    """The steps that the rules see, of loss and norm."""
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
    """The last value at or before each step; before the first one, the first."""
    if column.steps == steps:
        return list(column.values)
    return [column.values[max(0, bisect_right(column.steps, step) - 1)] for step in steps]


def _warmup(steps: list[int], lr: list[float]) -> int | None:
    """The step up to which the learning rate rises from well below its peak; None when it does not.

    Only a rise without a fall counts: a cyclic schedule is no warmup.
    """
    if len(lr) < 3 or not all(math.isfinite(rate) for rate in lr):
        return None
    peak = max(lr)
    if peak <= 0.0 or lr[0] >= WARM * peak:
        return None
    at = lr.index(peak)
    rises = all(b >= a for a, b in pairwise(lr[: at + 1]))
    return steps[at] if rises and at < len(lr) - 1 else None


def _gap(steps: list[int]) -> float:
    return median(b - a for a, b in pairwise(steps)) if len(steps) > 1 else 1


def skip_reason(needed: list[str], source: LogSource) -> str | None:
    """Why a rule cannot look at a log, by the facts it needs and does not have; None where no log could say them."""
    if not needed or any(name not in COLUMNS and name not in _UNSAID for name in needed):
        return None
    if {"clip_norm", "grad_norm"} & set(needed):
        needed = [name for name in needed if name != "clipped"]  # follows from the two
    parts = []
    plain = [name for name in needed if name in COLUMNS and name not in source.absent]
    if plain:
        parts.append(f"needs {', '.join(plain)}: the log has no such column{'s' if len(plain) > 1 else ''}")
    parts += [f"needs {name}: {source.absent[name]}" for name in needed if name in source.absent]
    unsaid = [_UNSAID[name] for name in needed if name not in COLUMNS]
    if unsaid:
        parts.append(f"needs {' and '.join(unsaid)}: not in the log")
    return "; ".join(parts)


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
    "loss_is_nmse": "whether the loss is an NMSE (--map loss_db=COLUMN, of an NMSE in dB)",
    "kind": "the kind of model (--map kind=transformer)",
    "best_nmse_db": _SCORE,
    "eval_nmse_db": _SCORE,
    "scores_db": "a validation score (--map val_nmse_db=COLUMN or val_loss=COLUMN)",
    "eval_step": _SCORE,
}


def log_of(path: Path, log: RawLog, asked: Asked) -> tuple[RunFacts, LogSource]:
    """`facts_of_log`, with what the user gave beyond columns told among the notes."""
    if asked.values:
        given = ", ".join(f"{key} {value}" for key, value in asked.values.items())
        log.notes.append(f"as given by --map: {given}")
    log.path = path
    return facts_of_log(log, asked)
