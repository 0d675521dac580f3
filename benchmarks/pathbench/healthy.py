"""The healthy runs: what people do on purpose, and what no rule may complain about.

Learning rates are within a factor of two of the rule's. Each variant is run in every cell with SEEDS seeds; those which
faults are compared with, the plain one as a rule, with all seeds of their cell.
"""

from __future__ import annotations

import math

from benchmarks.pathbench import data_faults as data
from benchmarks.pathbench import patches
from benchmarks.pathbench.cells import STEPS
from benchmarks.pathbench.variant import Variant
from dpdrun.plan.plan import Plan

SEEDS = 2
TWIN = "plain"
SHORT_SAMPLES = 12_000
TWINS = (TWIN, "short-record")


def restarts(plan: Plan, step: int) -> float:
    """Cosine with two warm restarts (Loshchilov & Hutter 2017)."""
    cycle = plan.total_steps / 3
    return plan.lr * 0.5 * (1 + math.cos(math.pi * (step % cycle) / cycle))


def cooldown(plan: Plan, step: int) -> float:
    """Constant, then linear to zero over the last fifth."""
    return plan.lr * min(1.0, (plan.total_steps + 1 - step) / (0.2 * plan.total_steps))


def staircase(plan: Plan, step: int) -> float:
    """A third of the rate after each third of the run."""
    return plan.lr * float((1, 1 / 3, 1 / 9)[3 * (step - 1) // plan.total_steps])


def plateau_then_drop(plan: Plan, step: int) -> float:
    """The full rate for two thirds of the run, on which the loss stands; then a fifteenth."""
    return plan.lr * (1.0 if step <= 2 * plan.total_steps // 3 else 1 / 15)


def _sets(name: str, *sets: str, kinds: tuple[str, ...] = ("transformer", "gru"), lr: float = 1.0) -> Variant:
    return Variant(name=name, sets=sets, kinds=kinds, lr=lr)


HEALTHY = [
    Variant(name=TWIN),
    Variant(name="lr-x0.5", lr=0.5),
    Variant(name="lr-x0.7", lr=0.7),
    Variant(name="lr-x1.4", lr=1.4),
    Variant(name="lr-x2", lr=2.0),
    _sets("linear", "optim.schedule=linear"),
    _sets("linear-to-10%", "optim.schedule=linear", "optim.lr_end=10%"),
    _sets("cosine-to-5%", "optim.lr_end=5%", lr=0.7),
    _sets("constant-low", "optim.schedule=constant", lr=0.25),
    _sets("inverse-sqrt", "optim.schedule=inverse_sqrt", "optim.warmup=10%", lr=0.7),
    _sets("plateau", "optim.schedule=plateau", "optim.plateau.patience=2"),
    Variant(name="restarts", patch=patches.scheduled(restarts)),
    Variant(name="cooldown", patch=patches.scheduled(cooldown)),
    Variant(name="staircase", patch=patches.scheduled(staircase)),
    Variant(name="plateau-then-drop", patch=patches.scheduled(plateau_then_drop)),
    _sets("steps-150", "train.max_steps=150"),
    _sets("steps-200", "train.max_steps=200"),
    _sets("steps-600", "train.max_steps=600", "train.eval_every=30"),
    _sets("batch-half", "train.batch_size={half}", lr=0.7),
    _sets("batch-double", "train.batch_size={double}", lr=1.4),
    _sets("accumulate-2", "train.accumulate=2"),
    _sets("longer-frame", "train.frame={frame}", "train.batch_size={half}"),
    _sets("rotated", "train.phase_augment=on"),
    _sets("warmup-2%", "optim.warmup=2%"),
    _sets("warmup-10%", "optim.warmup=10%"),
    _sets("clip-off", "optim.clip_norm=off"),
    _sets("clip-0.3", "optim.clip_norm=0.3"),
    _sets("decay-off", "optim.weight_decay=off"),
    _sets("decay-0.1", "optim.weight_decay=0.1"),
    _sets("beta2-0.99", "optim.beta2=0.99"),
    _sets("narrow", "model.d_model=8", "model.heads=2", kinds=("transformer",)),
    _sets("wide", "model.d_model=48", "model.heads=2", kinds=("transformer",), lr=0.7),
    _sets("three-layers", "model.layers=3", kinds=("transformer",), lr=0.7),
    _sets("looks-ahead", "model.lookahead=4", kinds=("transformer",)),
    _sets("few-units", "model.hidden=8", kinds=("gru",)),
    _sets("many-units", "model.hidden=32", kinds=("gru",), lr=0.7),
    _sets("two-layers", "model.layers=2", kinds=("gru",), lr=0.7),
    Variant(name="short-record", data=data.shortened(train=SHORT_SAMPLES)),
    Variant(name="short-validation", data=data.shortened(val=3000)),
    Variant(name="resumed", stop=200),
    Variant(name="resumed-early", stop=60),
    Variant(name="other-amplifier", other=True),
    Variant(name="other-amplifier-lr-x2", other=True, lr=2.0),
    Variant(name="other-amplifier-linear", other=True, sets=("optim.schedule=linear",)),
]
HEALTHY_OF = {variant.name: variant for variant in HEALTHY}
assert STEPS == 300, "the steps at which runs are stopped, or batches are bad, are written for runs of 300"
