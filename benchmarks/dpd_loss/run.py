"""Does a loss over the spectrum pay for a small predistorter? Mean square error against weights in and out of the band.

    make dpd-loss            (or: python -m benchmarks.dpd_loss.run)

The Transformer of recipes/apa_200mhz_b_dpd.yaml (1,394 parameters) learns through one frozen PA model, trained here
from its recipe. Three seeds, two lengths; all else as the rules set it, so that a loss is all that differs. `1:1` is
the control: it weighs as the time domain does, and differs from it by the window over a frame alone. Only scores of the
validation part are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine, markdown, trained, write_table

HERE = Path(__file__).parent
PA, DPD = ROOT / "recipes" / "apa_200mhz_b_transformer.yaml", ROOT / "recipes" / "apa_200mhz_b_dpd.yaml"
PA_STEPS = 3000
STEPS = (600, 2000)
SEEDS = (0, 1, 2)
LOSSES = {
    "time": "time",
    "1:1": "{in_band: 1, out_of_band: 1}",
    "1:3": "{in_band: 1, out_of_band: 3}",
    "1:10": "{in_band: 1, out_of_band: 10}",
}
FIGURES = ("nmse_db", "in_band_db", "aclr_worse_db", "objective_db")


def jobs() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every run: name, overrides of the recipe."""
    for steps in STEPS:
        for seed in SEEDS:
            for name, loss in LOSSES.items():
                sets = (f"train.max_steps={steps}", f"train.seed={seed}", f"train.loss={loss}")
                yield f"{steps}/{name}/{seed}", sets


def measured(pa: Path, sets: tuple[str, ...]) -> dict[str, Any]:
    """Validation scores of one predistorter through the PA model of a run."""
    with trained(DPD, f"pa={pa}", *sets) as (run, _):
        report = json.loads((run / "report.json").read_text())
    val = report["splits"]["val"]
    return {
        "sets": list(sets),
        "machine": machine(),
        "parameters": report["parameters"],
        "pa_val_nmse_db": report["pa"]["nmse_db"]["val"],
        "pa_sha256": report["pa"]["sha256"],
        "holds_power": val["holds_power"],
        "seconds": round(report["seconds"], 1),
        **{name: round(val[name], 3) for name in FIGURES},
    }


def table(results: dict[str, Any]) -> str:
    """A row a loss and length: means over seeds of the validation scores, and the range of the objective."""
    rows = []
    for steps in STEPS:
        runs = {name: [results[f"{steps}/{name}/{seed}"] for seed in SEEDS] for name in LOSSES}
        best = min(LOSSES, key=lambda name: mean(run["objective_db"] for run in runs[name]))
        for name, found in runs.items():
            means = [f"{mean(run[figure] for run in found):.2f}" for figure in FIGURES]
            if name == best:
                means[-1] = f"**{means[-1]}**"
            scores = [run["objective_db"] for run in found]
            rows.append([f"{steps:,} steps, {name}", *means, f"{max(scores) - min(scores):.2f}"])
    head = ["validation [dB]; in:out weights", "NMSE", "in-band error", "ACLR, worse side", "objective", "its range"]
    return markdown(head, rows)


def main() -> None:
    """Measure what is missing, then write the table."""
    results = ResultsFile(HERE / "results.json")
    missing = [job for job in jobs() if job[0] not in results]
    if missing:
        with trained(PA, f"train.max_steps={PA_STEPS}") as (pa, _):
            for name, sets in missing:
                results.add(name, measured(pa, sets))
                print(f"{name}: objective {results.results[name]['objective_db']:.2f} dB", flush=True)
    write_table("dpd-loss", table(results.results))


if __name__ == "__main__":
    main()
