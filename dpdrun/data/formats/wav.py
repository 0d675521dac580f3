"""WAV files of SDR programs, two channels as I and Q: RIFF and RF64, integers and floats; scipy decodes them."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from dpdrun.data.formats._reading import joined, require_memory
from dpdrun.data.signals import Contents, Samples, Signal, checked
from dpdrun.errors import DataError, reading

UNKNOWN = 0xFFFFFFFF  # length of the data in RF64, stated in the chunk ds64
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def read_wav(path: Path, where: str) -> Contents:
    """Return the I/Q record of a two-channel WAV file.

    Raises:
        DataError: another number of channels, or the samples end before the header says so.
    """
    with reading(where, "WAV"):
        size = path.stat().st_size
        with path.open("rb") as file:
            chunks = dict(_chunks(file, size))
            if b"fmt " not in chunks or b"data" not in chunks:
                raise DataError(f"{where}: no chunk 'fmt ' or 'data': the file is incomplete, or not a WAV file")
            file.seek(chunks[b"fmt "][0])
            code, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", file.read(16))
            offset, nbytes = chunks[b"data"]
            if nbytes == UNKNOWN and b"ds64" in chunks:
                file.seek(chunks[b"ds64"][0] + 8)
                (nbytes,) = struct.unpack("<Q", file.read(8))
            centre = _centre(file, chunks)
        if channels != 2:
            raise DataError(f"{where}: {channels} channel{'s' * (channels != 1)}; I and Q are two channels")
        if code not in (PCM, FLOAT, EXTENSIBLE) or frame != channels * bits // 8 or not frame:
            raise DataError(f"{where}: samples of format {code} with {bits} bits are not read; export PCM or float")
        if offset + nbytes > size or nbytes % frame:
            raise DataError(
                f"{where}: {nbytes // frame:,} samples are stated, but the file has {(size - offset) // frame:,}: "
                "it is incomplete; copy it again"
            )
    count = nbytes // frame
    signal = Signal("samples", count, f"{count:,} x 2 of {bits} bits", partial(_load, path, where, count))
    return Contents("WAV", (signal,), sample_rate_hz=float(rate) or None, centre_hz=centre)


def _load(path: Path, where: str, count: int) -> Samples:
    from scipy.io import wavfile

    require_memory(48 * count, where)
    with reading(where, "WAV"), warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that it skips; the length is checked above
        _, table = wavfile.read(path)
    if table.ndim != 2 or len(table) != count:
        raise DataError(f"{where}: {len(table):,} of {count:,} samples could be read: the file is damaged")
    values = table.astype(np.float64)
    if table.dtype.kind in "iu":
        full_scale = 2.0 ** (8 * table.dtype.itemsize - 1)  # 24 bits come left-justified in int32
        values = (values - (full_scale - 0.5 if table.dtype.kind == "u" else 0.0)) / full_scale
    return checked(joined(values[:, 0], values[:, 1]), where)


def _chunks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield (name, (first byte, length)) of the chunks of a RIFF file."""
    at = 12
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        yield name, (at + 8, length)
        if name == b"data" and length == UNKNOWN:
            return
        at += 8 + length + length % 2


def _centre(file: IO[bytes], chunks: dict[bytes, tuple[int, int]]) -> float | None:
    """Return the centre frequency in the chunk `auxi` that SpectraVue, SDR# and HDSDR write [Hz]."""
    at, length = chunks.get(b"auxi", (0, 0))
    if length < 36:
        return None
    file.seek(at + 32)  # after two SYSTEMTIMEs
    data = file.read(4)
    return float(struct.unpack("<I", data)[0]) if len(data) == 4 else None
