"""The charts of a diagnosis as one figure for a paper: PNG, SVG or PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.errors import DataError
from dpdrun.report.figures.style import new_figure
from dpdrun.report.findings import COLOUR
from dpdrun.report.panels import Curve, Panel, panels_of

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
COLOURS = {"norm": "#0b4f8a", "loss": "#0b4f8a", "validation": "#047857", "lr": "#8a4baf"}
LEVELS = (("--", "#c2410c"), (":", "#1c2128"))
LR_DECADES = 3.0  # below its peak; a rate that decays to zero has no end


def draw_diagnosis(diagnosis: Diagnosis, title: str, path: Path, *, dpi: int = 200) -> None:
    """Draw the charts into a file; its suffix (.png, .svg, .pdf) is the format.

    Raises:
        DataError: there is nothing to draw, matplotlib is not installed, or the file cannot be written.
    """
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise DataError(
            f"{path}: cannot draw {path.suffix or 'a file without a suffix'}; use {', '.join(PLOT_SUFFIXES)}"
        )
    panels = panels_of(diagnosis)
    if not panels:
        raise DataError(f"{path}: nothing to plot: this run has logged no steps")
    figure = new_figure(7.2, 0.5 + 2.5 * len(panels))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        _panel(axis, panel)
    axes[-1].set_xlabel("optimizer step" if panels[-1].unit == "step" else panels[-1].unit, fontsize=8)
    figure.suptitle(title, fontsize=9)
    try:
        figure.savefig(path, dpi=dpi)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def _panel(axis: Any, panel: Panel) -> None:
    handles = [_curve(axis, curve) for curve in panel.left if curve.y]
    _label(axis, [curve for curve in panel.left if curve.y])
    for (level, name), (dashes, colour) in zip(panel.lines, LEVELS, strict=False):
        handles.append(axis.axhline(level, color=colour, lw=1.0, ls=dashes, label=name))
    if right := [curve for curve in panel.right if curve.y]:
        other = axis.twinx()
        axis.set_zorder(other.get_zorder() + 1)  # the left curves in front
        axis.patch.set_visible(False)
        handles += [_curve(other, curve) for curve in right]
        _label(other, right)
        other.tick_params(labelsize=7)
    for number, mark in enumerate(sorted(panel.marks, key=lambda m: m.step)):
        axis.axvline(mark.step, color=COLOUR[mark.severity], lw=0.9, ls=":" if mark.severity == "info" else "-")
        late = mark.step > panel.span[0] + 0.9 * (panel.span[1] - panel.span[0])
        axis.annotate(
            mark.code,
            (mark.step, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if late else 3, -9 - 9 * (number % 4)),
            textcoords="offset points",
            ha="right" if late else "left",
            fontsize=7,
            color=COLOUR[mark.severity],
        )
    axis.set_xlim(*panel.span)
    axis.tick_params(labelsize=7)
    axis.grid(visible=True, lw=0.3, alpha=0.6)
    # above the axes, where it hides nothing
    axis.legend(handles=handles, fontsize=7, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0.0, 1.0))


def _curve(axis: Any, curve: Curve) -> Any:
    colour = COLOURS[curve.role]
    if curve.log:
        axis.set_yscale("log")
    if curve.role == "lr":
        axis.set_ylim(max(min(curve.y), max(curve.y) * 10**-LR_DECADES) / 1.3, max(curve.y) * 1.3)
        return axis.plot(curve.x, curve.y, color=colour, lw=1.0, ls=(0, (5, 2)), label=curve.name)[0]
    if curve.low != curve.high:
        axis.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.22, lw=0)
    few = len(curve.y) <= 40
    drawn = axis.plot(curve.x, curve.y, color=colour, lw=1.2, marker="o" if few else "", ms=2.5, label=curve.name)[0]
    if curve.bad:
        axis.plot(
            curve.bad, [0.98] * len(curve.bad), "|", color=COLOUR["error"], ms=7, transform=axis.get_xaxis_transform()
        )
    return drawn


def _label(axis: Any, curves: list[Curve]) -> None:
    axis.set_ylabel(" and ".join(dict.fromkeys(_short(curve.name) for curve in curves)), fontsize=8)
    if len(curves) == 1:
        axis.yaxis.label.set_color(COLOURS[curves[0].role])


def _short(name: str) -> str:
    """Return what curves of one axis have in common; the legend tells training from validation."""
    return name if len(name.split()) < 2 else name.removeprefix("training ").removeprefix("validation ")
