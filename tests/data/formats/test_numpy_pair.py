from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from dpdrun.data.formats.numpy_pair import read_npy_pair, read_npz, to_samples
from dpdrun.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.standard_normal(2000) + 1j * RNG.standard_normal(2000)
Y = 3 * X


def pairs(x: np.ndarray) -> np.ndarray:
    return np.stack([x.real, x.imag], axis=1)


@pytest.mark.parametrize("keys", [("x", "y"), ("input", "output")])
@pytest.mark.parametrize("shape", [lambda x: x, pairs], ids=["complex", "pairs"])
def test_npz(tmp_path: Path, keys: tuple[str, str], shape: object) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{keys[0]: shape(X), keys[1]: shape(Y)})  # type: ignore[operator]
    reading = read_npz(path, "a.npz")
    assert np.array_equal(reading.records[0].x, X)
    assert np.array_equal(reading.records[0].y, Y)
    assert reading.sample_rate_hz is None


def test_npz_states_rate_and_bandwidth(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=X, y=Y, sample_rate_hz=983.04e6, bandwidth_hz=np.array([2e8]))
    reading = read_npz(path, "a.npz")
    assert (reading.sample_rate_hz, reading.bandwidth_hz) == (983.04e6, 2e8)


def test_single_precision_and_integers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=X.astype(np.complex64), y=(1000 * pairs(Y)).astype(np.int16))
    part = read_npz(path, "a.npz").records[0]
    assert part.x.dtype == part.y.dtype == np.complex128
    assert np.allclose(part.y, 1000 * Y, atol=1.5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X, "b": Y}, "needs the arrays x and y .* has a, b"),
        ({"x": X, "y": Y[:-1]}, r"unequal lengths: a\.npz, array x has 2,000 samples and array y has 1,999"),
        ({"x": X.real, "y": Y}, r"array x: expected .* \(real only: I without Q\)"),
        ({"x": X[:, None], "y": Y}, r"use \.ravel\(\)"),
        ({"x": pairs(X).T, "y": Y}, r"use \.T"),
        ({"x": np.array(["a"] * 2000), "y": Y}, "array x: holds <U1, not numbers"),
        ({"x": X, "y": np.where(np.arange(2000) == 7, np.nan, Y)}, r"array y, sample 7, column I: nan"),
        ({"x": X, "y": np.where(np.arange(2000) == 7, complex(1, np.inf), Y)}, r"array y, sample 7, column Q: inf"),
        ({"x": X[:10], "y": Y[:10]}, "too few"),
        ({"x": 0 * X, "y": Y}, "all samples are zero"),
        ({"x": X.real + 0j, "y": Y}, "column Q is all zero"),
        ({"x": X, "y": Y, "sample_rate_hz": -1.0}, "sample_rate_hz: expected one positive number"),
        ({"x": X, "y": Y, "sample_rate_hz": [1.0, 2.0]}, "sample_rate_hz: expected one positive number"),
        ({"x": X, "y": Y, "sample_rate_hz": np.nan}, "sample_rate_hz: expected one positive number"),
    ],
)
def test_bad_npz(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message):
        read_npz(path, "a.npz")


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([Trap()], dtype=object), y=Y)
    with pytest.raises(DataError, match="pickled Python objects, which are never loaded"):
        read_npz(path, "a.npz")
    raw = tmp_path / "b.npz"
    raw.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read_npz(raw, "b.npz")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_broken_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "input.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read_npz(path, "a.npz")
    npy = tmp_path / "input.npy"
    npy.write_bytes(content)
    with pytest.raises(DataError, match=r"input\.npy: cannot be read as \.npy"):
        read_npy_pair(npy, "input.npy")


def test_an_npy_file_named_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"a single array, not an archive"):
        read_npz(tmp_path / "a.npz", "a.npz")


@pytest.mark.parametrize("given", ["pa_input.npy", "pa_output.npy"])
def test_npy_pair_is_found_from_either_name(tmp_path: Path, given: str) -> None:
    np.save(tmp_path / "pa_input.npy", X)
    np.save(tmp_path / "pa_output.npy", Y)
    part = read_npy_pair(tmp_path / given, given).records[0]
    assert np.array_equal(part.x, X)
    assert np.array_equal(part.y, Y)


def test_npy_without_partner(tmp_path: Path) -> None:
    np.save(tmp_path / "pa_input.npy", X)
    with pytest.raises(DataError, match=r"pa_output\.npy: no such file"):
        read_npy_pair(tmp_path / "pa_input.npy", "pa_input.npy")
    with pytest.raises(DataError, match=r"name the two files like pa_input\.npy and pa_output\.npy"):
        read_npy_pair(tmp_path / "other.npy", "other.npy")


def test_to_samples_copies_nothing_away() -> None:
    assert np.array_equal(to_samples(pairs(X), "x"), X)
