"""What is each rule worth? Trains with all rules, then with one of them dropped: the loss is that rule's worth.

    make worth            (or: python -m benchmarks.regret.worth)

A dropped rule gives way to what a training script has without it: no warmup, no clipping, no decay, a constant
learning rate, PyTorch's default of 1e-3, beta2 0.999. For our Transformer and for the GRU the base is `rules: measured`
with the learning rate of the sweep's optimum; for the note's encoder it is the note. Validation data, three seeds.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROOT, ResultsFile, run_jobs
from benchmarks.regret.curves import curves
from benchmarks.regret.workloads import LONG, SHORT, WORKLOADS
from dpdrun.recipe.loader import load_recipe

HERE = Path(__file__).parent
RESULTS = HERE / "worth.json"
SEEDS = 3
NOTE_ENCODER = "note-encoder"
NOTE_RECIPE = ROOT / "recipes" / "case_study" / "02_scored_as_trained.yaml"
SWEPT = (
    "apa-transformer-d16-l2-t400-b8",
    "dpa-transformer-d16-l2-t400-b8",
    "hard-transformer-d16-l2-t400-b8",
    "apa-transformer-d16-l2-t1600-b8",
    "apa-transformer-d64-l2-t400-b8",
    "apa-gru-h16-l1-t400-b32",
    "dpa-gru-h16-l1-t400-b32",
    "hard-gru-h16-l1-t400-b32",
)

ALL = "all rules"
DROPPED: dict[str, tuple[str, ...]] = {
    ALL: (),
    "no warmup": ("optim.warmup=off",),
    "no clipping": ("optim.clip_norm=off",),
    "no weight decay": ("optim.weight_decay=off",),
    "constant schedule": ("optim.schedule=constant",),
    "lr 1e-3": ("optim.lr=1e-3",),
}
# The note's encoder has these already.
OF_MEASURED: dict[str, tuple[str, ...]] = {
    "beta2 0.999": ("optim.beta2=0.999",),
    "no burn-in": ("train.burn_in=0",),
}
# Parts of our Transformer; the rules about them check a recipe, they set nothing.
OF_MODEL: dict[str, tuple[str, ...]] = {
    "features iq": ("model.features=iq",),
    "no convolution": ("model.conv=0",),
    "no skip, xavier residuals": ("model.skip=off", "model.residual_init=xavier"),
}
# For a Transformer: other batches and frames at equal work.
LARGE_BATCH, SMALL_BATCH = "batch 32, a quarter of the steps", "batch 4, twice the steps"
LONG_FRAME = "frame 512, half the batch"
VARIANTS = (*DROPPED, *OF_MEASURED, *OF_MODEL, LARGE_BATCH, SMALL_BATCH, LONG_FRAME)


def steps_of(name: str) -> int:
    """Optimizer steps of a job."""
    if name == NOTE_ENCODER:
        return int(load_recipe(NOTE_RECIPE).recipe.train.max_steps)
    return next(job.steps for job in WORKLOADS if job.name == name)


@dataclass(frozen=True)
class Job:
    """One workload with the learning rate of its base; `name` and `recipe` as a Workload has them."""

    name: str
    recipe: str
    overrides: tuple[str, ...]

    @property
    def variants(self) -> dict[str, tuple[str, ...]]:
        """What is dropped or changed, with its overrides."""
        if self.name == NOTE_ENCODER:
            return DROPPED
        found = DROPPED | OF_MEASURED
        if "transformer" in self.name:
            steps = LONG if f"-t{LONG}-" in self.name else SHORT
            found |= OF_MODEL | {
                LARGE_BATCH: ("train.batch_size=32", *_of_length(steps // 4)),
                SMALL_BATCH: ("train.batch_size=4", *_of_length(steps * 2)),
                LONG_FRAME: ("train.frame=512", "train.batch_size=4"),
            }
        return found


def _of_length(steps: int) -> tuple[str, str]:
    return f"train.max_steps={steps}", f"train.eval_every={steps}"


def job_of(name: str) -> Job:
    """The job of a name; a swept workload gets the learning rate at the optimum of its sweep."""
    if name == NOTE_ENCODER:
        return Job(name, NOTE_RECIPE.read_text(), ("train.compile=off",))
    sweep = json.loads((HERE / "results.json").read_text())
    curve = next((each for each in curves(sweep) if each.workload.name == name), None)
    if curve is None:
        raise SystemExit(f"{name}: sweep it first: make regret")
    return Job(name, curve.workload.recipe, (f"optim.lr={2 ** curve.oracle[0]:.3g}",))


def run_one(name: str, known: dict[str, object]) -> None:
    """Run what is missing of one job; print JSON lines."""
    import torch

    from benchmarks.regret.trial import trial

    torch.set_num_threads(1)
    job = job_of(name)
    for variant, sets in job.variants.items():
        for seed in range(SEEDS):
            key = f"{name}/{variant}/{seed}"
            if key not in known:
                result = trial(job, seed, (*job.overrides, *sets))
                print(json.dumps({"name": key, "result": result}), flush=True)


def main() -> None:
    """With a name: run that job. Without: run all that is missing (`regret.run --only-tables` writes the tables)."""
    if len(sys.argv) > 1:
        results = Path(sys.argv[2])
        return run_one(sys.argv[1], json.loads(results.read_text()) if results.is_file() else {})
    run_jobs(ResultsFile(RESULTS), "benchmarks.regret.worth", [*SWEPT, NOTE_ENCODER], float("inf"))
    return None


if __name__ == "__main__":
    main()
