"""How far off is the estimated time of a predistorter, whose steps go through a frozen PA model? Real steps, timed.

    python -m benchmarks.effort.through            (part of make effort)

The estimate adds what the PA model would cost if it trained alone (`dpdrun.plan.cost`); nothing is fitted here. Each
setting is a short run in a process of its own with one thread, in processor time, through a PA model of a few steps:
what it says does not matter for the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine, trained

HERE = Path(__file__).parent
RECIPES = ROOT / "recipes"
SETTINGS = {
    "transformer d_model 8": (),
    "transformer d_model 16": ("model.d_model=16",),
    "transformer d_model 8, batch 32": ("train.batch_size=32",),
    "transformer d_model 32, batch 32": ("model.d_model=32", "train.batch_size=32"),
    "gru hidden 16": ("model={kind: gru, hidden: 16}",),
    "gru hidden 23, batch 32": ("model={kind: gru, hidden: 23}", "train.batch_size=32"),
}
STEPS, SETTLING = 40, 5  # the first steps are not counted


def measured(pa: str, sets: list[str]) -> dict[str, Any]:
    """Estimated and real time of a step, in this process [s]."""
    import torch

    from dpdrun.plan.cost import measure_speed
    from dpdrun.plan.plan import estimate_of
    from dpdrun.plan.prepare import pa_section
    from dpdrun.recipe.loader import load_recipe
    from dpdrun.training import job

    torch.set_num_threads(1)
    short = (f"pa={pa}", "dpd.weak_pa=accept", f"train.max_steps={STEPS}", "optim.warmup=2")
    loaded = load_recipe(RECIPES / "apa_200mhz_b_dpd.yaml", [*short, *sets])
    plan, capture = job.prepare_training(loaded)
    speed, section = measure_speed(), pa_section(plan)
    found = [estimate_of(plan, val_samples=len(capture.val), pa=each, speed=speed) for each in (section, None)]
    assert found[0] is not None
    assert found[1] is not None
    time.perf_counter = time.process_time  # what a run logs is then processor time, as in the rest of this study
    with tempfile.TemporaryDirectory() as folder:
        job.train(loaded, Path(folder) / "run")
        lines = [json.loads(line) for line in (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step_s"] for line in lines if line["kind"] == "step"]
    return {
        "machine": machine(),
        "step_s": round(median(steps[SETTLING:]), 5),
        "estimate_s": round(found[0].step_s, 5),
        "estimate_without_pa_s": round(found[1].step_s, 5),
    }


def main() -> None:
    """Measure what is missing, then say by which factors the estimates are off."""
    results = ResultsFile(HERE / "through.json")
    missing = [name for name in SETTINGS if name not in results]
    if missing:
        with trained(RECIPES / "apa_200mhz_b_transformer.yaml", "train.max_steps=20") as (pa, _):
            for name in missing:
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.effort.through", str(pa), *SETTINGS[name]],
                    cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode:
                    raise SystemExit(done.stderr)
                results.add(name, json.loads(done.stdout.splitlines()[-1]))
    for name, result in results.results.items():
        print(
            f"{name}: {1e3 * result['step_s']:.1f} ms, estimate over real {result['estimate_s'] / result['step_s']:.2f}"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1], sys.argv[2:])))
    else:
        main()
