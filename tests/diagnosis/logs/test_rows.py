"""Rows to columns: what a table of any order and any gaps becomes."""

from __future__ import annotations

from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st

from dpdrun.diagnosis.logs.names import Asked
from dpdrun.diagnosis.logs.rows import Rows, points

CELL = st.one_of(st.none(), st.floats(0.0, 10.0), st.just(float("nan")))


@given(st.lists(st.tuples(st.integers(0, 30), CELL, CELL), max_size=40))
def test_every_logged_step_is_there_once_and_in_order(table: list[tuple[int, float | None, float | None]]) -> None:
    rows = Rows(Path("log.csv"), "CSV", ["step", "loss", "grad_norm"], Asked())
    for line, (step, loss, norm) in enumerate(table, start=2):
        rows.add(line, {"step": step, "loss": loss, "grad_norm": norm})
    log = rows.done()
    assume(not any("runs in one file" in note or "resumed run" in note for note in log.notes))
    for at, key in enumerate(("loss", "grad_norm"), start=1):
        last = {row[0]: row[at] for row in table if row[at] is not None}
        assert log.columns[key].steps == sorted(last)
        assert [repr(v) for v in log.columns[key].values] == [repr(last[step]) for step in sorted(last)]


def test_a_resumed_run_counts_from_where_it_went_back() -> None:
    rows = Rows(Path("log.csv"), "CSV", ["step", "loss", "val_loss"], Asked())
    first = [(step, 2.0) for step in range(1, 98, 4)]
    for line, (step, loss) in enumerate([*first, *((step, 1.0) for step in range(71, 124, 4))], start=2):
        rows.add(line, {"step": step, "loss": loss, "val_loss": loss + 0.1})
    log = rows.done()
    for column in (log.columns["loss"], log.columns["val_loss"]):
        assert column.steps == [*range(1, 70, 4), *range(71, 124, 4)]
        assert {step for step, value in zip(column.steps, column.values, strict=True) if value < 1.5} == {
            *range(71, 124, 4)
        }


def test_a_line_out_of_order_replaces_none() -> None:
    rows = Rows(Path("log.csv"), "CSV", ["step", "loss"], Asked())
    for line, step in enumerate([1, 2, 3, 5, 4, 6, 7], start=2):
        rows.add(line, {"step": step, "loss": 1.0})
    assert rows.done().columns["loss"].steps == [1, 2, 3, 4, 5, 6, 7]


def test_points_take_the_last_of_a_step() -> None:
    found = points([(3, 1.0), (1, 2.0), (3, 4.0)])
    assert (found.steps, found.values) == ([1, 3], [2.0, 4.0])


def test_rows_without_a_step_are_passed_over() -> None:
    rows = Rows(Path("log.csv"), "CSV", ["step", "loss"], Asked())
    rows.add(2, {"step": None, "loss": 1.0})
    rows.add(3, {"step": 7, "loss": 2.0})
    assert rows.done().columns["loss"].steps == [7]
