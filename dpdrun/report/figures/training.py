"""Training curves: loss, validation score, learning rate, and the gradient norm with its clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dpdrun.report.figures.curves import REACH, Curve, limit_lr
from dpdrun.report.figures.style import (
    COLUMN,
    INK,
    PALETTE,
    NothingToDrawError,
    colours,
    labels,
    legend_below,
    new_figure,
    plain,
)
from dpdrun.run.files import Json
from dpdrun.run.metrics import Metrics
from dpdrun.run.scores import OBJECTIVE_WITH_PAST, VAL_WITH_PAST

HEIGHT = 1.05  # inches of a panel
DASHED: Any = {"ls": (0, (3, 1.2)), "lw": 0.8}
OUTSIDE_DB = 500.0  # an objective above is that of a checkpoint off the output power: see dpd.objective


@dataclass(frozen=True)
class _Run:
    """What is drawn of a run: curves by panel, the step of its best score, its last clip."""

    name: str
    colour: str
    loss: Curve
    score: Curve
    objective: Curve
    norm: Curve
    lr: Curve
    best: tuple[int, float] | None
    clip: float | None
    clipped: float | None


def draw_training(training: Mapping[str, Metrics], shared: Mapping[str, str] | None = None) -> tuple[Any, str]:
    """Return the figure of one run or several, and its caption.

    Args:
        training: metrics of runs by name.
        shared: colours that runs have in other figures, by name; used where all of them differ.

    Raises:
        NothingToDrawError: no run has logged a step.
    """
    with_steps = {name: metrics for name, metrics in training.items() if metrics.steps}
    if not with_steps:
        raise NothingToDrawError("no run has logged a step (a least-squares fit has none)")
    drawn = dict(list(with_steps.items())[-len(PALETTE) :])
    names, shades = labels(list(drawn)), [(shared or {}).get(name, "") for name in drawn]
    if "" in shades or len(set(shades)) < len(shades):
        shades = colours(len(drawn))
    runs = [_run(name, shade, each) for name, shade, each in zip(names, shades, drawn.values(), strict=True)]
    panels: list[tuple[str, Callable[[_Run], list[Curve]]]] = [
        ("training loss\nover target power", lambda run: [run.loss]),
        ("validation [dB]", lambda run: [run.score, run.objective]),
        ("gradient norm\nbefore clipping", lambda run: [run.norm]),
        ("learning rate", lambda run: [run.lr]),
    ]
    panels = [(label, of) for label, of in panels if any(curve.y for run in runs for curve in of(run))]
    if not panels:
        raise NothingToDrawError("no logged value is finite")
    figure = new_figure(COLUMN, HEIGHT * len(panels) + 0.45)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, of) in zip(axes, panels, strict=True):
        axis.set_ylabel(label)
        for run in runs:
            for curve, style in zip(of(run), ({"lw": 1.0}, DASHED), strict=False):
                if curve.y:
                    curve.draw(axis, **style)
        if label.startswith("validation"):
            _best(axis, runs)
        elif label.startswith("gradient"):
            _clips(axis, runs)
        elif label.startswith("learning"):
            limit_lr(axis, [run.lr for run in runs if run.lr.y])
    ends = [line["step"] for each in drawn.values() for line in (*each.steps, *each.evals)]
    axes[-1].set_xlim(0, max(*ends, 1))
    axes[-1].set_xlabel("optimizer step")
    figure.align_ylabels(axes)
    handles = [_handle(run.colour) for run in runs]
    if any(run.objective.y for run in runs):
        handles += [_handle(INK), _handle(INK, **DASHED)]
        names += ["validation NMSE", "objective"]
    figure.set_figheight(figure.get_figheight() + legend_below(figure, handles, names))
    return figure, _caption(runs, len(with_steps))


def _run(name: str, colour: str, metrics: Metrics) -> _Run:
    def curve(lines: list[Json], key: str, *, log: bool, most: float = math.inf) -> Curve:
        found = [line for line in lines if isinstance(line.get(key), int | float) and not line[key] > most]
        values = [float(line[key]) for line in found]
        return Curve.of(key, colour, [line["step"] for line in found], values, log=log)

    evals = [_chosen(line) for line in metrics.evals]
    finite = [line for line in evals if math.isfinite(_selected_by(line))]
    best = min(finite, key=_selected_by, default=None)
    clips = [line["clip_norm"] for line in metrics.steps if isinstance(line.get("clip_norm"), int | float)]
    flags = [line["clipped"] for line in metrics.steps if isinstance(line.get("clipped"), bool)]
    return _Run(
        name=name,
        colour=colour,
        loss=curve(metrics.steps, "loss", log=True),
        score=curve(evals, "val_nmse_db", log=False),
        objective=curve(evals, "objective_db", log=False, most=OUTSIDE_DB),
        norm=curve(metrics.steps, "grad_norm", log=True),
        lr=curve(metrics.steps, "lr", log=True),
        best=None if best is None else (best["step"], float(best.get("val_nmse_db", math.nan))),
        clip=clips[-1] if clips and math.isfinite(clips[-1]) and clips[-1] > 0 else None,
        clipped=sum(flags) / len(flags) if flags else None,
    )


def _chosen(line: Json) -> Json:
    """Return an evaluation whose scores are those that choices are made by."""
    past = {"val_nmse_db": line.get(VAL_WITH_PAST), "objective_db": line.get(OBJECTIVE_WITH_PAST)}
    return line | {key: value for key, value in past.items() if value is not None}


def _selected_by(line: Json) -> float:
    """Return the score that selects a checkpoint [dB]: of a predistorter its objective."""
    value: Any = line.get("objective_db", line.get("val_nmse_db"))
    return math.nan if value is None else float(value)


def _best(axis: Any, runs: list[_Run]) -> None:
    for run in runs:
        if run.best is not None and math.isfinite(run.best[1]):
            axis.plot(*run.best, "o", ms=3.2, mfc="white", mec=run.colour, mew=1.0, zorder=5, clip_on=False)


def _clips(axis: Any, runs: list[_Run]) -> None:
    """Draw the clip, unless it is so far from every norm that it would flatten the curves."""
    low, high = min(min(r.norm.low) for r in runs if r.norm.y), max(max(r.norm.high) for r in runs if r.norm.y)
    for clip in sorted({run.clip for run in runs if run.clip is not None and low / REACH <= run.clip <= high * REACH}):
        of = [run for run in runs if run.clip == clip]
        colour = INK if len(of) == len(runs) else of[0].colour
        axis.axhline(clip, color=colour, lw=0.9, ls=(0, (5, 2)), zorder=4)
        axis.annotate(
            f"clip {clip:g}",
            (1.0, clip),
            xycoords=("axes fraction", "data"),
            xytext=(-3, 2),
            textcoords="offset points",
            ha="right",
            fontsize=7,
            color=colour,
            zorder=6,
        )


def _handle(colour: str, **style: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, **({"lw": 1.2} | style))


def _caption(runs: list[_Run], count: int) -> str:
    parts = ["Loss, gradient norm and learning rate of each optimizer step: medians, shaded from lowest to highest."]
    if any(run.objective.y for run in runs):
        parts.append(
            "Validation: NMSE (solid) and the objective that selects a predistorter (dashed: half of in-band error and "
            "worse-side ACLR, where the output power is kept); circle: the checkpoint that was kept."
        )
    else:
        parts.append("Validation: NMSE; circle: the checkpoint that was kept.")
    share = [(run.name, run.clipped) for run in runs if run.clipped is not None and run.clip is not None]
    clipped = [f"{plain(name)} {clipped:.0%}" for name, clipped in share]
    if clipped:
        parts.append(f"Gradient norms are those before clipping; clipped steps: {', '.join(clipped)}.")
    if count > len(runs):
        parts.append(f"Only the last {len(runs)} of {count} runs are drawn.")
    return " ".join(parts)
