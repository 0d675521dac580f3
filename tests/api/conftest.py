"""A small amplifier as arrays, and a run on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import dpdrun

Arrays = tuple[NDArray[Any], NDArray[Any]]
RECIPE: dict[str, Any] = {
    "task": "pa",
    "model": {"kind": "transformer", "d_model": 8, "layers": 1, "heads": 2, "window": 8},
    "train": {"max_steps": 8, "batch_size": 4, "frame": 32, "eval_every": 4, "compile": "off"},
}


@pytest.fixture(scope="session")
def arrays() -> Arrays:
    rng = np.random.default_rng(0)
    white = rng.normal(size=6_000) + 1j * rng.normal(size=6_000)
    x = np.fft.ifft(np.fft.fft(white) * (np.abs(np.fft.fftfreq(len(white))) < 0.1))
    x = np.roll(x / np.max(np.abs(x)), len(x) // 4 - int(np.argmax(np.abs(x))))
    return x, 3.0 * x * (1 - (0.35 + 0.1j) * np.abs(x) ** 2) + 1e-3 * rng.normal(size=len(x))


@pytest.fixture(scope="session")
def capture(arrays: Arrays) -> dpdrun.Capture:
    return dpdrun.Capture.from_arrays(*arrays, sample_rate_hz=1e6, bandwidth_hz=2.2e5)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, capture: dpdrun.Capture, fit_gmp_once: None) -> dpdrun.Run:
    """A run on arrays. Do not write into it."""
    return dpdrun.train(RECIPE, capture, tmp_path_factory.mktemp("api") / "pa")


@pytest.fixture(scope="session")
def least(tmp_path_factory: pytest.TempPathFactory, capture: dpdrun.Capture, fit_gmp_once: None) -> dpdrun.Run:
    """A PA model that is good enough to predistort. Do not write into it."""
    model = {"kind": "gmp", "order": 4, "delays": 2, "cross": 0}
    return dpdrun.train({"task": "pa", "model": model}, capture, Path(tmp_path_factory.mktemp("api")) / "least")
