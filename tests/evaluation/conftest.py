"""Scores are compared with a small gmp."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.baselines import small_baselines


@pytest.fixture(scope="module", autouse=True)
def _small_baselines() -> Iterator[None]:
    with small_baselines():
        yield
