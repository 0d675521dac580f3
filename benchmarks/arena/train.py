"""Trains predistorters for the Arena through dpdrun's Python API, with the Arena's frozen amplifier as the PA model.

make arena-train        (or: build/arena-env/bin/python -m benchmarks.arena.train NAME... [--seeds 0 1 2])

Data, split, gain and limit are the Arena's (`board`). A predistorter learns from the training part and is selected on
the validation part; nothing of the test part is read from a run's report, and only `judge` looks at it. Recipe and
tensors of each run go to benchmarks/arena/models, its times and validation scores to training.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.arena.board import DATA
from benchmarks.arena.judge import MODELS, TRAINING
from benchmarks.arena.protocol import Arena, parameters
from benchmarks.common import ROOT, machine
from dpdrun import load_recipe
from dpdrun.recipe.schema import DataSection
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training.job import load_run, train

RECIPES = Path(__file__).parent / "recipes"
RUNS = ROOT / "build" / "arena-runs"
GRU_994 = {"in_band_db": -49.6, "aclr_worse_db": -50.1}  # EVM and worse-side ACLR of their row, on their test part


def train_one(arena: Arena, name: str, seed: int, run_dir: Path) -> dict[str, Any]:
    """Train one recipe with one seed and file what came of it.

    Returns:
        Its line of training.json.

    Raises:
        ValueError: the recipe trains on other data than the Arena's, or settles on another gain or limit.
    """
    loaded = load_recipe(RECIPES / f"{name}.yaml", [f"train.seed={seed}"])
    if loaded.recipe.data != DataSection.model_validate(DATA):
        raise ValueError(f"{name}: data is not that of the Arena's board")
    began, cpu = time.perf_counter(), time.process_time()
    report = train(loaded, run_dir, pa=arena.amplifier)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    model, plan, run = load_run(run_dir)
    made = plan.predistortion
    if made is None or abs(made.gain / arena.gain - 1) > 1e-6 or abs(made.peak_limit - arena.peak) > 1e-6:
        raise ValueError(f"{name}: gain and limit are {made}, the Arena's {arena.gain} and {arena.peak}")
    keep(run, MODELS / f"{name}-seed{seed}")
    adam = report["seconds"]
    return {
        "parameters": parameters(model),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "adam_seconds": round(adam, 1),
        "threads": torch.get_num_threads(),
        "finish": report["finish"],
        "validation": arena.validate(model),
        "seconds_to_gru_994": seconds_to(run, GRU_994, adam),
    }


def adam_alone(arena: Arena, name: str, seed: int, steps: int, run_dir: Path) -> dict[str, Any]:
    """The same model by AdamW alone: as many steps as take the time of the refinement. Nothing of it is kept.

    In the time domain, which suits AdamW better than weights over the spectrum (`make dpd-loss`).
    """
    off = ["optim.refine=off", "optim.refine_iterations=100", "train.loss=time", f"train.max_steps={steps}"]
    loaded = load_recipe(RECIPES / f"{name}.yaml", [*off, f"train.seed={seed}"])
    report = train(loaded, run_dir, pa=arena.amplifier)
    model, _, _ = load_run(run_dir)
    return {"steps": steps, "seconds": round(report["seconds"], 1), "validation": arena.validate(model)}


def keep(run: RunFolder, folder: Path) -> None:
    """File recipe and tensors of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.recipe, folder / "recipe.yaml")
    shutil.copyfile(run.model, folder / "model.safetensors")


def seconds_to(run: RunFolder, level: dict[str, float], adam: float) -> float | None:
    """Training time until a scoring of the validation part was at least as good as `level` in each figure [s]."""
    for line in read_metrics(run.path).refinements:
        if all(line[key] <= value for key, value in level.items()):
            return round(adam + float(line["seconds"]), 1)
    return None


def main() -> None:
    """Train what is asked for, and keep the results file up to date after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    parser.add_argument("names", nargs="*", default=known, help=f"recipes: {', '.join(known)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--adam-alone", type=int, metavar="STEPS", help="for comparison: no finish, this many steps")
    args = parser.parse_args()
    arena = Arena()
    for name in args.names:
        for seed in args.seeds:
            run_dir = RUNS / f"{name}-seed{seed}{'-adam' if args.adam_alone else ''}"
            shutil.rmtree(run_dir, ignore_errors=True)
            line = (
                adam_alone(arena, name, seed, args.adam_alone, run_dir) if args.adam_alone
                else train_one(arena, name, seed, run_dir)
            )  # fmt: skip
            results = json.loads(TRAINING.read_text()) if TRAINING.is_file() else {}
            results["machine"] = machine()
            results.setdefault("adam_alone" if args.adam_alone else "runs", {})[f"{name}-seed{seed}"] = line
            TRAINING.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
            print(f"{name} seed {seed}: {json.dumps(line)}", flush=True)


if __name__ == "__main__":
    main()
