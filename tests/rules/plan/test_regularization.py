"""Weight decay, and how long it takes to act."""

from __future__ import annotations

import pytest

from dpdrun.rules.advice import derive
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.plan import regularization
from dpdrun.training.schedule import Schedule


@pytest.mark.parametrize("rules", ["note", "measured"])
@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_weight_decay(kind: str, rules: str) -> None:
    assert derive(PlanFacts(kind=kind), rules).facts.weight_decay == 0.01


def test_time_scale_is_given_when_the_learning_rate_is_known() -> None:
    why = derive(PlanFacts(kind="gru", lr=3e-4), "note").opinions["optim.weight_decay"].why
    assert "333,333 steps" in why
    derived = derive(PlanFacts(kind="transformer", d_model=256), "note").opinions  # the lr rule is asked first
    assert "333,333 steps" in derived["optim.weight_decay"].why
    assert "steps" not in derive(PlanFacts(kind="gru"), "note").opinions["optim.weight_decay"].why


def checked(profile: str = "measured", **facts: object) -> dict[str, Finding]:
    base: dict[str, object] = {"kind": "transformer", "d_model": 16, "max_steps": 2000, "schedule": "cosine"}
    advice = derive(PlanFacts(**(base | facts)), profile)  # type: ignore[arg-type]
    return {finding.code: finding for finding in advice.warnings if finding.code.startswith("RG")}


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant", "plateau", "inverse_sqrt"])
@pytest.mark.parametrize(("warmup", "total"), [(0, 500), (100, 2000), (500, 2000), (7, 3000)])
def test_decay_of_a_run_is_the_sum_over_its_steps(kind: str, warmup: int, total: int) -> None:
    schedule = Schedule(kind, peak=1e-2, warmup=warmup, total=total, end=0.0)
    exact = sum(schedule.lr_at(step) * 0.01 for step in range(1, total + 1))
    facts = PlanFacts(lr=1e-2, weight_decay=0.01, max_steps=total, warmup=warmup, schedule=kind)
    assert regularization.decay_of_run(facts) == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize(
    ("decay", "lr", "codes"),
    [
        (0.01, 3e-4, {"RG101"}),
        (0.01, 2e-2, set()),
        (0.01, 1e-3, set()),  # 1 % in 2000 steps
        (1.0, 2e-2, set()),
        (2.0, 2e-2, {"RG102"}),
        (0.0, 3e-4, set()),
    ],
)
def test_weight_decay_against_the_run(decay: float, lr: float, codes: set[str]) -> None:
    assert set(checked(weight_decay=decay, lr=lr)) == codes


def test_inert_weight_decay_is_switched_off_safely() -> None:
    finding = checked(weight_decay=0.01, lr=3e-4)["RG101"]
    assert (finding.fix, finding.severity, finding.patch) == ("safe", "info", {"optim.weight_decay": "off"})


@pytest.mark.parametrize(
    ("lr", "steps", "decay", "said"),
    [
        (3e-4, 2000, "off", "no effect"),  # 0.3 %
        (1e-3, 2000, 0.01, "shrinks idle weights by 1%"),
        (2e-2, 8000, 0.01, "shrinks idle weights by 55%"),
        (1e-1, 80_000, 1.3e-3, "makes weights depend only"),  # exp(-39)
    ],
)
def test_rules_settle_weight_decay_by_what_it_does(lr: float, steps: int, decay: object, said: str) -> None:
    facts = PlanFacts(kind="transformer", d_model=16, lr=lr, max_steps=steps, schedule="cosine")
    advice = derive(facts, "measured")
    opinion = advice.opinions["optim.weight_decay"]
    assert (opinion.rule, opinion.value) == ("RG010", decay)
    assert said in opinion.why
    assert not {"RG101", "RG102"} & {finding.code for finding in advice.warnings}


def test_note_keeps_its_own_weight_decay() -> None:
    assert checked("note", lr=3e-4) == {}


def test_weaker_decay_makes_the_time_constant_a_fifth_of_the_run() -> None:
    advised = checked(weight_decay=2.0, lr=2e-2)["RG102"].patch["optim.weight_decay"]
    again = PlanFacts(lr=2e-2, weight_decay=advised, max_steps=2000, warmup=100, schedule="cosine")
    assert regularization.decay_of_run(again) == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize(
    ("dropout", "floor", "flagged"), [(0.1, None, True), (0.1, -45.0, True), (0.1, -25.0, False), (0.0, None, False)]
)
def test_dropout_against_the_error_that_can_be_reached(dropout: float, floor: float | None, flagged: bool) -> None:
    found = checked(dropout=dropout, noise_floor_db=floor)
    assert ("RG103" in found) is flagged
    if flagged:
        assert "noise of -10 dB" in found["RG103"].message
