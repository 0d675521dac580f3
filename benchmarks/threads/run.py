"""Is the number of threads of `train.threads: auto` right? Against torch's default and one thread, idle and loaded.

    make threads            (or: python -m benchmarks.threads.run)

For each size, blocks of optimizer steps in turn, so that all meet the same state of the machine: with the threads of
`auto` and with one in a process with the environment of the `dpdrun` command, and with torch's defaults in a plain one.
First with nothing else running, then with a loop that never pauses on one of the cores. A ratio is the median over
rounds of blocks. What else ran on the machine shows in the share of the cores that others took just before: a ratio
"idle" counts only where that is small. Takes about four minutes; delete results.json to measure again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table

HERE = Path(__file__).parent
SOURCE = "synthetic/hard"
BLOCK_S, FEWEST_STEPS = 0.4, 2
ROUNDS, FEWEST_ROUNDS, BUDGET_S = 9, 3, 18.0  # of a size and load; a crowded machine gets through fewer rounds
IDLE = 0.1  # share of all cores that others may take for a ratio to count as idle
GOAL_IDLE, GOAL_LOADED = 1.03, 1.10  # time of auto over torch's default, and over one thread
HOG = "import os; os.sched_setaffinity(0, {%d})\nwhile True: pass"


def _transformer(d_model: int, batch: int, layers: int = 2, window: int = 32) -> dict[str, Any]:
    model = {"kind": "transformer", "d_model": d_model, "layers": layers, "heads": max(2, d_model // 16)}
    return {"model": {**model, "window": window}, "train": {"batch_size": batch, "frame": 256, "burn_in": 64}}


SIZES: dict[str, dict[str, Any]] = {
    "Transformer, d_model 16, 8 frames (quickstart)": _transformer(16, 8),
    "GRU, hidden 23, 32 frames": {
        "model": {"kind": "gru", "hidden": 23},
        "train": {"batch_size": 32, "frame": 256, "burn_in": 64},
    },
    "Transformer, d_model 32, 8 frames": _transformer(32, 8),
    "Transformer, d_model 64, 8 frames": _transformer(64, 8),
    "Transformer, d_model 32, 32 frames": _transformer(32, 32),
    "Transformer, d_model 64, 32 frames": _transformer(64, 32),
}


@contextmanager
def one_core_taken(core: int | None) -> Iterator[None]:
    """Run a loop that never pauses on a core during a block; None = no loop."""
    if core is None:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", HOG % core]) as hog:
        try:
            yield
        finally:
            hog.kill()


class Trainer:
    """A process that takes optimizer steps of a size when it is told to.

    Args:
        setting: `model` and `train` of a recipe.
        environment: added to that of this process, without OMP_NUM_THREADS.
    """

    def __init__(self, setting: dict[str, Any], environment: dict[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.threads.run", json.dumps(setting)],
            cwd=ROOT, env=inherited | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.default, self.auto = self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process of the study ended; its error is above")
        return json.loads(line)

    def step_s(self, threads: int) -> float:
        """Seconds of a step with so many threads: the mean over a block."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{threads}\n")
        self._process.stdin.flush()
        return float(self._read())

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def train_on_request(setting: dict[str, Any]) -> None:
    """Print torch's default and the choice of `auto`, then for each number of threads on stdin the time of a step."""
    import torch

    from dpdrun.data.sources import load_capture
    from dpdrun.plan.plan import make_plan
    from dpdrun.plan.threads import threads_to_train
    from dpdrun.recipe.schema import Recipe
    from dpdrun.training.probe import ProbeRun

    content = {"task": "pa", "data": {"source": SOURCE}, **setting, "optim": {"lr": 1e-3}}
    content["train"] = {**content["train"], "max_steps": 1000}
    recipe = Recipe.model_validate(content)
    capture = load_capture(recipe.data)
    plan = make_plan(recipe, len(capture.train))
    print(json.dumps([torch.get_num_threads(), threads_to_train(plan)]), flush=True)
    run = ProbeRun(plan, capture, seed=0)
    for line in sys.stdin:
        torch.set_num_threads(int(line))
        run.step(1, 1e-3)
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < BLOCK_S or steps < FEWEST_STEPS:
            steps += 1
            run.step(steps, 1e-3)
        print((time.perf_counter() - began) / steps, flush=True)


