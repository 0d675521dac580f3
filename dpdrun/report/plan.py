"""A plan on the terminal: values set by rules and why, values of the recipe, and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dpdrun.plan.plan import Plan
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.patch import render
from dpdrun.report.findings import EVIDENCE_STYLE, finding_line


def plan_table(plan: Plan, *, capture: str) -> RenderableType:
    """Return all values of a plan with their origin, and the findings of the check rules."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for style in ("", "bold", "", "dim"):
        table.add_column(no_wrap=style != "dim", style=style)
    for key, origin in plan.provenance.items():
        if origin.rule is not None:
            code = Text(origin.rule, EVIDENCE_STYLE[origin.evidence])
            table.add_row(f"  {key}", render(value_at(plan, key)), code, Text(origin.why))
    parts: list[RenderableType] = [Text(f"plan: {_length(plan)} on {capture}", "bold")]
    if table.row_count:
        parts += ["", Text("set by rules", "bold"), table]
    for who, title in (("user", "set in the recipe"), ("default", "defaults")):
        keys = [key for key, origin in plan.provenance.items() if origin.origin == who]
        if keys:
            items = [Text(f"{key} {render(value_at(plan, key))}", "dim") for key in keys]
            parts += ["", Text(title, "bold"), Padding(Columns(items, padding=(0, 2)), (0, 0, 0, 2))]
    if plan.warnings:
        parts += ["", *map(finding_line, plan.warnings)]
    return Group(*parts)


def plan_line(plan: Plan, *, capture: str, parameters: int, device: str = "") -> str:
    """Return the job in one line, with the device that it runs on."""
    line = f"{plan.recipe.model.kind} of {parameters:,} parameters on {capture}: {_length(plan)}"
    if not plan.total_steps:
        return line
    rules = sum(origin.origin == "rule" for origin in plan.provenance.values())
    count = plan.recipe.train.threads
    where = f", on {device}" if device else ""
    where += "" if count == AUTO else f", {count} thread{'' if count == 1 else 's'}"
    return f"{line}, lr {plan.lr:g}{where}; {rules} values set by rules (--dry-run shows them)"


def rule_settings(plan: Plan, keys: Sequence[str]) -> list[str]:
    """Return `LR010 optim.lr 0.03` for each key that a rule has set."""
    return [f"{plan.provenance[key].rule} {key} {render(value_at(plan, key))}" for key in keys]


def value_at(plan: Plan, key: str) -> Any:
    """Return a value of the plan's recipe by its dotted key."""
    node: Any = plan.recipe
    for name in key.split("."):
        node = getattr(node, name)
    return node


def _length(plan: Plan) -> str:
    if not plan.total_steps:
        return "a least-squares fit, without steps"
    warmup = f" ({plan.warmup_steps} warmup)" if plan.warmup_steps else ""
    finish = f", then {plan.recipe.optim.refine_iterations:,} lm iterations" if plan.recipe.optim.refine == "lm" else ""
    return f"{plan.total_steps:,} steps{warmup} of {plan.batch_size} x {plan.frame} samples{finish}"
