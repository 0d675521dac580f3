"""Prediction and target from files: formats, the input beside an output, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dpdrun.data.formats.waveform_writer import writing
from dpdrun.diagnosis.signal.files import read_signal_pair
from dpdrun.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.standard_normal(1200) + 1j * RNG.standard_normal(1200)
Y = X * (1 - 0.1 * np.abs(X))


def csv(path: Path, samples: NDArray[np.complex128], header: str = "I,Q") -> Path:
    np.savetxt(path, np.c_[samples.real, samples.imag], delimiter=",", header=header, comments="")
    return path


def npy(path: Path, samples: NDArray[np.complex128]) -> Path:
    np.save(path, samples)
    return path


def npz(path: Path, **arrays: NDArray[np.complex128]) -> Path:
    np.savez(path, **arrays)
    return path


def test_one_waveform_a_file(tmp_path: Path) -> None:
    pair = read_signal_pair(csv(tmp_path / "p.csv", Y), npy(tmp_path / "y.npy", X))
    np.testing.assert_allclose(pair.prediction, Y)
    np.testing.assert_array_equal(pair.target, X)
    assert pair.x is None


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_what_apply_writes_is_its_output_and_brings_its_input(tmp_path: Path, suffix: str) -> None:
    with writing(tmp_path / f"p{suffix}") as writer:
        writer.append(X, Y)
    pair = read_signal_pair(tmp_path / f"p{suffix}", npy(tmp_path / "y.npy", 2 * Y))
    np.testing.assert_allclose(pair.prediction, Y, rtol=1e-8)
    assert pair.x is not None
    np.testing.assert_allclose(pair.x, X, rtol=1e-8)


def test_a_given_input_takes_precedence_over_the_recorded_one(tmp_path: Path) -> None:
    target = npz(tmp_path / "y.npz", x=X, y=Y)
    pair = read_signal_pair(npy(tmp_path / "p.npy", Y), target, npy(tmp_path / "x.npy", 3 * X))
    np.testing.assert_array_equal(pair.x, 3 * X)
    again = read_signal_pair(npy(tmp_path / "p.npy", Y), target, target)  # a capture: its input, not its output
    np.testing.assert_array_equal(again.x, X)


@pytest.mark.parametrize("key", ["prediction", "output", "x"])
def test_names_of_arrays(tmp_path: Path, key: str) -> None:
    pair = read_signal_pair(npz(tmp_path / "p.npz", **{key: Y}), npy(tmp_path / "y.npy", X))
    np.testing.assert_array_equal(pair.prediction, Y)


def test_unequal_lengths_name_both_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"p\.npy has 1,100 samples, .*y\.npy has 1,200 samples"):
        read_signal_pair(npy(tmp_path / "p.npy", Y[:1100]), npy(tmp_path / "y.npy", Y))
    with pytest.raises(DataError, match=r"x\.npy has 1,100 samples"):
        read_signal_pair(npy(tmp_path / "p.npy", Y), npy(tmp_path / "y.npy", Y), npy(tmp_path / "x.npy", X[:1100]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.txt", b"I,Q\n1,2\n", "not supported; give one of"),
        ("p.csv", b"I;Q\n1;2\n", "separated by semicolons"),
        ("p.csv", b"I,Q\n" + b"1,2\n" * 1100 + b"1,nan\n", "row 1102, column Q"),
        ("p.csv", b"I,Q\n1,2\n", "too few"),
        ("p.npy", b"nothing", "cannot be read"),
        ("p.npz", b"nothing", "cannot be read"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_signal_pair(tmp_path / name, npy(tmp_path / "y.npy", Y))


def test_missing_file_folder_and_array(tmp_path: Path) -> None:
    target = npy(tmp_path / "target.npy", Y)
    with pytest.raises(DataError, match=r"did you mean 'target\.npy'"):
        read_signal_pair(tmp_path / "targt.npy", target)
    with pytest.raises(DataError, match="this is a folder"):
        read_signal_pair(tmp_path, target)
    with pytest.raises(DataError, match="needs one of the arrays"):
        read_signal_pair(npz(tmp_path / "p.npz", z=Y), target)
    with pytest.raises(DataError, match="all samples are zero"):
        read_signal_pair(npy(tmp_path / "p.npy", 0 * Y), target)
