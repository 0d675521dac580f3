"""A probe of a plan that trains in a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dpdrun.data.capture import Capture
from dpdrun.errors import RunError
from dpdrun.plan.plan import Plan
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


def test_a_model_that_cannot_learn_is_reported(
    capture: Capture, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOWEST_LR", 1e-12)
    monkeypatch.setattr(module, "HIGHEST_LR", 1e-11)
    with pytest.raises(RunError, match="no learning rate from 1e-12 to 1e-11"):
        probe(plan(), capture, 600.0)


def test_gmp_has_no_steps(capture: Capture, plan: Callable[..., Plan]) -> None:
    from dpdrun.plan.plan import make_plan
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
    with pytest.raises(
        RunError, match=r"--time 10s is too short: startup took 1 s, a step of this plan takes 0\.5 s"
    ) as caught:
        share_out(10.0, 1.0, 0.5)
    needed = float(str(caught.value).partition("give --time ")[2].partition("s")[0])
    assert share_out(needed, 1.0, 0.5).rates >= 30


def test_seeds_are_given_up_before_rates() -> None:
    step_s, least = 0.1, module.NORM_WARMUP_STEPS + FEWEST_NORMS
    for seeds in (2, 3):
        enough = (seeds * 30 + least) * step_s * module.OVERHEAD + module.END_S
        found = share_out(enough + 0.1, 0.0, step_s)
        assert (found.seeds, found.rates) == (seeds, 30)


class _Time:
    """A clock of its own that only steps and scorings move [s]."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def slowed(monkeypatch: pytest.MonkeyPatch, pace: Callable[[int], float], *, score_s: float = 0.1) -> _Time:
    """Steps that take `pace(number)` seconds, counted from 1 over the whole probe."""
    clock, count, step = _Time(), [0], module.ProbeRun.step

    def slow(self: module.ProbeRun, number: int, lr: float) -> module.Stepped:
        count[0] += 1
        taken = step(self, number, lr)
        clock.now += pace(count[0])
        return replace(taken, seconds=pace(count[0]))

    def scored(*_: object) -> None:
        clock.now += score_s

    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module.ProbeRun, "step", slow)
    monkeypatch.setattr(module, "evaluate_split", scored)
    return clock


@pytest.mark.parametrize("spent_s", [0.0, 12.0])
def test_time_is_kept_and_nothing_is_cut_at_an_even_pace(
    capture: Capture, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, spent_s: float
) -> None:
    clock = slowed(monkeypatch, lambda _: 0.1)
    found = probe(plan(), capture, 40.0, spent_s=spent_s)
    assert clock.now + spent_s <= 40.0
    assert (found.seeds, found.cut) == (3, ())
    assert found.seconds == pytest.approx(clock.now + spent_s, abs=0.1)


@pytest.mark.parametrize(("change", "slower", "seeds"), [(20, 2.0, 1), (20, 3.0, 1), (50, 1.5, 2), (70, 2.0, 2)])
def test_steps_that_become_slower_cost_seeds_not_time(
    capture: Capture,
    plan: Callable[..., Plan],
    monkeypatch: pytest.MonkeyPatch,
    change: int,
    slower: float,
    seeds: int,
) -> None:
    clock = slowed(monkeypatch, lambda number: 0.1 * (slower if number > change else 1.0))
    found = probe(plan(), capture, 20.0)
    assert clock.now <= 20.0
    assert found.seeds == seeds
    assert f"{seeds} of 3 seeds" in found.cut
    assert found.lr > 0


def test_no_time_for_norms_leaves_the_clip_to_the_rules(
    capture: Capture, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed(monkeypatch, lambda number: 0.1 if number <= 95 else 2.0)
    found = probe(plan(), capture, 20.0)
    assert found.clip_norm is None
    assert found.norms == {}
    assert "gradient norms (clip_norm is that of the rules)" in found.cut


def test_a_first_test_that_does_not_end_is_an_error_in_time(
    capture: Capture, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = slowed(monkeypatch, lambda number: 0.1 if number <= 8 else 3.0)
    with pytest.raises(RunError, match=r"steps became slower, from 0\.1 to 3 s"):
        probe(plan(), capture, 20.0)
    assert clock.now <= 20.0 + 3.0


def test_a_long_scoring_is_estimated(
    capture: Capture, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCORING_SHARE", 0.0)
    slowed(monkeypatch, lambda _: 0.1, score_s=1e9)
    found = probe(plan(), capture, 40.0)
    assert found.score_s == pytest.approx(len(capture.val) / (4 * 32) * 0.1 / 3)
    assert found.cut == ("the time of an evaluation (estimated from a forward pass)",)


def test_a_slow_step_is_not_timed_five_times(
    capture: Capture, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = slowed(monkeypatch, lambda _: 15.0)
    with pytest.raises(RunError, match="a step of this plan takes 15 s"):
        probe(plan(), capture, 20.0)
    assert clock.now <= 20.0
