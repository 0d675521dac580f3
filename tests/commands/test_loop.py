"""`dpdrun loop` at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.data.synthetic import PRESETS
from tests.json_documents import as_documented


def dpdrun(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    spectrum = np.zeros(8000, complex)
    spectrum[np.r_[1:800, -800:0]] = np.exp(2j * np.pi * rng.uniform(size=1599))
    np.save("wave.npy", np.fft.ifft(spectrum) * 100)
    return tmp_path


def play(number: int) -> None:
    y = PRESETS["mild"].pa(scipy.io.loadmat(f"bench/waveform-{number}.mat")["x"][:, 0])
    scipy.io.savemat(f"capture{number}.mat", {"rx": np.roll(np.tile(y, 2), 500)})


def test_rounds_by_hand(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = ("--sample-rate-hz", "100e6", "--bandwidth-hz", "20e6")
    code, out, _ = dpdrun("loop", "start", "wave.npy", "-o", "bench", *rates)
    assert code == 0
    assert "8,000 samples of wave.npy at 100 MS/s" in out
    assert "play bench/waveform-0.mat in a loop, capture the output, then:\n  dpdrun loop next bench CAPTURE" in out
    code, out, _ = dpdrun("loop", "status", "bench")
    assert code == 0
    assert "0 rounds measured" in out
    for number in range(2):
        play(number)
        code, out, _ = dpdrun("loop", "next", "bench", f"capture{number}.mat")
        assert code == 0
    assert "2 rounds measured, the best is round 1" in out
    assert "best waveform: bench/waveform-1.mat" in out
    assert "no evm: " in out
    assert "its predistorter" not in out
    monkeypatch.setenv("COLUMNS", "40")
    narrow = dpdrun("loop", "status", "bench")[1]
    assert max(map(len, narrow.split("NMSE, EVM")[0].splitlines()[2:])) <= 40
    assert all(title in narrow for title in ("ACLR", "gain", "PAPR", "limit", "step", "ideal"))
    code, out, _ = dpdrun("loop", "status", "bench", "--format", "json")
    printed = as_documented("loop", json.loads(out))
    written = as_documented("loop", json.loads((place / "bench/loop.json").read_text()))
    assert printed | {"environment": {}} == written | {"environment": {}}
    (place / "bench/loop.json").write_text(json.dumps(written | {"method": "model"}))
    assert "its predistorter: bench/rounds/0/dpd" in dpdrun("loop", "status", "bench")[1]


def test_errors(place: Path) -> None:
    code, _, error = dpdrun("loop", "next", "bench", "wave.npy")
    assert (code, "there is no loop here" in error) == (2, True)
    code, _, error = dpdrun("loop", "start", "wave.npy", "-o", "bench")
    assert (code, "--sample-rate-hz" in error) == (2, True)
    code, _, error = dpdrun("loop", "start", "wave.npy", "-o", "bench", "--waveforms", "xls", "--sample-rate-hz", "1e6")
    assert (code, "'mat'" in error) == (2, True)


def test_a_round_that_is_stopped_while_it_trains_names_its_own_command(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt("stopped after step 3 of 200; continue with:\n  dpdrun train")

    monkeypatch.setattr("dpdrun.training.job.train", interrupted)
    monkeypatch.setattr("sys.argv", ["dpdrun", "loop", "next", "bench", "capture0.mat"])
    dpdrun("loop", "start", "wave.npy", "-o", "bench", "--sample-rate-hz", "100e6", "--method", "model")
    play(0)
    code, _, error = dpdrun("loop", "next", "bench", "capture0.mat")
    assert code == 130
    assert error.endswith(
        "stopped after step 3 of 200 in the training of bench/rounds/0/pa; to continue it:\n"
        "  dpdrun loop next bench capture0.mat\n"
    )
