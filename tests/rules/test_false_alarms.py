"""Healthy runs of many kinds, whole and cut off anywhere: no rule warns. Rules run live on such prefixes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.examples import cosine_lr, example_parts, example_run
from dpdrun.rules.facts.run import RunFacts

STEPS = 600
PER_STEP = ("step", "lr", "lr_planned", "loss", "grad_norm", "clip_norm", "clipped")
PARTS = ("group_grad", "group_weight", "group_update")


def converging(t: float) -> float:
    return float(10 ** (-3.6 * (1 - (1 - t) ** 6)))


def cosine(step: int) -> float:
    return cosine_lr(step, peak=1e-2, warmup=30, total=STEPS)


def warmed(step: int) -> float:
    return 1e-2 * min(1.0, step / 30)


KINDS: dict[str, tuple[Callable[[float], float], Callable[[int], float], dict[str, Any]]] = {
    "cosine": (converging, cosine, {}),
    "decay after a long plateau": (
        lambda t: 10 ** (-2.6 * min(1.0, t / 0.2) - 0.8 * max(0.0, t - 0.8) / 0.2),
        lambda step: warmed(step) * (1.0 if step < 480 else (600 - step) / 120),
        {},
    ),
    "steps of the rate": (
        lambda t: 10 ** (-1.8 * min(1.0, t / 0.15) - 0.7 * (t > 0.5) - 0.5 * (t > 0.8)),
        lambda step: warmed(step) * 0.1 ** ((step > 300) + (step > 480)),
        {},
    ),
    "restarts": (
        lambda t: converging(t) * 10 ** (0.6 * math.exp(-(t % 0.34) / 0.03) * (t > 0.34)),
        lambda step: 1e-2 * 0.5 * (1 + math.cos(math.pi * (step % 204) / 204)),
        {},
    ),
    "plateau, then it drops": (
        lambda t: 0.7 if t < 0.4 else 0.7 * 10 ** (-3 * min(1.0, (t - 0.4) / 0.25)),
        cosine,
        {},
    ),
    "a GRU's early norms": (converging, cosine, {"norm": lambda t: 0.2 + 4.0 * (0.05 < t < 0.12), "kind": "gru"}),
    "weight decay raises the norm": (
        lambda t: converging(t) * 10 ** (-0.6 * t),
        cosine,
        {"norm": lambda t: 0.05 / math.sqrt(max(1.02 - t, 0.02))},
    ),
}


def healthy(kind: str, seed: int) -> RunFacts:
    loss, lr, other = KINDS[kind]
    draw, wander, drift = random.Random(seed), 0.0, []
    for _ in range(STEPS):
        wander = 0.9 * wander + draw.gauss(0.0, 0.03)  # a decibel that comes and goes within ten steps
        drift.append(wander)
    noisy: dict[str, Any] = {
        "loss": lambda t: loss(t) * 10 ** drift[round(STEPS * t) - 1],
        "spread": 0.3,
        "norm": 0.2,
        "seed": seed,
    }
    steps = list(range(30, STEPS + 1, 30))
    scores = [10 * math.log10(loss(step / STEPS)) + draw.gauss(0.0, 0.3) for step in steps]
    planned: dict[str, Any] = {
        "eps": 1e-8,
        "beta2": 0.95,
        "steps_per_epoch": 40.5,
        "loss_is_nmse": True,
        "max_steps": STEPS,
    }
    facts: dict[str, Any] = {
        "realised": lr,
        "eval_step": steps,
        "eval_nmse_db": scores,
        "warmup": 30,
        "floor_db": -40.0,
    }
    run = example_run(steps=STEPS, **(noisy | planned | facts | example_parts(steps=STEPS) | other))
    return replace(run, lr_planned=list(run.lr))


def prefix(run: RunFacts, length: int) -> RunFacts:
    """What a live diagnosis sees after `length` steps."""
    scores = sum(step <= length for step in run.eval_step)
    looks = sum(step <= length for step in run.group_step)
    cut: dict[str, Any] = {name: getattr(run, name)[:length] for name in PER_STEP}
    cut |= {name: getattr(run, name)[:scores] for name in ("eval_step", "eval_nmse_db")}
    cut |= {name: {part: values[:looks] for part, values in getattr(run, name).items()} for name in PARTS}
    return replace(run, **cut, group_step=run.group_step[:looks])


def warnings(run: RunFacts) -> set[str]:
    return {finding.code for finding in diagnose_facts(run).findings if finding.severity != "info"}


@pytest.mark.parametrize("kind", KINDS)
def test_healthy_runs_have_no_warning(kind: str) -> None:
    assert [warnings(healthy(kind, seed)) for seed in range(6)] == [set()] * 6


@pytest.mark.parametrize("kind", KINDS)
def test_nor_has_any_prefix_of_them(kind: str) -> None:
    run = healthy(kind, seed=0)
    lengths = range(20, STEPS, 29)
    assert len(lengths) > 15
    assert {length: found for length in lengths if (found := warnings(prefix(run, length)))} == {}


def test_a_prefix_of_everything_is_the_run() -> None:
    run = healthy("cosine", seed=0)
    assert diagnose_facts(prefix(run, STEPS)).to_json() == diagnose_facts(run).to_json()
