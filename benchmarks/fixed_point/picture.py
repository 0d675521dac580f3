"""The picture of the study: EVM and ACLR against what a sample costs, and its Pareto front.

python -m benchmarks.fixed_point.picture     (also drawn by `make fixed-point`)
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.common import ROOT, ResultsFile
from benchmarks.fixed_point.table import BITS, MAX_POWER_ERROR_DB, WAYS, models_of, name_of

PICTURE = ROOT / "docs" / "images" / "fixed_point.png"
COLOURS = {"gmp": "#59636e", "gru": "#b45309", "transformer-500": "#0969da", "transformer-1000": "#8250df"}
SCORES = {"evm_db": "EVM [dB]", "aclr_db": "worse ACLR [dB]"}


def points(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a point for each model and word length: means over seeds of the way that is best on the validation part.

    Its `work` is multiplications a sample times the bits of both factors.
    """
    found = []
    for group, models in models_of(results).items():
        multiplications = mean(results[f"{model}/cost"]["multiplications"] for model in models)
        for bits in BITS:
            ways = [[results[name] for model in models if (name := name_of(model, way, bits)) in results]
                    for way in WAYS]  # fmt: skip
            ways = [each for each in ways if len(each) == len(models)
                    and max(abs(one["power_error_db"]) for one in each) <= MAX_POWER_ERROR_DB]  # fmt: skip
            if ways:
                best = min(ways, key=lambda each: mean(one["val_in_band_db"] for one in each))
                scores = {key: mean(one[key] for one in best) for key in SCORES}
                work = multiplications * bits[0] * bits[1]
                found.append({"group": group, "bits": bits, "multiplications": multiplications, "work": work} | scores)
    return found


def front(found: list[dict[str, Any]], score: str, cost: str = "work") -> list[dict[str, Any]]:
    """Return the points that no other is at least as good as in both, by rising cost."""
    kept: list[dict[str, Any]] = []
    for point in sorted(found, key=lambda each: (each[cost], each[score])):
        if not kept or point[score] < kept[-1][score]:
            kept.append(point)
    return kept


def draw(results: dict[str, Any], path: Path = PICTURE) -> None:
    """Draw both scores against multiplications a sample, and against multiplications times bits."""
    from matplotlib.figure import Figure

    found = points(results)
    figure = Figure(figsize=(10, 7), layout="constrained")
    grid = figure.subplots(2, 2, sharey="row", sharex="col")
    for row, (score, label) in zip(grid, SCORES.items(), strict=True):
        for axes, cost in zip(row, ("multiplications", "work"), strict=True):
            best = front(found, score, cost)
            axes.step([p[cost] for p in best], [p[score] for p in best], where="post", color="#1c2128", lw=1, ls="--")
            for group, models in models_of(results).items():
                own = [p for p in found if p["group"] == group]
                count = results[f"{models[0]}/float"]["parameters"]
                name = f"{group.split('-')[0]}, {count:,} parameters"
                colour = next(c for key, c in COLOURS.items() if group.startswith(key))
                axes.plot([p[cost] for p in own], [p[score] for p in own], "o-", ms=4, lw=1, color=colour, label=name)
                if cost == "work":
                    for p in own:
                        axes.annotate("{}/{}".format(*p["bits"]), (p[cost], p[score]), fontsize=6, rotation=60,
                                      xytext=(1, 4), textcoords="offset points", annotation_clip=True)  # fmt: skip
            axes.grid(alpha=0.3)
            axes.set_ylim(top=-36)
        row[0].set_ylabel(label)
    grid[0][0].legend(fontsize=8, loc="upper center")
    grid[1][1].xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
    grid[1][0].set_xlabel("multiplications a sample (16 to 8 bits above each other)")
    grid[1][1].set_xlabel("multiplications x bits of weights x bits of activations")
    grid[0][1].set_title("dashed: Pareto front", fontsize=9)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    draw(ResultsFile(Path(__file__).parent / "results.json").results)
