"""WAV files that GNU Octave and scipy wrote."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from scipy.io import wavfile

from dpdrun.data.formats.detect import open_contents
from dpdrun.data.formats.wav import read_wav
from dpdrun.errors import DataError
from tests.data.records import OCTAVE, X, Y, read

BY_OTHERS = Path(scipy.io.__file__).parent / "tests" / "data"


def test_24_bits_of_octave() -> None:
    contents = read_wav(OCTAVE / "iq.wav", "iq.wav")
    expected = scipy.io.loadmat(OCTAVE / "v7.mat")["PA_Input"].ravel() / 16
    assert contents.sample_rate_hz == 192000
    np.testing.assert_allclose(contents.signals[0].load(), expected, atol=2**-22)


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64", "uint8"])
def test_types(dtype: str, tmp_path: Path) -> None:
    for name, z in (("input", X), ("output", Y)):
        pairs = z.view(float).reshape(-1, 2)
        if dtype.startswith("int"):
            pairs = np.round(pairs * 2.0 ** (int(dtype[3:]) - 1))
        elif dtype == "uint8":
            pairs = np.round(pairs * 128 + 127.5)
        wavfile.write(tmp_path / f"{name}.wav", 122_880_000, pairs.astype(dtype))
    found = read(str(tmp_path / "input.wav"))
    assert found.sample_rate_hz == 122_880_000
    assert np.abs(found.records[0].y - Y).max() <= (1 / 128 if dtype == "uint8" else 0)


def test_the_centre_frequency_of_sdr_programs(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 2_000_000, np.round(X.view(float).reshape(-1, 2) * 32767).astype(np.int16))
    data = (tmp_path / "a.wav").read_bytes()
    auxi = b"auxi" + struct.pack("<I", 68) + bytes(32) + struct.pack("<I", 433_920_000) + bytes(32)
    (tmp_path / "a.wav").write_bytes(data[:36] + auxi + data[36:])
    assert read_wav(tmp_path / "a.wav", "a.wav").centre_hz == 433_920_000


def test_files_of_scipys_tests_are_read_or_refused() -> None:
    files = sorted(BY_OTHERS.glob("*.wav"))
    assert len(files) > 15
    read_ones = 0
    for file in files:
        try:
            contents = open_contents(file, file.name)
            assert len(contents.signals[0].load()) == contents.signals[0].samples
            read_ones += 1
        except DataError as error:
            assert str(error).startswith(file.name)  # noqa: PT017
    assert read_ones >= 3


def test_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wavfile.write(path, 48_000, np.zeros((2000, 1), np.int16))
    with pytest.raises(DataError, match=r"a\.wav: 1 channel; I and Q are two channels"):
        read(f"{{input: {path}, output: {path}}}")
    wavfile.write(path, 48_000, np.ones((2000, 2), np.int16))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="2,000 samples are stated, but the file has 1,975: it is incomplete"):
        read(f"{{input: {path}, output: {path}}}")
