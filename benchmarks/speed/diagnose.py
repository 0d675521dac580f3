"""Time and memory of `dpdrun diagnose` on a run of 100,000 steps, and that it does without torch.

    make diagnose-speed            (or: python -m benchmarks.speed.diagnose)

The log is as long as that of a real run, line by line: a real run of a few steps makes the folder, and its lines are
repeated with a loss and a norm that fall with the noise of batches. Measured is the whole command in a process of its
own, start of the interpreter included: processor time, and the largest resident memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.common import RESULTS_PAGE, ROOT, markdown, write_table
from dpdrun.recipe.loader import load_text

STEPS = 100_000
REPEATS = 5
TARGETS = {"s": 2.0, "MB": 300.0}
MARKERS = "diagnose-speed"

RECIPE = (
    "task: pa\ndata: {source: synthetic/hard}\nmodel: {kind: transformer, d_model: 8, heads: 2, layers: 1, window: 8}\n"
    "train: {max_steps: 30, batch_size: 2, frame: 64, eval_every: 10, checkpoint_every: off, compile: off}\n"
)

# In a process of its own. VmHWM and not ru_maxrss, which on Linux begins with the size of the process that started it.
MEASURED = """
import resource, sys, io, contextlib
from dpdrun.commands import main
sys.argv = ["dpdrun", "diagnose", sys.argv[1], "--format", "json"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
used = resource.getrusage(resource.RUSAGE_SELF)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(used.ru_utime + used.ru_stime, int(peak.split()[1]) / 1024, "torch" in sys.modules)
"""


def lengthened(run: Path, steps: int) -> None:
    """Rewrite plan and metrics of a run folder as those of a run of so many steps."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    plan = json.loads((run / "plan.json").read_text())
    plan["total_steps"], plan["eval_every"], plan["warmup_steps"] = steps, steps // 40, steps // 20
    (run / "plan.json").write_text(json.dumps(plan))
    looked = next(line for line in lines if "group_updates" in line)
    plain = next(line for line in lines if line["kind"] == "step" and "group_updates" not in line)
    rng = np.random.default_rng(0)
    loss = (0.5 * np.arange(1, steps + 1) ** -0.6 + 3e-4) * 10 ** (0.05 * rng.standard_normal(steps))
    norm = 0.3 * np.sqrt(loss) * 10 ** (0.1 * rng.standard_normal(steps))
    lr = 0.01 * np.minimum(
        np.arange(1, steps + 1) / plan["warmup_steps"], 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, steps))
    )
    with (run / "metrics.jsonl").open("w") as file:
        for index in range(steps):
            numbers: dict[str, Any] = {"step": index + 1, "loss": loss[index], "grad_norm": norm[index]}
            numbers |= {"lr": lr[index], "lr_planned": lr[index]}
            file.write(json.dumps((looked if index % 25 == 0 else plain) | numbers) + "\n")
            if (index + 1) % plan["eval_every"] == 0:
                score = {"kind": "eval", "step": index + 1, "val_nmse_db": 10 * float(np.log10(loss[index]))}
                file.write(json.dumps(score) + "\n")


def measured(run: Path) -> tuple[float, float, bool]:
    """Processor time [s], peak memory [MB], and whether torch was imported."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", MEASURED, str(run)]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    seconds, megabytes, torch = done.stdout.split()
    return float(seconds), float(megabytes), torch == "True"


def main() -> None:
    """Make the run, diagnose it some times, write the table."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        from dpdrun.training.job import train

        train(load_text(RECIPE, "long.yaml"), run)
        lengthened(run, STEPS)
        size = (run / "metrics.jsonl").stat().st_size / 1e6
        found = [measured(run) for _ in range(REPEATS)]
    seconds, megabytes = median(each[0] for each in found), max(each[1] for each in found)
    rows = [
        ["processor time, median of 5 [s]", f"{seconds:.2f}", f"{TARGETS['s']:g}"],
        ["peak memory [MB]", f"{megabytes:.0f}", f"{TARGETS['MB']:g}"],
        ["torch imported", "yes" if any(each[2] for each in found) else "no", "no"],
    ]
    text = markdown([f"{STEPS:,} steps, {size:.0f} MB of log", "measured", "target, at most"], rows)
    print(text)
    if f"<!-- begin {MARKERS} -->" in RESULTS_PAGE.read_text():
        write_table(MARKERS, text)


if __name__ == "__main__":
    main()
