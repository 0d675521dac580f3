"""The picture of the case study: the score after each change, and the error along the record before and after."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.common import ResultsFile

BAD, GOOD, GREY = "#c44e52", "#2a7f62", "#777777"


def draw(results: ResultsFile, recipes: list[Path], path: Path) -> None:
    """Write the picture as PNG."""
    names = [recipe.stem for recipe in recipes]
    scores = [results.results[f"{name}/0"]["test_nmse_db"] for name in names]
    gmp = results.results[f"{names[-1]}/0"]["gmp_test_nmse_db"]
    figure, axis = plt.subplots(figsize=(8.5, 4.6), layout="constrained")
    labels = [name.partition("_")[2].replace("_", " ") for name in names]
    colours = [BAD if score > -19.7 else GOOD for score in scores]
    bars = axis.barh(labels, [-score for score in scores], color=colours)
    axis.bar_label(bars, [f"{score:.1f}" for score in scores], padding=3, fontsize=8)
    for value, text in ((-19.7, "one complex gain"), (gmp, "gmp, least squares")):
        axis.axvline(-value, color=GREY, linewidth=1, linestyle="--")
        axis.text(-value, -0.9, text, rotation=0, fontsize=8, color=GREY, ha="center", va="bottom")
    axis.invert_yaxis()
    axis.set_xlabel("test NMSE of APA_200MHz [dB], better to the right")
    axis.set_xticks([0, 10, 20, 30, 40], ["0", "-10", "-20", "-30", "-40"])
    axis.set_xlim(min(0, *(-s for s in scores)), 43)
    axis.set_title("One change at a time, 500 steps each", fontsize=10, loc="left", pad=22)
    axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
