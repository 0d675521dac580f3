"""What rules about a run see."""

from __future__ import annotations

import math

from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts

TRANSFORMER = {"kind": "transformer", "d_model": 32, "layers": 2, "heads": 4, "window": 32}


def test_run_after_the_warmup() -> None:
    run = example_run(steps=30, warmup=10)
    assert run.settled_steps == 20
    assert run.after_warmup(run.step) == list(range(11, 31))


def test_resumed_log_that_begins_late_is_counted_by_steps() -> None:
    run = RunFacts(step=[9, 10, 11, 12], warmup_steps=10)
    assert run.after_warmup(run.step) == [11, 12]


def test_run_without_evaluations() -> None:
    run = RunFacts(step=[1], total_steps=4)
    assert run.best_nmse_db is None
    assert run.get("eval_nmse_db") is None
    assert run.progress == 0.25


def test_best_ignores_numbers_that_are_none() -> None:
    assert RunFacts(eval_step=[1, 2, 3], eval_nmse_db=[math.nan, -3.0, math.inf]).best_nmse_db == -3.0


def test_loss_and_norm_on_their_scales() -> None:
    run = RunFacts(loss=[1.0, 0.01, 0.0, math.inf, math.nan], grad_norm=[10.0, 0.1, 0.0, math.inf, math.nan])
    assert run.loss_db[:4] == [0.0, -20.0, -300.0, math.inf]
    assert run.log_norm[:4] == [1.0, -1.0, -30.0, math.inf]
    assert math.isnan(run.loss_db[4])
    assert math.isnan(run.log_norm[4])


def test_top_lr_is_the_planned_one_where_it_is_known() -> None:
    assert RunFacts(lr=[1e-3, 2e-3], peak_lr=1e-2).top_lr == 1e-2
    assert RunFacts(lr=[1e-3, 2e-3]).top_lr == 2e-3
    assert RunFacts().top_lr == 0.0


def test_longer_runs_in_the_field_that_the_recipe_uses() -> None:
    assert RunFacts(max_steps=300, epochs=None).longer(3.0) == {"train.max_steps": 900}
    assert RunFacts(epochs=2.5).longer(2.0) == {"train.epochs": 5.0}
    assert RunFacts().longer(2.0) == {}


def test_a_log_that_says_that_it_is_over_is_over() -> None:
    assert RunFacts(step=[910], total_steps=1000, finished=True).progress == 1.0
    assert RunFacts(step=[910], total_steps=1000).progress == 0.91
