"""The study of fixed point: what its file and its page say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common import RESULTS_PAGE
from benchmarks.fixed_point import picture, table

RESULTS = Path(table.__file__).with_name("results.json")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_page_has_the_tables_of_the_file(results: dict[str, Any]) -> None:
    page = RESULTS_PAGE.read_text(encoding="utf-8")
    assert table.costs(results) in page
    assert table.scales(results) in page
    assert table.hardware(results) in page
    assert table.resets(results) in page


@pytest.mark.parametrize(("score", "cheapest"), [("evm_db", -44.4), ("aclr_db", -50.1)])
def test_no_point_is_as_good_as_one_of_the_front_for_less(results: dict[str, Any], score: str, cheapest: float) -> None:
    found = picture.points(results)
    best = picture.front(found, score)
    for point in best:
        cheaper = [each for each in found if each["work"] <= point["work"] and each is not point]
        assert all(each[score] > point[score] for each in cheaper)
    of_gmp = [point for point in best if point["group"].startswith("gmp")]
    assert of_gmp == best[: len(of_gmp)]
    assert of_gmp[-1][score] == pytest.approx(cheapest, abs=0.05)
    assert not any(point["group"].startswith("gru") for point in best)


@pytest.mark.parametrize(
    ("way", "bits", "limit"), [("tensor", (16, 16), 0.05), ("channel", (14, 14), 0.2), ("tuned", (12, 14), 0.7)]
)
def test_the_losses_that_the_page_states(
    results: dict[str, Any], way: str, bits: tuple[int, int], limit: float
) -> None:
    models = [model for group in table.models_of(results).values() for model in group if "transformer" in model]
    assert len(models) >= 4
    for model in models:
        before, after = results[f"{model}/float"], results[table.name_of(model, way, bits)]
        assert max(after[name] - before[name] for name in ("evm_db", "aclr_db")) <= limit, model
