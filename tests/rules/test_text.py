"""Counts with their nouns."""

from __future__ import annotations

import pytest

from dpdrun.rules.text import pluralize


@pytest.mark.parametrize(("number", "said"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (11, "11 steps")])
def test_counted(number: int, said: str) -> None:
    assert pluralize(number, "step") == said
