"""The sweep of one workload: an adaptive grid over log2(lr), then the advisors that must be run. Prints JSON lines.

python -m benchmarks.regret.sweep NAME [RESULTS]       (run.py calls this; known trials are not repeated)
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.regret.workloads import WORKLOADS, Workload

COARSE = (-12.0, -10.0, -8.0, -6.0, -4.0)  # log2(lr): 2.4e-4 to 6e-2
REACH = (-16.0, 0.0)  # the grid grows at an edge that holds the best, up to here
SILENCE_DB = 0.0  # a run that diverged, or ended worse than predicting nothing, counts as this

Score = Callable[[float], float]


def refined(score: Score) -> dict[float, float]:
    """Median score by log2(lr): a coarse grid, grown until it holds the best, then half-octaves around the best."""
    seen = {exponent: score(exponent) for exponent in COARSE}
    while True:
        best = min(seen, key=lambda exponent: seen[exponent])
        edge = {min(seen): -2.0, max(seen): 2.0}.get(best)
        wanted = [best + edge] if edge and REACH[0] <= best + edge <= REACH[1] else []
        wanted += [best - 1.0, best + 1.0, best - 0.5, best + 0.5]
        missing = [exponent for exponent in wanted if exponent not in seen]
        if not missing:
            return seen
        seen[missing[0]] = score(missing[0])


def lr_of(exponent: float) -> str:
    """The learning rate as it stands in a recipe; full precision, so that a trial can be repeated to the bit."""
    return repr(2.0**exponent)


def run(workload: Workload, known: dict[str, Any]) -> None:
    """Run every trial of a workload that is not known yet; print a JSON line for each and enter it into `known`."""
    import torch

    from benchmarks.regret.trial import range_test, trial

    torch.set_num_threads(1)

    def one(name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        key = f"{workload.name}/{name}"
        if key not in known:
            known[key] = measure()
            print(json.dumps({"name": key, "result": known[key]}), flush=True)
        found: dict[str, Any] = known[key]
        return found

    def score(exponent: float) -> float:
        scores = []
        for seed in range(workload.seeds):
            sets = (f"optim.lr={lr_of(exponent)}",)
            result = one(f"lr/{exponent:g}/{seed}", lambda seed=seed, sets=sets: trial(workload, seed, sets))
            scores.append(score_of(result))
        return statistics.median(scores)

    refined(score)
    for seed in range(workload.seeds):
        one(f"range_test/{seed}", lambda seed=seed: {"lr": range_test(workload, seed)})
        for optimizer, sets in ADVISED_RUNS.items():
            one(f"{optimizer}/{seed}", lambda s=seed, o=optimizer, v=sets: trial(workload, s, v, o))


# As their authors advise: Prodigy with lr 1 and a cosine without warmup, schedule-free AdamW with lr 0.0025, warmup
# and no schedule.
ADVISED_RUNS = {
    "prodigy": ("optim.lr=1.0", "optim.warmup=off", "optim.schedule=cosine"),
    "schedule_free": ("optim.lr=0.0025", "optim.schedule=constant"),
}


def score_of(result: dict[str, Any]) -> float:
    """Validation NMSE of a trial, SILENCE_DB at most [dB]."""
    score = result["val_nmse_db"]
    return SILENCE_DB if score is None else min(score, SILENCE_DB)


def main() -> None:
    """Run what is missing of one workload."""
    name, results = sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None
    known = json.loads(results.read_text()) if results and results.is_file() else {}
    workload = next(each for each in WORKLOADS if each.name == name)
    run(workload, known)


if __name__ == "__main__":
    main()
