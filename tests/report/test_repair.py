"""The outcome of a repair on the terminal."""

from __future__ import annotations

import pytest
from rich.console import Console

from dpdrun.diagnosis.repair import Comparison
from dpdrun.report.repair import comparison_view


def shown(this: Comparison) -> str:
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(comparison_view(this, ["MD102", "LR102"]))
    return capture.get()


def test_kept() -> None:
    text = shown(Comparison([0, 1], [-20.0, -20.5], [-30.0, -31.0]))
    assert "kept: MD102, LR102 changed the validation NMSE by -10.25 dB (standard deviation over seeds 0.35)" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["1", "-20.50", "-31.00", "+10.50"] in rows


@pytest.mark.parametrize("after", [-19.0, -20.0])
def test_rejected(after: float) -> None:
    text = shown(Comparison([0], [-20.0], [after]))
    assert "rejected: MD102, LR102" in text
    assert "standard deviation" not in text
