"""The loss of a constant guess."""

from __future__ import annotations

import math

import pytest

from dpdrun.rules.guessing import guess_at


@pytest.mark.parametrize(
    ("level", "named"), [(math.log(2), "ln 2,"), (math.log(10), "ln 10,"), (math.log(32000), "ln 32000,")]
)
def test_ln_k_is_named(level: float, named: str) -> None:
    assert named in (guess_at(level, 0.001, "nats") or "")


def test_how_near_follows_from_the_error_of_the_level_and_never_reaches_the_next_k() -> None:
    assert guess_at(1.01 * math.log(4), 0.01, "nats")
    assert guess_at(1.01 * math.log(4), 0.001, "nats") is None
    assert guess_at(1.02 * math.log(4), 1.0, "nats") is None
    assert guess_at((math.log(9) + math.log(10)) / 2, 1.0, "nats") is None


def test_units() -> None:
    assert "log2 10," in (guess_at(math.log2(10), 0.01, "bits") or "")
    assert guess_at(math.log2(10), 0.001, "nats") is None
    assert "standardised" in (guess_at(1.003, 0.002, "power") or "")
    assert guess_at(math.log(10), 0.01, "power") is None
    assert guess_at(1.0, 0.01, "nats") is None
    assert guess_at(math.log(10), 0.01, "objective") is None
