"""What `dpdrun recommend --probe 60s` picks, against the sweep over the learning rate on the same jobs.

    make probe            (or: python -m benchmarks.probe.run; after make learning-rate)

The sweep trained each rate for 1000 steps with one seed (benchmarks/learning_rate). Its best rates are those within 0.5
dB of its best score: closer than seeds lie apart. A pick inside of them cannot be told from the best.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table
from benchmarks.learning_rate.run import GRU, HIDDEN, RATES, STEPS, TRANSFORMER, WIDTHS
from dpdrun.recipe.loader import load_recipe

HERE = Path(__file__).parent
SWEEP = ROOT / "benchmarks" / "learning_rate" / "results.json"
TIE_DB = 0.5
TIME = "60s"


def jobs() -> dict[str, tuple[Path, tuple[str, ...]]]:
    """The jobs of the sweep, without a learning rate."""
    short = (f"train.max_steps={STEPS}", "train.phase_augment=off", "optim.lr=auto")
    found = {f"transformer/{d}": (TRANSFORMER, (f"model.d_model={d}", *short)) for d in WIDTHS}
    gru = {f"gru/{h}": (GRU, (f"model.hidden={h}", "data.source=opendpd/APA_200MHz", *short)) for h in HIDDEN}
    return found | gru


def probe(recipe: Path, sets: tuple[str, ...]) -> dict[str, Any]:
    """One probe, by the command that a user would type, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.yaml"
        path.write_text(load_recipe(recipe, list(sets)).effective_text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "dpdrun", "recommend", str(path), "--probe", TIME, "--format", "json"],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)["probe"]
    return {"machine": machine()} | {name: value for name, value in found.items() if name != "curve"}


def best_of_sweep(job: str) -> tuple[float, float]:
    """Lowest and highest rate of the sweep within TIE_DB of its best."""
    sweep = json.loads(SWEEP.read_text())
    scores = {float(lr): sweep[f"{job}/{lr}"]["val_nmse_db"] for lr in RATES}
    good = [lr for lr, db in scores.items() if db <= min(scores.values()) + TIE_DB]
    return min(good), max(good)


def table(results: dict[str, Any]) -> str:
    """A row for each job."""
    rows = []
    for job in jobs():
        this = results[job]
        low, high = best_of_sweep(job)
        outside = max(low / this["lr"], this["lr"] / high, 1.0)
        verdict = "inside" if outside == 1.0 else f"off by a factor of {outside:.1f}"
        rows.append(
            [job.replace("/", ", "), f"{this['lr']:g}", f"{this['lr_low']:g} to {this['lr_high']:g}",
             str(this["rates_tried"]), f"{low:g} to {high:g}", verdict, f"{this['clip_norm']:g}"]
        )  # fmt: skip
    return markdown(["APA_200MHz", "pick", "valley", "rates", "best of the sweep", "the pick is", "clip"], rows)


def main() -> None:
    """Measure what is missing, then write the table."""
    results = ResultsFile(HERE / "results.json")
    for job, (recipe, sets) in jobs().items():
        if job not in results:
            results.add(job, probe(recipe, sets))
            print(job, results.results[job]["lr"], flush=True)
    write_table("probe", table(results.results))


if __name__ == "__main__":
    main()
