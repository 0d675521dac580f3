"""A probe of a plan that trains in a second."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dpdrun.data.capture import Capture
from dpdrun.errors import RunError
from dpdrun.plan import Plan
from dpdrun.training import probe as module
from dpdrun.training.probe import FEWEST_NORMS, FEWEST_RATES, MOST_NORMS, MOST_RATES, SEEDS, probe, share_out


@pytest.fixture(autouse=True)
def few_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to tell 1e-4 from 1e-2 from 1."""
    monkeypatch.setattr(module, "FEWEST_RATES", 30)
    monkeypatch.setattr(module, "MOST_RATES", 30)
    monkeypatch.setattr(module, "MOST_NORMS", 40)


def test_probe(capture: Capture, plan: Callable[..., Plan]) -> None:
    told: list[tuple[float, str]] = []
    found = probe(plan(), capture, 600.0, lambda share, doing: told.append((share, doing)))
    assert 1e-3 < found.lr < 0.5
    assert found.lr_low <= found.lr <= found.lr_high
    assert (found.seeds, found.rates_tried, found.norm_steps) == (SEEDS, 30, 40)
    assert sorted(found.norms.values()) == list(found.norms.values())
    assert found.clip_norm == pytest.approx(found.norms[90], rel=0.06)
    assert found.samples_per_s == pytest.approx(4 * 32 / found.step_s)
    assert found.peak_mib >= 0
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    assert {doing.split(",")[0] for _, doing in told} >= {"timing steps", "lr range test"}


def test_rates_and_norms_repeat(capture: Capture, plan: Callable[..., Plan]) -> None:
    first, second = (probe(plan(), capture, 600.0) for _ in range(2))
    assert (first.lr, first.curve, first.norms) == (second.lr, second.curve, second.norms)


def test_an_interrupt_comes_through(capture: Capture, plan: Callable[..., Plan]) -> None:
    def interrupt(share: float, doing: str) -> None:
        if share > 0.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe(plan(), capture, 600.0, interrupt)


def test_what_cannot_learn_is_said(
    capture: Capture, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOWEST_LR", 1e-12)
    monkeypatch.setattr(module, "HIGHEST_LR", 1e-11)
    with pytest.raises(RunError, match="no learning rate from 1e-12 to 1e-11"):
        probe(plan(), capture, 600.0)


def test_gmp_has_no_steps(capture: Capture, plan: Callable[..., Plan]) -> None:
    from dpdrun.plan import make_plan
    from dpdrun.recipe.loader import load_text

    recipe = load_text("task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gmp}\n").recipe
    with pytest.raises(RunError, match="a gmp is fitted by least squares"):
        probe(make_plan(recipe, 2000), capture, 60.0)


def test_time_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for budget_s in (20.0, 60.0, 600.0):
        found = share_out(budget_s, 0.1, 0.04)
        assert FEWEST_RATES <= found.rates <= MOST_RATES
        assert FEWEST_NORMS <= found.norms <= MOST_NORMS
        assert found.total * 0.04 <= budget_s
    assert share_out(600.0, 0.1, 0.04).rates == MOST_RATES


def test_too_short_a_time_says_what_would_do() -> None:
    with pytest.raises(RunError, match=r"--probe 10s is too short here: a step of this plan takes 0\.5 s") as caught:
        share_out(10.0, 1.0, 0.5)
    needed = float(str(caught.value).partition("give --probe ")[2].partition("s")[0])
    assert share_out(needed, 1.0, 0.5).rates >= 30
