"""What a sweep of short runs costs next to a shell loop over the same runs: ratios from one run on this machine.

    make sweep-overhead            (or: python -m benchmarks.sweep.run)

The runs are the quickstart with 20 steps and as many seeds, so that process starts, reading the capture and scoring
weigh as much as they can. A shell loop scores validation and test split of each run; a sweep scores the test split of
one configuration at its end, here of all runs, since they are seeds of one. Processor time is less disturbed by other
work on the machine than elapsed time; both are shown.
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

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table

HERE = Path(__file__).parent
SEEDS = 8
DPDRUN = (sys.executable, "-m", "dpdrun")
RECIPE = str(ROOT / "recipes" / "quickstart.yaml")
SETS = ("--set", "train.max_steps=20", "--set", "train.eval_every=10")
CELLS = {
    "shell loop of `dpdrun train`": None,
    "`dpdrun sweep --workers 1`": 1,
    "`dpdrun sweep --workers 2`": 2,
}


def clocked(workers: int | None, folder: Path) -> tuple[float, float]:
    """Return elapsed and processor time of all runs [s]."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if workers is None:
        commands = [
            [*DPDRUN, "train", RECIPE, *SETS, "--set", f"train.seed={seed}", "--run-dir", str(folder / f"{seed}")]
            for seed in range(SEEDS)
        ]
    else:
        place = ("--run-dir", str(folder / "sweep"))
        commands = [[*DPDRUN, "sweep", RECIPE, *SETS, "--seeds", str(SEEDS), "--workers", str(workers), *place]]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for command in commands:
        subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - began, spent


def scores(folder: Path) -> list[float]:
    """Return the validation scores of all runs [dB], to see that they are the same runs."""
    reports = sorted(folder.rglob("report.json"))
    return sorted(json.loads(path.read_text())["splits"]["val"]["nmse_db"] for path in reports)


def main() -> None:
    results = ResultsFile(HERE / "results.json")
    seen: list[float] = []
    for name, workers in CELLS.items():
        if name in results:
            continue
        with tempfile.TemporaryDirectory(prefix="dpdrun-study-") as place:
            elapsed, spent = clocked(workers, Path(place))
            found = scores(Path(place))
        if seen and found != seen:
            raise SystemExit(f"{name}: not the runs of the first cell")
        seen = found
        results.add(name, {"elapsed_s": round(elapsed, 1), "processor_s": round(spent, 1), "machine": machine(),
                           "load": round(os.getloadavg()[0], 1)})  # fmt: skip
        print(name, results.results[name], flush=True)
    rows = []
    first = results.results[next(iter(CELLS))]
    for name in CELLS:
        each = results.results[name]
        rows.append([
            name, f"{each['processor_s'] / SEEDS:.1f}", f"{first['processor_s'] / each['processor_s']:.2f}",
            f"{first['elapsed_s'] / each['elapsed_s']:.2f}", f"{each['load']:.0f}",
        ])  # fmt: skip
    head = [f"{SEEDS} runs of 20 steps", "processor time of a run [s]", "runs per core-hour / shell loop",
            "runs per hour / shell loop", "load of the machine"]  # fmt: skip
    write_table("sweep", markdown(head, rows) + f"\n\n{first['machine']}. One round.")


if __name__ == "__main__":
    main()
