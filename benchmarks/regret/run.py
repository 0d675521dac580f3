"""How far is the best learning rate? Sweeps every workload; the advisors' regret follows from the sweeps.

    make regret            (or: python -m benchmarks.regret.run [--minutes 60])

Resumable: a trial that is in results.json is not run again. Validation data decide; the test part is not touched.
About seven hours of one core in all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

from benchmarks.common import ROOT, THREADS, WORKERS, ResultsFile
from benchmarks.regret.report import write
from benchmarks.regret.workloads import WORKLOADS

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"


def measure(results: ResultsFile, module: str, names: list[str], minutes: float) -> None:
    """Run `python -m MODULE NAME RESULTS` for every name, WORKERS at a time, until all is done or the time is over.

    Each prints a JSON line for every trial that was not in the results yet.
    """
    waiting: Queue[str] = Queue()
    for each in names:
        waiting.put(each)
    deadline = time.monotonic() + 60 * minutes

    def work() -> None:
        while time.monotonic() < deadline:
            try:
                name = waiting.get_nowait()
            except Empty:
                return
            began = time.monotonic()
            count = _run(module, name, results, deadline)
            print(f"{name}: {count} new trials in {time.monotonic() - began:.0f} s", flush=True)

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _run(module: str, name: str, results: ResultsFile, deadline: float) -> int:
    program = [sys.executable, "-m", module, name, str(results.path)]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    count = 0
    with subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            entry = json.loads(line)
            results.add(entry["name"], entry["result"])
            count += 1
            if time.monotonic() > deadline:
                process.terminate()
                return count
    if process.returncode:
        raise SystemExit(f"{name}: it failed with status {process.returncode}")
    return count


def main() -> None:
    """Measure what is missing, then write what follows from it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long; go on another time")
    parser.add_argument("--only-tables", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    results = ResultsFile(RESULTS)
    if not arguments.only_tables:
        measure(results, "benchmarks.regret.sweep", [each.name for each in WORKLOADS], arguments.minutes)
    write(results, ResultsFile(HERE / "worth.json"))


if __name__ == "__main__":
    main()
