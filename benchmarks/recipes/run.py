"""The table of what the shipped recipes reach: three seeds each, on the machine at hand.

make results            (or: python -m benchmarks.recipes.run)
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from benchmarks.common import ROOT, ResultsFile, markdown, measure, write_table

HERE = Path(__file__).parent
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.yaml"))
SEEDS = (0, 1, 2)


def first_reached(trace: list[list[float]], level_db: float) -> float | None:
    """Training time at which validation first was at or below a level [s]."""
    return next((seconds for _, seconds, score in trace if score <= level_db), None)


def table(results: ResultsFile) -> str:
    """One row a recipe: means over the seeds."""
    rows = []
    for recipe in RECIPES:
        runs = [results.results[name] for seed in SEEDS if (name := f"{recipe.stem}/{seed}") in results]
        tests = [run["test_nmse_db"] for run in runs]
        rows.append(
            [
                f"`recipes/{recipe.name}`",
                f"{runs[0]['parameters']:,}",
                f"{runs[0]['steps']:,}",
                f"{mean(run['seconds'] for run in runs):.0f}",
                f"{mean(run['val_nmse_db'] for run in runs):.2f}",
                f"**{mean(tests):.2f}**",
                f"{min(tests):.2f} .. {max(tests):.2f}",
                f"{len(runs)}",
                f"{runs[0]['gmp_test_nmse_db']:.2f}",
            ]
        )
    header = [
        "recipe",
        "parameters",
        "steps",
        "time [s]",
        "val [dB]",
        "test [dB]",
        "range",
        "seeds",
        "gmp, test [dB]",
    ]
    return markdown(header, rows)


def main() -> None:
    """Train what is missing, then write the table."""
    results = ResultsFile(HERE / "results.json")
    measure(results, [(f"{r.stem}/{seed}", r, (f"train.seed={seed}",)) for seed in SEEDS for r in RECIPES])
    write_table("recipes", table(results))
    apa = results.results.get("apa_200mhz_transformer/0")
    if apa:
        print("seconds to -38.5 dB validation:", first_reached(apa["trace"], -38.5))


if __name__ == "__main__":
    main()
