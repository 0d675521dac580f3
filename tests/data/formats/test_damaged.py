"""Truncated and bit-flipped files of every format are read, or refused with one message, never a traceback."""

from __future__ import annotations

import tarfile
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from nptdms import ChannelObject, TdmsWriter
from scipy.io import wavfile

from dpdrun.data.formats import hdf5
from dpdrun.errors import DataError
from tests.data.formats import test_iq_tar, test_rs_waveform, test_sigmf
from tests.data.records import RATE, X, Y, ask_here, read

CUTS, FLIPS = 12, 30


def make(folder: Path, kind: str) -> tuple[Path, str]:
    """A capture in one format; the file that is damaged, and its source."""
    folder.mkdir(exist_ok=True)
    path = folder / f"input.{kind}"
    if kind in ("v5", "v7", "v4"):
        format_ = "4" if kind == "v4" else "5"
        scipy.io.savemat(
            path, {"x": X, "y": Y, "fs": RATE}, format=format_, do_compression=kind == "v7", appendmat=False
        )
        return path, str(path)
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file["x"], file["y"], file["fs"] = X, Y, RATE
        return path, str(path)
    if kind == "tdms":
        with TdmsWriter(path) as writer:
            writer.write_segment([ChannelObject("PA", "x", X), ChannelObject("PA", "y", Y)])
        return path, str(path)
    if kind == "npz":
        np.savez(path.with_suffix(".npz"), x=X, y=Y, sample_rate_hz=RATE)
        return path, str(path)
    if kind == "txt":
        path.write_text("I_in;Q_in;I_out;Q_out\n" + "".join(
            f"{a.real:.6g};{a.imag:.6g};{b.real:.6g};{b.imag:.6g}\n" for a, b in zip(X, Y, strict=True)
        ))  # fmt: skip
        return path, str(path)
    if kind == "sigmf":
        with tarfile.open(path, "w") as archive:
            for name, z in (("pa_in", X), ("pa_out", Y)):
                meta = test_sigmf.write(folder, name, z.astype("<c8"), "cf32_le")
                archive.add(meta, meta.name)
                archive.add(meta.with_suffix(".sigmf-data"), f"{name}.sigmf-data")
        return path, str(path)
    if kind == "sigmf-meta":
        for name, z in (("input", X), ("output", Y)):
            path = test_sigmf.write(folder, name, z.astype("<c8"), "cf32_le")
        return folder / "input.sigmf-meta", str(folder / "input.sigmf-meta")
    if kind == "iq.tar":
        both = np.stack([X, Y], 1).astype("<c8").tobytes()
        test_iq_tar.write(path, both, channels=2)
        return path, f"{{input: {path}, output: {path}}}"
    if kind == "wv":
        path.write_bytes(test_rs_waveform.by_hand(X))
    elif kind == "wav":
        wavfile.write(path, 1_000_000, np.round(X.view(float).reshape(-1, 2) * 32767).astype(np.int16))
    else:
        X.astype("<c8").tofile(path)
    (folder / f"output.{kind}").write_bytes(path.read_bytes())
    return path, str(path)


KINDS = ["v4", "v5", "v7", "h5", "tdms", "npz", "txt", "sigmf", "sigmf-meta", "iq.tar", "wv", "wav", "cf32"]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_or_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "ask", ask_here)  # a process for each damage would take long
    rng = np.random.default_rng(KINDS.index(kind))
    path, source = make(tmp_path, kind)
    channels = {"input": "channel1", "output": "channel2"} if kind == "iq.tar" else {}
    whole = path.read_bytes()
    assert len(read(source, **channels).records[0]) == len(X)  # sound before it is damaged
    damaged = [whole[: int(cut)] for cut in np.linspace(0, len(whole) - 1, CUTS)]
    for at in range(FLIPS):
        data = bytearray(whole)
        reach = len(data) if at % 3 else min(len(data), 600)  # headers are where structure is
        for bit in rng.integers(0, 8 * reach, 3):
            data[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(data))
    refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = read(source, **channels)
        except DataError as error:
            refused += 1
            assert str(tmp_path) in str(error) or "input" in str(error)  # noqa: PT017
        else:
            assert all(np.isfinite(part.x).all() and np.isfinite(part.y).all() for part in found.records)
    assert refused >= CUTS - 3  # cut files in every format; formats without a checksum cannot see a flipped sample
