"""The gmp that every score is compared with, small: one of default size takes longer than the runs of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

from dpdrun.recipe.schema import GMPModel


@contextmanager
def small_baselines() -> Iterator[None]:
    """Compare with a gmp that a memoryless cubic amplifier is within the reach of."""
    with patch("dpdrun.evaluation.baselines.GMPModel", partial(GMPModel, order=3, delays=3, cross=1)):
        yield
