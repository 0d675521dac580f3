"""A look at an embedded capture, whose amplifier and noise are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dpdrun.data.capture import Part
from dpdrun.data.sizing import DataReading, read_sizes
from dpdrun.data.sources import load_capture
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.metrics import Signal


@pytest.fixture(scope="module")
def reading() -> DataReading:
    return read_sizes(load_capture(DataSection(source="synthetic/mild")))


def test_memory_covers_the_filters_of_the_amplifier(reading: DataReading) -> None:
    """Two filters of three taps and slow effects far below the noise."""
    assert 3 <= reading.memory <= 5
    assert reading.ahead == 0


def test_polynomial_lies_between_the_floor_and_one_sample(reading: DataReading) -> None:
    assert reading.floor_db == -42.0  # the preset's
    assert -42.1 < reading.polynomial_db < -41.0
    assert dict(reading.rungs)[1] > -36


def test_records_that_line_up_need_no_warning(reading: DataReading) -> None:
    assert reading.warnings == ()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda y: np.roll(y, 40), "the output comes 39.98 samples"),
        (lambda y: np.conj(y), "follows the conjugate of the input"),
        (lambda y: np.roll(y, len(y) // 2)[::-1], "hardly correlated"),
    ],
)
def test_records_that_do_not_line_up(spoil: Callable[[Signal], Signal], said: str) -> None:
    capture = load_capture(DataSection(source="synthetic/mild"))
    part = Part(capture.train.x[:8000], spoil(capture.train.y[:8000]))
    (warning,) = read_sizes(replace(capture, train=part, val=part, test=part)).warnings
    assert said in warning


def test_a_computed_output_is_marked() -> None:
    capture = load_capture(DataSection(source="synthetic/mild"))
    x = capture.train.x[:8000]
    part = Part(x, x + 0.2 * np.roll(x, 1))
    found = read_sizes(replace(capture, train=part, val=part, test=part))
    (warning,) = found.warnings
    assert "it was computed, not measured" in warning
    assert "model.kind gmp is enough" in warning
    assert (found.memory, found.ahead) == (2, 0)
    json.dumps(found.to_json(), allow_nan=False)


def test_json(reading: DataReading) -> None:
    content = json.loads(json.dumps(reading.to_json(), allow_nan=False))
    assert content["train_samples"] == 62_873
    assert content["rungs"][0][0] == 1
