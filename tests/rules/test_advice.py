"""Deriving: what is given stays, what is derived is explained, and single fields can be asked about."""

from __future__ import annotations

from dpdrun.recipe.fields import OFF
from dpdrun.rules.advice import derivable, derive, opinion_on, rules_for, unset
from dpdrun.rules.facts.plan import NAME_OF, PlanFacts


def test_a_given_value_is_left_alone() -> None:
    advice = derive(PlanFacts(kind="transformer", d_model=32, lr=1.0, batch=3), "measured")
    assert "optim.lr" not in advice.opinions
    assert (advice.facts.lr, advice.facts.batch) == (1.0, 3)


def test_values_are_those_of_a_recipe() -> None:
    advice = derive(PlanFacts(kind="gru", hidden=8), "note")
    assert advice.facts.warmup == 0
    assert advice.opinions["optim.warmup"].value == OFF
    assert "train.epochs" not in advice.opinions


def test_opinion_on_a_field_that_is_given() -> None:
    facts = PlanFacts(kind="transformer", d_model=600, lr=1.0)
    opinion = opinion_on("optim.lr", facts, "measured")
    assert opinion is not None
    assert (opinion.value, opinion.rule) == (1e-4, "LR001")


def test_opinion_where_no_rule_answers() -> None:
    assert opinion_on("optim.lr", PlanFacts(kind="gmp"), "measured") is None


def test_unset_fields_name_the_rules_that_were_silent() -> None:
    advice = derive(PlanFacts(kind="gru"), "measured")
    reasons = unset(advice, derivable())
    assert reasons["optim.lr"] == "needs hidden"
    assert "optim.beta1" not in reasons


def test_profiles_share_some_rules_and_not_others() -> None:
    note = {rule.code for rule in rules_for("note", "derive")}
    measured = {rule.code for rule in rules_for("measured", "derive")}
    assert {"LR001", "RG001", "WU001"} <= note & measured
    assert "LR010" in measured - note
    assert "LR101" not in note | measured


def test_derivable_fields_are_known_facts() -> None:
    assert derivable()
    assert set(derivable()) <= set(NAME_OF)
