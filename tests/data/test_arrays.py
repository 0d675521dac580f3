"""Captures of arrays: any numeric form, and the same capture when a run reads it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.data.arrays import store, stored
from dpdrun.data.capture import Capture
from dpdrun.data.sources import load_capture
from dpdrun.errors import DataError, RecipeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=6_000) + 1j * RNG.normal(size=6_000)
Y = 2.0 * X * (1 - 0.01 * np.abs(X) ** 2)


@pytest.mark.parametrize("dtype", [np.complex64, np.float16, np.float32, np.float64, np.int16])
def test_any_numeric_type_is_taken(dtype: Any) -> None:
    scale = 1000 if np.issubdtype(dtype, np.integer) else 1

    def form(z: Any) -> Any:
        is_complex = np.issubdtype(dtype, np.complexfloating)
        return (scale * (z if is_complex else np.stack([z.real, z.imag], axis=1))).astype(dtype)

    capture = Capture.from_arrays(form(X), form(Y), sample_rate_hz=1e6, check_rates="off")
    assert capture.train.x.dtype == np.complex128
    assert np.allclose(capture.train.x, scale * X[: len(capture.train)], atol=2e-3 * scale)
    assert repr(capture) == "Capture('arrays': 1 MS/s, samples: train 3,540, val 1,080, test 1,140)"


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:-1], Y, "unequal lengths: x has 5,999 samples and y has 6,000"),
        (X.real, Y, r"x: expected complex \(N,\) or real \(N, 2\) = I, Q, not float64 \(6000,\) \(real only"),
        (X, Y[None], r"y: expected complex \(N,\).*use .ravel"),
        (X, np.stack([Y.real, Y.imag]), r"y: expected.*use .T"),
        (np.where(np.arange(6_000) == 7, np.nan, X), Y, "x, sample 7, column I: nan is not a number"),
        (X, np.where(np.arange(6_000) == 9, np.inf, Y), "y, sample 9, column I: inf is not a number"),
        (X[:10], Y[:10], "x: 10 samples are too few"),
        (X, 0 * Y, "y: all samples are zero"),
        (X, "abc", "y: holds <U3, not numbers"),
        (np.ma.masked_inside(X.real, 0, 0.1) + 1j * X.imag, Y, r"x: [\d,]+ values are masked; a record has no gaps"),
    ],
)
def test_what_is_no_pair_of_records_is_refused(x: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Capture.from_arrays(x, y, sample_rate_hz=1e6)


def test_settings_are_checked_as_in_a_recipe() -> None:
    with pytest.raises(RecipeError, match=r'\["split"\]\["train"\]: split.train: expected a percentage.*write 60%'):
        Capture.from_arrays(X, Y, sample_rate_hz=1e6, split={"train": 0.6})
    with pytest.raises(RecipeError, match=r'\["sample_rate_hz"\]: sample_rate_hz: expected a number greater than 0'):
        Capture.from_arrays(X, Y, sample_rate_hz=-1)
    with pytest.raises(RecipeError, match=r"unknown key data.fs; did you mean 'sample_rate_hz'\?"):
        Capture.load("synthetic/mild", fs=1e6)
    assert Capture.load("synthetic/mild").name == "synthetic/mild"


@pytest.mark.parametrize("settings", [{}, {"split": {"train": "50%", "val": "25%", "test": "25%", "guard": 3}},
                                      {"bandwidth_hz": 9e5}, {"align": "auto"}])  # fmt: skip
def test_a_run_reads_the_same_capture_back(settings: dict[str, Any], tmp_path: Path) -> None:
    y = np.roll(Y, 3) if "align" in settings else Y
    capture = Capture.from_arrays(X, y, sample_rate_hz=1e6, **settings)
    store(capture, tmp_path / "capture.npz")
    section = stored(capture, tmp_path / "capture.npz")
    assert load_capture(section).sha256 == capture.sha256
    assert load_capture(section).bandwidth_hz == capture.bandwidth_hz
    loaded = Capture.load("synthetic/mild")
    assert stored(loaded, tmp_path / "other.npz").source == "synthetic/mild"
    store(loaded, tmp_path / "other.npz")
    assert not (tmp_path / "other.npz").exists()
