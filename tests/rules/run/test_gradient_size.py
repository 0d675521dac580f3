"""The size of the gradient: as logged, through the network, beside eps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_parts, example_run


def findings(**run: Any) -> dict[str, Finding]:
    facts = example_run(**run)
    return {f.code: f for f in diagnose_facts(facts).findings if f.code in ("GN203", "GN204", "GN205", "OP201")}


def test_norms_cut_off_at_the_clip_were_logged_too_late() -> None:
    run = example_run(norm=lambda t: 2.0 - 1.5 * t, clip_norm=1.0)
    assert max(run.grad_norm) > 1.5
    assert findings(grad_norm=run.grad_norm) == {}
    finding = findings(grad_norm=[min(norm, 1.0 + 1e-7) for norm in run.grad_norm])["GN203"]
    assert finding.severity == "warning"
    assert finding.evidence["value"] == pytest.approx(0.66, abs=0.05)


def test_a_clip_that_never_acts_hides_nothing() -> None:
    assert findings(norm=0.3, clip_norm=1.0) == {}
    assert findings(norm=0.3, clip_norm=math.inf) == {}


@pytest.mark.parametrize(
    ("loss", "known", "fires"),
    [(0.8, True, True), (0.8, None, False), (1e-3, True, False), (lambda t: 0.8 * 10**-t, True, False)],
    ids=["saturated", "another loss", "at its floor", "converging"],
)
def test_a_norm_that_dies_out(loss: Any, known: bool | None, fires: bool) -> None:
    assert ("GN204" in findings(norm=lambda t: 10 ** (-3 * t), loss=loss, loss_is_nmse=known)) is fires


def test_a_norm_that_stays_has_not_vanished() -> None:
    assert "GN204" not in findings(norm=0.3, loss=0.8, loss_is_nmse=True)


def test_a_part_that_hardly_gets_a_gradient() -> None:
    finding = findings(**example_parts(shares=(0.9, 0.1, 1e-10)))["GN204"]
    assert "blocks.0" in finding.message
    assert "head" in finding.advice
    assert findings(**example_parts(shares=(0.9, 0.1, 1e-5))) == {}


@pytest.mark.parametrize(("eps", "severity"), [(1e-8, None), (5e-6, None), (3e-5, "warning"), (1e-3, "error")])
def test_eps_compared_with_the_gradient(eps: float, severity: str | None) -> None:
    found = findings(norm=0.01, eps=eps, parameters=10_000)  # 1e-4 each
    assert (found["OP201"].severity if "OP201" in found else None) == severity
    if severity:
        assert found["OP201"].patch == {"optim.eps": 1e-8}


def test_the_clipped_gradient_is_what_adam_sees() -> None:
    assert "OP201" not in findings(norm=1.0, eps=1e-6, parameters=10_000)
    finding = findings(norm=1.0, eps=1e-6, parameters=10_000, clip_norm=1e-4)["OP201"]
    assert finding.evidence["gradient"] == pytest.approx(1e-6)
    assert finding.patch == {"optim.eps": 1e-9}


def test_a_zero_gradient_is_no_matter_of_eps() -> None:
    assert "OP201" not in findings(norm=0.0, eps=1e-8, parameters=100)


def summed(norms: list[float], seed: int = 0) -> list[float]:
    """Norms of sums of all gradients so far: independent directions in 50 dimensions."""
    rng = np.random.default_rng(seed)
    total, found = np.zeros(50), []
    for norm in norms:
        total = total + norm * rng.standard_normal(50) / math.sqrt(50)
        found.append(float(np.linalg.norm(total)))
    return found


def test_gradients_that_were_never_cleared() -> None:
    """The sum of all gradients so far moves less from step to step than the loss of a batch."""
    run = example_run(spread=0.3)
    assert findings(spread=0.3) == {}
    finding = findings(spread=0.3, grad_norm=summed(run.grad_norm))["GN205"]
    assert finding.severity == "error"
    assert "zero_grad" in finding.advice
    assert finding.evidence["value"] < 0.4


def test_a_sparse_log_or_a_loss_without_noise_says_nothing_of_them() -> None:
    run = example_run(spread=0.3)
    norms = summed(run.grad_norm)
    assert "GN205" not in findings(spread=0.3, grad_norm=norms, step=[10 * step for step in run.step])
    assert "GN205" not in findings(spread=0.001, grad_norm=norms)
