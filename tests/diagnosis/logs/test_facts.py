"""Columns of a log to the facts that rules see, and why rules cannot look."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.facts import FOR_RUNS, facts_of_log, skip_reason
from dpdrun.diagnosis.logs.log import NothingLoggedError, Points, TrainingLog
from dpdrun.diagnosis.logs.names import Asked, parse_map
from dpdrun.errors import DataError
from dpdrun.rules.facts.run import RunFacts


def column(steps: range | list[int], values: list[float] | float) -> Points:
    return Points(list(steps), [float(values)] * len(steps) if isinstance(values, int | float) else values)


def facts(maps: str = "", **columns: Points) -> tuple[RunFacts, TrainingLog]:
    log = TrainingLog("CSV", Path("log.csv"), columns, {key: key for key in columns}, [*columns])
    return facts_of_log(log, parse_map([maps] if maps else [])), log


def test_columns_of_one_pace() -> None:
    run, _ = facts(loss=column(range(1, 5), 0.5), grad_norm=column(range(1, 5), 2.0), lr=column(range(1, 5), 1e-3))
    assert (run.step, run.loss, run.grad_norm, run.lr) == ([1, 2, 3, 4], [0.5] * 4, [2.0] * 4, [1e-3] * 4)
    assert run.peak_lr == 1e-3
    assert run.warmup_steps is None


def test_the_rarer_column_sets_the_pace_and_no_bad_step_is_lost() -> None:
    loss = [0.5] * 100
    loss[56] = math.nan
    run, _ = facts(loss=column(range(1, 101), loss), grad_norm=column(range(10, 101, 10), 2.0))
    assert run.step == [10, 20, 30, 40, 50, 57, 60, 70, 80, 90, 100]
    assert math.isnan(run.loss[5])
    assert len(run.grad_norm) == len(run.step) == len(run.loss)


def test_columns_that_never_meet_are_held() -> None:
    run, _ = facts(loss=column([10, 20, 30], [3, 2, 1]), grad_norm=column([11, 21, 31], [6, 5, 4]))
    assert (run.step, run.loss) in [([10, 20, 30], [3, 2, 1]), ([11, 21, 31], [3, 2, 1])]


def test_learning_rate_holds_until_the_next() -> None:
    run, _ = facts(loss=column(range(1, 7), 0.5), lr=column([2, 5], [1e-3, 5e-4]))
    assert run.lr == [1e-3, 1e-3, 1e-3, 1e-3, 5e-4, 5e-4]


def test_warmup_is_read_off_the_learning_rate() -> None:
    run, source = facts(loss=column(range(1, 6), 0.5), lr=column(range(1, 6), [0.1, 0.5, 1.0, 0.8, 0.2]))
    assert run.warmup_steps == 3
    assert any("where the learning rate stops rising" in note for note in source.notes)
    assert (
        facts("warmup_steps=1", loss=column(range(1, 6), 0.5), lr=column(range(1, 6), [0.1, 0.5, 1.0, 0.8, 0.2]))[
            0
        ].warmup_steps
        == 1
    )


@pytest.mark.parametrize(
    "lr",
    [[1.0, 0.8, 0.5, 0.2, 0.1], [0.95, 1.0, 0.5, 0.2, 0.1], [0.1, 0.3, 0.2, 1.0, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5],
     [0.0] * 5, [0.1, math.nan, 1.0, 0.5, 0.2]],
    ids=["falls", "nearly flat", "cyclic", "rises to the end", "zero", "nan"],
)  # fmt: skip
def test_no_warmup_is_made_up(lr: list[float]) -> None:
    assert facts(loss=column(range(1, 6), 0.5), lr=column(range(1, 6), lr))[0].warmup_steps is None


def test_loss_in_db_becomes_a_power() -> None:
    run, source = facts(loss_db=column([1, 2, 3], [0.0, -10.0, math.nan]))
    assert run.loss[:2] == pytest.approx([1.0, 0.1])
    assert math.isnan(run.loss[2])
    assert any("is in dB" in note for note in source.notes)
    assert facts(loss_db=column([1], [1e5]))[0].loss == [math.inf]
    assert run.loss_is_nmse is None
    log = TrainingLog("CSV", Path("x"), {"loss_db": column([1], -10.0)}, {"loss_db": "Train_NMSE"})
    assert facts_of_log(log, Asked()).loss_is_nmse is True


def test_a_negative_loss_is_no_power() -> None:
    run, source = facts(loss=column([1, 2], [0.5, -0.5]), grad_norm=column([1, 2], 1.0))
    assert run.loss == []
    assert "if it is in dB, set --map loss_db=loss" in source.absent["loss"]
    assert "loss" not in source.found


def test_a_negative_norm_is_none() -> None:
    run, source = facts(loss=column([1, 2], 0.5), grad_norm=column([1, 2], [1.0, -1.0]))
    assert run.grad_norm == []
    assert "negative at step 2" in source.absent["grad_norm"]


def test_clipped_follows_from_norm_and_clip() -> None:
    run, source = facts("clip_norm=1.0", loss=column([1, 2, 3], 0.5), grad_norm=column([1, 2, 3], [0.5, 1.5, math.nan]))
    assert run.clip_norm == [1.0] * 3
    assert run.clipped == [False, True, True]
    assert source.found["clip_norm"] == "1 (given)"
    given, _ = facts(loss=column([1, 2], 0.5), clipped=column([1, 2], [0.0, 1.0]))
    assert given.clipped == [False, True]


def test_values_of_the_user_are_facts_with_a_note() -> None:
    log = TrainingLog(
        "CSV", Path("log.csv"), {"loss": column([5, 10], 0.5)}, {"loss": "loss"}, values={"total_steps": 7}
    )
    run = facts_of_log(log, parse_map(["total_steps=20,floor_db=-40,weight_decay=0.01"]))
    assert (run.total_steps, run.floor_db, run.weight_decay, run.progress) == (20, -40.0, 0.01, 0.5)
    assert "from --map: total_steps 20, floor_db -40.0, weight_decay 0.01" in log.notes


def test_nothing_to_judge() -> None:
    log = TrainingLog("CSV", Path("log.csv"), names=["step", "ce_loss", "time"])
    with pytest.raises(DataError) as error:
        facts_of_log(log, Asked())
    assert str(error.value) == (
        "log.csv: no loss column found; the log has: step, ce_loss, time; if there is one, name it: --map loss=ce_loss"
    )
    log.absent["loss"] = "candidates are 'a' and 'b': set --map loss=a"
    with pytest.raises(DataError, match="no usable loss column: candidates are 'a' and 'b'"):
        facts_of_log(log, Asked())
    with pytest.raises(NothingLoggedError, match="no numbers yet"):
        facts(loss=Points())


def test_a_validation_loss_alone_is_enough() -> None:
    run, _ = facts(val_loss=column([1, 2], [0.5, 0.4]))
    assert (run.step, run.loss, run.eval_losses) == ([1, 2], [], {"": ([1, 2], [0.5, 0.4])})


def test_evaluation_sets_metrics_and_order_reach_the_rules() -> None:
    log = TrainingLog(
        "CSV", Path("log.csv"), {"loss": column([1, 2], 0.5)}, {"loss": "loss"},
        eval_losses={"a": column([2], 0.4), "b": column([], 0.4)}, eval_metrics={"eval_wer": column([2], 0.1)},
        lines=[(1, 0.6), (2, 0.5), (1, 0.5)], finished=True, epochs=4.0,
    )  # fmt: skip
    run = facts_of_log(log, Asked())
    assert run.eval_losses == {"a": ([2], [0.4])}
    assert run.eval_metrics == {"eval_wer": ([2], [0.1])}
    assert (run.line_steps, run.line_loss) == ([1, 2, 1], [0.6, 0.5, 0.5])
    assert (run.progress, run.steps_per_epoch) == (1.0, 0.5)


def test_a_validation_score_alone_is_enough() -> None:
    run, _ = facts(val_nmse_db=column([1, 2], [-10.0, -20.0]))
    assert (run.step, run.best_nmse_db) == ([], -20.0)


def test_skip_reasons_speak_of_the_log() -> None:
    source = facts(loss=column([1], 0.5))[1]
    assert skip_reason(["grad_norm"], source) == "needs grad_norm: the log has no such column"
    assert skip_reason(["grad_norm", "clipped", "clip_norm"], source) == (
        "needs grad_norm, clip_norm: the log has no such columns"
    )
    assert skip_reason(["floor_db", "best_nmse_db"], source) == (
        "needs the noise floor (--map floor_db=DB) and a validation NMSE (--map val_nmse_db=COLUMN): not in the log"
    )
    assert skip_reason([], source) is None
    assert skip_reason(["grad_norm", "signal"], source) == FOR_RUNS
    doubt = TrainingLog("CSV", Path("x"), absent={"lr": "'a' and 'b' could be it"})
    assert skip_reason(["lr"], doubt) == "needs lr: 'a' and 'b' could be it"


def test_epochs_are_shown() -> None:
    log = TrainingLog("CSV", Path("log.csv"), {"loss": column([0, 1], 0.5)}, {"loss": "loss"}, unit="epoch")
    facts_of_log(log, Asked())
    assert any("one line per epoch" in note for note in log.notes)


def test_a_validation_loss_is_a_fact() -> None:
    run, source = facts(loss=column(range(1, 5), 0.5), val_loss=column([2, 4], [0.4, 0.3]))
    assert (run.eval_loss_step, run.eval_loss) == ([2, 4], [0.4, 0.3])
    assert (run.eval_step, run.eval_nmse_db) == ([], [])
    assert source.column("val_loss").values == [0.4, 0.3]


def test_a_loss_below_zero_by_rounding_is_zero() -> None:
    run, _ = facts(loss=column(range(1, 4), -6.4e-20))
    assert run.loss == [0.0] * 3
    assert facts(loss=column(range(1, 4), -0.01))[0].loss == []
