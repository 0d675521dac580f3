"""The charts of a diagnosis: a PNG, SVG or PDF file for a paper, or an SVG inside its page."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.errors import DataError
from dpdrun.report.figures.curves import REACH, Curve, limit_lr
from dpdrun.report.figures.style import MAIN, drawn, new_figure, paper_style, picture, save_figure
from dpdrun.report.findings import COLOUR
from dpdrun.rules.engine import Finding

REACH_DB = 10.0  # that a level may lie away from the data and still be drawn
SCORE, LR = "#047857", "#8a4baf"  # validation, learning rate; norm and loss are in MAIN
LEVELS = (("--", "#c2410c"), (":", "#1c2128"))  # of levels: dashes and colour


@dataclass(frozen=True)
class Chart:
    """One chart: curves of the two vertical axes, and levels on the left one with their names."""

    title: str
    left: list[Curve]
    right: list[Curve] = field(default_factory=list)
    lines: list[tuple[float, str]] = field(default_factory=list)


def draw_diagnosis(diagnosis: Diagnosis, title: str, path: Path, *, dpi: int = 200) -> None:
    """Draw the charts into a file; its suffix (.png, .svg, .pdf) is the format.

    Raises:
        DataError: there is nothing to draw, matplotlib is not installed, or the file cannot be written.
    """
    charts = charts_of(diagnosis)
    if not charts:
        raise DataError(f"{path}: nothing to plot: this run has logged no steps")
    save_figure(_figure(diagnosis, charts, title), path, dpi=dpi)


def diagnosis_svg(diagnosis: Diagnosis) -> tuple[bytes, str] | None:
    """Return the charts as SVG with a caption; None where there is nothing to draw.

    Raises:
        DataError: matplotlib is not installed.
    """
    charts = charts_of(diagnosis)
    if not charts:
        return None
    with paper_style():
        svg = picture(_figure(diagnosis, charts)).svg
    titles = "; ".join(chart.title for chart in charts)
    return svg, f"{titles}: medians over the steps, shaded from lowest to highest; vertical lines: where findings begin"


def charts_of(diagnosis: Diagnosis) -> list[Chart]:
    """Return gradient norm with clip and learning rate, and loss with validation; whichever were logged."""
    facts = diagnosis.facts
    if facts.kind == "gmp":
        return []
    lr = [Curve.of("learning rate", LR, facts.step, facts.lr, log=True)] if facts.lr else []
    lr = [curve for curve in lr if curve.y]
    charts = []
    if facts.grad_norm:
        norm = Curve.of("gradient norm", MAIN, facts.step, facts.grad_norm, log=True)
        charts.append(Chart("gradient norm before clipping", [norm], lr, _clip(diagnosis, norm)))
    left, right, lines = _losses(diagnosis)
    if not facts.grad_norm and not right:
        right = lr
    if left:
        charts.append(Chart(" and ".join(curve.name for curve in (*left, *right)), left, right, lines))
    return [chart for chart in charts if any(curve.y for curve in chart.left)]


def _losses(diagnosis: Diagnosis) -> tuple[list[Curve], list[Curve], list[tuple[float, str]]]:
    """Return loss and validation: in dB on one axis where the loss is an NMSE, else each as it was logged."""
    facts, losses = diagnosis.facts, list[Curve]()
    if facts.eval_nmse_db and facts.loss and facts.loss_is_nmse:
        in_db = [_db(value) for value in facts.loss]
        losses = [
            Curve.of("training NMSE [dB]", MAIN, facts.step, in_db, log=False),
            Curve.of("validation NMSE [dB]", SCORE, facts.eval_step, facts.eval_nmse_db, log=False),
        ]
        levels = ((facts.gmp_db, "gmp"), (facts.floor_db, "noise floor"))
        lowest = min((value for curve in losses for value in curve.low), default=0.0)
        near = [(db, f"{name} {db:.1f} dB") for db, name in levels if db is not None and abs(db - lowest) < REACH_DB]
        return losses, [], near
    if facts.loss:
        losses.append(Curve.of("training loss", MAIN, facts.step, facts.loss, log=True))
    val_loss = diagnosis.log.column("val_loss") if diagnosis.log else None
    if val_loss is not None and len(val_loss) and all(not value < 0.0 for value in val_loss.values):
        losses.append(Curve.of("validation loss", SCORE, val_loss.steps, val_loss.values, log=True))
    elif facts.eval_nmse_db:
        score = Curve.of("validation NMSE [dB]", SCORE, facts.eval_step, facts.eval_nmse_db, log=False)
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


def _figure(diagnosis: Diagnosis, charts: list[Chart], title: str = "") -> Any:
    figure = new_figure(7.2, 0.5 + 2.5 * len(charts))
    axes = figure.subplots(len(charts), 1, sharex=True, squeeze=False)[:, 0]
    facts, unit = diagnosis.facts, diagnosis.log.unit if diagnosis.log else "step"
    ends = [steps[i] for steps in (facts.step, facts.eval_step) if steps for i in (0, -1)]
    first, last = min(ends), max(*ends, min(ends) + 1)
    marks = sorted(((f.step, f) for f in diagnosis.findings if f.step is not None), key=lambda mark: mark[0])
    for axis, chart in zip(axes, charts, strict=True):
        _draw(axis, chart)
        for row, (step, finding) in enumerate(marks):
            _mark(axis, finding, step, row % 4, late=step > first + 0.9 * (last - first))
        axis.set_xlim(first, last)
    axes[-1].set_xlabel("optimizer step" if unit == "step" else unit, fontsize=8)
    figure.suptitle(drawn(title), fontsize=9)
    return figure


def _draw(axis: Any, chart: Chart) -> None:
    left, right = ([curve for curve in curves if curve.y] for curves in (chart.left, chart.right))
    handles = [curve.draw(axis, lw=1.2) for curve in left]
    for (level, name), (dashes, colour) in zip(chart.lines, LEVELS, strict=False):
        handles.append(axis.axhline(level, color=colour, lw=1.0, ls=dashes, label=name))
    if right:
        other = axis.twinx()
        axis.set_zorder(other.get_zorder() + 1)  # the left curves in front
        axis.patch.set_visible(False)
        handles += [curve.draw(other, lw=1.0, ls=(0, (5, 2))) for curve in right]
        other.set_ylabel(right[0].name, fontsize=8, color=right[0].colour)
        other.tick_params(labelsize=7)
        if right[0].colour == LR:
            limit_lr(other, right)
    axis.set_ylabel(left[0].name.removeprefix("training ") if len(left) > 1 else left[0].name, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(visible=True, lw=0.3, alpha=0.6)
    # above the axes, where it hides nothing
    axis.legend(handles=handles, fontsize=7, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0.0, 1.0))


def _mark(axis: Any, finding: Finding, step: int, row: int, *, late: bool) -> None:
    """Draw a vertical line where a finding begins, with its code."""
    colour = COLOUR[finding.severity]
    axis.axvline(step, color=colour, lw=0.9, ls=":" if finding.severity == "info" else "-")
    align, gap = ("right", -3) if late else ("left", 3)
    at: Any = {"xycoords": ("data", "axes fraction"), "xytext": (gap, -9 - 9 * row), "textcoords": "offset points"}
    axis.annotate(finding.code, (step, 1.0), ha=align, fontsize=7, color=colour, **at)
