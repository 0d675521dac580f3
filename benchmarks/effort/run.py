"""How far off is the estimated time and memory of a plan? Steps of real plans, timed, against `dpdrun.plan.cost`.

    make effort            (or: python -m benchmarks.effort.run)

Each setting is built in a process of its own with one thread: a few optimizer steps (their median counts), one scoring
of the validation part, and the peak of the process's memory. Times are of the processor, which on a shared machine is
what a step takes when nobody else wants the core; `benchmarks.effort.whole` measures the memory of whole runs. The
costs of dpdrun/plan/cost.py are fitted to every second setting (`python -m benchmarks.effort.fit` prints them); the
table shows how the others are met.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine

HERE = Path(__file__).parent
SOURCE = "opendpd/APA_200MHz"
STEPS, BUDGET_S = 9, 5.0  # at least three steps


def settings() -> dict[str, dict[str, Any]]:
    """Every setting by name: `model` and `train` of a recipe."""
    found: dict[str, dict[str, Any]] = {}
    for d_model in (8, 16, 32, 64, 128, 256):
        for layers in (1, 2, 4):
            for batch in (8, 32):
                if (d_model, batch) == (256, 32) and layers == 4:
                    continue  # half a minute a step
                found[f"transformer/d_model {d_model}/layers {layers}/batch {batch}"] = _transformer(
                    d_model, layers, batch
                )
    for window, frame in ((16, 256), (64, 512), (128, 1024)):
        for d_model in (16, 32):
            found[f"transformer/d_model {d_model}/window {window}/frame {frame}"] = _transformer(
                d_model, 2, 8, window=window, frame=frame
            )
    for hidden in (8, 16, 23, 32, 64):
        for layers in (1, 2):
            for batch in (8, 32):
                found[f"gru/hidden {hidden}/layers {layers}/batch {batch}"] = {
                    "model": {"kind": "gru", "hidden": hidden, "layers": layers},
                    "train": {"batch_size": batch, "frame": 256, "burn_in": 64, "max_steps": 1000},
                }
    return found


def _transformer(d_model: int, layers: int, batch: int, *, window: int = 32, frame: int = 256) -> dict[str, Any]:
    heads = max(2, d_model // 8)
    model = {"kind": "transformer", "d_model": d_model, "layers": layers, "heads": heads, "window": window}
    return {"model": model, "train": {"batch_size": batch, "frame": frame, "burn_in": frame // 4, "max_steps": 1000}}


def measured(setting: dict[str, Any]) -> dict[str, Any]:
    """Time and memory of one setting, in this process."""
    import torch

    from dpdrun.data.sources import load_capture
    from dpdrun.plan.cost import measure_speed
    from dpdrun.plan.plan import make_plan
    from dpdrun.recipe.schema import Recipe
    from dpdrun.training.probe import ProbeRun
    from dpdrun.training.task import evaluate_split

    torch.set_num_threads(1)
    recipe = Recipe.model_validate({"task": "pa", "data": {"source": SOURCE}, **setting, "optim": {"lr": 1e-3}})
    capture = load_capture(recipe.data)
    plan = make_plan(recipe, len(capture.train))
    speed = asdict(measure_speed())
    before = _peak_mib()
    run = ProbeRun(plan, capture, seed=0)
    run.step(1, 1e-3)
    began, times = time.perf_counter(), list[float]()
    while len(times) < STEPS and (len(times) < 3 or time.perf_counter() - began < BUDGET_S):
        processor = time.process_time()
        run.step(len(times) + 2, 1e-3)
        times.append(time.process_time() - processor)
    wall = (time.perf_counter() - began) / len(times)
    after_steps = _peak_mib()
    processor = time.process_time()
    evaluate_split(run.model, capture, plan)
    score_s = time.process_time() - processor
    return {
        "machine": machine(),
        "setting": setting,
        "step_s": round(median(times), 6),
        "wall_s": round(wall, 6),
        "steps": len(times),
        "score_s": round(score_s, 6),
        "val_samples": len(capture.val),
        "before_mib": round(before, 1),
        "steps_mib": round(after_steps, 1),
        "score_mib": round(_peak_mib(), 1),
        "speed": speed,
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure what is missing, then write the table."""
    results = ResultsFile(HERE / "results.json")
    for name, setting in settings().items():
        if name in results:
            continue
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.effort.run", json.dumps(setting)],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        result = json.loads(done.stdout)
        results.add(name, result)
        print(f"{name}: {result['step_s'] * 1e3:.1f} ms a step, {result['score_mib']:.0f} MiB", flush=True)
    from benchmarks.effort.table import write

    write(results.results)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(json.loads(sys.argv[1]))))
    else:
        main()
