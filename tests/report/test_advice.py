"""A recommendation on the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from dpdrun.plan.recommendation import recommend
from dpdrun.report.advice import WIDE, recommendation_view
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.regret import Regret


def shown(facts: PlanFacts, width: int, rules: str = "measured") -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(recommendation_view(recommend(facts, rules)), highlight=False)
    return capture.get().splitlines()


FACTS = PlanFacts(kind="transformer", d_model=2048, epochs=50, batch=64, frames=10_000)


def test_wide_terminal_has_the_reason_on_the_line() -> None:
    line = next(line for line in shown(FACTS, WIDE + 40) if line.startswith("optim.lr"))
    assert "7.1e-5 (5e-5 to 1e-4)" in line
    assert "log-midpoint of its range" in line


def test_narrow_terminal_has_the_reasons_below() -> None:
    lines = shown(FACTS, 80)
    assert "why:" in lines
    below = " ".join(lines[lines.index("why:") :])
    assert "log-midpoint of its range" in " ".join(below.split())


def test_reasons_that_wrap_are_indented() -> None:
    lines = shown(FACTS, 80)
    below = lines[lines.index("why:") + 1 : next(n for n, line in enumerate(lines) if line.startswith("optimizer"))]
    assert len(below) > len(recommend(FACTS, "measured").values)  # one goes on
    assert all(line.startswith("  ") for line in below)


def test_nothing_is_cut_off_on_a_narrow_terminal() -> None:
    text = "\n".join(shown(FACTS, 60))
    assert "train.checkpoint_every" in text
    assert "1e-4)" in text
    assert "\N{HORIZONTAL ELLIPSIS}" not in text


def test_a_range_of_one_value_is_not_shown_as_a_range() -> None:
    facts = PlanFacts(kind="transformer", d_model=32)
    this = recommend(facts, "measured")
    one = replace(this, values={"optim.lr": replace(this.values["optim.lr"], value=0.06, low=0.06, high=0.06)})
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(recommendation_view(one), highlight=False)
    line = next(line for line in capture.get().splitlines() if line.startswith("optim.lr"))
    assert line.split()[1] == "0.06"
    assert "0.06 to" not in line


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_lines_fit(width: int) -> None:
    lines = shown(FACTS, width)
    assert len(lines) > 10
    assert all(len(line) <= width for line in lines)


def test_note_is_shown_where_it_differs_only() -> None:
    lines = {line.split()[0]: line for line in shown(PlanFacts(kind="transformer", d_model=32), 160) if "." in line}
    assert " 3e-4 " in lines["optim.lr"]
    assert lines["optim.weight_decay"].split()[1:3] == ["0.01", "RG001"]


def test_findings_and_open_fields() -> None:
    text = "\n".join(shown(FACTS, 200, "note"))
    assert "warning BT101 " in text
    assert ": train.batch_size is 64; " in text
    assert "not set: train.burn_in: needs model.layers (--layers) and model.window (--window)" in text
    assert "optimizer steps: 7813, about 8000" in text


def totals(**facts: int) -> str:
    return next(
        line for line in shown(PlanFacts(kind="transformer", d_model=32, **facts), 200) if line.startswith("optimizer")
    )


def test_rounded_numbers_are_shown_only_where_they_differ() -> None:
    assert totals(max_steps=1) == "optimizer steps: 1; warmup 1 (5 to 10 % is 1)"
    assert totals(max_steps=2000) == "optimizer steps: 2000; warmup 100 (5 to 10 % is 100 to 200)"
    assert totals(max_steps=1954) == (
        "optimizer steps: 1954, about 2000; warmup 98 (5 to 10 % is 98 to 195, about 100 to 200)"
    )


def test_one_step_is_singular() -> None:
    text = "\n".join(shown(PlanFacts(kind="transformer", d_model=32, max_steps=1), 200))
    assert "1 evaluation in 1 step " in text
    assert "1 steps" not in text
    assert "1 scorings" not in text


def test_a_value_in_the_range_of_the_note_is_shown_alone() -> None:
    lines = shown(PlanFacts(kind="transformer", d_model=1024, lr=6e-5), 160)
    line = next(line for line in lines if line.startswith("optim.lr"))
    assert line.split()[:3] == ["optim.lr", "6e-5", "you"]
    lines = shown(PlanFacts(kind="transformer", d_model=1024, lr=6e-4), 160)
    assert "7.1e-5 (5e-5 to 1e-4)" in next(line for line in lines if line.startswith("optim.lr"))


def test_rules_outside_their_box_have_a_line() -> None:
    text = "\n".join(shown(PlanFacts(kind="transformer", d_model=512), 200))
    assert "LR010 for optim.lr: d_model is 512, they cover 8 to 256" in text
    assert "not applicable" not in "\n".join(shown(PlanFacts(kind="transformer", d_model=32), 200))


def test_why_there_is_no_estimate() -> None:
    console = Console(width=160, no_color=True)
    this = recommend(PlanFacts(kind="transformer", d_model=32), "measured")
    with console.capture() as capture:
        console.print(recommendation_view(this, None, "full attention was not timed"))
    assert "no estimate of time and memory: full attention was not timed" in capture.get()


def test_gmp() -> None:
    assert shown(PlanFacts(kind="gmp"), 80) == ["a GMP is fitted by least squares: there are no optimizer settings"]


def test_regret_is_among_the_reasons() -> None:
    this = recommend(PlanFacts(kind="transformer", d_model=32), "measured")
    plain = replace(this.values["optim.lr"], regret=None, note_regret=None)
    for regret in (None, Regret(0.12, 0.9, workloads=9)):
        console = Console(width=160, no_color=True)
        with console.capture() as capture:
            console.print(recommendation_view(replace(this, values={"optim.lr": replace(plain, regret=regret)})))
        assert ("expected regret 0.1 dB" in " ".join(capture.get().split())) == (regret is not None)
