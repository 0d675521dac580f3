from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf.bootstrap import MAX_BLOCKS, MIN_BLOCKS, block_sums, interval, nmse_interval, power_interval, ratio_db
from dpdrun.rf.metrics import nmse_db


def pair(rng: np.random.Generator, samples: int, held: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A reference of constant power, and an error whose power stays the same for `held` samples."""
    reference = np.exp(2j * np.pi * rng.random(samples))
    noise = rng.standard_normal(samples // held) + 1j * rng.standard_normal(samples // held)
    return reference, reference + 0.01 * np.repeat(noise, held)


def test_blocks_lie_side_by_side() -> None:
    found = block_sums(np.arange(7.0), np.ones(7), block=3)
    assert found.tolist() == [[3.0, 3.0], [18.0, 4.0]]
    assert block_sums(np.ones(2), block=3).tolist() == [[2.0]]


def test_the_width_is_that_of_theory() -> None:
    """|e|^2 is exponential, so its mean over N has a relative standard deviation of 1/sqrt(N): 4.34/sqrt(N) dB."""
    reference, y = pair(np.random.default_rng(0), 40_960)
    found = nmse_interval(reference, y)
    assert found is not None
    assert found.blocks == 80
    assert found.low < nmse_db(reference, y) < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 4.343 / np.sqrt(40_960), rel=0.25)


def test_what_holds_for_many_samples_counts_as_few() -> None:
    """Errors that stay for 64 samples are 64 times fewer: the interval is 8 times as wide."""
    reference, y = pair(np.random.default_rng(0), 65_536, held=64)
    found = nmse_interval(reference, y)
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * 4.343 / np.sqrt(65_536 / 64), rel=0.3)


def test_a_long_record_has_longer_blocks() -> None:
    sums = np.random.default_rng(0).exponential(size=(10_000, 1)) @ [[1.0, 0.0]] + [0.0, 1.0]
    found = interval(sums, ratio_db)
    assert found is not None
    assert found.blocks == MAX_BLOCKS
    assert found.low < 10 * np.log10(sums[:, 0].mean()) < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 4.343 / np.sqrt(10_000), rel=0.25)


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(1), 0
    truth = 10 * np.log10(2e-4)
    for trial in range(100):
        reference, y = pair(rng, 20_480)
        found = nmse_interval(reference, y, seed=trial)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert 87 <= hits <= 100


def test_the_same_seed_gives_the_same_interval() -> None:
    reference, y = pair(np.random.default_rng(0), 20_480)
    assert nmse_interval(reference, y) == nmse_interval(reference, y)
    assert nmse_interval(reference, y) != nmse_interval(reference, y, seed=1)


def test_too_few_blocks_say_nothing() -> None:
    reference, y = pair(np.random.default_rng(0), 512 * MIN_BLOCKS)
    assert nmse_interval(reference, y) is not None
    assert nmse_interval(reference[:-1], y[:-1]) is None


def test_a_score_that_is_not_finite_has_none() -> None:
    reference, _ = pair(np.random.default_rng(0), 20_480)
    assert nmse_interval(reference, reference) is None


def test_both_ends_are_left_out_alike() -> None:
    """2.5 % on each side, of a mean that is nearly Gaussian: 1.96 standard deviations down and up."""
    sums = np.stack([np.random.default_rng(0).normal(10.0, 1.0, 500), np.ones(500)], axis=1)
    found = interval(sums, lambda total: total[..., 0] / total[..., 1])
    assert found is not None
    step = np.std(sums[:, 0]) / np.sqrt(500)
    assert found.low == pytest.approx(sums[:, 0].mean() - 1.96 * step, abs=0.15 * step)
    assert found.high == pytest.approx(sums[:, 0].mean() + 1.96 * step, abs=0.15 * step)


def test_any_score_of_sums() -> None:
    sums = np.random.default_rng(0).random((40, 3)) + 1
    found = interval(sums, lambda total: ratio_db(total[..., [2, 0]]))
    assert found is not None
    assert found.low < 10 * np.log10(sums[:, 2].sum() / sums[:, 0].sum()) < found.high


def test_a_power_ratio_that_is_the_same_everywhere_is_sure() -> None:
    reference, y = pair(np.random.default_rng(0), 20_480)
    found = power_interval(reference, 2 * reference)
    assert found is not None
    assert found.low == pytest.approx(found.high)
    assert found.low == pytest.approx(20 * np.log10(2))
    louder = power_interval(reference, y * np.repeat(1 + 0.1 * (np.arange(40) % 2), 512))
    assert louder is not None
    assert louder.high - louder.low > 0.1
