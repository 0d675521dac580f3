"""Loops that wait for their first capture."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.data.ofdm import ofdm_waveform
from dpdrun.loop import measurement
from dpdrun.loop.folder import LoopFolder
from dpdrun.loop.start import begin
from dpdrun.loop.state import LoopState
from dpdrun.recipe.schema import DataSection
from tests.loop_bench import BANDWIDTH, RATE, SETTINGS, Bench, Samples


@pytest.fixture(autouse=True, scope="package")
def aligned_once() -> Iterator[None]:
    """Align equal captures once: most loops here begin with the same rounds."""
    decide, known = measurement.decide, dict[str, Any]()

    def remembered(x: Samples, y: Samples) -> Any:
        key = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
        if key not in known:
            known[key] = decide(x, y)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurement, "decide", remembered)
        yield


@pytest.fixture(scope="session")
def original() -> Samples:
    """One period of an OFDM waveform with a peak of 1."""
    x = ofdm_waveform(SETTINGS, np.random.default_rng(3))
    return np.asarray(x / np.max(np.abs(x)), complex)


@pytest.fixture
def source(original: Samples, tmp_path: Path) -> DataSection:
    """The original as a file."""
    np.savez(tmp_path / "original.npz", x=original, sample_rate_hz=RATE, bandwidth_hz=BANDWIDTH)
    return DataSection(source=str(tmp_path / "original.npz"))


@pytest.fixture
def bench(source: DataSection, tmp_path: Path) -> Bench:
    """A loop that waits for its first capture."""
    begin(LoopFolder(tmp_path / "bench"), source, suffix=".mat")
    return Bench(LoopFolder(tmp_path / "bench"))


@pytest.fixture(scope="session")
def four_rounds(original: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a loop that waits for its fifth capture."""
    place = tmp_path_factory.mktemp("loop")
    np.savez(place / "original.npz", x=original, sample_rate_hz=RATE, bandwidth_hz=BANDWIDTH)
    folder = LoopFolder(place / "bench")
    begin(folder, DataSection(source=str(place / "original.npz")), suffix=".mat")
    Bench(folder).run(4)
    return folder.path


@pytest.fixture
def continued(four_rounds: Path, tmp_path: Path) -> Bench:
    """A copy of that loop."""
    shutil.copytree(four_rounds, tmp_path / "bench")
    return Bench(LoopFolder(tmp_path / "bench"), np.random.default_rng(8))


@pytest.fixture
def started(source: DataSection, tmp_path: Path) -> Callable[..., LoopState]:
    """Begin another loop in `other` with these options."""
    return lambda **options: begin(LoopFolder(tmp_path / "other"), source, **({"suffix": ".mat"} | options))
