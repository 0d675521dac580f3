"""What a search over a whole recipe gains over the values of the rules, on captures of amplifiers: the rules' regret.

    make search-gain        (or: python -m benchmarks.sweep.search; resumable)

For each capture `dpdrun sweep` searches all that the rules of a Transformer's optimization decide (rate, decay, beta2,
warmup, clip, schedule) and the augmentation of phase, with the values of the rules as the first trial. All trials have
equal steps and the same model. The search chooses on the validation split, and the winner and the rules are both scored
on the test split, once. A search picks the best of many noisy scores, so a part of its gain on the validation split is
chance; the test column is what it gained.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table

HERE = Path(__file__).parent
CAPTURES = (
    "synthetic/mild", "synthetic/hard", "opendpd/APA_200MHz", "opendpd/DPA_200MHz", "opendpd/APA_200MHz_b",
    "opendpd/DPA_160MHz",
)  # fmt: skip
STEPS, TRIALS = 800, 20
OVER = {
    "optim.lr": "log:2e-3..1e-1",
    "optim.weight_decay": "log:1e-5..3e-1",
    "optim.beta2": [0.9, 0.95, 0.99, 0.999],
    "optim.warmup": ["2%", "5%", "7.5%", "10%", "20%"],
    "optim.clip_norm": "log:0.1..10",
    "optim.schedule": ["cosine", "linear"],
    "train.phase_augment": ["off", "on"],
}
RECIPE = """\
task: pa
data: {{source: {source}}}
model: {{kind: transformer, d_model: 8, layers: 2, heads: 2, window: 32}}
train: {{max_steps: {steps}}}
"""
SWEEP = """\
recipe: recipe.yaml
over: {over}
search: tpe
budget: {{trials: {trials}}}
prune: median
"""


def searched(source: str) -> dict[str, Any]:
    """Run (or go on with) the sweep on one capture; returns what it found."""
    folder = ROOT / "build" / "search" / source.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(source=source, steps=STEPS))
    (folder / "sweep.yaml").write_text(SWEEP.format(over=json.dumps(OVER), trials=TRIALS))
    command = [sys.executable, "-m", "dpdrun", "sweep", str(folder / "sweep.yaml"), "--workers", "1",
               "--run-dir", str(folder / "sweep")]  # fmt: skip
    subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    found = json.loads((folder / "sweep" / "sweep.json").read_text())
    rules = found["points"][0]
    best = min(
        (point for point in found["points"] if "val_nmse_db" in point["objectives"]),
        key=lambda point: point["objectives"]["val_nmse_db"]["mean"],
    )
    return {
        "rules_val_db": rules["objectives"]["val_nmse_db"]["mean"], "rules_test_db": rules["test_db"]["mean"],
        "best_val_db": best["objectives"]["val_nmse_db"]["mean"], "best_test_db": best["test_db"]["mean"],
        "best": best["config"], "core_hours": found["core_hours"], "trials": found["trials"], "machine": machine(),
    }  # fmt: skip


def main() -> None:
    results = ResultsFile(HERE / "search.json")
    for source in CAPTURES:
        if source not in results:
            results.add(source, searched(source))
        print(source, json.dumps(results.results[source]), flush=True)
    rows, gains = [], []
    for source in CAPTURES:
        each = results.results[source]
        gains.append(each["rules_test_db"] - each["best_test_db"])
        rows.append([
            f"`{source}`", f"{each['rules_val_db']:.2f} / {each['rules_test_db']:.2f}",
            f"{each['best_val_db']:.2f} / {each['best_test_db']:.2f}", f"{gains[-1]:+.2f}", f"{each['core_hours']:.2f}",
            f"{each['trials']['pruned']}",
        ])  # fmt: skip
    head = ["capture", "rules, val / test [dB]", "search, val / test [dB]", "gain on test [dB]", "core-hours", "pruned"]
    summary = f"Gain of the search on test: median {median(gains):+.2f} dB, largest {max(gains):+.2f} dB."
    write_table("search", f"{markdown(head, rows)}\n\n{summary} {TRIALS} trials of {STEPS} steps each, one seed.")


if __name__ == "__main__":
    main()
