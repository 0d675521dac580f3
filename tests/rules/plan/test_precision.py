"""Arithmetic against the error that is to be reached."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dpdrun.rules.advice import derive
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.plan import precision


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_noise_of_one_rounding_is_that_of_torch(name: str, dtype: torch.dtype) -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=400_000).astype(np.float32))
    error = values.to(dtype).float() - values
    power_db = 10.0 * math.log10(float((error**2).sum() / (values**2).sum()))
    assert power_db == pytest.approx(precision.ROUNDING_DB[name], abs=0.1)
    if name == "bf16":
        worst_db = 20.0 * math.log10(float((error.abs() / values.abs()).max()))
        assert worst_db == pytest.approx(precision.BF16_WORST_DB, abs=0.05)


@pytest.mark.parametrize(
    ("arithmetic", "floor", "severity"),
    [
        ("fp32", -60.0, None), ("bf16", -60.0, "warning"), ("bf16", -35.0, None), ("bf16", None, "info"),
        ("fp16", -60.0, "warning"), ("tf32", -60.0, "warning"), ("tf32", -50.0, None), ("fp16", None, None),
    ],
)  # fmt: skip
def test_roundings_against_the_floor_of_the_record(arithmetic: str, floor: float | None, severity: str | None) -> None:
    facts = PlanFacts(kind="transformer", d_model=8, precision=arithmetic, noise_floor_db=floor)
    found = {f.code: f for f in derive(facts, "measured").warnings}
    assert (found["PR101"].severity if "PR101" in found else None) == severity


def test_gmp_is_fitted_in_double_precision() -> None:
    assert derive(PlanFacts(kind="gmp", precision="bf16"), "measured").warnings == []
