"""Valid captures in the formats of instruments and of MATLAB, with which tests/fuzz.py begins."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import wave
from pathlib import Path

import numpy as np

X = np.exp(1j * np.arange(24)) / 2
META = {
    "global": {"core:datatype": "cf32_le", "core:sample_rate": 1e6, "core:version": "1.0.0", "core:num_channels": 2},
    "captures": [{"core:sample_start": 0, "core:frequency": 2.4e9}],
    "annotations": [],
}
IQ_TAR = """<?xml version="1.0"?><RS_IQ_TAR_FileFormat fileFormatVersion="1"><Name>t</Name><Samples>24</Samples>
<Clock unit="Hz">1000000</Clock><Format>complex</Format><DataType>float32</DataType>
<ScalingFactor unit="V">1.0</ScalingFactor><NumberOfChannels>1</NumberOfChannels>
<DataFilename>a.bin</DataFilename></RS_IQ_TAR_FileFormat>"""


def two_channels() -> bytes:
    """The samples of META: two channels, interleaved."""
    return np.stack([X, 2 * X], axis=1).astype("<c8").tobytes()


def tarred(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def mat_files() -> list[bytes]:
    from scipy.io import savemat

    found = []
    for packed in (False, True):
        file = io.BytesIO()
        savemat(file, {"x": X, "y": 2 * X, "Fs": 1e6, "s": {"a": [1, 2]}}, do_compression=packed)
        found.append(file.getvalue())
    return found


def hdf5_files() -> list[bytes]:
    import h5py

    found = []
    for compression in (None, "gzip"):
        file = io.BytesIO()
        with h5py.File(file, "w") as content:
            content.create_dataset("x", data=X, compression=compression)
            content.create_dataset("g/y", data=2 * X, compression=compression)
            content["Fs"] = 1e6
        found.append(file.getvalue())
    return found


def hdf5_replies() -> list[bytes]:
    from dpdrun.data.formats.hdf5_process import answer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        path.write_bytes(hdf5_files()[0])
        return [b"".join(answer(str(path), "a.h5", None, budget)) for budget in (100, 10_000)]


def tdms_files() -> list[bytes]:
    from nptdms import ChannelObject, RootObject, TdmsWriter

    file = io.BytesIO()
    with TdmsWriter(file) as writer:
        timing = {"wf_increment": 1e-6}
        channels = [ChannelObject("PA", "input", X, timing), ChannelObject("PA", "output", 2 * X, timing)]
        writer.write_segment([RootObject({"operator": "n"}), *channels])
    return [file.getvalue()]


def wv_files() -> list[bytes]:
    from RsWaveform import RsWaveform

    with tempfile.TemporaryDirectory() as folder:
        waveform, path = RsWaveform(), Path(folder) / "a.wv"
        waveform.data[0] = X
        waveform.meta[0].clock = 1e6
        waveform.save(str(path))
        return [path.read_bytes()]


def iq_tar_files() -> list[bytes]:
    return [tarred({"a.xml": IQ_TAR.encode(), "a.bin": X.astype("<c8").tobytes()})]


def wav_files() -> list[bytes]:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((2, 2, 48_000, 0, "NONE", ""))
        writer.writeframes((X.view(float) * 32767).astype("<i2").tobytes())
    return [file.getvalue()]


def sigmf_metadata() -> list[bytes]:
    return [json.dumps(META).encode()]


def sigmf_archives() -> list[bytes]:
    return [tarred({"a/a.sigmf-meta": json.dumps(META).encode(), "a/a.sigmf-data": two_channels()})]
