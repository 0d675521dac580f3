"""A plan as a table: every value, where it comes from, and why."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from dpdrun.plan import Plan

_STYLE = {"user": "green", "rule": "cyan", "default": "dim"}


def plan_table(plan: Plan) -> RenderableType:
    """All values of a plan with their origin."""
    table = Table(title="plan", title_justify="left", show_edge=False, pad_edge=False)
    for name in ("field", "value", "set by", "why"):
        table.add_column(name, no_wrap=name != "why")
    for key, origin in plan.provenance.items():
        by = origin.rule or origin.origin
        table.add_row(key, escape(str(_value(plan.recipe, key))), f"[{_STYLE[origin.origin]}]{by}[/]", escape(origin.why))
    table.caption = f"{plan.total_steps} optimizer steps, {plan.warmup_steps} of them warmup"
    return table


def plan_line(plan: Plan, *, capture: str, parameters: int) -> str:
    """The job in one line."""
    rules = sum(origin.origin == "rule" for origin in plan.provenance.values())
    kind = plan.recipe.model.kind
    if not plan.total_steps:
        return f"{kind} of {parameters:,} parameters on {capture}, by least squares"
    return (
        f"{kind} of {parameters:,} parameters on {capture}: {plan.total_steps} steps of {plan.batch_size} x {plan.frame} "
        f"samples, lr {plan.lr:g}, warmup {plan.warmup_steps}; {rules} values set by rules (--dry-run shows them)"
    )


def _value(node: Any, key: str) -> Any:
    for name in key.split("."):
        node = getattr(node, name)
    return node
