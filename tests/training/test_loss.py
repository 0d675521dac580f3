"""What a step minimizes: the mean square error, and the same with weights over the spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dpdrun.data.capture import Capture
from dpdrun.plan.plan import Plan
from dpdrun.rf.aclr import bands
from dpdrun.training.loss import Loss, SpectralError, Weighting, spectral_error, squared_error, weighting_of

PlanMaker = Callable[..., Plan]
RATE = 1e6  # of the capture of these tests


def weighted(plan: Plan, capture: Capture, bandwidth_hz: float = 0.25 * RATE) -> Loss:
    loss = spectral_error(plan, replace(capture, bandwidth_hz=bandwidth_hz))
    assert loss is not None
    return loss


def tone(share: float, length: int = 32) -> Tensor:
    """A tone of amplitude 1, as pairs: (1, length, 2)."""
    angle = 2 * torch.pi * share * torch.arange(length)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)[None]


def test_loss_leaves_the_burn_in_out(plan: PlanMaker) -> None:
    this = plan()  # frames of 32, the first 8 without loss
    y = torch.randn(3, 32, 2)
    prediction = 2.0 * y
    prediction[:, :8] = 1e6
    assert squared_error(prediction, y, this, 2.0).item() == pytest.approx(0.0)
    off = prediction + torch.tensor([3.0, 4.0]) * 2.0
    assert squared_error(off, y, this, 2.0).item() == pytest.approx(25.0, rel=1e-5)


def test_equal_weights_give_the_windowed_mean(plan: PlanMaker, capture: Capture) -> None:
    """Parseval: the same number as in the time domain, computed here with numpy."""
    this = plan("train.loss.in_band=1", "train.loss.out_of_band=1")
    torch.manual_seed(0)
    prediction, y = torch.randn(3, 32, 2), torch.randn(3, 32, 2)
    error = (prediction / 2.0 - y).numpy()[:, 8:].astype(np.float64)
    window = np.hanning(24) ** 2
    mean = np.mean((np.sum(error**2, axis=-1) @ window) / window.sum())
    assert weighted(this, capture)(prediction, y, this, 2.0).item() == pytest.approx(float(mean), rel=1e-5)


@pytest.mark.parametrize("length", [1, 2, 64, 65, 160])
def test_the_weights_change_at_the_edges_of_band_and_neighbours(length: int) -> None:
    """Bin k of N is at min(k, N - k) / N of the rate; the edges, 1/8 and 5/16, belong to what is further in."""
    found = Weighting(in_band=1.0, out_of_band=4.0, beyond=0.25, band=0.25, reach=0.3125).at(length)
    k = np.arange(length)
    sixteenths = 16 * np.minimum(k, length - k)  # over N: whole numbers, so nothing is rounded at an edge
    expected = np.select([sixteenths <= 2 * length, sixteenths <= 5 * length], [1.0, 4.0], 0.25)
    np.testing.assert_array_equal(found.numpy(), expected)
    if length >= 64:
        assert set(expected) == {0.25, 1.0, 4.0}


@pytest.mark.parametrize("carriers", [None, 1, 5])
def test_the_neighbours_are_those_of_the_aclr(plan: PlanMaker, capture: Capture, carriers: int | None) -> None:
    this = replace(capture, bandwidth_hz=0.25 * RATE, subchannels=carriers)
    found = weighting_of(plan("train.loss.out_of_band=3", "train.loss.beyond=0.5"), this)
    assert found is not None
    where = bands("opendpd-spectral-v2", RATE, 0.25 * RATE, carriers or 1)
    assert (found.band / 2 * RATE, found.reach * RATE) == pytest.approx(where.right_hz)
    assert (found.in_band, found.out_of_band, found.beyond) == (1.0, 3.0, 0.5)


def test_the_neighbours_are_as_far_apart_as_the_channels(plan: PlanMaker, capture: Capture) -> None:
    this = replace(capture, bandwidth_hz=0.25 * RATE, subchannels=1, channel_spacing_hz=0.26 * RATE)
    found = weighting_of(plan("train.loss.out_of_band=3"), this)
    assert found is not None
    assert found.reach * RATE == pytest.approx(
        bands("channel-spacing-v1", RATE, 0.25 * RATE, 1, 0.26 * RATE).right_hz[1]
    )


def test_beyond_the_neighbours_defaults_to_out_of_band(plan: PlanMaker, capture: Capture) -> None:
    found = weighting_of(plan("train.loss.out_of_band=3"), replace(capture, bandwidth_hz=0.25 * RATE))
    assert found is not None
    assert found.beyond == found.out_of_band == 3.0


@pytest.mark.parametrize(("share", "weight"), [(0.0, 1.0), (0.06, 1.0), (0.3, 9.0), (-0.25, 9.0), (-0.46, 0.1)])
def test_an_error_counts_by_where_it_lies(plan: PlanMaker, capture: Capture, share: float, weight: float) -> None:
    this = plan("train.loss.in_band=1", "train.loss.out_of_band=9", "train.loss.beyond=0.1")
    found = weighted(this, capture)(tone(share), torch.zeros(1, 32, 2), this, 1.0)
    assert found.item() == pytest.approx(weight, rel=0.05)


def test_a_weak_error_outside_is_not_drowned_by_a_strong_one_inside(plan: PlanMaker, capture: Capture) -> None:
    """The window keeps the side lobes of the strong one 40 dB down in frames of usual length."""
    this = plan("train.loss.in_band=0", "train.loss.out_of_band=1", "train.frame=256", "train.burn_in=8")
    inside, outside = tone(0.031, 256), 0.01 * tone(0.31, 256)
    loss = weighted(this, capture)
    alone = loss(outside, torch.zeros(1, 256, 2), this, 1.0).item()
    assert loss(outside + inside, torch.zeros(1, 256, 2), this, 1.0).item() == pytest.approx(alone, rel=0.02)


def test_gradients_are_those_of_the_error(plan: PlanMaker, capture: Capture) -> None:
    this = plan("train.loss.in_band=1", "train.loss.out_of_band=4")
    prediction = torch.randn(2, 32, 2, requires_grad=True)
    weighted(this, capture)(prediction, torch.randn(2, 32, 2), this, 1.0).backward()  # type: ignore[no-untyped-call]
    assert prediction.grad is not None
    assert prediction.grad[:, :8].abs().max() == 0.0
    assert prediction.grad[:, 9:-1].abs().min() > 0.0


def test_its_gradient_is_that_of_finite_differences(plan: PlanMaker) -> None:
    """In float64, all three weights, over the judged samples and those of the burn-in."""
    this, loss = plan(), SpectralError(Weighting(1.0, 4.0, 0.5, band=0.25, reach=0.3), 24)
    generator = torch.Generator().manual_seed(0)
    prediction, y = (torch.randn(2, 32, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    assert torch.autograd.gradcheck(lambda p: loss(p, y, this, 2.0), prediction.requires_grad_())


def test_which_loss_a_plan_asks_for(plan: PlanMaker, capture: Capture) -> None:
    assert spectral_error(plan(), capture) is None
    assert weighting_of(plan(), replace(capture, bandwidth_hz=RATE / 4)) is None
    with pytest.raises(ValueError, match="needs the bandwidth"):
        spectral_error(plan("train.loss.out_of_band=4"), replace(capture, bandwidth_hz=None))
