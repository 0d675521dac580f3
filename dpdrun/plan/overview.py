"""The rules at a glance: recommended values of a usual run by family and width, as both sets of rules have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dpdrun.plan.recommendation import Value, recommend
from dpdrun.rules.advice import RuleSet
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.plan.sizing import LAYERS, SHORTEST_WINDOW, heads_for

SCHEMA_VERSION = 1
FRAMES = 800  # training frames: 6,000 steps of 8 with TL001, between the lengths of the shipped recipes
WIDTHS = {"transformer": (8, 16, 32, 64, 128, 256, 512, 1024), "gru": (8, 16, 32, 64, 512)}
TYPICAL = {"transformer": 16, "gru": 16}  # the width for which the other settings are shown
RULE_SETS: tuple[RuleSet, ...] = ("measured", "note")
LR = "optim.lr"
SETTINGS = (
    "optim.warmup", "optim.schedule", "optim.clip_norm", "optim.weight_decay", "optim.beta1", "optim.beta2",
    "train.batch_size",
)  # fmt: skip


@dataclass(frozen=True)
class Overview:
    """What the rules give without a job.

    Attributes:
        rates: learning rates, by kind, width and set of rules.
        settings: other settings at the width of TYPICAL, by kind, field and set of rules.
        steps: optimizer steps of the run that they are for.
    """

    rates: dict[str, dict[int, dict[RuleSet, Value]]]
    settings: dict[str, dict[str, dict[RuleSet, Value]]]
    steps: int

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form (`dpdrun recommend --format json` without a job)."""

        def both(values: dict[RuleSet, Value]) -> dict[str, Any]:
            return {rules: value.to_json() for rules, value in values.items()}

        return {
            "schema_version": SCHEMA_VERSION,
            "steps": self.steps,
            "learning_rates": [
                {"model": kind, "width": width, **both(values)}
                for kind, rates in self.rates.items()
                for width, values in rates.items()
            ],
            "settings": [
                {"model": kind, "width": TYPICAL[kind], "field": key, **both(values)}
                for kind, settings in self.settings.items()
                for key, values in settings.items()
            ],
        }


def overview() -> Overview:
    """Return what both sets of rules recommend for a run of a usual length."""
    advised = {
        (kind, width, rules): recommend(_usual(kind, width), rules)
        for kind, widths in WIDTHS.items()
        for width in widths
        for rules in RULE_SETS
    }
    rates = {
        kind: {width: {rules: advised[kind, width, rules].values[LR] for rules in RULE_SETS} for width in widths}
        for kind, widths in WIDTHS.items()
    }
    settings = {
        kind: {key: {rules: advised[kind, width, rules].values[key] for rules in RULE_SETS} for key in SETTINGS}
        for kind, width in TYPICAL.items()
    }
    return Overview(rates, settings, advised["transformer", TYPICAL["transformer"], "measured"].total_steps or 0)


def _usual(kind: str, width: int) -> PlanFacts:
    """Return a job of this width, with the other sizes as our recipes have them."""
    if kind == "gru":
        return PlanFacts(kind=kind, frames=FRAMES, hidden=width)
    heads, window = heads_for(width), float(SHORTEST_WINDOW)
    return PlanFacts(kind=kind, frames=FRAMES, d_model=width, layers=LAYERS[kind], heads=heads, window=window)
