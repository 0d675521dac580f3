"""A plan as text: every value with its origin."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import load_text
from dpdrun.report.plan import plan_line, plan_table, rule_settings

RECIPE = """
task: pa
data: {source: "synthetic/mild"}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
optim: {clip_norm: off}
train: {max_steps: 400, batch_size: 4, frame: 32}
"""
GMP = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gmp}\n"


def plan_of(text: str = RECIPE) -> Plan:
    return make_plan(load_text(text, Path("r.yaml")).recipe, 2000)


def lines_of(renderable: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines
    assert max(map(len, lines)) <= width
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize("width", [80, 120])
def test_every_value_is_shown_once_under_its_origin(width: int) -> None:
    plan = plan_of()
    lines = lines_of(plan_table(plan, capture="synthetic/mild"), width)
    assert lines[0] == f"plan: 400 steps ({plan.warmup_steps} warmup) of 4 x 32 samples on synthetic/mild"
    titles = {"rule": "set by rules", "user": "set in the recipe", "default": "defaults"}
    starts = [lines.index(title) for title in titles.values()]
    assert starts == sorted(starts)
    sections = {
        origin: " ".join(" ".join(lines[a + 1 : b]).replace(",", " ").split())
        for origin, a, b in zip(titles, starts, [*starts[1:], len(lines)], strict=True)
    }
    assert {origin.origin for origin in plan.provenance.values()} == set(titles)
    for key, origin in plan.provenance.items():
        if key == "pa":  # also the value of `task`
            continue
        found = {name for name, text in sections.items() if f" {key} " in f" {text} "}
        assert found == {origin.origin}, key
    assert "optim.clip_norm off" in sections["user"]
    for setting in rule_settings(plan, [key for key, origin in plan.provenance.items() if origin.rule]):
        code, key, value = setting.split(" ", 2)
        assert f"{key} {value} {code}" in sections["rule"]


def test_a_reason_is_given_for_what_a_rule_set() -> None:
    plan = plan_of()
    text = " ".join(" ".join(lines_of(plan_table(plan, capture="c"), 200)).split())
    reasons = [origin.why for origin in plan.provenance.values() if origin.rule]
    assert reasons
    assert all(" ".join(why.split()) in text for why in reasons)


def test_warnings_of_the_plan_are_shown_with_advice() -> None:
    plan = plan_of(RECIPE.replace("clip_norm: off", "warmup: 50%"))
    assert plan.warnings
    text = " ".join("\n".join(lines_of(plan_table(plan, capture="c"), 120)).split())
    assert all(" ".join(w.as_line().split()) in text for w in plan.warnings)


def test_the_job_in_one_line() -> None:
    plan = plan_of()
    rules = sum(origin.rule is not None for origin in plan.provenance.values())
    assert plan_line(plan, capture="synthetic/mild", parameters=1234) == (
        f"transformer of 1,234 parameters on synthetic/mild: 400 steps ({plan.warmup_steps} warmup) of 4 x 32 samples, "
        f"lr {plan.lr:g}; {rules} values set by rules (--dry-run shows them)"
    )
    assert "warmup" not in plan_line(
        plan_of(RECIPE.replace("clip_norm: off", "warmup: off")), capture="c", parameters=1
    )


def test_a_least_squares_fit_has_no_steps_to_tell() -> None:
    plan = plan_of(GMP)
    line = plan_line(plan, capture="c", parameters=800)
    assert line == "gmp of 800 parameters on c: a least-squares fit, without steps"
    assert "without steps" in lines_of(plan_table(plan, capture="c"), 80)[0]
