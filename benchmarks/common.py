"""What all studies share: run a recipe by the command a user would type, keep results in a file, write tables.

A study is resumable: a result that is in its file is not measured again (delete it there to repeat it). Tables in
docs/results.md stand between `<!-- begin NAME -->` and `<!-- end NAME -->` and are written by the studies alone.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Lock
from typing import Any

from dpdrun.run.scores import chosen

ROOT = Path(__file__).resolve().parent.parent
# Models this small gain little from a second thread, so studies train one run a core. For a time of a single run on
# all cores: DPDRUN_STUDY_WORKERS=1.
WORKERS = int(os.environ.get("DPDRUN_STUDY_WORKERS", "2"))
THREADS = max(1, len(os.sched_getaffinity(0)) // WORKERS)
RESULTS_PAGE = ROOT / "docs" / "results.md"


def machine() -> str:
    """The class of this machine in words: enough to compare ratios, no names."""
    import torch

    model = "unknown CPU"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, torch {torch.__version__}, Python {platform.python_version()}"


class ResultsFile:
    """A JSON file of results by name, written whole after each addition."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self.results: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}

    def __contains__(self, name: str) -> bool:
        return name in self.results

    def add(self, name: str, result: dict[str, Any]) -> None:
        """Keep one result."""
        with self._lock:
            self.results[name] = result
            self._write()

    def keep(self, names: set[str]) -> None:
        """Drop the results of all other names."""
        with self._lock:
            if not self.results.keys() <= names:
                self.results = {name: each for name, each in self.results.items() if name in names}
                self._write()

    def _write(self) -> None:
        temporary = self.path.with_suffix(".partial")
        lines = (f"{json.dumps(key)}: {json.dumps(self.results[key])}" for key in sorted(self.results))
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n")  # a line a result: readable diffs
        temporary.replace(self.path)


def measure(results: ResultsFile, jobs: list[tuple[str, Path, tuple[str, ...]]]) -> None:
    """Train every job (name, recipe, overrides) that is not in the results yet, WORKERS at a time."""

    def work(job: tuple[str, Path, tuple[str, ...]]) -> None:
        name, recipe, sets = job
        with trained(recipe, *sets) as (_, result):
            results.add(name, result)
            print(f"{name}: val {result['val_nmse_db']:.2f}, test {result['test_nmse_db']:.2f}, {result['seconds']} s")

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, [job for job in jobs if job[0] not in results]))


@contextmanager
def trained(recipe: Path, *sets: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Train a recipe with `dpdrun train` in a process of its own; gives the run folder and its result.

    The folder is removed afterwards.
    """
    folder = Path(tempfile.mkdtemp(prefix="dpdrun-study-"))
    try:
        run = folder / "run"
        arguments = ["train", str(recipe.relative_to(ROOT)), *(part for value in sets for part in ("--set", value))]
        print("dpdrun", shlex.join(arguments), flush=True)
        program = [sys.executable, "-m", "dpdrun", *arguments, "--run-dir", str(run)]
        environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
        done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        report = json.loads((run / "report.json").read_text())
        val, test, gmp = report["splits"]["val"], report["splits"]["test"], report["baselines"]["gmp"]["test"]
        evals = [line for line in map(json.loads, _lines(run / "metrics.jsonl")) if line["kind"] == "eval"]
        yield (
            run,
            {
                "command": "dpdrun " + shlex.join(arguments),
                "machine": machine(),
                "val_nmse_db": val["nmse_db"],
                "test_nmse_db": test["nmse_db"],
                "gmp_test_nmse_db": gmp["nmse_db"],
                **{  # as in the record; of loops, whose past is their own end, the same
                    f"{name}_with_past_db": chosen(scores)["nmse_db"]
                    for name, scores in (("val_nmse", val), ("test_nmse", test), ("gmp_test_nmse", gmp))
                },
                "parameters": report["parameters"],
                "macs_per_sample": report["macs_per_sample"],
                "lookahead": report["lookahead"],
                "test_as_one_record_db": test.get("nmse_as_one_record_db"),
                "steps": report["steps"],
                "seconds": round(report["seconds"], 1),
                "samples_per_s": round(report["samples_per_s"] or 0),
                "trace": [[line["step"], round(line["seconds"], 2), round(line["val_nmse_db"], 3)] for line in evals],
            },
        )
    finally:
        shutil.rmtree(folder)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def run_jobs(results: ResultsFile, module: str, names: list[str], minutes: float) -> None:
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
            count = _run_job(module, name, results, deadline)
            print(f"{name}: {count} new trials in {time.monotonic() - began:.0f} s", flush=True)

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _run_job(module: str, name: str, results: ResultsFile, deadline: float) -> int:
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


def write_table(name: str, text: str) -> None:
    """Replace what stands between the markers of `name` in docs/results.md."""
    page = RESULTS_PAGE.read_text()
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    if begin not in page or end not in page:
        raise SystemExit(f"{RESULTS_PAGE}: no markers for {name}")
    before, _, rest = page.partition(begin)
    after = rest.partition(end)[2]
    RESULTS_PAGE.write_text(f"{before}{begin}{text.rstrip()}\n{end}{after}")


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are aligned right."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|--:" * (len(header) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
