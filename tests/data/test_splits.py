"""Lengths of parts without the samples: they must be those of the capture that is loaded."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.data.sources import load_capture
from dpdrun.data.splits import SYNTHETIC_SAMPLES, known_train_samples, spans_of
from dpdrun.data.synthetic import PRESETS
from dpdrun.recipe.schema import DataSection


def section(**content: Any) -> DataSection:
    return DataSection.model_validate({"source": "synthetic/mild", **content})


def test_every_preset_is_known() -> None:
    assert {f"synthetic/{name}": preset.ofdm.samples for name, preset in PRESETS.items()} == SYNTHETIC_SAMPLES


@pytest.mark.parametrize("source", SYNTHETIC_SAMPLES)
def test_length_is_that_of_the_record(source: str) -> None:
    asked = section(source=source)
    assert known_train_samples(asked) == len(load_capture(asked).train)


@pytest.mark.parametrize(
    "split", [{"train": "50%", "val": "30%", "test": "20%"}, {"guard": 0}, {"guard": 1000}, {"train": "60%"}]
)
def test_length_under_a_split_of_the_recipe(split: dict[str, Any]) -> None:
    asked = section(split=split)
    assert known_train_samples(asked) == len(load_capture(asked).train)


@pytest.mark.parametrize(
    "content",
    [
        {"source": "synthetic/none"},
        {"source": "opendpd/APA_200MHz"},
        {"sample_rate_hz": 1e6},
        {"bandwidth_hz": 1e6},
        {"resample_to_hz": 500e6},
        {"split": {"guard": 60_000}},
    ],
)
def test_what_only_loading_can_judge_is_left_to_it(content: dict[str, Any]) -> None:
    assert known_train_samples(section(**content)) is None


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 3000))
def test_spans_never_run_backwards_or_overlap(a: int, b: int, c: int, guard: int) -> None:
    spans = spans_of(a + b + c, (a, a + b), guard)
    assert all(start <= end for start, end in spans)
    wide = [span for span in spans if span[1] > span[0]]
    assert all(before[1] <= after[0] for before, after in pairwise(wide))
