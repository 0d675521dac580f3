"""The table of what the shipped recipes reach, on the machine at hand.

make results            (or: python -m benchmarks.recipes.run)
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.common import ROOT, ResultsFile, markdown, measure, write_table
from dpdrun import load_recipe
from dpdrun.pipeline.document import is_pipeline

HERE = Path(__file__).parent
# The predistorters need a PA model first; `dpdrun train pipeline` trains and scores them.
RECIPES = sorted(
    path
    for path in (ROOT / "recipes").glob("*.yaml")
    if not is_pipeline(path) and load_recipe(path).recipe.task == "pa"
)
SEEDS = (0, 1, 2)


def first_reached(trace: list[list[float]], level_db: float) -> float | None:
    """Training time at which validation first was at or below a level [s]."""
    return next((seconds for _, seconds, score in trace if score <= level_db), None)


def table(results: ResultsFile) -> str:
    """One row a recipe."""
    rows = []
    for recipe in RECIPES:
        runs = [results.results[f"{recipe.stem}/{seed}"] for seed in SEEDS]
        blind = [run["test_as_one_record_db"] for run in runs if run["test_as_one_record_db"] is not None]

        def score(name: str, runs: list[dict[str, Any]] = runs) -> str:
            """Mean over the seeds, and the range where they differ."""
            values = sorted(f"{run[name]:.2f}" for run in runs)
            ranged = "" if values[0] == values[-1] else f" ({values[-1]} to {values[0]})"
            return f"{mean(run[name] for run in runs):.2f}{ranged}"

        rows.append(
            [
                f"`recipes/{recipe.name}`",
                f"{runs[0]['parameters']:,}",
                "record" if runs[0]["lookahead"] is None else f"{runs[0]['lookahead']}",
                f"{runs[0]['steps']:,}",
                f"{min(run['seconds'] for run in runs):.0f}",
                score("val_nmse_with_past_db"),
                f"**{score('test_nmse_with_past_db')}**",
                score("test_nmse_db"),
                f"{mean(blind):.2f}" if blind else "",
                score("gmp_test_nmse_with_past_db"),
                score("gmp_test_nmse_db"),
            ]
        )
    header = [
        "recipe", "parameters", "look-ahead", "steps", "time [s]", "val [dB]", "test [dB]", "test, cold start [dB]",
        "test, as one record [dB]", "gmp, test [dB]", "gmp, cold start [dB]",
    ]  # fmt: skip
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
