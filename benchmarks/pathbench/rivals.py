"""Other programs that diagnose a log, asked about the same runs.

They get what a log of dpdrun has in common with those they were made for: step, training loss, gradient norm, learning
rate and validation loss, under the names they look for. The loss is ours, a mean squared error at unit rms; the
validation loss is 10^(NMSE / 10), so that it is of the same kind and positive. To be generous, any finding of theirs at
warning or error level, of any kind and anywhere in the run, counts as having found any fault; what they say as info
counts neither for nor against them.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable
from importlib.metadata import version

from dpdrun.rules.facts.run import RunFacts

Alarm = tuple[str, str]  # their name of the finding, "warning" or "error"
Rival = Callable[[RunFacts], list[Alarm]]


def trainspotter(run: RunFacts) -> list[Alarm]:
    """The package trainspotter."""
    from trainspotter import Run, run_all

    log = Run()
    for name, steps, values in _columns(run, loss="train/loss", val="eval/loss", norm="grad_norm", lr="lr"):
        for step, value in zip(steps, values, strict=True):
            log.add_point(name, step, value)
    log.finalize()
    return [(each.detector, each.severity) for each in run_all(log) if each.severity != "info"]


def gradsnitch(run: RunFacts) -> list[Alarm]:
    """The package gradsnitch; it also gets the update ratio, at the steps where we know it."""
    import gradsnitch as rival
    import pandas as pd

    table = pd.DataFrame({"step": run.step}).set_index("step")
    for name, steps, values in _columns(run, loss="train_loss", val="val_loss", norm="grad_norm", lr="lr"):
        table[name] = pd.Series(values, index=steps, dtype=float)
    if run.group_step:
        table["update_ratio"] = pd.Series(_update_ratio(run), index=run.group_step, dtype=float)
    return [(each.code, each.severity) for each in rival.lint(table.reset_index())]


def runmedic(run: RunFacts) -> list[Alarm]:
    """The package runmedic; its "critical" is our error."""
    from runmedic.checks import run_checks
    from runmedic.model import Run
    from runmedic.roles import detect

    log = Run(name="run", source="csv", path="run.csv")
    for name, steps, values in _columns(run, loss="train/loss", val="val/loss", norm="grad_norm", lr="lr"):
        for step, value in zip(steps, values, strict=True):
            log.get(name).add(step, value)
    log.finalize()
    levels = {"critical": "error", "warning": "warning"}
    return [(each.check, levels[each.severity]) for each in run_checks(log, detect(log)) if each.severity in levels]


RIVALS: dict[str, Rival] = {"trainspotter": trainspotter, "gradsnitch": gradsnitch, "runmedic": runmedic}


def installed() -> dict[str, Rival]:
    """Those that can be asked here, by name and version."""
    return {f"{name} {version(name)}": ask for name, ask in RIVALS.items() if importlib.util.find_spec(name)}


def quietly(ask: Rival, run: RunFacts) -> list[Alarm]:
    """Their findings; what numpy says about their arithmetic on nan is kept from the screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ask(run)


def _columns(run: RunFacts, *, loss: str, val: str, norm: str, lr: str) -> list[tuple[str, list[int], list[float]]]:
    scores = [10 ** (value / 10) if math.isfinite(value) else value for value in run.eval_nmse_db]
    columns = [
        (loss, run.step, run.loss),
        (norm, run.step, run.grad_norm),
        (lr, run.step, run.lr),
        (val, run.eval_step, scores),
    ]
    return [(name, steps, values) for name, steps, values in columns if values]  # not every log has all of them


def _update_ratio(run: RunFacts) -> list[float]:
    def size(table: dict[str, list[float]], look: int) -> float:
        return math.hypot(*(values[look] for values in table.values() if math.isfinite(values[look])))

    looks = range(len(run.group_step))
    return [size(run.group_update, look) / max(size(run.group_weight, look), 1e-30) for look in looks]
