"""Made-up runs: the same every time, as long as asked, and shaped by their curves."""

from __future__ import annotations

import pytest

from dpdrun.rules.examples import cosine_lr, example_run


def test_the_same_every_time() -> None:
    assert example_run() == example_run()
    assert example_run(seed=1) != example_run()


def test_columns_are_equally_long() -> None:
    run = example_run(steps=30, total=50)
    columns = (run.step, run.lr, run.lr_planned, run.loss, run.grad_norm, run.clip_norm, run.clipped)
    assert {len(column) for column in columns} == {30}
    assert run.total_steps == 50


def test_curves_without_noise() -> None:
    run = example_run(steps=4, norm=lambda t: t, loss=2.0, spread=0.0, clip_norm=0.6)
    assert run.grad_norm == [0.25, 0.5, 0.75, 1.0]
    assert run.loss == [2.0] * 4
    assert run.clipped == [False, False, True, True]


def test_learning_rate_rises_and_falls() -> None:
    rates = [cosine_lr(step, peak=1.0, warmup=4, total=20) for step in range(1, 21)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert rates[3:] == sorted(rates[3:], reverse=True)
