"""The case study: from the user's failed Transformer to ours, one idea at a time, at equal budget.

    make case-study            (or: python -m benchmarks.case_study.run)

Trains every recipe of recipes/case_study in order, then the last one with each of the note's four causes put back.
Every run sees the same number of samples: 500 optimizer steps of 32 frames of 200.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.case_study.plot import ONE_GAIN_DB, draw
from benchmarks.common import ROOT, ResultsFile, markdown, measure, write_table

HERE = Path(__file__).parent
RECIPES = sorted((ROOT / "recipes" / "case_study").glob("*.yaml"))
SEEDS = (0, 1, 2)

# What the note names as causes, each put back into our recipe.
CAUSES = {
    "no warmup": ("optim.warmup=off",),
    "clip 200 instead of 1.0": ("optim.clip_norm=200",),
    "no weight decay": ("optim.weight_decay=off",),
    "lr 3e-4 (the note's) instead of 2e-2": ("optim.lr=3e-4",),
    "all four": ("optim.warmup=off", "optim.clip_norm=200", "optim.weight_decay=off", "optim.lr=3e-4"),
}


def purpose(recipe: Path) -> str:
    """The sentence of a recipe's header that says what it changes."""
    return recipe.read_text().splitlines()[1].partition(". ")[2]


def jobs() -> list[tuple[str, Path, tuple[str, ...]]]:
    """Every run of the study: name, recipe, overrides."""
    ours = RECIPES[-1]
    ladder = [(f"{recipe.stem}/0", recipe, ("train.seed=0",)) for recipe in RECIPES]
    seeds = [(f"{ours.stem}/{seed}", ours, (f"train.seed={seed}",)) for seed in SEEDS[1:]]
    causes = [
        (f"{cause}/{seed}", ours, (*sets, f"train.seed={seed}")) for cause, sets in CAUSES.items() for seed in SEEDS
    ]
    return ladder + seeds + causes


def ladder_table(results: ResultsFile) -> str:
    """One row a recipe: what changed, the score, and how far it moved."""
    first = results.results[f"{RECIPES[0].stem}/0"]
    rows, before = [["*one complex gain, for scale*", f"{ONE_GAIN_DB:.2f}", "", "2"]], None
    rows.append(["*gmp by least squares, for scale*", f"{first['gmp_test_nmse_db']:.2f}", "", "1,008"])
    for recipe in RECIPES:
        result = results.results[f"{recipe.stem}/0"]
        score = result["test_nmse_db"]
        gain = "" if before is None else f"{score - before:+.2f}"
        rows.append([f"`{recipe.stem}`: {purpose(recipe)}", f"{score:.2f}", gain, f"{result['parameters']:,}"])
        before = score
    return markdown(["change", "test NMSE [dB]", "step [dB]", "parameters"], rows)


def causes_table(results: ResultsFile) -> str:
    """What each of the note's rules is worth in our recipe: mean of the seeds, and their spread."""

    def scores(name: str) -> list[float]:
        return [results.results[f"{name}/{seed}"]["test_nmse_db"] for seed in SEEDS]

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    ours = scores(RECIPES[-1].stem)
    rows = [["our recipe", f"{mean(ours):.2f}", "", f"{max(ours) - min(ours):.2f}"]]
    for cause in CAUSES:
        values = scores(cause)
        rows.append(
            [cause, f"{mean(values):.2f}", f"{mean(values) - mean(ours):+.2f}", f"{max(values) - min(values):.2f}"]
        )
    return markdown(["recipe", "test NMSE [dB]", "loss [dB]", "range over 3 seeds [dB]"], rows)


def main() -> None:
    """Measure, then write the tables and the plot."""
    results = ResultsFile(HERE / "results.json")
    measure(results, jobs())
    write_table("case-study", ladder_table(results))
    write_table("case-study-causes", causes_table(results))
    draw(results, RECIPES, ROOT / "docs" / "images" / "case_study.png")


if __name__ == "__main__":
    main()
