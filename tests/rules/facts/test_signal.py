"""Facts as they stand in report.json."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest

from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.run.files import encode_numbers

FACTS = SignalFacts(samples=2000, nmse_db=-30.0, position_db=(-29.0, math.inf), clip_short_db=-math.inf, mirrored=True)


def test_facts_survive_a_report() -> None:
    """Also infinite ones, which JSON has no number for."""
    written = json.dumps(encode_numbers(FACTS.to_json()), allow_nan=False)
    assert SignalFacts.from_json(json.loads(written)) == FACTS


def test_keys_of_a_later_version_are_passed_over() -> None:
    assert SignalFacts.from_json(FACTS.to_json() | {"smell": 3}) == FACTS


@pytest.mark.parametrize("content", [None, {}, {"samples": 3}, [], "signal", 4])
def test_nothing_is_nothing(content: Any) -> None:
    assert SignalFacts.from_json(content) is None


def test_every_fact_is_explained() -> None:
    names = [field.name for field in fields(SignalFacts)]
    assert len(names) > 30
    assert [name for name in names if name not in (SignalFacts.__doc__ or "")] == []
