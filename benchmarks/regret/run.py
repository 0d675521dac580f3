"""How far is the best learning rate? Sweeps every workload; the advisors' regret follows from the sweeps.

    make regret            (or: python -m benchmarks.regret.run [--minutes 60])

Resumable: a trial that is in results.json is not run again. Validation data decide; the test part is not touched.
About seven hours of one core in all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.common import ResultsFile, run_jobs
from benchmarks.regret.report import write
from benchmarks.regret.workloads import WORKLOADS

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"


def main() -> None:
    """Measure what is missing, then write what follows from it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long; go on another time")
    parser.add_argument("--only-tables", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    results = ResultsFile(RESULTS)
    if not arguments.only_tables:
        run_jobs(results, "benchmarks.regret.sweep", [each.name for each in WORKLOADS], arguments.minutes)
    write(results, ResultsFile(HERE / "worth.json"))


if __name__ == "__main__":
    main()
