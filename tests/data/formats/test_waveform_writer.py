"""Files that are written piece by piece: the same as in one go, and whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.data.formats import waveform_writer
from dpdrun.data.formats.waveform import SUFFIXES
from dpdrun.data.formats.waveform_writer import writing
from dpdrun.errors import DataError, RunError

RNG = np.random.default_rng(0)
X = RNG.standard_normal(1000) + 1j * RNG.standard_normal(1000)
Y = 2 * X.conj()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_chunks_write_the_same_file_as_one_array(suffix: str, tmp_path: Path) -> None:
    with writing(tmp_path / f"whole{suffix}") as writer:
        writer.append(X, Y)
    with writing(tmp_path / f"pieces{suffix}") as writer:
        for at in range(0, len(X), 7):
            writer.append(X[at : at + 7], Y[at : at + 7])
        assert not (tmp_path / f"pieces{suffix}").exists()
    whole, pieces = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("whole", "pieces"))
    assert len(whole) >= 8 * len(X)
    if suffix != ".npz":  # archives hold the time
        assert pieces == whole
    assert len(list(tmp_path.iterdir())) == 2


def test_what_others_read(tmp_path: Path) -> None:
    for suffix in (".npz", ".npy", ".cf32", ".csv"):
        with writing(tmp_path / f"w{suffix}") as writer:
            writer.append(X, Y)
    with np.load(tmp_path / "w.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["x"], X)
        np.testing.assert_array_equal(archive["y"], Y)
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy", allow_pickle=False), Y)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "w.cf32", "<c8"), Y.astype(np.complex64))
    raw = np.fromfile(tmp_path / "w.cf32", "<f4")
    np.testing.assert_array_equal(raw[:4], np.array([Y[0].real, Y[0].imag, Y[1].real, Y[1].imag], np.float32))
    table = np.loadtxt(tmp_path / "w.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(table, np.column_stack([X.real, X.imag, Y.real, Y.imag]), rtol=1e-8)
    assert (tmp_path / "w.csv").read_text().startswith("I,Q,I_out,Q_out\n")


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".cf32"])
def test_a_fault_in_the_middle_leaves_what_was_there(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("mine")

    def broken() -> None:
        with writing(path) as writer:
            writer.append(X, Y)
            raise DataError("the input ends")

    with pytest.raises(DataError, match="the input ends"):
        broken()
    assert path.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".cf32"])
def test_a_full_disk_is_an_error_and_leaves_what_was_there(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("mine")

    class Full:
        """A file on a disk with room for 4 kB."""

        def __init__(self, handle: Any) -> None:
            self._handle, self._room = handle, 4096

        def write(self, data: bytes) -> int:
            self._room -= len(data)
            if self._room < 0:
                raise OSError(28, "No space left on device")
            return int(self._handle.write(data))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._handle, name)

    init = waveform_writer.Writer.__init__
    monkeypatch.setattr(waveform_writer.Writer, "__init__", lambda self, handle: init(self, Full(handle)))
    with pytest.raises(RunError, match=r"out\..*: cannot write: No space left on device"), writing(path) as writer:
        writer.append(X, Y)
    assert path.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
