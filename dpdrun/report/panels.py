"""The charts of a diagnosis as data, which `svg_panels` and `diagnosis_plot` draw: curves, clip line, marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from dpdrun.diagnosis.diagnose import Diagnosis

MOST_POINTS = 250  # of a drawn curve
LARGEST = 1e150  # what can be drawn; nan and inf are not below it
REACH = 30.0  # factor that a level may lie away from the data and still be drawn
REACH_DB = 10.0
Role = Literal["norm", "loss", "lr", "validation"]


@dataclass(frozen=True)
class Curve:
    """A series as it is drawn: medians of equal shares of the values, with the lowest and highest of each.

    Attributes:
        name, role: its label, and what its colour depends on.
        x: middle step of each share; y, low, high: median, least and greatest of its finite (log: positive) values.
        bad: steps with a non-finite value.
        log: whether its axis is logarithmic.
    """

    name: str
    role: Role
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    bad: list[int]
    log: bool

    @classmethod
    def of(cls, name: str, role: Role, steps: Sequence[int], values: Sequence[float], *, log: bool) -> Curve:
        """Return a series thinned out to at most `MOST_POINTS`."""
        count = min(MOST_POINTS, len(values))
        x, y, low, high = [], [], [], []
        for i in range(count):
            a, b = i * len(values) // count, (i + 1) * len(values) // count
            good = [value for value in values[a:b] if abs(value) < LARGEST and (value > 1 / LARGEST or not log)]
            if good:
                x.append((steps[a] + steps[b - 1]) / 2)
                y.append(median(good))
                low.append(min(good))
                high.append(max(good))
        bad = [step for step, value in zip(steps, values, strict=True) if not math.isfinite(value)]
        return cls(name, role, x, y, low, high, bad, log)


@dataclass(frozen=True)
class FindingMark:
    """The step where a finding begins."""

    step: int
    code: str
    severity: Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: of the chart.
        left, right: curves of the two vertical axes.
        lines: levels on the left axis with their names; those far from the data are left out.
        marks: where findings begin.
        unit: of the horizontal axis.
        span: first and last step, the same in all panels of a diagnosis.
    """

    title: str
    left: list[Curve]
    right: list[Curve] = field(default_factory=list)
    lines: list[tuple[float, str]] = field(default_factory=list)
    marks: list[FindingMark] = field(default_factory=list)
    unit: str = "step"
    span: tuple[int, int] = (0, 1)


def panels_of(diagnosis: Diagnosis) -> list[Panel]:
    """Return gradient norm with clip and learning rate, and loss with validation; whichever were logged."""
    facts, unit = diagnosis.facts, diagnosis.log.unit if diagnosis.log else "step"
    ends = [steps[i] for steps in (facts.step, facts.eval_step) if steps for i in (0, -1)]
    if not ends or facts.kind == "gmp":
        return []
    marks = [FindingMark(f.step, f.code, f.severity) for f in diagnosis.findings if f.step is not None]
    span = (min(ends), max(max(ends), min(ends) + 1))
    lr = [Curve.of("learning rate", "lr", facts.step, facts.lr, log=True)] if facts.lr else []
    panels = []
    if facts.grad_norm:
        norm = Curve.of("gradient norm", "norm", facts.step, facts.grad_norm, log=True)
        panels.append(Panel("gradient norm before clipping", [norm], lr, _clip(diagnosis, norm), marks, unit, span))
    left, right, lines = _losses(diagnosis)
    if not facts.grad_norm and not right:
        right = lr
    if left:
        title = " and ".join(curve.name for curve in (*left, *right))
        panels.append(Panel(title, left, right, lines, marks, unit, span))
    return [panel for panel in panels if any(curve.y for curve in panel.left)]


def _losses(diagnosis: Diagnosis) -> tuple[list[Curve], list[Curve], list[tuple[float, str]]]:
    """Return loss and validation: in dB on one axis where the loss is an NMSE, else each as it was logged."""
    facts, losses = diagnosis.facts, list[Curve]()
    if facts.eval_nmse_db and facts.loss and facts.loss_is_nmse:
        in_db = [_db(value) for value in facts.loss]
        losses = [
            Curve.of("training NMSE [dB]", "loss", facts.step, in_db, log=False),
            Curve.of("validation NMSE [dB]", "validation", facts.eval_step, facts.eval_nmse_db, log=False),
        ]
        levels = ((facts.gmp_db, "gmp"), (facts.floor_db, "noise floor"))
        lowest = min((value for curve in losses for value in curve.low), default=0.0)
        near = [(db, f"{name} {db:.1f} dB") for db, name in levels if db is not None and abs(db - lowest) < REACH_DB]
        return losses, [], near
    if facts.loss:
        losses.append(Curve.of("training loss", "loss", facts.step, facts.loss, log=True))
    val_loss = diagnosis.log.val_loss if diagnosis.log else None
    if val_loss is not None and len(val_loss) and all(not value < 0.0 for value in val_loss.values):
        losses.append(Curve.of("validation loss", "validation", val_loss.steps, val_loss.values, log=True))
    elif facts.eval_nmse_db:
        score = Curve.of("validation NMSE [dB]", "validation", facts.eval_step, facts.eval_nmse_db, log=False)
        return (losses, [score], []) if losses else ([score], [], [])
    return losses, [], []


def _db(value: float) -> float:
    """Return a power in dB; nan for zero, which is drawn like a non-finite value."""
    return 10.0 * math.log10(value) if value > 0.0 and math.isfinite(value) else math.nan


def _clip(diagnosis: Diagnosis, norm: Curve) -> list[tuple[float, str]]:
    """Return the clip, unless it is more than a factor of 30 from every norm, which would flatten the curve."""
    if not diagnosis.facts.clip_norm or not norm.y:
        return []
    clip = diagnosis.facts.clip_norm[-1]
    near = math.isfinite(clip) and min(norm.low) / REACH <= clip <= max(norm.high) * REACH
    return [(clip, f"clip {clip:g}")] if near else []
