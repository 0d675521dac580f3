"""Every score is taken next to a gmp of default size: it is fitted once for each capture."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _one_fit_for_each_capture(fit_gmp_once: None) -> None:
    pass
