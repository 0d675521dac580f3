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
from torch.nn.utils import vector_to_parameters

from benchmarks.arena.board import DATA
from benchmarks.arena.judge import MODELS, TRAINING, load
from benchmarks.arena.protocol import Arena, parameters
from benchmarks.common import ROOT, machine
from dpdrun import load_recipe
from dpdrun.recipe.schema import DataSection
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import checkpoint
from dpdrun.training.job import load_run, train
from dpdrun.training.lm.refine import refined_so_far

RECIPES = Path(__file__).parent / "recipes"
STARTS = Path(__file__).parent / "starts"  # predistorters that a recipe continues from, with their own recipes
RUNS = ROOT / "build" / "arena-runs"
GRU_994 = {"in_band_db": -49.6, "aclr_worse_db": -50.1}  # EVM and worse-side ACLR of their row, on their test part


def train_one(arena: Arena, name: str, seed: int, run_dir: Path) -> dict[str, Any]:
    """Train one recipe with one seed and file what came of it.

    Returns:
        Its line of training.json.

    Raises:
        ValueError: the recipe trains on other data than the Arena's, or settles on another gain or limit.
    """
    loaded = load_recipe(RECIPES / f"{name}.yaml", [f"train.seed={seed}", *start(arena, name, seed)])
    if loaded.recipe.data != DataSection.model_validate(DATA):
        raise ValueError(f"{name}: data is not that of the Arena's board")
    began, cpu = time.perf_counter(), time.process_time()
    report = train(loaded, run_dir, pa=arena.amplifier)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    model, plan, run = load_run(run_dir)
    made = plan.predistortion
    if made is None or abs(made.gain / arena.gain - 1) > 1e-6 or abs(made.peak_limit - arena.peak) > 1e-6:
        raise ValueError(f"{name}: gain and limit are {made}, the Arena's {arena.gain} and {arena.peak}")
    iteration = keep(arena, run, MODELS / f"{name}-seed{seed}")
    adam, model = report["seconds"], load(MODELS / f"{name}-seed{seed}")
    return {
        "parameters": parameters(model),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "iteration": iteration,
        "adam_seconds": round(adam, 1),
        "threads": torch.get_num_threads(),
        "finish": report["finish"],
        "validation": arena.validate(model),
        "seconds_to_gru_994": seconds_to(run, GRU_994, adam),
    }


def start(arena: Arena, name: str, seed: int) -> list[str]:
    """Return the override by which a recipe continues from a predistorter of `starts`; none where it has none.

    A recipe continues from run folders only, so the stored tensors are put into one, of a single step.
    """
    folder = STARTS / f"{name}-seed{seed}"
    if not folder.is_dir():
        return []
    run_dir = RUNS / f"{folder.name}-start"
    shutil.rmtree(run_dir, ignore_errors=True)
    short = ["optim.refine=off", "optim.refine_iterations=100", "train.max_steps=1"]
    train(load_recipe(folder / "recipe.yaml", short), run_dir, pa=arena.amplifier, splits=("val",))
    shutil.copyfile(folder / "model.safetensors", RunFolder(run_dir).model)
    return [f"train.init_from={run_dir.relative_to(ROOT)}"]


def adam_alone(arena: Arena, name: str, seed: int, steps: int, run_dir: Path) -> dict[str, Any]:
    """The same model by AdamW alone: as many steps as take the time of the refinement. Nothing of it is kept.

    In the time domain, which suits AdamW better than weights over the spectrum (`make dpd-loss`).
    """
    off = ["optim.refine=off", "optim.refine_iterations=100", "train.loss=time", f"train.max_steps={steps}"]
    loaded = load_recipe(RECIPES / f"{name}.yaml", [*off, f"train.seed={seed}"])
    report = train(loaded, run_dir, pa=arena.amplifier)
    model, _, _ = load_run(run_dir)
    return {"steps": steps, "seconds": round(report["seconds"], 1), "validation": arena.validate(model)}


def keep(arena: Arena, run: RunFolder, folder: Path) -> int:
    """File recipe and tensors of a run: of its best model, or of its last one where the Arena prefers it on validation.

    The two objectives see the validation part differently: the Arena's is that of one segment of 4,096 samples, ours of
    five over the complete part, whose first samples are the record's cold start.

    Returns:
        The iteration of the refinement that was filed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.recipe, folder / "recipe.yaml")
    shutil.copyfile(run.model, folder / "model.safetensors")
    done = refined_so_far(run)
    best, last = load(folder), load(folder)
    vector_to_parameters(checkpoint.read(run.refinement)[0]["theta"], last.parameters())
    if arena.validate(last)["objective_db"] >= arena.validate(best)["objective_db"]:
        return done.best_iteration
    checkpoint.save_model(folder / "model.safetensors", last, checkpoint.read_header(run.model))
    return done.iterations


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
            began = results.get("starts", {}).get(f"{name}-seed{seed}")
            if began and not args.adam_alone:  # what it continues from was trained too, and had reached that level
                line["seconds"] = round(line["seconds"] + began["seconds"], 1)
                line["seconds_to_gru_994"] = began["seconds_to_gru_994"]
            results.setdefault("adam_alone" if args.adam_alone else "runs", {})[f"{name}-seed{seed}"] = line
            TRAINING.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
            print(f"{name} seed {seed}: {json.dumps(line)}", flush=True)


if __name__ == "__main__":
    main()
