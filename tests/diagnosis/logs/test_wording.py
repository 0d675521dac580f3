"""What rules say about a log, in words of the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.facts import FOR_RUNS
from dpdrun.diagnosis.logs.log import TrainingLog, Unit
from dpdrun.diagnosis.logs.wording import findings_in_words_of, skipped_in_words_of
from dpdrun.rules.engine import Finding, Skipped
from dpdrun.rules.facts.run import RunFacts

FINDING = Finding(
    "the loss is 10.0 dB above that of step 5", {"optim.lr": 0.01}, "warning",
    advice="keep the checkpoint of step 5; lower optim.lr from 0.1 to 0.01; log every step", code="LS205",
)  # fmt: skip


def log(program: str = "", unit: Unit = "step") -> TrainingLog:
    return TrainingLog("x", Path("x"), program=program, unit=unit)


def worded(facts: RunFacts, of: TrainingLog) -> tuple[str, str]:
    seen = findings_in_words_of(of, facts, [FINDING])[0]
    return seen.message, seen.advice


def test_decibels_are_for_powers() -> None:
    assert worded(RunFacts(loss_unit="power"), log())[0] == "the loss is 10.0 dB above that of step 5"
    assert worded(RunFacts(loss_unit="nats"), log())[0] == "the loss is 10 times that of step 5"
    assert "10.0 dB" in worded(RunFacts(eval_nmse_db=[-3.0]), log())[0]


def test_steps_are_epochs_and_settings_are_those_of_the_program() -> None:
    message, advice = worded(RunFacts(), log("keras", "epoch"))
    assert message == "the loss is 10 times that of epoch 5"
    assert advice == (
        "keep the checkpoint of epoch 5 (EarlyStopping(restore_best_weights=True)); lower learning_rate of the "
        "optimizer from 0.1 to 0.01; log every step"
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("outside the valid range: the number of logged steps is 8, the rule covers 10 and above",
         "needs 10 lines, there are 8"),
        ("outside the valid range: the number of steps after the warmup is 8, the rule covers 10 to 99",
         "needs 10 to 99 lines after the warmup, there are 8"),
        ("outside the valid range: the progress of the run is 0.9009, the rule covers 0.95 to 1",
         "checked at the end of a run; this one is 90% done"),
        ("LS201 applies", "LS201 applies"),
        ("needs grad_norm", "needs grad_norm: the log has no such column"),
    ],
)  # fmt: skip
def test_reasons_speak_of_lines(reason: str, expected: str) -> None:
    skipped, _ = skipped_in_words_of(log(), RunFacts(step=[1]), [Skipped(reason, "GN206")], [])
    assert skipped == [Skipped(expected, "GN206")]


def test_a_rule_about_our_own_runs_checked_nothing() -> None:
    skipped, silent = skipped_in_words_of(log(), RunFacts(), [], ["AD201", "LS201"])
    assert (skipped, silent) == ([Skipped(FOR_RUNS, "AD201")], ["LS201"])
