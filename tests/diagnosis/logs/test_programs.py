"""Advice in the words of the program that wrote a log."""

from __future__ import annotations

import re

import pytest

from dpdrun.diagnosis.logs.programs import HUGGING_FACE, OURS, PROGRAMS, UNKNOWN, in_words_of
from dpdrun.rules.engine import Finding, all_rules, evaluate_rules

LOWER = Finding(
    "optim.lr 0.1 is high; the loss rose",
    {"optim.lr": 0.01, "model.features": "envelope"},
    "warning",
    advice="keep the best checkpoint (checkpoints/best.safetensors), lower optim.lr from 0.1 to 0.01; switch the "
    "linear path on (model.skip on); inspect the samples (`dpdrun data inspect`)",
    code="LS202",
    fix="unsafe",
)


def test_hugging_face_words() -> None:
    seen = in_words_of(HUGGING_FACE, LOWER)
    assert seen.message == "learning_rate 0.1 is high; the loss rose"
    assert seen.advice == (
        "keep the best checkpoint (load_best_model_at_end), lower learning_rate from 0.1 to 0.01; inspect the samples"
    )
    assert (seen.patch, seen.fix) == ({"learning_rate": 0.01}, "none")


def test_plain_words_where_the_program_is_not_known() -> None:
    seen = in_words_of(UNKNOWN, LOWER)
    assert seen.advice.startswith("keep the best checkpoint, lower the learning rate from 0.1 to 0.01")
    assert seen.patch == {}


def test_a_setting_that_takes_words_is_no_patch() -> None:
    seen = in_words_of(PROGRAMS["lightning"], LOWER)
    assert "lower lr in configure_optimizers from 0.1 to 0.01" in seen.advice
    assert seen.patch == {}


def test_own_log_keeps_its_words() -> None:
    assert in_words_of(PROGRAMS["dpdrun"], LOWER) is LOWER


@pytest.mark.parametrize("name", sorted(PROGRAMS.keys() - {"dpdrun"}))
def test_no_rule_speaks_of_a_recipe(name: str) -> None:
    """Every example on which a rule about a log fires, in the words of every program."""
    for rule in all_rules().values():
        facts = rule.fires() if rule.purpose == "diagnose" else None
        if facts is None or facts.get("signal") is not None or facts.get("deployment") is not None:
            continue
        for finding in evaluate_rules([rule], facts)[0].findings:
            seen = in_words_of(PROGRAMS[name], finding)
            assert not OURS.search(seen.advice), (rule.code, seen.advice)
            assert not re.search(r"\b(optim|train|model|data)\.[a-z]", seen.message), (rule.code, seen.message)
            assert not any("optim." in key for key in seen.patch)
