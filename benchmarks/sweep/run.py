"""What a sweep of short runs costs next to a shell loop and to Optuna alone, and what a second worker brings.

    make sweep-overhead            (or: python -m benchmarks.sweep.run)

The short runs are the quickstart with 20 steps and as many seeds, so that process starts, reading the capture and
scoring weigh as much as they can; the long ones take 1,200 steps. A shell loop scores validation and test split of each
run, and so does Optuna's loop over `dpdrun.train` in one process; a sweep scores the test split of one configuration at
its end, here of all runs, since they are seeds of one. All cells are measured in one call, in rounds: medians of these.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table

HERE = Path(__file__).parent
ROUNDS = 1
DPDRUN = (sys.executable, "-m", "dpdrun")
RECIPE = str(ROOT / "recipes" / "quickstart.yaml")
OPTUNA = f"""
import sys, optuna, dpdrun
steps, runs, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def objective(trial):
    seed = trial.suggest_int("seed", 0, runs - 1)
    overrides = {{"train.max_steps": steps, "train.eval_every": steps // 2, "train.seed": seed}}
    run = dpdrun.train({RECIPE!r}, out=folder + f"/{{seed}}", overrides=overrides, progress=False)
    return run.scores.nmse_db["val"]
study = optuna.create_study(sampler=optuna.samplers.GridSampler({{"seed": list(range(runs))}}))
study.optimize(objective, n_trials=runs)
"""
SHELL, ALONE, ONE, TWO = "shell loop of `dpdrun train`", "Optuna alone", "`dpdrun sweep`", "`dpdrun sweep --workers 2`"
CELLS = {20: (SHELL, ALONE, ONE, TWO), 1200: (ONE, TWO)}  # by steps of a run
RUNS = {20: 8, 1200: 16}  # likewise


def commands(cell: str, steps: int, folder: Path) -> list[list[str]]:
    """Return the commands of a cell."""
    sets = ["--set", f"train.max_steps={steps}", "--set", f"train.eval_every={steps // 2}"]
    if cell == SHELL:
        words = [[f"train.seed={seed}", "--run-dir", str(folder / f"{seed}")] for seed in range(RUNS[steps])]
        return [[*DPDRUN, "train", RECIPE, *sets, "--set", *each] for each in words]
    if cell == ALONE:
        return [[sys.executable, "-c", OPTUNA, str(steps), str(RUNS[steps]), str(folder)]]
    workers = "2" if cell == TWO else "1"
    place = ("--run-dir", str(folder / "sweep"))
    return [[*DPDRUN, "sweep", RECIPE, *sets, "--seeds", str(RUNS[steps]), "--workers", workers, *place]]


def clocked(cell: str, steps: int, folder: Path) -> tuple[float, float]:
    """Return elapsed and processor time of all runs [s]."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for command in commands(cell, steps, folder):
        subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - began, spent


def scores(folder: Path) -> list[float]:
    """Return the validation scores of all runs [dB], to see that they are the same runs."""
    reports = sorted(folder.rglob("report.json"))
    return sorted(json.loads(path.read_text())["splits"]["val"]["nmse_db"] for path in reports)


def main() -> None:
    times: dict[tuple[int, str], list[tuple[float, float]]] = {}
    seen: dict[int, list[float]] = {}
    began_at = os.getloadavg()[0]
    for _ in range(ROUNDS):
        for steps, cells in CELLS.items():
            for cell in cells:
                with tempfile.TemporaryDirectory(prefix="dpdrun-study-") as place:
                    times.setdefault((steps, cell), []).append(clocked(cell, steps, Path(place)))
                    if seen.setdefault(steps, found := scores(Path(place))) != found:
                        raise SystemExit(f"{cell}, {steps} steps: not the runs of the first cell")
                print(steps, cell, times[steps, cell][-1], flush=True)
    results = ResultsFile(HERE / "results.json")
    results.results.clear()
    rows = []
    for (steps, cell), rounds in times.items():
        elapsed, spent = (median(each) for each in zip(*rounds, strict=True))
        results.add(f"{steps} steps, {cell}", {"elapsed_s": round(elapsed, 1), "processor_s": round(spent, 1),
                    "machine": machine(), "load_before": round(began_at, 1)})  # fmt: skip
        ratios = [
            median(
                first[which] / each[which] for first, each in zip(times[steps, CELLS[steps][0]], rounds, strict=True)
            )
            for which in (1, 0)
        ]
        rows.append(
            [
                f"{RUNS[steps]} of {steps:,} steps",
                cell,
                f"{spent / RUNS[steps]:.1f}",
                *(f"{ratio:.2f}" for ratio in ratios),
            ]
        )
    head = ["runs", "by", "processor time of a run [s]", "runs per core-hour, ratio to the first row",
            "runs per hour, ratio"]  # fmt: skip
    rounds_of = "One round" if ROUNDS == 1 else f"Medians of {ROUNDS} rounds"
    note = f"{machine()}. {rounds_of}; load {began_at:.1f} before."
    write_table("sweep", markdown(head, rows) + f"\n\n{note}")


if __name__ == "__main__":
    main()
