"""Files that are written piece by piece: the same as in one go, and whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sigmf
from RsWaveform import RsWaveform
from scipy.io import loadmat

from dpdrun.data.formats import waveform_writer
from dpdrun.data.formats.rs_waveform import read_wv
from dpdrun.data.formats.waveform import SUFFIXES
from dpdrun.data.formats.waveform_writer import Labels, check_labels, writing
from dpdrun.errors import DataError, RunError

RNG = np.random.default_rng(0)
X = RNG.standard_normal(1000) + 1j * RNG.standard_normal(1000)
Y = 2 * X.conj()


LABELS = Labels(sample_rate_hz=15.36e6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_chunks_write_the_same_file_as_one_array(suffix: str, tmp_path: Path) -> None:
    with writing(tmp_path / f"whole{suffix}", LABELS) as writer:
        writer.append(X, Y)
    with writing(tmp_path / f"pieces{suffix}", LABELS) as writer:
        for at in range(0, len(X), 7):
            writer.append(X[at : at + 7], Y[at : at + 7])
        assert not (tmp_path / f"pieces{suffix}").exists()
    whole, pieces = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("whole", "pieces"))
    if suffix != ".npz":  # archives hold the time
        assert pieces == whole
    kinds = (suffix, ".sigmf-data") if suffix == ".sigmf-meta" else (suffix,)
    assert sum((tmp_path / f"whole{kind}").stat().st_size for kind in kinds) >= 4 * len(X)
    assert len(list(tmp_path.iterdir())) == 2 * len(kinds)


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


def test_other_libraries_read_the_other_formats(tmp_path: Path) -> None:
    for suffix in (".mat", ".sigmf-meta", ".wv"):
        with writing(tmp_path / f"w{suffix}", Labels(15.36e6, 5e6)) as writer:
            for at in range(0, len(X), 300):
                writer.append(X[at : at + 300], Y[at : at + 300])
    content = loadmat(tmp_path / "w.mat")
    np.testing.assert_array_equal(content["x"], X[:, None])
    np.testing.assert_array_equal(content["y"], Y[:, None])
    assert (content["sample_rate_hz"].item(), content["bandwidth_hz"].item()) == (15.36e6, 5e6)
    recording = sigmf.fromfile(str(tmp_path / "w.sigmf-meta"))
    recording.validate()
    np.testing.assert_array_equal(recording.read_samples(), Y.astype(np.complex64))
    assert recording.get_global_info()["core:sample_rate"] == 15.36e6
    waveform = RsWaveform(file=str(tmp_path / "w.wv"))
    assert waveform.meta[0].clock == 15.36e6
    peak = np.abs(Y.view(float)).max()
    np.testing.assert_allclose(waveform.data[0], Y / peak, atol=1e-3)  # its reader rounds to float16
    contents = read_wv(tmp_path / "w.wv", "w.wv")
    assert contents.warnings == ()  # the checksum is right
    np.testing.assert_allclose(contents.signals[0].load(), Y / peak, atol=0.75 / 32767)


@pytest.mark.parametrize(
    ("full_scale", "clipped", "remark"),
    [(None, 0, r"\(the largest I or Q\), headroom 0\.00 dB, .* 0 samples clipped"),
     (100.0, 0, r"= 100 \(given\), headroom 2\d\.\d\d dB, rms -\d\d\.\d\d dB, 0 samples clipped"),
     (2.0, None, r"= 2 \(given\), headroom -\d")],
)  # fmt: skip
def test_integers_and_what_is_said_of_them(
    full_scale: float | None, clipped: int | None, remark: str, tmp_path: Path
) -> None:
    with writing(tmp_path / "w.ci16", Labels(full_scale=full_scale)) as writer:
        for at in range(0, len(X), 300):
            writer.append(X[at : at + 300], Y[at : at + 300])
    scale = full_scale or np.abs(Y.view(float)).max()
    exact = Y.view(float) / scale * 32767
    np.testing.assert_allclose(np.fromfile(tmp_path / "w.ci16", "<i2"), np.clip(exact, -32767, 32767), atol=0.5)
    over = np.count_nonzero(np.abs(exact.reshape(-1, 2)).max(axis=1) > 32767.5)
    assert over == (over if clipped is None else clipped)
    assert (over > 0) == (clipped is None)
    assert re.search(remark, writer.remark())
    assert f" {over:,} samples clipped" in writer.remark()


def test_a_generator_needs_the_sample_rate(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"give --sample-rate-hz"):
        check_labels(tmp_path / "w.wv", None)
    check_labels(tmp_path / "w.mat", None)


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".cf32", ".mat", ".ci16"])
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
