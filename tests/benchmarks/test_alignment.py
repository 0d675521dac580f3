"""The study of alignment: what its file says, and one of its draws, made and aligned again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.alignment import run
from benchmarks.alignment.draws import CAPTURES, DRAWS, capture, draw
from benchmarks.common import RESULTS_PAGE


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return json.loads(run.RESULTS.read_text(encoding="utf-8"))


def test_every_draw_was_aligned(results: dict[str, Any]) -> None:
    drawn = {f"{name}/{seed}" for name in CAPTURES for seed in range(DRAWS)}
    assert drawn <= results.keys()
    losses = [results[key]["polynomial_db"][0] - results[key]["polynomial_db"][1] for key in drawn]
    assert np.mean(np.array(losses) <= run.CLOSE_DB) >= 0.95
    sound = [each for key, each in results.items() if key.startswith("sound/")]
    assert len(sound) > 40
    assert max(each["cost_db"] for each in sound) <= run.SOUND_DB


def test_the_page_has_the_tables_of_the_file(results: dict[str, Any]) -> None:
    page = RESULTS_PAGE.read_text(encoding="utf-8")
    assert run.flawed_table(results) in page
    assert run.sound_table(results) in page


def test_a_draw_is_what_its_flaws_say() -> None:
    drawn = draw("synthetic/hard", 3)
    x, y = capture("synthetic/hard")
    start = int(np.flatnonzero(x == drawn.pair.x[0])[0])
    assert np.array_equal(x[start : start + len(drawn.pair.x)], drawn.pair.x)
    assert np.array_equal(y[start : start + len(drawn.truth)], drawn.truth)
    assert drawn.flaws["samples"] == [len(drawn.pair.x), len(drawn.pair.y)]
