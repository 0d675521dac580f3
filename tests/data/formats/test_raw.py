from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpdrun.data.formats.raw import layout_of, smoothness
from dpdrun.errors import DataError
from tests.data.records import X, Y, part_of, read

TYPES = {
    "cf32": "<c8", "cf32_be": ">c8", "cf64": "<c16", "cf64_be": ">c16", "ci16": "<i2", "ci16_be": ">i2", "ci32": "<i4",
    "ci8": "i1", "cu8": "u1",
}  # fmt: skip


def stored(z: np.ndarray, dtype: str) -> np.ndarray:
    item = np.dtype(dtype)
    if item.kind == "c":
        return z.astype(item)
    scale = 2.0 ** (8 * item.itemsize - 1)
    pairs = np.stack([z.real, z.imag], 1) * scale + (scale - 0.5 if item.kind == "u" else 0)
    return np.round(pairs).astype(item)


@pytest.mark.parametrize("name", TYPES)
def test_two_files_of_any_type(name: str, tmp_path: Path) -> None:
    stored(X, TYPES[name]).tofile(tmp_path / "a.bin")
    stored(Y, TYPES[name]).tofile(tmp_path / "b.bin")
    part = part_of(f"{{input: {tmp_path}/a.bin, output: {tmp_path}/b.bin, dtype: {name}}}")
    tolerance = {"ci8": 0.5 / 128, "cu8": 0.6 / 128}.get(name, 0)
    for found, expected in ((part.x, X), (part.y, Y)):
        np.testing.assert_allclose(found.real, expected.real, atol=tolerance, rtol=0)
        np.testing.assert_allclose(found.imag, expected.imag, atol=tolerance, rtol=0)


def test_interleaved_channels_are_named_by_the_user(tmp_path: Path) -> None:
    np.stack([Y, X], 1).astype("<c8").tofile(tmp_path / "both.cf32")
    path = tmp_path / "both.cf32"
    with pytest.raises(DataError, match=r"which signal is the input and which the output"):
        read(f"{{input: {path}, output: {path}}}")
    part = part_of(f"{{input: {path}, output: {path}}}", input="channel2", output="channel1")
    assert np.array_equal(part.x, X)
    assert np.array_equal(part_of(str(path), input="channel2", output="channel1").y, Y)


def test_a_suffix_may_state_the_type_and_nothing_else_does(tmp_path: Path) -> None:
    X.astype("<c8").tofile(tmp_path / "in.cf32")
    stored(Y, "<i2").tofile(tmp_path / "out.sc16")
    part = part_of(f"{{input: {tmp_path}/in.cf32, output: {tmp_path}/out.sc16}}")
    assert np.array_equal(part.y, Y)
    X.astype("<c8").tofile(tmp_path / "in.dat")
    with pytest.raises(DataError, match=r"in\.dat: a file without a known header; .*look like cf32 .*dtype: cf32"):
        read(f"{{input: {tmp_path}/in.dat, output: {tmp_path}/out.sc16}}")


@pytest.mark.parametrize("name", ["cf32", "cf64", "ci16", "ci16_be"])
def test_the_right_type_is_the_smoothest(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    stored(X, TYPES[name]).tofile(path)
    values = {other: smoothness(path, other) for other in TYPES}
    assert max(values, key=lambda other: values[other]) == name
    assert values[name] > 0.8


def test_a_cut_file(tmp_path: Path) -> None:
    (tmp_path / "a.cf32").write_bytes(X.astype("<c8").tobytes()[:-3])
    Y.astype("<c8").tofile(tmp_path / "b.cf32")
    with pytest.raises(DataError, match=r"a\.cf32: 12,797 bytes are not a whole number of samples of 8 bytes \(cf32\)"):
        read(f"{{input: {tmp_path}/a.cf32, output: {tmp_path}/b.cf32}}")


@pytest.mark.parametrize("name", ["cf16", "xf32", "ci16_me", "cu12"])
def test_no_such_type(name: str) -> None:
    with pytest.raises(ValueError, match="is no type of samples"):
        layout_of(name)
