"""The picture of the README: what each advisor's learning rate loses, a dot a workload."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

from benchmarks.common import ROOT
from benchmarks.regret.advisors import OURS, OURS_BY_DATA

PICTURE = ROOT / "docs" / "images" / "regret.png"
LEAST_DB = 0.01  # on the log axis; what is less stands here


def draw(losses: Mapping[str, Mapping[str, float]], path: Path = PICTURE) -> None:
    """Regret [dB] by advisor and workload, on a log axis, best median first; a bar marks the median."""
    from matplotlib.figure import Figure

    order = sorted(losses, key=lambda name: statistics.median(losses[name].values()), reverse=True)
    figure = Figure(figsize=(8.0, 3.9), dpi=120, layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(order):
        values = sorted(max(value, LEAST_DB) for value in losses[name].values())
        colour = "tab:blue" if name in (OURS, OURS_BY_DATA) else "0.45"
        # dots of one row are spread so that equal ones are seen apart
        spread = [row + 0.22 * ((3 * i) % 5 - 2) / 2 for i in range(len(values))]
        axes.plot(values, spread, "o", color=colour, markersize=4, alpha=0.55, markeredgewidth=0)
        axes.plot([statistics.median(values)] * 2, [row - 0.38, row + 0.38], color=colour, linewidth=2.5)
    axes.set_yticks(range(len(order)), [name.replace("dpdrun, rules: measured ", "dpdrun ") for name in order])
    axes.set_xscale("log")
    axes.set_xlim(LEAST_DB / 1.3, None)
    axes.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    jobs = len(losses[OURS])
    axes.set_xlabel(f"lost against the best lr [dB], {jobs} workloads; bar: median")
    axes.grid(axis="x", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
