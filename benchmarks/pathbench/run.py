"""Do the diagnose rules find what is wrong, and only that? Trains runs with known faults, and healthy ones.

    make pathbench            (or: python -m benchmarks.pathbench.run [--minutes 60])

Resumable: a trial that is in results.json is not run again. The logs of all trials are kept in logs.tar.xz, so what
follows (`--only-tables`) evaluates the rules as they are now, without training; only repairs.json, what their advice
brings, holds for the rules that it was measured with (delete it to measure again). The test part is not touched.

2102 trials and 78 repairs of one or two trainings each. On a busy core a trial took 5.5 s with a Transformer and 9 s
with a GRU, together 4.2 hours; alone it takes about half of that. The logs take 5 MB.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.common import ResultsFile, run_jobs
from benchmarks.pathbench.logs import Logs
from benchmarks.pathbench.repairs import JOBS as REPAIR_JOBS
from benchmarks.pathbench.report import write
from benchmarks.pathbench.work import JOBS

HERE = Path(__file__).parent
RESULTS, REPAIRS, LOGS = HERE / "results.json", HERE / "repairs.json", HERE / "logs.tar.xz"


class TrialsFile(ResultsFile):
    """Results whose logs lie in files of their own."""

    def __init__(self, path: Path, logs: Logs) -> None:
        super().__init__(path)
        self._logs = logs

    def add(self, name: str, result: dict[str, Any]) -> None:
        """Keep one result and its log."""
        with self._lock:
            self._logs.add(name, result.pop("log"))
        super().add(name, result)


def main() -> None:
    """Measure what is missing, then write what follows from it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long; go on another time")
    parser.add_argument("--only-tables", action="store_true", help="measure nothing")
    parser.add_argument("--no-repairs", action="store_true", help="do not train what the rules advise")
    arguments = parser.parse_args()
    results, repairs = TrialsFile(RESULTS, Logs(LOGS)), ResultsFile(REPAIRS)
    if not arguments.only_tables:
        began = time.monotonic()
        run_jobs(results, "benchmarks.pathbench.work", JOBS, arguments.minutes)
        left = arguments.minutes - (time.monotonic() - began) / 60
        if left > 0 and not arguments.no_repairs:  # a repair is judged by the healthy runs too, so these come first
            run_jobs(repairs, "benchmarks.pathbench.repairs", REPAIR_JOBS, left)
    logs = Logs(LOGS)
    logs.seal()
    write(results.results, repairs.results, logs)


if __name__ == "__main__":
    main()
