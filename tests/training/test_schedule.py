"""The learning rate, against closed forms and torch's own schedulers."""

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.training.schedule import Plateau, Schedule

KINDS = ("cosine", "linear", "inverse_sqrt", "constant", "plateau")


def schedule(kind: str, *, peak: float = 1e-2, warmup: int = 50, total: int = 1000, end: float = 0.0) -> Schedule:
    return Schedule(kind, peak, warmup, total, end)


@pytest.mark.parametrize("kind", KINDS)
def test_warmup_rises_linearly_from_one_share_of_the_peak_and_never_from_zero(kind: str) -> None:
    lrs = [schedule(kind).lr_at(step) for step in range(1, 51)]
    assert lrs == pytest.approx([1e-2 * step / 50 for step in range(1, 51)])
    assert lrs[0] == pytest.approx(1e-2 / 50)


def test_cosine_equals_torch_after_the_warmup() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1e-2)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=951, eta_min=1e-3)
    ours = schedule("cosine", end=0.1)
    for step in range(51, 1001):
        optimizer.step()
        reference.step()
        assert ours.lr_at(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6), step


def test_linear_heads_for_its_end_one_step_after_the_last() -> None:
    ours = schedule("linear", warmup=49, total=999, end=0.25)
    assert ours.lr_at(999) == pytest.approx((0.25 + 0.75 / 951) * 1e-2)
    assert ours.lr_at(49 + 317) == pytest.approx((0.25 + 0.75 * 2 / 3) * 1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_is_lost_at_a_learning_rate_of_zero(kind: str) -> None:
    assert min(schedule(kind, end=0.0).lr_at(step) for step in range(1, 1001)) > 0


def test_inverse_sqrt_is_the_formula_of_vaswani_2017() -> None:
    # lrate = d^-0.5 min(step^-0.5, step warmup^-1.5), scaled so that its maximum is the peak
    ours = schedule("inverse_sqrt", warmup=400, total=4000)
    for step in (1, 100, 400, 401, 1600, 4000):
        reference = min(step**-0.5, step * 400**-1.5) / 400**-0.5
        assert ours.lr_at(step) == pytest.approx(1e-2 * reference)


@given(
    kind=st.sampled_from(KINDS),
    peak=st.floats(1e-8, 10.0),
    total=st.integers(1, 500),
    warmup=st.integers(0, 500),
    end=st.floats(0.0, 1.0),
)
def test_lr_is_never_negative_and_never_above_the_peak(
    kind: str, peak: float, total: int, warmup: int, end: float
) -> None:
    ours = Schedule(kind, peak, warmup, total, end)
    lrs = [ours.lr_at(step) for step in range(1, total + 1)]
    assert all(0.0 <= lr <= peak * (1 + 1e-12) for lr in lrs)
    assert all(math.isfinite(lr) for lr in lrs)
    after = lrs[warmup:]
    assert after == sorted(after, reverse=True)


def test_steps_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        schedule("cosine").lr_at(0)


def test_plateau_drops_after_patience_and_judges_absolute_decibels() -> None:
    plateau = Plateau(factor=0.5, patience=2, threshold_db=0.01)
    for score in (-38.0, -38.005, -38.009):  # within the threshold: no progress
        plateau.update(score)
    assert plateau.drop == 1.0
    plateau.update(-37.9)
    assert plateau.drop == 0.5
    plateau.update(-38.02)
    assert (plateau.best_db, plateau.waited) == (-38.02, 0)
    assert schedule("plateau").lr_at(500, plateau.drop) == pytest.approx(0.5e-2)


def test_plateau_equals_torch_in_absolute_mode() -> None:
    ours = Plateau(factor=0.3, patience=3, threshold_db=0.05)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.3, patience=3, threshold=0.05, threshold_mode="abs"
    )
    generator = torch.Generator().manual_seed(1)
    scores = (-30.0 - torch.rand(60, generator=generator, dtype=torch.float64)).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for score in scores:
            ours.update(score)
            reference.step(score)
            assert ours.drop == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours.drop < 1.0
