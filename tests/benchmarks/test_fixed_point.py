"""The study of fixed point: what its file and its page say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common import RESULTS_PAGE
from benchmarks.fixed_point import table

RESULTS = Path(table.__file__).with_name("results.json")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_page_has_the_tables_of_the_file(results: dict[str, Any]) -> None:
    page = RESULTS_PAGE.read_text(encoding="utf-8")
    assert table.costs(results) in page
    assert table.scales(results) in page
    assert table.hardware(results) in page


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
