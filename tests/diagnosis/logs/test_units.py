"""The unit of a loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.facts import facts_of_log
from dpdrun.diagnosis.logs.log import Points, TrainingLog
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.diagnosis.logs.units import loss_unit, target_power, without_db


@pytest.mark.parametrize(
    ("program", "names", "unit"),
    [
        ("huggingface", ["loss", "learning_rate"], None),
        ("huggingface", ["loss", "eval_accuracy"], "nats"),
        ("huggingface", ["loss", "eval_wer"], "nats"),
        ("huggingface", ["loss", "rewards/accuracies", "rewards/margins"], "nats"),
        ("huggingface", ["loss", "reward", "reward_std", "kl"], "objective"),
        ("llamafactory", ["loss", "reward", "accuracy"], "nats"),
        ("megatron", ["loss"], "nats"),
        ("fairseq", ["loss", "ppl"], "bits"),
        ("opendpd", ["loss"], "power"),
        ("", ["loss"], None),
        ("", ["mse"], "power"),
        ("keras", ["loss", "accuracy", "val_accuracy"], "nats"),
        ("", ["step", "d_loss", "g_loss"], "objective"),
    ],
)
def test_units(program: str, names: list[str], unit: str | None) -> None:
    log = TrainingLog("x", Path("x"), program=program, found={"loss": names[0]}, names=names)
    assert loss_unit(log) == unit


def test_an_objective_is_not_read_and_its_norm_is() -> None:
    column = Points([1, 2], [0.5, 0.1])
    log = TrainingLog(
        "x", Path("x"), {"loss": column, "grad_norm": column}, {"loss": "loss", "grad_norm": "norm"},
        names=["loss", "norm", "reward", "kl"],
    )  # fmt: skip
    run = facts_of_log(log, Asked())
    assert (run.loss, run.grad_norm) == ([], [0.5, 0.1])
    assert "says nothing about progress" in log.absent["loss"]


def test_power_of_the_target() -> None:
    assert target_power([0.2, 0.02, 0.002], [0.0, -10.0, -20.0]) == pytest.approx(0.2)
    assert target_power([0.2, 0.02], [0.0, -11.0]) is None
    assert target_power([0.2], [0.0]) is None


def test_a_default_clip_is_assumed_where_a_norm_was_logged() -> None:
    column = Points([1, 2], [0.5, 0.1])
    log = TrainingLog("x", Path("x"), {"grad_norm": column}, {"grad_norm": "grad_norm"}, program="huggingface")
    assert facts_of_log(log, Asked()).assumed_clip == 1.0


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("the loss is 13.0 dB above that before", "the loss is 20 times that before"),
        ("the loss jumps by 10.0 dB near step 21", "the loss jumps by a factor of 10 near step 21"),
        ("the noise of the score is 3.0 dB", "the noise of the score is a factor of 2"),
        ("2 dBm of step 3", "2 dBm of step 3"),
    ],
)
def test_factors_instead_of_decibels(message: str, expected: str) -> None:
    assert without_db(message) == expected
