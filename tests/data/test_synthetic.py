from __future__ import annotations

import hashlib

import numpy as np
import pytest

from dpdrun.data.sources import load_capture
from dpdrun.data.synthetic import CONVERTER_STEP, PRESETS, generate, read
from dpdrun.errors import DataError
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.ofdm_grid import symbol_starts

# sha256 of the 16-bit integers behind input and output. A change here changes every result on synthetic data: say so in
# the change log, and measure docs/results.md again.
GOLDEN = {
    "mild": "168817b0d3cdfc57bd18918e78bf6e209e5b80f3bbf97812e62e5d27ec0d6bf2",
    "hard": "f2a6658cf16499c533cae28a12b7af6c0eb13652335b973f5eeec3ed9f7e659f",
}


@pytest.fixture(scope="module")
def records() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name: generate(preset) for name, preset in PRESETS.items()}


@pytest.mark.parametrize("name", PRESETS)
def test_the_symbols_of_every_part_are_known(name: str) -> None:
    """So an EVM can be taken of whatever part holds a complete symbol."""
    capture = load_capture(DataSection(source=f"synthetic/{name}"))
    assert capture.grid == PRESETS[name].ofdm.grid
    found = symbol_starts(capture.test.x, capture.sample_rate_hz, capture.grid)
    assert [len(starts) for starts in found] == [1] * 5


def test_golden_covers_all_presets() -> None:
    assert GOLDEN.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", GOLDEN)
def test_same_samples_on_every_machine(name: str, records: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    digest = hashlib.sha256()
    for samples in records[name]:
        for axis in (samples.real, samples.imag):
            steps = axis / CONVERTER_STEP
            assert np.array_equal(steps, np.round(steps))
            digest.update(np.round(steps).astype("<i4").tobytes())
    assert digest.hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("name", GOLDEN)
def test_the_stated_floor_is_the_true_one(name: str, records: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    preset = PRESETS[name]
    x, clean = generate(preset, noise=False)
    assert np.array_equal(x, records[name][0])
    noise = records[name][1] - clean
    measured = 10 * np.log10(np.sum(np.abs(noise) ** 2) / np.sum(np.abs(clean) ** 2))
    assert measured == pytest.approx(preset.noise_floor_db, abs=0.01)
    white = np.abs(np.vdot(noise[1:], noise[:-1])) / np.vdot(noise, noise).real
    assert white < 0.02


@pytest.mark.parametrize(("name", "low", "high"), [("mild", -25.0, -22.0), ("hard", -22.0, -19.0)])
def test_one_tap_says_how_hard_it_is(
    name: str, low: float, high: float, records: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    x, y = records[name]
    gain = np.vdot(x, y) / np.vdot(x, x)
    left = 10 * np.log10(np.sum(np.abs(y - gain * x) ** 2) / np.sum(np.abs(y) ** 2))
    assert low < left < high


def test_the_capture_describes_itself() -> None:
    capture = load_capture(DataSection(source="synthetic/hard"))
    assert capture.name == "synthetic/hard"
    assert (capture.sample_rate_hz, capture.bandwidth_hz, capture.subchannels) == (983.04e6, 200e6, 5)
    assert capture.noise_floor_db == -45.0
    assert capture.note.startswith("Synthetic:")
    assert np.max(np.abs(capture.train.x)) < 1.0


def test_unknown_preset() -> None:
    with pytest.raises(DataError, match="did you mean 'hard'"):
        read("hrad", "synthetic/hrad")
