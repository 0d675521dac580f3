"""The picture of the case study: the score after each change."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.common import ResultsFile

BAD, GOOD, GREY = "#c44e52", "#2a7f62", "#666666"
ONE_GAIN_DB = -19.68  # y = g x on the test part of APA_200MHz: `dpdrun data inspect opendpd/APA_200MHz`


def draw(results: ResultsFile, recipes: list[Path], path: Path) -> None:
    """Write the picture as PNG."""
    names = [recipe.stem for recipe in recipes]
    scores = [results.results[f"{name}/0"]["test_nmse_db"] for name in names]
    gmp = results.results[f"{names[-1]}/0"]["gmp_test_nmse_db"]
    figure, axis = plt.subplots(figsize=(8.5, 4.4), layout="constrained")
    labels = [f"{name[:2]}  {name[3:].replace('_', ' ')}" for name in names]
    rows = range(len(names))
    axis.barh(rows, [-score for score in scores], color=[BAD if s > ONE_GAIN_DB else GOOD for s in scores], height=0.7)
    for row, score in zip(rows, scores, strict=True):
        axis.text(max(-score, 0) + 0.4, row, f"{score:.1f}", fontsize=8, va="center", backgroundcolor="white", zorder=3)
    for value, text in ((ONE_GAIN_DB, "one complex gain"), (gmp, "gmp, least squares")):
        axis.axvline(-value, color=GREY, linewidth=1, linestyle="--", zorder=4)
        axis.text(-value, -0.75, text, fontsize=8, color=GREY, ha="center", va="bottom")
    axis.set_yticks(rows, labels, fontsize=9)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlabel("test NMSE of APA_200MHz [dB], better to the right")
    axis.set_xticks([0, 10, 20, 30, 40], ["0", "-10", "-20", "-30", "-40"])
    axis.set_xlim(min(0, *(-s for s in scores)) - 1, 42.5)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_title("One idea at a time, 500 optimizer steps each", fontsize=10, loc="left", pad=22)
    axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
