"""Logs of several writers and of several runs."""

from __future__ import annotations

from dataclasses import replace

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.facts.run import RunFacts


def codes(steps: list[int]) -> dict[str, str]:
    run = RunFacts(step=sorted(set(steps)), loss=[1.0] * len(set(steps)), line_steps=steps)
    return {f.code: f.message for f in diagnose_facts(run).findings if f.code.startswith("LG")}


def test_two_writers() -> None:
    assert set(codes([step for k in range(40) for step in (10 * k + 10, 10 * k)])) == {"LG201"}
    assert codes([*range(0, 100, 10)] * 2).keys() == {"LG202"}


def test_steps_that_go_back_without_repeats_are_not_two_writers() -> None:
    assert "LG201" not in codes([1, 3, 2, 5, 4, 7, 6, 9, 8])


def test_a_second_run_and_a_resumed_one() -> None:
    assert "2 runs in one log" in codes([*range(1, 40), *range(1, 30)])["LG202"]
    assert "a resumed run" in codes([*range(1, 40), *range(35, 60)])["LG202"]


def test_a_log_in_order_is_healthy() -> None:
    assert codes(list(range(40))) == {}
    run = RunFacts(step=[1, 2], loss=[1.0, 1.0])
    assert {"LG201", "LG202"} <= set(diagnose_facts(run).healthy)


def test_two_writers_in_step_differ_in_their_losses() -> None:
    steps = [1, 1, 2, 2, 3, 3]
    run = RunFacts(step=[1, 2, 3], loss=[4.0, 5.0, 6.0], line_steps=steps)
    differ = diagnose_facts(replace(run, line_loss=[5.2, 4.3, 5.6, 6.7, 8.1, 8.0])).findings
    alike = diagnose_facts(replace(run, line_loss=[5.2, 5.2, 5.6, 5.6, 8.0, 8.0])).findings
    assert "LG201" in {f.code for f in differ}
    assert "LG201" not in {f.code for f in alike}


def test_epochs_with_several_lines_are_one_writer() -> None:
    epochs = [epoch for epoch in range(1, 5) for _ in range(10)]
    run = RunFacts(step=[1, 2, 3, 4], loss=[2.0, 1.9, 1.8, 1.7], line_steps=epochs)
    losses = [2.0 - 0.01 * line + 0.5 * (line % 3) for line in range(40)]
    assert "LG201" not in {f.code for f in diagnose_facts(replace(run, line_loss=losses)).findings}
    ranks = [2.0 - 0.1 * epoch + 0.001 * (line % 3) for line, epoch in enumerate(epochs)]
    assert "LG201" in {f.code for f in diagnose_facts(replace(run, line_loss=ranks)).findings}


def severity(steps: list[int], losses: list[float]) -> str:
    run = RunFacts(step=sorted(set(steps)), loss=[1.0] * len(set(steps)), line_steps=steps, line_loss=losses)
    return next(f.severity for f in diagnose_facts(run).findings if f.code == "LG202")


def test_two_runs_that_can_be_judged_are_a_warning_and_an_aborted_start_is_not() -> None:
    first, start = [*range(1, 21)], [1, 2, 3]
    falls = [2.0 / step**0.5 for step in first]
    assert severity(first * 2, falls * 2) == "warning"
    assert severity(start + first, falls[:3] + falls) == "info"
    assert severity(first * 2, falls + [0.99 * falls[-1]] * 20) == "info"  # the counter alone starts again


def test_a_second_stage_that_starts_below_the_first_is_no_warning() -> None:
    steps = [*range(1, 11), *range(1, 13)]
    head, fine_tuning = [3.2 - 0.1 * k for k in range(10)], [1.2 * 0.8**k for k in range(12)]
    assert severity(steps, head + fine_tuning) == "info"
    assert severity(steps, head + [3.0 * 0.8**k for k in range(12)]) == "warning"


def test_a_resumed_run_is_a_warning_where_its_loss_goes_on_higher() -> None:
    steps = [*range(1, 31), *range(28, 51)]
    fall = [2.0 - 0.03 * step + 0.01 * (step % 2) for step in steps]
    assert severity(steps, fall) == "info"
    assert severity(steps, [*fall[:30], *(loss + 0.8 for loss in fall[30:])]) == "warning"
