"""Study: which faults between processes the RK rules name, and what they say of healthy runs.

    make ranks      # about ten minutes on two cores; what is in results.json is not measured again

Real runs of two processes on the synthetic capture, healthy and with a fault in the second process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, ResultsFile, markdown, write_table
from benchmarks.ranks.faults import FAULTS
from benchmarks.ranks.trial import PA, STEPS, WORKLOADS
from dpdrun.distributed.launcher import Hosts

HEALTHY = "healthy"
# Thresholds were set on runs with the seeds 0 to 3; these were scored once
HEALTHY_SEEDS, FAULTY_SEEDS = range(10, 18), range(10, 11)


def names() -> list[str]:
    """All runs: fault/workload/seed."""
    healthy = [f"{HEALTHY}/{workload}/{seed}" for workload, seed in product(WORKLOADS, HEALTHY_SEEDS)]
    return healthy + ["/".join(map(str, each)) for each in product(FAULTS, WORKLOADS, FAULTY_SEEDS)]


def measure(results: ResultsFile, wanted: list[str]) -> None:
    """Run what is not in the results yet, in one pair of processes."""
    with tempfile.TemporaryDirectory(prefix="dpdrun-ranks-") as folder:
        _train_pa(Path(folder))
        where = Hosts(2).meeting(Path(folder))
        pair = []
        for rank in range(2):
            environment = os.environ | where | {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
            }  # fmt: skip
            program = [sys.executable, "-m", "benchmarks.ranks.trial", folder, *wanted]
            pair.append(subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True))
        assert pair[0].stdout is not None
        for line in pair[0].stdout:
            entry = json.loads(line)
            results.add(entry["name"], entry["result"])
            print(entry["name"], entry["result"], flush=True)
        if sum(process.wait() for process in pair):
            raise SystemExit("a process failed")


def _train_pa(folder: Path) -> None:
    (folder / "pa.yaml").write_text(PA)
    program = [sys.executable, "-m", "dpdrun", "train", str(folder / "pa.yaml"), "--run-dir", str(folder / "pa")]
    subprocess.run(program, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def table(results: dict[str, Any]) -> str:
    """How many runs were named rightly, by fault."""
    rows = []
    for fault, (_, right) in FAULTS.items():
        found = [result for name, result in results.items() if name.startswith(f"{fault}/")]
        named = sum(bool(right & set(result["codes"])) for result in found)
        others = sorted({code for result in found for code in result["codes"]} - right)
        refused = sum(result["ended"] != "done" for result in found)
        rows.append([fault, ", ".join(sorted(right)), f"{named} of {len(found)}", ", ".join(others) or "none",
                     f"{refused} of {len(found)}"])  # fmt: skip
    healthy = {name: result for name, result in results.items() if name.startswith(f"{HEALTHY}/")}
    alarms = sum(bool(result["codes"]) for result in healthy.values())
    largest = max(result["largest_z"] for result in healthy.values())
    rows.append([f"none: largest deviation {largest:.1f}", "", f"{alarms} of {len(healthy)} alarms", "",
                 f"{sum(result['ended'] != 'done' for result in healthy.values())} of {len(healthy)}"])  # fmt: skip
    header = ["fault in the second process", "rule", "named", "also said", "run refused by its audit"]
    return markdown(header, rows)


def main() -> None:
    """Measure what is missing, write the table."""
    results = ResultsFile(Path(__file__).with_name("results.json"))
    wanted = [name for name in names() if name not in results]
    print(f"{len(wanted)} runs of {STEPS} steps")
    if wanted:
        measure(results, wanted)
    write_table("ranks", table(results.results))


if __name__ == "__main__":
    main()
