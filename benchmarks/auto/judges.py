"""Which PA model predicts an amplifier best: gmp, GRU or Transformer, where the amplifier is known.

    make auto-judges          (or: python -m benchmarks.auto.judges)

The captures are synthetic, so the true amplifier takes the predistorted signal too. Each PA model serves twice: a gmp
predistorter is fitted through it (`dpd.learning: ilc`) and scored on the true amplifier; and it scores the predistorter
of the Transformer, next to the true score. `dpdrun auto` chooses by what is found here. Scores are of the test split.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table

RESULTS = Path(__file__).parent / "judges.json"
FOLDER = ROOT / "build" / "judges"
SCORES = ("nmse_db", "in_band_db", "aclr_worse_db")
# Kind, steps, and further fields: the shortest and the next trials of `dpdrun auto`
TRANSFORMER = {"kind": "transformer", "d_model": 16, "layers": 2, "heads": 2, "window": 32}  # as the rules have it
GRU = {"kind": "gru", "hidden": 16}
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "gmp": ({"kind": "gmp"}, 0),
    "transformer 1200": (TRANSFORMER, 1200),
    "gru 400": (GRU, 400),
    "gru 1200": (GRU, 1200),
}
THROUGH = "transformer 1200"  # whose predistorter all judge


def train(name: str, recipe: dict[str, Any]) -> Path:
    """Train a recipe in build/judges, unless that is done."""
    run = FOLDER / name.replace(" ", "-").replace("/", "-")
    if not (run / "report.json").is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{run.name}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        subprocess.run(
            [sys.executable, "-m", "dpdrun", "train", str(path), "--run-dir", str(run)], cwd=ROOT, check=True
        )
    return run


def measure(preset: str) -> dict[str, Any]:
    """Return of every PA model its error, the true scores of a gmp through it, and how it scores that of THROUGH."""
    runs: dict[str, tuple[Path, Path]] = {}
    for name, (model, steps) in MODELS.items():
        source = {"source": f"synthetic/{preset}"}
        length = {"train": {"max_steps": steps}} if steps else {}
        pa = train(f"{preset} {name}", {"task": "pa", "data": source, "model": model, **length})
        dpd = {"task": "dpd", "pa": str(pa), "data": source, "model": {"kind": "gmp"},
               "dpd": {"learning": "ilc", "weak_pa": "accept"}}  # fmt: skip
        runs[name] = pa, train(f"{preset} through {name}", dpd)
    rows: dict[str, Any] = {}
    for name, (pa, dpd) in runs.items():
        errors = json.loads((pa / "report.json").read_text())["splits"]
        ilc = json.loads((dpd / "report.json").read_text())["ilc"]
        judged = scores_through(runs[THROUGH][1], pa)
        ends_at = max(each["within_reach_db"] for each in ilc.values())
        rows[name] = {"val_db": errors["val"]["nmse_db"], "ilc_db": ends_at, "true": true_scores(dpd, preset),
                      "judged": judged}  # fmt: skip
    return {"models": rows, "machine": machine()}


def true_scores(run: Path, preset: str) -> dict[str, float]:
    """Score a predistorter on the amplifier itself, without noise, on the samples of the test split."""
    from dpdrun.data.sources import load_capture
    from dpdrun.data.synthetic import PRESETS, generate
    from dpdrun.dpd.cascade import objective_of, with_limiter
    from dpdrun.evaluation.prediction import predict
    from dpdrun.training.job import load_run

    model, plan, _ = load_run(run)
    capture = load_capture(plan.recipe.data)
    x, _ = generate(PRESETS[preset])
    y = PRESETS[preset].pa(predict(with_limiter(model.eval(), plan), x))
    starts = np.flatnonzero(x == capture.test.x[0])
    start = next(at for at in starts if np.array_equal(x[at : at + len(capture.test)], capture.test.x))
    found = objective_of(capture, plan, capture.test, y[start : start + len(capture.test)]).to_json()
    return {name: round(found[name], 3) for name in SCORES}


def scores_through(run: Path, pa: Path) -> dict[str, float]:
    """Score a predistorter through a PA model."""
    from dpdrun.data.sources import load_capture
    from dpdrun.evaluation.cross_model import load_reference_pa, score_with_reference
    from dpdrun.run.scores import chosen
    from dpdrun.training.job import load_run

    model, plan, _ = load_run(run)
    capture = load_capture(plan.recipe.data)
    scored = score_with_reference(model, plan, capture, ("test",), load_reference_pa(pa, capture))
    found = chosen(scored.report["splits"]["test"])
    return {name: round(found[name], 3) for name in SCORES}


def table(results: dict[str, Any]) -> str:
    """A row for each PA model of each capture."""
    rows = []
    for preset, result in results.items():
        truth = result["models"][THROUGH]["true"]
        for name, each in result["models"].items():
            own = [f"{each['true'][key]:.2f}" for key in SCORES]
            judged = [f"{each['judged'][key]:.2f} ({each['judged'][key] - truth[key]:+.1f})" for key in SCORES]
            rows.append([f"synthetic/{preset}", name, f"{each['val_db']:.2f}", f"{each['ilc_db']:.2f}", *own, *judged])
    header = ["capture", "PA model, steps", "NMSE, val [dB]", "ILC ends at [dB]",
              "gmp predistorter through it, on the amplifier: NMSE [dB]", "in band", "ACLR",
              "its score of the predistorter of the Transformer (minus the true one): NMSE [dB]", "in band",
              "ACLR"]  # fmt: skip
    return markdown(header, rows)


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description="which PA model predicts a known amplifier best")
    parser.add_argument("presets", nargs="*", default=("hard", "mild"))
    parser.add_argument("--write-table", action="store_true", help="also into docs/results.md, between its markers")
    chosen = parser.parse_args()
    results = ResultsFile(RESULTS)
    for preset in chosen.presets:
        if preset not in results:
            results.add(preset, measure(preset))
    print(table(results.results))
    if chosen.write_table:
        write_table("auto-judges", table(results.results))


if __name__ == "__main__":
    main()
