"""Frames: where they lie, that they are the record's samples, and that they depend on seed and step alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.models._arrays import to_complex, to_pairs
from dpdrun.training.sampler import FrameSampler

PINNED = [128, 503, 409, 784]


def sampler(
    *, samples: int = 1000, frame: int = 64, per_epoch: int = 20, batch: int = 8, seed: int = 0, rotate: bool = False
) -> FrameSampler:
    ramp = torch.arange(samples, dtype=torch.float32)
    record = torch.stack([ramp, -ramp], dim=-1)
    return FrameSampler(
        record, record + 0.5, frame=frame, frames_per_epoch=per_epoch, batch_size=batch, seed=seed, rotate=rotate
    )


def test_a_batch_holds_consecutive_samples_of_the_record() -> None:
    frames = sampler()
    starts = frames.starts(3)
    ((_, x, y),) = frames.shares(3, passes=1, processes=1, process=0)
    assert x.shape == y.shape == (8, 64, 2)
    expected = starts[:, None] + np.arange(64)
    assert np.array_equal(x[..., 0].numpy(), expected)
    assert np.array_equal(x[..., 1].numpy(), -expected)
    assert np.array_equal(y[..., 0].numpy(), expected + 0.5)


def test_the_record_is_not_copied() -> None:
    record = torch.zeros(1000, 2)
    frames = FrameSampler(record, record, frame=64, frames_per_epoch=4, batch_size=2, seed=0)
    assert frames._frames_x.untyped_storage().data_ptr() == record.untyped_storage().data_ptr()


def test_an_epoch_covers_the_record_evenly() -> None:
    frames = sampler(samples=10_000, frame=256, per_epoch=100, batch=100)
    starts = np.sort(frames.starts(1))
    spacing = (10_000 - 256 + 1) / 100
    gaps = np.diff(np.append(starts, starts[0] + 10_000 - 256 + 1))
    assert np.all(np.abs(gaps - spacing) <= 1)


def test_epochs_differ_and_so_do_seeds() -> None:
    frames = sampler(per_epoch=20, batch=20)
    assert set(frames.starts(1)) != set(frames.starts(2))
    assert set(frames.starts(1)) != set(sampler(per_epoch=20, batch=20, seed=1).starts(1))


@given(
    batch=st.integers(1, 50),
    per_epoch=st.integers(1, 40),
    first=st.integers(1, 30),
    seed=st.integers(0, 2**63 - 1),
)
def test_steps_cut_one_endless_stream_whatever_the_batch(batch: int, per_epoch: int, first: int, seed: int) -> None:
    ones = sampler(per_epoch=per_epoch, batch=1, seed=seed)
    many = sampler(per_epoch=per_epoch, batch=batch, seed=seed)
    stream = np.concatenate([ones.starts(i + 1) for i in range((first - 1) * batch, first * batch)])
    assert np.array_equal(many.starts(first), stream)
    assert stream.min() >= 0
    assert stream.max() <= 1000 - 64


@pytest.mark.parametrize(("passes", "processes"), [(1, 2), (2, 1), (4, 2), (8, 1)])
@pytest.mark.parametrize("rotate", [False, True])
def test_shares_add_up_to_the_step_whatever_their_number(passes: int, processes: int, rotate: bool) -> None:
    def step(passes: int, processes: int) -> torch.Tensor:
        shares = [list(frames.shares(5, passes=passes, processes=processes, process=p)) for p in range(processes)]
        return torch.cat([shares[p][i][1] for i in range(passes) for p in range(processes)])

    frames = sampler(rotate=rotate)
    assert torch.equal(step(passes, processes), step(1, 1))


def test_rotation_turns_input_and_output_by_the_same_phase_and_keeps_magnitudes() -> None:
    plain, turned = (
        next(sampler(rotate=rotate).shares(2, passes=1, processes=1, process=0))[1:] for rotate in (False, True)
    )
    x, y, rx, ry = (torch.view_as_complex(pairs.contiguous()) for pairs in (*plain, *turned))
    assert torch.allclose(rx.abs(), x.abs(), rtol=1e-5)
    phase = rx / x
    assert torch.allclose(phase, phase[:, 10:11].expand_as(phase), atol=1e-4, rtol=0) or bool((x[:, 0] == 0).any())
    assert torch.allclose(ry, y * phase[:, 10:11], rtol=1e-4, atol=1e-3)
    assert phase[:, 10].angle().std() > 0.5
    again = next(sampler(rotate=True).shares(2, passes=1, processes=1, process=0))[1:]
    assert torch.equal(turned[0], again[0])
    other = next(sampler(rotate=True).shares(3, passes=1, processes=1, process=0))[1:]
    assert not torch.allclose(torch.atan2(*other[0][:, 10].T), torch.atan2(*turned[0][:, 10].T), atol=1e-3)


def test_frames_are_pinned() -> None:
    # A change here changes every run of every recipe: it needs a line in CHANGELOG.md.
    assert sampler(per_epoch=20, batch=4).starts(1).tolist() == PINNED


@pytest.mark.parametrize("samples", [1, 7])
def test_pairs_and_complex_are_inverse(samples: int) -> None:
    record = np.random.default_rng(0).normal(size=(samples, 2)) @ np.array([1, 1j])
    assert to_pairs(record).dtype == torch.float32
    assert to_complex(to_pairs(record)) == pytest.approx(record, rel=1e-6)


def test_frames_of_a_looped_capture_run_on_within_their_loop() -> None:
    ramp = torch.arange(120, dtype=torch.float32)
    record = torch.stack([ramp, -ramp], dim=-1)
    frames = FrameSampler(
        record, record, frame=30, frames_per_epoch=120, batch_size=120, seed=0, loop=40
    )  # every start of every loop once an epoch
    starts = frames.starts(1)
    assert sorted(starts.tolist()) == list(range(120))
    ((drawn, x, _),) = frames.shares(1, passes=1, processes=1, process=0)
    assert np.array_equal(drawn, starts)
    loop, first = np.divmod(starts, 40)
    expected = loop[:, None] * 40 + (first[:, None] + np.arange(30)) % 40
    assert np.array_equal(x[..., 0].numpy(), expected)
