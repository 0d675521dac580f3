"""R&S .iq.tar: one that RsWaveform wrote, and ones made from the format's description."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from RsWaveform import IqTar

from dpdrun.data.formats.iq_tar import read_iq_tar
from dpdrun.errors import DataError
from tests.data.records import RATE, X, Y, part_of, read

XML = """<?xml version="1.0"?><RS_IQ_TAR_FileFormat fileFormatVersion="1"><Name>t</Name><Samples>{count}</Samples>
<Clock unit="Hz">15360000</Clock><Format>{kind}</Format><DataType>{dtype}</DataType>
<ScalingFactor unit="V">{scale!r}</ScalingFactor><NumberOfChannels>{channels}</NumberOfChannels>
<DataFilename>{name}</DataFilename></RS_IQ_TAR_FileFormat>"""


def write(path: Path, data: bytes, **fields: object) -> Path:
    values = {"count": 1600, "kind": "complex", "dtype": "float32", "scale": 1.0, "channels": 1, "name": "a.bin"}
    with tarfile.open(path, "w") as archive:
        for name, content in (("a.xml", XML.format(**(values | fields)).encode()), ("a.bin", data)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_file_of_the_vendors_library(tmp_path: Path) -> None:
    archive = IqTar()
    archive.data[0] = X
    archive.meta[0].clock = RATE
    archive.save(str(tmp_path / "a.iq.tar"))
    contents = read_iq_tar(tmp_path / "a.iq.tar", "a.iq.tar")
    assert contents.sample_rate_hz == RATE
    np.testing.assert_allclose(contents.signals[0].load(), X, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32", "float64"])
def test_types_and_scale(dtype: str, tmp_path: Path) -> None:
    numbers = X.view(float).reshape(-1, 2)
    scale = 1.0 if dtype.startswith("float") else 2.0 ** -(int(dtype[3:]) - 1)
    data = np.round(numbers / scale) if dtype.startswith("int") else numbers
    path = write(tmp_path / "a.iq.tar", data.astype(dtype).tobytes(), dtype=dtype, scale=scale)
    found = read_iq_tar(path, "a").signals[0].load()
    assert np.abs(found - X).max() <= (0.8 * scale if dtype == "int8" else 0)


def test_polar_samples_and_interleaved_channels(tmp_path: Path) -> None:
    pairs = np.stack([np.abs(X), np.angle(X)], 1)
    (signal,) = read_iq_tar(
        write(tmp_path / "a.iq.tar", pairs.astype("<f8").tobytes(), kind="polar", dtype="float64", scale=2.0), "a"
    ).signals
    np.testing.assert_allclose(signal.load(), 2 * X, atol=1e-12)
    both = np.stack([X, Y], 1).astype("<c8").tobytes()
    path = write(tmp_path / "b.iq.tar", both, channels=2)
    part = part_of(str(path), input="channel1", output="channel2")
    assert np.array_equal(part.x, X)
    assert np.array_equal(part.y, Y)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 1601}, r"1,601 samples are stated, but a\.bin ends after 1,600: it is incomplete"),
        ({"count": 10**15}, "it is incomplete"),
        ({"kind": "real"}, "real samples, not a complex envelope"),
        ({"dtype": "int12"}, "are not known"),
        ({"name": "../a.bin"}, r"no member '\.\./a\.bin' with the samples"),
        ({"name": "/etc/passwd"}, "no member '/etc/passwd'"),
        ({"scale": 0.0}, "ScalingFactor not zero"),
    ],
)
def test_descriptions_that_do_not_fit(fields: dict[str, object], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.iq.tar", X.astype("<c8").tobytes(), **fields)
    with pytest.raises(DataError, match=message):
        read(f"{{input: {path}, output: {path}}}")


def test_no_entities_are_expanded(tmp_path: Path) -> None:
    path = tmp_path / "a.iq.tar"
    text = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><RS_IQ_TAR_FileFormat>&a;</RS_IQ_TAR_FileFormat>'
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a.xml")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    with pytest.raises(DataError, match="declares a DOCTYPE"):
        read(f"{{input: {path}, output: {path}}}")
