"""Numbers that are none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dpdrun.diagnosis import diagnose_facts
from dpdrun.rules.catalogue import Finding
from dpdrun.rules.examples import example_run


def findings(**run: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in diagnose_facts(example_run(**run)).findings}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_names_the_first_step(bad: float) -> None:
    finding = findings(steps=100, norm=lambda t: bad if t > 0.5 else 0.3, loss=0.1)["LS201"]
    assert (finding.severity, finding.step) == ("error", 51)
    assert finding.patch["optim.lr"] < 1e-2
