"""One of the two processes of the study: trains all that is asked for, one after the other.

    python -m benchmarks.ranks.trial FOLDER NAME...     # started by benchmarks.ranks.run

The first process prints a JSON line for each.
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.ranks.faults import FAULTS
from dpdrun.diagnosis.diagnose import diagnose
from dpdrun.errors import AuditError, DivergedError, FollowedError
from dpdrun.recipe.loader import load_text
from dpdrun.rules.run.ranks import leans
from dpdrun.training import job
from dpdrun.training.process_group import ProcessGroup

STEPS = 200
TRANSFORMER = "kind: transformer, d_model: 16, layers: 1, heads: 2, window: 16"
WORKLOADS = {  # task and model; optim; train
    "transformer": (f"task: pa\nmodel: {{{TRANSFORMER}}}", "", "batch_size: 8, frame: 64"),
    "gru": ("task: pa\nmodel: {kind: gru, hidden: 8}", "lr: 1e-2", "batch_size: 8, frame: 64"),
    "dropout": (f"task: pa\nmodel: {{{TRANSFORMER}, dropout: 0.1}}", "", "batch_size: 8, frame: 64"),
    "four passes, no clip": (
        f"task: pa\nmodel: {{{TRANSFORMER}}}", "clip_norm: off, lr: 1e-2", "batch_size: 16, frame: 64, accumulate: 4",
    ),
    "large batch": (f"task: pa\nmodel: {{{TRANSFORMER}}}", "", "batch_size: 64, frame: 64"),
    "predistorter": (f"task: dpd\npa: PA\nmodel: {{{TRANSFORMER}}}", "", "batch_size: 8, frame: 64"),
}  # fmt: skip
PA = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gmp}"


def recipe_of(workload: str, seed: int, pa: Path) -> str:
    """The recipe of one run."""
    head, optim, train = WORKLOADS[workload]
    length = f"max_steps: {STEPS}, eval_every: 100, checkpoint_every: off, compile: off, seed: {seed}"
    return (
        f"{head.replace('pa: PA', f'pa: {pa}')}\ndata: {{source: synthetic/mild}}\n"
        f"optim: {{{optim}}}\ntrain: {{{length}, {train}}}\n"
    )


def trial(name: str, folder: Path, group: ProcessGroup) -> dict[str, Any]:
    """Train `fault/workload/seed`, and diagnose it in the first process."""
    fault, workload, seed = name.split("/")
    run = folder / "run"
    meddle = FAULTS[fault][0](group.rank) if fault in FAULTS else nullcontext()
    ended = "done"
    with meddle:
        try:
            job.train(load_text(recipe_of(workload, int(seed), folder / "pa")), run)
        except (AuditError, DivergedError, FollowedError) as error:
            ended = type(error).__name__
    group.barrier()
    found: dict[str, Any] = {}
    if group.is_rank_zero:
        this = diagnose(run)
        codes = [finding.code for finding in this.findings if finding.code.startswith("RK")]
        largest = max((abs(each.z) for each in leans(this.facts).values()), default=0.0)
        found = {"codes": codes, "largest_z": round(largest, 2), "ended": ended, "steps": len(this.facts.rank_step)}
        shutil.rmtree(run)
    group.barrier()
    return found


def main(folder: Path, names: list[str]) -> None:
    """Train everything asked for."""
    job.evaluate = lambda *_, **__: {}  # type: ignore[assignment]  # scores of the end are no matter here
    with ProcessGroup.join() as group:
        for name in names:
            result = trial(name, folder, group)
            if group.is_rank_zero:
                print(json.dumps({"name": name, "result": result}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
