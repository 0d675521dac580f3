"""What several processes bring and what a launcher costs: ratios from one interleaved run on this machine.

    make scale            (or: python -m benchmarks.scale.run)

Three tables. (1) Training speed in one process with one and two threads and in two processes, of `dpdrun train` and of
a plain DistributedDataParallel script with the same model and batches (`plain_ddp`), for a small and a larger job.
(2) From the command to the first optimizer step, by each way to start, in elapsed and in processor seconds. (3) Where a
GPU is at hand: samples per second of a shipped recipe by precision, eager and compiled. Every round runs all of the
cells of a table once, in another order; shown are medians over rounds, and ratios of cells to the first one, round by
round. Two processes on two cores leave none for anything else: the state of the machine is written beside the tables.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import get_args

import torch

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table
from dpdrun.data.sources import load_capture
from dpdrun.plan.plan import make_plan
from dpdrun.recipe.loader import load_recipe
from dpdrun.recipe.schema import TrainSection

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
ON_GPU = ROOT / "recipes" / "apa_200mhz_transformer.yaml"
ROUNDS, STEPS, SKIP = 3, 60, 10  # the first steps warm up
STOPS = ("train.max_steps=20", "train.eval_every=20", "optim.warmup=off")
TIMED = "benchmarks.scale.timed"
JOBS = {  # what is shown, and how it differs from the quickstart
    "d_model 16, 8 frames": (),
    "d_model 64, 32 frames": ("model.d_model=64", "model.heads=4", "train.batch_size=32"),
}
TORCHRUN = (str(BIN / "torchrun"), "--standalone", "--nproc-per-node")
ACCELERATE = (str(BIN / "accelerate"), "launch")
CELLS: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {  # threads, command, flags; of plain_ddp no flags
    "dpdrun, 1 process": (1, (sys.executable, "-m", TIMED), ()),
    "dpdrun, 1 process, 2 threads": (2, (sys.executable, "-m", TIMED), ()),
    "dpdrun, 2 processes": (1, (sys.executable, "-m", TIMED), ("--processes", "2")),
    "plain script, 1 process": (1, (sys.executable, "plain"), ()),
    "plain script, 2 processes (torchrun)": (1, (*TORCHRUN, "2", "plain"), ()),
}
STARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # command, flags
    "dpdrun train": ((sys.executable, "-m", TIMED), ()),
    "... --processes 1": ((sys.executable, "-m", TIMED), ("--processes", "1")),
    "accelerate launch cli.py train": ((*ACCELERATE, "-m", TIMED), ()),
    "torchrun --nproc-per-node 1 cli.py train": ((*TORCHRUN, "1", "-m", TIMED), ()),
    "... --processes 2": ((sys.executable, "-m", TIMED), ("--processes", "2")),
    "torchrun --nproc-per-node 2 cli.py train": ((*TORCHRUN, "2", "-m", TIMED), ()),
    "dpdrun train, compiled": ((sys.executable, "-m", TIMED), ("--set", "train.compile=on")),
}


def clocked(command: list[str], *, threads: int, steps: int) -> tuple[list[float], float]:
    """Run a command: times of its steps after its start [s], and processor time of all of it [s].

    `RUN` and `CLOCK` in the command are replaced by places in a folder that is deleted afterwards.
    """
    with tempfile.TemporaryDirectory() as folder:
        clock = Path(folder) / "clock"
        places = {"RUN": str(Path(folder) / "run"), "CLOCK": str(clock)}
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads), "CLOCK": str(clock), "STEPS": str(steps),
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
        words = [places.get(word, word) for word in command]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if not clock.is_file():
            raise SystemExit(f"{words}\n{done.stdout}{done.stderr}")
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return [at - began for at in json.loads(clock.read_text())], processor


def training(sets: tuple[str, ...], cell: str) -> dict[str, float]:
    """One run of a cell: seconds of a step, the median."""
    threads, command, flags = CELLS[cell]
    sets = (*sets, f"train.max_steps={STEPS}", f"train.eval_every={STEPS}", "train.checkpoint_every=off")
    if "plain" in command:
        words = [*command[:-1], str(HERE / "plain_ddp.py"), str(QUICKSTART), str(STEPS), "CLOCK", *sets]
    else:
        words = [*command, "train", str(QUICKSTART), "--run-dir", "RUN", *flags, *_sets(sets)]
    steps, _ = clocked(words, threads=threads, steps=STEPS)
    steps = steps[SKIP:-1]  # the last one saves
    return {"step_s": median(b - a for a, b in pairwise(steps))}


def starting(cell: str) -> dict[str, float]:
    """One start: elapsed and processor seconds until the first step is done."""
    command, flags = STARTS[cell]
    words = [*command, "train", str(QUICKSTART), "--run-dir", "RUN", *flags, *_sets(STOPS)]
    steps, processor = clocked(words, threads=1, steps=1)
    return {"first_s": steps[0], "processor_s": processor}


def on_gpu(cell: str) -> dict[str, float]:
    """One run on a GPU: samples per second after the first 200 steps of 600, and seconds to the first step."""
    precision, compiled = cell.split(", ")
    sets = (f"train.precision={precision}", f"train.compile={'on' if compiled == 'compiled' else 'off'}",
            "train.max_steps=600", "train.eval_every=600", "train.checkpoint_every=off")  # fmt: skip
    words = [sys.executable, "-m", TIMED, "train", str(ON_GPU), "--run-dir", "RUN", *_sets(sets)]
    steps, _ = clocked(words, threads=1, steps=600)
    late = steps[200:-1]
    return {"step_s": median(b - a for a, b in pairwise(late)), "first_s": steps[0]}


def _sets(sets: tuple[str, ...]) -> list[str]:
    return [word for value in sets for word in ("--set", value)]


def measure(results: ResultsFile, name: str, cells: list[str], one: Callable[[str], dict[str, float]]) -> None:
    """Every cell of a table once, in an order that `name` gives, unless that is in the results."""
    if name in results:
        return
    order, before = random.Random(name).sample(cells, len(cells)), os.getloadavg()[0]
    found = {cell: one(cell) for cell in order}
    results.add(name, {"machine": machine(), "load": round(before, 1), "cells": {cell: found[cell] for cell in cells}})
    print(name, {cell: {k: round(v, 4) for k, v in found[cell].items()} for cell in cells}, flush=True)


def of_rounds(results: ResultsFile, table: str) -> list[dict[str, dict[str, float]]]:
    """The cells of a table, round by round."""
    return [result["cells"] for name, result in results.results.items() if name.startswith(f"{table}, round ")]


def ratio(found: list[dict[str, dict[str, float]]], cell: str, base: str, key: str) -> float:
    """Median over the rounds of one cell over another."""
    return median(each[cell][key] / each[base][key] for each in found)


def speed_table(results: ResultsFile) -> str:
    """Speed by job, over one process with one thread of dpdrun."""
    first, alone, two, plain, plain_two = CELLS
    rows = []
    for job in JOBS:
        found = of_rounds(results, job)
        if not found:
            continue
        cost = median(each[first]["step_s"] for each in found)
        rows.append([
            job, f"{cost * 1e3:.1f} ms", *(f"{1 / ratio(found, cell, first, 'step_s'):.2f}" for cell in (alone, two)),
            *(f"{1 / ratio(found, cell, first, 'step_s'):.2f}" for cell in (plain, plain_two)),
            f"{ratio(found, two, plain_two, 'step_s'):.2f}",
        ])  # fmt: skip
    head = ["job", "a step in 1 process", "2 threads", "2 processes", "plain script", "plain script, 2 processes",
            "a step of dpdrun over one of the script, 2 processes"]  # fmt: skip
    return markdown(head, rows)


def start_table(results: ResultsFile) -> str:
    """Startup by way of starting, over the bare command."""
    found, base = of_rounds(results, "start"), next(iter(STARTS))
    if not found:
        return "Startup has not been measured yet."
    rows = [
        [
            cell,
            f"{median(each[cell]['first_s'] for each in found):.1f} s", f"{ratio(found, cell, base, 'first_s'):.2f}",
            f"{median(each[cell]['processor_s'] for each in found):.1f} s",
            f"{ratio(found, cell, base, 'processor_s'):.2f}",
        ]
        for cell in STARTS
    ]  # fmt: skip
    return markdown(["to the first optimizer step", "elapsed", "ratio", "processor time", "ratio"], rows)


def gpu_table(results: ResultsFile) -> str:
    """Samples per second on a GPU, over fp32 in eager mode."""
    found = of_rounds(results, "gpu")
    if not found:
        return "No GPU was at hand."
    recipe = load_recipe(ON_GPU).recipe
    plan = make_plan(recipe, len(load_capture(recipe.data).train))
    shape = plan.batch_size * plan.frame
    cells = list(found[0])
    rows = [
        [
            cell, f"{shape / median(each[cell]['step_s'] for each in found):,.0f}",
            f"{1 / ratio(found, cell, cells[0], 'step_s'):.2f}",
            f"{median(each[cell]['first_s'] for each in found):.1f} s",
        ]
        for cell in cells
    ]  # fmt: skip
    return markdown([ON_GPU.name, "samples/s", "ratio", "to the first step"], rows)


def conditions(results: ResultsFile) -> str:
    """On what machine, and how busy it was."""
    used = [result for name, result in results.results.items() if ", round " in name]
    loads = [result["load"] for result in used]
    cores = len(os.sched_getaffinity(0))
    busy = "it was quiet" if median(loads) <= cores / 2 else "others had work on it, so the ratios are rough"
    if median(loads) > 2 * cores:
        busy = "far too busy for these figures to mean anything; to be repeated on a quiet one"
    told = f"load average {min(loads)} to {max(loads)} before {len(used)} round(s) of cells"
    return f"{used[-1]['machine']}; {told}: {busy}."


def main() -> None:
    """Measure what is not in the results yet, then write the tables."""
    results = ResultsFile(HERE / "results.json")
    choices = get_args(TrainSection.model_fields["precision"].annotation)
    wanted = [each for each in ("fp32", "tf32", "bf16") if each in choices]
    for number in range(1, ROUNDS + 1):
        for job, sets in JOBS.items():
            measure(results, f"{job}, round {number}", list(CELLS), partial(training, sets))
        measure(results, f"start, round {number}", list(STARTS), starting)
        if torch.cuda.is_available():
            cells = [f"{each}, {how}" for each in wanted for how in ("eager", "compiled")]
            measure(results, f"gpu, round {number}", cells, on_gpu)
    parts = [speed_table(results), start_table(results), gpu_table(results), conditions(results)]
    write_table("scale", "\n\n".join(parts))


if __name__ == "__main__":
    main()