def measured(setting: dict[str, Any]) -> dict[str, Any]:
    """Ratios of one size."""
    ours, plain = Trainer(setting, {"OMP_WAIT_POLICY": "PASSIVE"}), Trainer(setting, {})
    arms = {"one": (ours, 1), "auto": (ours, ours.auto), "default": (plain, plain.default)}
    if ours.auto == 1:
        del arms["auto"]  # the same
    found: dict[str, Any] = {"machine": machine(), "default": plain.default, "auto": ours.auto}
    for load, core in (("idle", None), ("loaded", max(os.sched_getaffinity(0)))):
        others = psutil.cpu_percent(1.0) / 100
        with one_core_taken(core):
            rounds, began = list[dict[str, float]](), time.monotonic()
            while len(rounds) < ROUNDS and (len(rounds) < FEWEST_ROUNDS or time.monotonic() - began < BUDGET_S):
                order = list(arms) if len(rounds) % 2 else list(arms)[::-1]
                times = {arm: arms[arm][0].step_s(arms[arm][1]) for arm in order}
                rounds.append({"auto": times["one"]} | times)
        found[load] = {
            "others": round(others, 2),
            "rounds": len(rounds),
            "step_s": {arm: round(median(each[arm] for each in rounds), 5) for arm in ("one", "auto", "default")},
            **{
                f"{arm}_over_{base}": round(median(each[arm] / each[base] for each in rounds), 3)
                for arm, base in (("auto", "default"), ("auto", "one"), ("default", "one"))
            },
        }
    ours.end()
    plain.end()
    return found


def table(results: dict[str, Any]) -> str:
    """The ratios of all sizes, and what of the machine others had."""
    rows = []
    for name in SIZES:
        if name not in results:
            continue
        this = results[name]
        idle, loaded = this["idle"], this["loaded"]
        rows.append([
            name, f"{idle['step_s']['one'] * 1e3:.0f} ms", str(this["auto"]),
            f"{idle['auto_over_default']:.2f}", f"{idle['default_over_one']:.2f}",
            f"{loaded['auto_over_one']:.2f}", f"{loaded['default_over_one']:.2f}",
        ])  # fmt: skip
    head = ["optimizer step", "one thread", "threads of auto", "idle: auto / default", "idle: default / one",
            "one core taken: auto / one", "one core taken: default / one"]  # fmt: skip
    first = next(iter(results.values()))
    others = [this[load]["others"] for this in results.values() for load in ("idle", "loaded")]
    note = f"{first['machine']}; torch's default is {first['default']} threads. Other work took {min(others):.0%} to "
    note += f"{max(others):.0%} of the cores just before the measurements"
    note += "." if max(others) <= IDLE else ": the machine was not idle, and the ratios are rough."
    return f"{markdown(head, rows)}\n\n{note}"


def misses(results: dict[str, Any]) -> list[str]:
    """Sizes that miss a goal."""
    return [
        name for name, this in results.items()
        if this["idle"]["auto_over_default"] > GOAL_IDLE or this["loaded"]["auto_over_one"] > GOAL_LOADED
    ]  # fmt: skip


def main() -> None:
    """Measure what is missing, then write the table."""
    results = ResultsFile(HERE / "results.json")
    for name, setting in SIZES.items():
        if name not in results:
            results.add(name, measured(setting))
            print(f"{name}: {json.dumps(results.results[name])}", flush=True)
    write_table("threads", table(results.results))
    print("\n".join(f"misses its goal: {name}" for name in misses(results.results)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train_on_request(json.loads(sys.argv[1]))
    else:
        main()
