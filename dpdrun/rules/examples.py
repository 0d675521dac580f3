"""Small made-up runs: what the examples of the diagnose rules and their tests are built from. Deterministic."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from dpdrun.rules.facts.deployment import DeploymentFacts
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.facts.signal import SignalFacts

Curve = Callable[[float], float]


def example_facts(purpose: str, given: Mapping[str, Any]) -> PlanFacts | RunFacts:
    """Return the facts of an example of a rule, from its declaration.

    Of a plan they are facts. Of a run they are arguments of `example_run`, and `parts`, `ranks`, `signal`: arguments of
    `example_parts` and `example_ranks`, and facts of a sound signal that change; with `signal`, or with the facts of a
    `deployment`, there is no log.
    """
    if purpose != "diagnose":
        return PlanFacts(**given)
    rest = {name: value for name, value in given.items() if name not in ("parts", "ranks", "signal")}
    if "deployment" in given:
        return RunFacts(deployment=DeploymentFacts(**given["deployment"]))
    if "signal" in given:
        return replace(example_signal(**given["signal"]), **rest)
    parts = example_parts(**given["parts"]) if "parts" in given else {}
    ranks = example_ranks(**given["ranks"]) if "ranks" in given else {}
    return example_run(**(parts | ranks | rest))


def example_signal(nmse_db: float = -38.0, **other: Any) -> RunFacts:
    """Return facts of a sound prediction, but for those given."""
    judged = other.get("judged_nmse_db", nmse_db)
    facts = {"judged_nmse_db": judged, "gain_nmse_db": judged, "gain_db": 0.0, "gain_deg": 0.0, **other}
    return RunFacts(signal=SignalFacts(samples=19_662, nmse_db=nmse_db, **facts))


def cosine_lr(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Return the rate of a linear warmup from peak / warmup, then a cosine to zero."""
    if step <= warmup:
        return peak * step / warmup
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def example_run(
    *,
    steps: int = 400,
    total: int | None = None,
    warmup: int = 20,
    peak: float = 1e-2,
    norm: Curve | float = 0.3,
    loss: Curve | float = lambda t: 10.0 ** (-3.0 * (1.0 - (1.0 - t) ** 6)),
    realised: Callable[[int], float] | float | None = None,
    clip_norm: float = 1.0,
    spread: float = 0.1,
    norm_spread: float | None = None,
    seed: int = 0,
    **other: Any,
) -> RunFacts:
    """A run whose norm and loss follow curves of the progress t (0 to 1), times log-normal noise of relative `spread`.

    The norm has a `norm_spread` of its own where one is given.

    A number is a constant curve.

    Args:
        steps, total: steps logged and planned (default: all of them).
        realised: learning rate really used at a step; default: as planned, a cosine.
        other: further facts, such as `one_tap_db` or `eval_nmse_db`.
    """
    noise = random.Random(seed)
    total = steps if total is None else total
    at = list(range(1, steps + 1))
    planned = [cosine_lr(step, peak=peak, warmup=warmup, total=total) for step in at]

    def noisy(curve: Curve | float, spread: float) -> list[float]:
        levels = [curve(step / total) if callable(curve) else curve for step in at]
        return [level * math.exp(noise.gauss(0.0, spread)) for level in levels]

    norms = noisy(norm, spread if norm_spread is None else norm_spread)
    facts: dict[str, Any] = {
        "step": at,
        "lr": _realised(realised, at, planned),
        "lr_planned": planned,
        "loss": noisy(loss, spread),
        "grad_norm": norms,
        "clip_norm": [clip_norm] * steps,
        "clipped": [value > clip_norm for value in norms],
        "total_steps": total,
        "warmup_steps": warmup,
        "peak_lr": peak,
        "weight_decay": 0.01,
        "kind": "transformer",
        "schedule": "cosine",
    }
    return RunFacts(**(facts | other))


def example_parts(
    *,
    steps: int = 400,
    every: int = 25,
    ratio: float = 5e-3,
    shares: tuple[float, ...] = (0.5, 0.3, 0.2),
    norm: float = 0.3,
    still: Mapping[str, Iterable[int]] | None = None,
    head_rms: float | None = None,
) -> dict[str, Any]:
    """What is logged of the parts of a network in `example_run(**example_parts())`: a head, an embedding, blocks.

    Args:
        every: steps between two measurements.
        ratio: update over weight of each part.
        shares: of each part in the squared gradient norm.
        norm: of the complete gradient.
        still: tensors that a step did not change, with the steps.
        head_rms: rms of the weights of the head; all others then have one of 0.1.
    """
    measured = list(range(1, steps + 1, every))
    names = ["head", "embedding", *(f"blocks.{number}" for number in range(len(shares) - 2))]
    weight = dict.fromkeys(names, 1.0)
    if head_rms is not None:
        weight = {name: (head_rms if name == "head" else 0.1) * math.sqrt(1000) for name in names}
    return {
        "group_step": measured,
        "group_grad": {name: [norm * math.sqrt(s)] * len(measured) for name, s in zip(names, shares, strict=True)},
        "group_weight": {name: [weight[name]] * len(measured) for name in names},
        "group_update": {name: [ratio] * len(measured) for name in names},
        "group_size": dict.fromkeys(names, 1000),
        "parameters": 1000 * len(names),
        "still": {name: list(at) for name, at in (still or {}).items()},
    }


def example_ranks(
    *,
    processes: int = 2,
    steps: int = 400,
    skew: float = 1.0,
    reduced: str = "mean",
    copied: bool = False,
    differ_from: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what is logged of the processes of `example_run(**example_ranks())`.

    Args:
        skew: factor of the losses of the last one.
        reduced: norm that the optimizer took: of the "mean", or each process its "own".
        copied: the last one repeats the first.
        differ_from: step from which its parameters are others.
    """
    noise = random.Random(seed)
    facts: dict[str, Any] = {"rank_step": list(range(1, steps + 1)), "rank_loss": [], "rank_norm": []}
    for _ in range(steps):
        loss = [math.exp(noise.gauss(-3.0, 0.2)) for _ in range(processes)]
        loss[-1] = loss[0] if copied else loss[-1] * skew
        facts["rank_loss"].append(loss)
        facts["rank_norm"].append([math.sqrt(each) for each in loss])
    means = ([0.9 * sum(own) / processes] * processes for own in facts["rank_norm"])
    facts["rank_reduced"] = [list(own) for own in facts["rank_norm"]] if reduced == "own" else list(means)
    measured = list(range(1, steps + 1, 25))
    last = [differ_from is not None and step >= differ_from for step in measured]
    facts |= {"checksum_step": measured, "rank_checksum": [[7] * (processes - 1) + [7 + differs] for differs in last]}
    return facts


def _realised(rule: Callable[[int], float] | float | None, at: list[int], planned: list[float]) -> list[float]:
    if rule is None:
        return list(planned)
    return [rule(step) if callable(rule) else rule for step in at]
