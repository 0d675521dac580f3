"""The first waveform of a loop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dpdrun.data.formats.waveform_reader import read_waveform
from dpdrun.errors import DataError, RunError
from dpdrun.loop.folder import LoopFolder
from dpdrun.loop.start import begin
from dpdrun.loop.state import LoopState
from dpdrun.recipe.schema import DataSection
from tests.json_documents import as_documented
from tests.loop_bench import BANDWIDTH, RATE, Bench, Samples


@pytest.mark.parametrize(
    ("suffix", "error"),
    [(".mat", 0.0), (".npy", 0.0), (".npz", 0.0), (".csv", 1e-8), (".cf32", 1e-7), (".ci16", 5e-5), (".wv", 5e-5),
     (".sigmf-meta", 1e-7)],
)  # fmt: skip
def test_the_waveform_is_the_original_in_every_format(
    started: Callable[..., LoopState], original: Samples, tmp_path: Path, suffix: str, error: float
) -> None:
    state = started(suffix=suffix)
    u = read_waveform(tmp_path / "other" / state.rounds[0].waveform.file)
    assert np.max(np.abs(u / np.max(np.abs(u)) - original / np.max(np.abs(original)))) <= error
    assert (state.samples, state.sample_rate_hz, state.bandwidth_hz) == (len(original), RATE, BANDWIDTH)


def test_integers_have_one_full_scale_for_all_rounds(started: Callable[..., LoopState], tmp_path: Path) -> None:
    started(suffix=".ci16", peak_db=6.0)
    largest = np.abs(np.fromfile(tmp_path / "other" / "waveform-0.ci16", "<i2")).max()
    assert largest == pytest.approx(32767 / 10 ** (6 / 20), rel=0.3)  # of I or Q; the magnitude is larger


def test_the_input_of_a_capture_is_the_waveform(tmp_path: Path) -> None:
    state = begin(LoopFolder(tmp_path / "bench"), DataSection(source="synthetic/mild"), suffix=".npy")
    assert state.grid is not None
    as_documented("loop", json.loads((tmp_path / "bench" / "loop.json").read_text()))
    assert (state.subchannels, state.samples) == (5, len(np.load(tmp_path / "bench" / "waveform-0.npy")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peak_db": -1.0}, "--peak-db -1: a limit over the original"),
        ({"average_db": float("nan")}, "--average-db nan"),
        ({"suffix": ".xlsx"}, r"--waveforms xlsx: cannot be written"),
    ],
)
def test_wrong_options(
    started: Callable[..., LoopState], tmp_path: Path, options: dict[str, float], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        started(**options)
    assert not (tmp_path / "other").exists()


def test_unusable_sources(tmp_path: Path, original: Samples) -> None:
    folder = LoopFolder(tmp_path / "bench")
    np.savez(tmp_path / "no_rate.npz", x=original)
    with pytest.raises(DataError, match="does not state its sample rate"):
        begin(folder, DataSection(source=str(tmp_path / "no_rate.npz")), suffix=".mat")
    with pytest.raises(DataError, match="this is a folder"):
        begin(folder, DataSection(source=str(tmp_path)), suffix=".mat")
    with pytest.raises(DataError, match="nowhere"):
        begin(folder, DataSection(source=str(tmp_path / "nowhere.mat")), suffix=".mat")


def test_a_folder_is_never_overwritten(bench: Bench, source: DataSection, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is a loop in this folder"):
        begin(bench.folder, source, suffix=".mat")
    with pytest.raises(RunError, match="holds other files"):
        begin(LoopFolder(tmp_path), source, suffix=".mat")
    with pytest.raises(RunError, match="this is a file"):
        begin(LoopFolder(tmp_path / "original.npz"), source, suffix=".mat")
    bench.folder.state_file.unlink()  # as a killed start leaves it
    assert begin(bench.folder, source, suffix=".mat").waiting.round == 0
