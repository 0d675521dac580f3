"""Which scores a choice is made by."""

from __future__ import annotations

import pytest

from dpdrun.run.scores import as_chosen, chosen, cold_nmse_db, validation_db

BOTH = {"nmse_db": -41.1, "samples": 300, "with_past": {"nmse_db": -42.9}}
OLD = {"nmse_db": -41.1, "samples": 300}


def test_the_past_of_the_record_counts_where_it_is_known() -> None:
    assert chosen(BOTH)["nmse_db"] == -42.9
    assert chosen(BOTH)["samples"] == 300
    for without in (OLD, OLD | {"with_past": None}):
        assert chosen(without)["nmse_db"] == -41.1


def test_what_is_shown_holds_both_at_any_depth() -> None:
    shown = as_chosen({"splits": {"val": BOTH}, "rows": [OLD, BOTH]})
    assert shown["splits"]["val"]["nmse_db"] == -42.9
    assert cold_nmse_db(shown["splits"]["val"]) == -41.1
    assert [cold_nmse_db(row) for row in shown["rows"]] == [None, -41.1]
    assert as_chosen(shown) == shown


@pytest.mark.parametrize(("line", "score"), [
    ({"val_nmse_db": -41.1, "val_nmse_with_past_db": -42.9}, -42.9), ({"val_nmse_db": -41.1}, -41.1),
])  # fmt: skip
def test_a_line_of_an_older_log_has_its_cold_score(line: dict[str, float], score: float) -> None:
    assert validation_db(line) == score
