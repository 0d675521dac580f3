"""Warmup: its share, and plans whose warmup is too long or too short to be one."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.recipe.fields import Percent
from dpdrun.rules.advice import RuleSet, derive, opinion_on
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts


def checked(**facts: object) -> dict[str, Finding]:
    advice = derive(PlanFacts(kind="transformer", d_model=8, **facts), "measured")  # type: ignore[arg-type]
    return {finding.code: finding for finding in advice.warnings}


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_measured_share_lies_in_the_notes_range(kind: str) -> None:
    opinion = derive(PlanFacts(kind=kind, d_model=16, hidden=16, max_steps=2000), "measured").opinions["optim.warmup"]
    assert 0.05 <= opinion.value <= 0.10
    assert opinion.detail["low_steps"] <= opinion.detail["steps"] <= opinion.detail["high_steps"]


def test_width_that_was_not_trained_has_the_notes_share() -> None:
    assert derive(PlanFacts(kind="transformer", d_model=512), "measured").facts.warmup == Percent("7.5%")


def test_a_gru_has_none_by_the_note() -> None:
    assert derive(PlanFacts(kind="gru"), "note").facts.warmup == 0


def test_over_a_tenth_gives_number_and_advice() -> None:
    finding = checked(warmup=1000, max_steps=1954)["WU101"]
    assert (finding.severity, finding.patch) == ("warning", {"optim.warmup": Percent("5%")})
    assert "1000 of 1954 steps, 51%" in finding.message
    assert "5% (98 steps)" in finding.advice


FACTS = {"d_model": 8, "hidden": 8, "max_steps": 1954}


@pytest.mark.parametrize(
    ("rules", "facts", "share"),
    [
        ("measured", {"kind": "transformer"}, Percent("5%")),
        ("note", {"kind": "transformer"}, Percent("7.5%")),
        ("measured", {"kind": "transformer", "d_model": 512}, Percent("7.5%")),
        ("measured", {"kind": "gru"}, Percent("5%")),
        ("note", {"kind": "gru"}, "off"),
        ("measured", {"kind": "gru", "hidden": 512}, "off"),
    ],
)
@pytest.mark.parametrize(("code", "warmup"), [("WU101", {"warmup": 1000}), ("WU103", {"warmup": 5, "epochs": 50.0})])
def test_a_fix_writes_what_the_rules_would_set(
    code: str, warmup: dict[str, Any], rules: RuleSet, facts: dict[str, Any], share: Any
) -> None:
    """Else the table would say after --fix that the rules would set something else."""
    known = PlanFacts(**(FACTS | facts | warmup))
    finding = next(finding for finding in derive(known, rules).warnings if finding.code == code)
    if code == "WU103" and share == "off":
        assert finding.patch == {"optim.warmup": Percent("10%")}, "what was meant, where the rules set none"
        return
    assert finding.patch == {"optim.warmup": share}
    assert opinion_on("optim.warmup", known, rules).value == share  # type: ignore[union-attr]


def test_warmup_that_never_ends_is_an_error() -> None:
    assert checked(warmup=1954, max_steps=1954)["WU101"].severity == "error"


@pytest.mark.parametrize(("share", "flagged"), [("10%", False), ("10.1%", True), ("5%", False)])
def test_a_tenth_is_allowed(share: str, flagged: bool) -> None:
    assert ("WU101" in checked(warmup=Percent(share), max_steps=10_000)) is flagged


@pytest.mark.parametrize(("steps", "flagged"), [(19, True), (20, False)])
def test_a_share_under_one_step(steps: int, flagged: bool) -> None:
    assert ("WU102" in checked(warmup=Percent("5%"), max_steps=steps)) is flagged


def test_warmup_that_is_off_or_counted_is_no_share() -> None:
    assert "WU102" not in checked(warmup=0, max_steps=5)
    assert "WU102" not in checked(warmup=1, max_steps=5)
    assert "WU102" not in checked(warmup=Percent("0%"), max_steps=5)


def test_a_share_under_one_step_is_the_same_as_off() -> None:
    finding = checked(warmup=Percent("5%"), max_steps=19)["WU102"]
    assert (finding.fix, finding.patch) == ("safe", {"optim.warmup": "off"})


@pytest.mark.parametrize(
    ("warmup", "epochs", "flagged"),
    [
        (5, 50.0, True),  # 10 % of the epochs, 0.26 % of the steps
        (1, 50.0, True),
        (1, 60.0, False),  # less than 2 % of the epochs
        (10, 50.0, True),
        (11, 50.0, False),  # more than 20 %
        (100, 50.0, False),  # 5 % of the steps
        (Percent("0.1%"), 50.0, False),
        (0, 50.0, False),
    ],
)
def test_warmup_in_epochs(warmup: int | Percent, epochs: float, flagged: bool) -> None:
    assert ("WU103" in checked(warmup=warmup, epochs=epochs, batch=8, frames=308)) is flagged


def test_warmup_in_epochs_is_advised_as_the_share_of_the_rules() -> None:
    finding = checked(warmup=3, epochs=50.0, batch=8, frames=308)["WU103"]
    assert finding.patch == {"optim.warmup": Percent("5%")}
    assert "3 of 50 epochs would be 6%" in finding.message
    assert "set optim.warmup to 5% (96 steps)" in finding.advice


def test_warmup_of_a_run_that_is_given_in_steps_is_in_steps() -> None:
    assert "WU103" not in checked(warmup=5, max_steps=1925)


def test_warmup_is_lengthened_where_a_tenth_of_the_run_allows() -> None:
    finding = checked(warmup=50, beta2=0.99, max_steps=2000)["WU104"]
    assert (finding.severity, finding.patch) == ("info", {"optim.warmup": 200})
    assert checked(warmup=Percent("2%"), beta2=0.99, max_steps=2500)["WU104"].patch == {"optim.warmup": Percent("8%")}
    assert "WU104" not in checked(warmup=100, beta2=0.99, max_steps=2000), "half of a rule of thumb is enough"


def test_beta2_gives_way_where_a_tenth_of_the_run_does_not_allow() -> None:
    finding = checked(warmup=50, beta2=0.999, max_steps=4000)["WU104"]
    assert finding.patch == {"optim.beta2": 0.95}, "as OP010"
    assert "settles after 40 steps" in finding.advice
    wide = PlanFacts(kind="transformer", d_model=512, warmup=50, beta2=0.999, max_steps=4000)
    found = {finding.code: finding for finding in derive(wide, "measured").warnings}
    assert found["WU104"].patch == {"optim.beta2": 0.99}, "as OP011: settles after 200 steps, 5 % of the run"


@pytest.mark.parametrize("steps", [200, 250, 300, 399])
def test_what_the_rules_set_in_a_short_run_is_not_reported(steps: int) -> None:
    assert "WU104" not in checked(max_steps=steps)


@pytest.mark.parametrize(
    "facts", [{"warmup": 0, "max_steps": 4000}, {"warmup": 5, "max_steps": 199}, {"warmup": 5, "max_steps": 1000}]
)
def test_no_word_on_adams_memory(facts: dict[str, object]) -> None:
    assert "WU104" not in checked(beta2=0.999, **facts), "off; a short run; or OP101 has said it"
