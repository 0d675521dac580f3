"""The learning-rate law of the regret study: log2(lr) is a level and so many octaves for each octave of the job.

`make regret` fits it and writes it into regret.json (docs/results.md#regret); nothing of it is typed in by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.regret import REACH, measured
from dpdrun.rules.text import pluralize, two_digits

# Effect of the law -> the fact that it reads; the width is taken in bands.
FACT_OF = {"steps": "total_steps", "batch": "batch", "layers": "layers"}


@dataclass(frozen=True)
class LRLaw:
    """The law of one kind of network.

    Attributes:
        level: log2(lr) of the reference job.
        effects: octaves of lr for an octave of width, steps, batch or layers above the reference.
        reference: the job at which all effects are zero.
        widths: bands; a width belongs to the nearest one by ratio.
        swept: least and most of every other effect; a job beyond is taken at the nearest end.
    """

    kind: str
    level: float
    effects: Mapping[str, float]
    reference: Mapping[str, float]
    widths: tuple[int, ...]
    swept: Mapping[str, tuple[float, float]]

    def band(self, width: int) -> int:
        """Return the swept width that is nearest by ratio."""
        return min(self.widths, key=lambda swept: abs(math.log(width / swept)))

    def lr(self, facts: PlanFacts) -> float:
        """Return the peak learning rate of a job whose width is known."""
        octaves = self.effects["width"] * math.log2(self.band(facts.width or 1) / self.reference["width"])
        for name in self.swept:
            octaves += self.effects.get(name, 0.0) * math.log2(self.held(name, facts) / self.reference[name])
        return float(2.0 ** (self.level + octaves))

    def held(self, name: str, facts: PlanFacts) -> float:
        """Return the steps, batch or layers of a job, held inside what was swept.

        Unknown, it is the end with the lower rate: too low a rate loses little, too high a one the run.
        """
        least, most = self.swept[name]
        value = facts.get(FACT_OF[name])
        if value is None:
            return most if self.effects.get(name, 0.0) < 0 else least
        return float(min(max(value, least), most))

    def beyond(self, facts: PlanFacts) -> list[str]:
        """Return what of a job is outside of the sweeps, in words."""
        known = {name: facts.get(fact) for name, fact in FACT_OF.items() if name in self.swept}
        return [
            f"batch {value:,}" if name == "batch" else pluralize(value, name.removesuffix("s"))
            for name, value in known.items()
            if value is not None and value != self.held(name, facts)
        ]


@lru_cache(maxsize=2)
def law_of(kind: str) -> LRLaw:
    """Return the law of `transformer` or `gru`."""
    law = measured()["law"][kind]
    return LRLaw(
        kind=kind,
        level=law["level"],
        effects=law["effects"],
        reference=law["reference"],
        widths=tuple(law["swept"]["width"]),
        swept={name: (min(values), max(values)) for name, values in law["swept"].items() if name != "width"},
    )


def outside_sweep(facts: PlanFacts) -> str | None:
    """Return why the sweeps, and what was measured with their settings, say nothing of a network; None when they do."""
    if facts.kind not in measured()["law"]:
        return f"not swept: {facts.kind}"
    if facts.window == math.inf:
        return "our sweeps cover windowed attention only"
    widths = law_of(facts.kind or "").widths
    if facts.width is None:
        return "needs the width of the model"
    if widths[0] <= facts.width <= widths[-1]:
        return None
    if facts.kind == "gru":
        return f"our sweeps of GRUs cover {widths[0]} to {widths[-1]} units; this one has {facts.width}"
    return f"our sweeps of Transformers cover widths of {widths[0]} to {widths[-1]}; this one has {facts.width}"


def longer_than_swept(facts: PlanFacts) -> str | None:
    """Return why a run is too long for the sweeps of its kind to say something about it; None when it is not."""
    lengths, steps = law_of(facts.kind or "").swept["steps"], facts.total_steps
    if steps is None or steps <= lengths[1] * REACH:
        return None
    return f"our sweeps end at {lengths[1]:,.0f} steps; this run has {steps:,}"


def swept_lr(facts: PlanFacts) -> float | None:
    """Return the peak learning rate that the sweeps give for a job; None where they say nothing of it."""
    if outside_sweep(facts) or (facts.kind == "gru" and longer_than_swept(facts)):
        return None
    return two_digits(law_of(facts.kind or "").lr(facts))
