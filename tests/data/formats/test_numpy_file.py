from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from dpdrun.data.capture import SourceRecord
from dpdrun.data.formats.numpy_file import to_samples
from dpdrun.data.pairing import read_file
from dpdrun.data.sources import load_capture
from dpdrun.errors import DataError
from dpdrun.recipe.schema import DataSection

RNG = np.random.default_rng(0)
X = RNG.standard_normal(2000) + 1j * RNG.standard_normal(2000)
Y = 3 * X


def read_npz(path: Path, name: str, **given: str) -> SourceRecord:
    return read_file(path, name, given)


read_npy_pair = read_npz


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


@pytest.mark.parametrize("shape", [lambda x: x[:, None], lambda x: x[None], lambda x: pairs(x).T])
def test_rows_and_columns_are_records(tmp_path: Path, shape: object) -> None:
    np.savez(tmp_path / "a.npz", x=shape(X), y=Y)  # type: ignore[operator]
    assert np.array_equal(read_npz(tmp_path / "a.npz", "a.npz").records[0].x, X)


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
        (
            {"a": X, "b": Y},
            r"(?s)which signal is the input and which the output.*--input-signal NAME.* a: 2,000 complex128, rms",
        ),
        ({"x": X.real, "y": Y}, r"(?s)holds one signal, y .*real only, to be named in pairs as I,Q: x"),
        ({"x": np.array(["a"] * 2000), "y": Y}, "(?s)holds one signal, y .*not a signal: x: of type <U1, not numbers"),
        ({"x": X, "y": np.where(np.arange(2000) == 7, np.nan, Y)}, r"a\.npz, y, sample 7, column I: nan"),
        ({"x": X, "y": np.where(np.arange(2000) == 7, complex(1, np.inf), Y)}, r"a\.npz, y, sample 7, column Q: inf"),
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


def test_unequal_lengths_are_left_to_alignment(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=X, y=Y[:-1], sample_rate_hz=1e8)
    (record,) = read_npz(path, "a.npz").records
    assert (len(record.x), len(record.y)) == (2000, 1999)
    with pytest.raises(DataError, match=r"unequal lengths: .*, x has 2,000 samples and y has 1,999.*align"):
        load_capture(DataSection(source=str(path)))


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
    with pytest.raises(DataError, match="a file without a known header"):
        read_npz(raw, "b.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"not an archive", "no table of numbers"),
        (b"PK\x03\x04 cut off", r"cannot be read as \.npz"),
        (b"\x93NUMPY\x01\x00", r"cannot be read as \.npy"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, message: str) -> None:
    for name in ("input.npz", "input.npy"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: .*{message}"):
            read_npz(tmp_path / name, name)


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "a.npy").rename(tmp_path / "input.npz")
    np.savez(tmp_path / "output.npz", y=Y)
    assert np.array_equal(read_npz(tmp_path / "input.npz", "input.npz").records[0].y, Y)


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
    np.save(tmp_path / "other.npy", X)
    with pytest.raises(DataError, match=r"holds one signal, other\.npy .*name both files: .*\{input: other\.npy, "):
        read_npy_pair(tmp_path / "other.npy", "other.npy")


def test_to_samples_copies_nothing_away() -> None:
    assert np.array_equal(to_samples(pairs(X), "x"), X)
