"""How many samples a refinement by Levenberg-Marquardt needs: a long capture, thinned and complete.

    make refine-samples       (or: python -m benchmarks.auto.samples)

The predistorter of 496 parameters of benchmarks/arena on OpenDPD's DPA_160MHz, with 294,912 samples to train on,
through a Transformer, with `optim.refine_samples_per_parameter` of so many. Equal iterations, one seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table
from dpdrun.run.scores import as_chosen

RESULTS = Path(__file__).parent / "samples.json"
FOLDER = ROOT / "build" / "refine-samples"
RECIPE = ROOT / "benchmarks" / "arena" / "recipes" / "transformer-500.yaml"
SOURCE = "opendpd/DPA_160MHz"
PA = f"""\
task: pa
data: {{source: {SOURCE}}}
model: {{kind: transformer, d_model: 16, layers: 2, heads: 2, window: 32}}
train: {{max_steps: 1200}}
"""
EACH = (128,)  # samples for each parameter, then all
SCORES = ("nmse_db", "in_band_db", "aclr_worse_db", "objective_db")


def train(recipe: Path, run: Path, *sets: str) -> dict[str, Any]:
    """Train a recipe, unless that is done; its report."""
    if not (run / "report.json").is_file():
        changed = (word for each in sets for word in ("--set", each))
        command = [sys.executable, "-m", "dpdrun", "train", str(recipe), *changed, "--run-dir", str(run)]
        subprocess.run([*command, "--auto-resume"], cwd=ROOT, check=True)
    report: dict[str, Any] = as_chosen(json.loads((run / "report.json").read_text()))
    return report


def measure(each: int | None, iterations: int) -> dict[str, Any]:
    """Refine with so many samples for each parameter (None: all); scores and time."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "pa.yaml").write_text(PA)
    train(FOLDER / "pa.yaml", FOLDER / "pa")
    report = train(
        RECIPE, FOLDER / f"{each or 'all'}-{iterations}", f"pa={FOLDER / 'pa'}", f"data={{source: {SOURCE}}}",
        f"optim.refine_iterations={iterations}", f"optim.refine_samples_per_parameter={each or 'all'}",
        "dpd.weak_pa=accept",
    )  # fmt: skip
    scores = {split: {name: round(report["splits"][split][name], 3) for name in SCORES} for split in ("val", "test")}
    seconds = report["finish"]["seconds"] / report["finish"]["iterations"]
    return {**scores, "iterations": iterations, "seconds_each": round(seconds, 3), "machine": machine()}


def table(results: dict[str, Any]) -> str:
    """A row for each number of samples."""
    header = ["samples for each parameter", "iterations", "s an iteration", "objective, val [dB]", "NMSE, test [dB]",
              "in band", "ACLR, worse side", "objective"]  # fmt: skip
    rows = [
        [key.split()[0], str(each["iterations"]), f"{each['seconds_each']:.2f}", f"{each['val']['objective_db']:.2f}",
         *(f"{each['test'][name]:.2f}" for name in SCORES)]
        for key, each in sorted(results.items(), key=lambda item: (item[1]["iterations"], item[1]["seconds_each"]))
    ]  # fmt: skip
    return markdown(header, rows)


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description="how many samples a refinement needs")
    parser.add_argument("each", nargs="*", default=[*EACH, 0], type=int, help="for each parameter; 0 = all")
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--write-table", action="store_true", help="also into docs/results.md, between its markers")
    chosen = parser.parse_args()
    results = ResultsFile(RESULTS)
    for each in chosen.each:
        key = f"{each or 'all'} {chosen.iterations}"
        if key not in results:
            results.add(key, measure(each or None, chosen.iterations))
    print(table(results.results))
    if chosen.write_table:
        write_table("refine-samples", table(results.results))


if __name__ == "__main__":
    main()
