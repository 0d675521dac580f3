"""A waveform read from a file in chunks. Any length is legal: a few samples, or more than fits in memory."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.checks import LARGEST_PEAK, SMALLEST_PEAK, check_finite, check_scale, suggestion
from dpdrun.data.formats.detect import kind_of, open_contents
from dpdrun.data.formats.numpy_file import as_pairs, read_header
from dpdrun.data.formats.raw import SUFFIX_TYPES, layout_of, unknown_type
from dpdrun.data.formats.text_table import stream_signal
from dpdrun.data.formats.waveform import RAW, check_readable
from dpdrun.data.roles import single
from dpdrun.errors import DataError, reading, visible

Samples = NDArray[np.complex128]

KEYS = ("x", "input")  # of the array in an .npz, as in a capture
ZIP, NPY = b"PK", b"\x93NUMPY"  # how the files begin


class Waveform:
    """An open waveform.

    Attributes:
        samples: their number, or None if it is only known after reading (text).
        sample_rate_hz: where the file states it [Hz].
    """

    def __init__(
        self,
        path: Path,
        pieces: Iterator[Samples],
        samples: int | None,
        share: Callable[[], float],
        sample_rate_hz: float | None = None,
    ) -> None:
        self._path, self._pieces, self._share = path, pieces, share
        self.samples, self.sample_rate_hz = samples, sample_rate_hz
        self._read = 0

    @property
    def done(self) -> float:
        """How much has been read so far, 0 to 1."""
        return self._read / self.samples if self.samples else min(self._share(), 1.0)

    def pieces(self) -> Iterator[Samples]:
        """Yield the samples, complex (n,) at a time with n >= 1; can be iterated once.

        Raises:
            DataError: no samples, damage, or a sample that is not finite or too large or too small for a model.
        """
        loudest = 0.0  # the level of a record is that of its loudest sample: a quiet piece is no fault
        with reading(self._path, "a waveform"):
            for piece in self._pieces:
                self._read += len(piece)
                loudest = max(loudest, float(np.abs(piece.view(np.float64)).max(initial=0.0)))
                if loudest > LARGEST_PEAK:
                    check_scale(piece, _shown(self._path))
                yield piece
        if self._read == 0:
            raise DataError(f"{self._path}: no samples")
        if 0.0 < loudest < SMALLEST_PEAK:
            check_scale(np.array([loudest + 0j]), _shown(self._path))


@contextmanager
def open_waveform(path: Path, *, size: int = 65_536, signal: str | None = None) -> Iterator[Waveform]:
    """Open one signal of a file of any format, recognised by content.

    Text, NumPy and raw files are read in pieces, the others as a whole; nothing is ever unpickled.

    Args:
        size: samples of a piece, but for text, where a piece is some megabytes.
        signal: its name; None = the only one, or the one that its name says is an input.

    Raises:
        DataError: no such file, not a known format, no samples, or damage that is detected at once.
    """
    check_readable(path, "the waveform file")
    suffix = path.suffix.lower()
    with ExitStack() as stack:
        with reading(path, "a waveform"):
            handle = stack.enter_context(path.open("rb"))
            length = os.fstat(handle.fileno()).st_size
            samples: int | None = None
            rate: float | None = None
            dtype = SUFFIX_TYPES.get(suffix, "cf32" if suffix in RAW else None)
            kind = "raw" if dtype is not None else kind_of(path, str(path))
            if kind == "text":
                pieces = stream_signal(path, handle, str(path), signal)
            elif kind == "raw":
                if dtype is None:
                    raise DataError(f"{unknown_type(path, str(path))}, or name the file by its type: .cf32, .ci16")
                pieces, samples = _raw(handle, str(path), length, size, dtype)
            elif kind in ("npz", "npy"):
                pieces, samples = _numpy(path, stack, size, signal)
            else:
                contents = open_contents(path, str(path))
                chosen = single(contents, str(path), "input", signal)
                pieces, samples, rate = _whole(chosen.load, size), chosen.samples, contents.sample_rate_hz
        yield Waveform(path, pieces, samples, lambda: handle.tell() / max(length, 1), rate)


def _whole(load: Callable[[], Samples], size: int) -> Iterator[Samples]:
    samples = load()
    for at in range(0, len(samples), size):
        yield samples[at : at + size]


def read_waveform(path: Path) -> Samples:
    """Read a complete waveform, (N,). Raises DataError as `open_waveform` and `Waveform.pieces`."""
    with open_waveform(path) as waveform:
        return np.concatenate(list(waveform.pieces()))


def _shown(path: Path) -> str:
    """Return the name of a file for a message about absurd values: data that are not float32 look like that."""
    return f"{path}, read as float32 I,Q (little-endian)" if path.suffix.lower() in RAW else str(path)


def _complex(pairs: NDArray[np.float64]) -> Samples:
    """Convert I and Q, (N, 2), to complex (N,)."""
    return np.ascontiguousarray(pairs).view(np.complex128)[:, 0]


def _raw(handle: IO[bytes], where: str, length: int, size: int, dtype: str) -> tuple[Iterator[Samples], int]:
    layout = layout_of(dtype)
    step = layout.sample_bytes
    if length % step:
        what = "float32 I and Q" if dtype == "cf32" else dtype
        raise DataError(
            f"{where}: {length:,} bytes are not a whole number of samples of {step} bytes ({what}); it was cut, or "
            "holds another type, such as 16-bit integers: name it by its type, such as .ci16"
        )

    def pieces() -> Iterator[Samples]:
        at = 0
        while len(block := np.fromfile(handle, layout.dtype, 2 * size)):
            pairs = (block.astype(np.float64).reshape(-1, 2) - layout.centre) / layout.full_scale
            check_finite(pairs, _shown(Path(where)), ("I", "Q"), row_word="sample", first=at)
            at += len(pairs)
            yield _complex(pairs)

    return pieces(), length // step


def _numpy(path: Path, stack: ExitStack, size: int, signal: str | None) -> tuple[Iterator[Samples], int]:
    """Return chunks and number of samples of an array file or an archive, recognised by content."""
    with path.open("rb") as handle:
        start = handle.read(len(NPY))
    if start == NPY:
        return _array(lambda: stack.enter_context(path.open("rb")), str(path), size)
    if not start.startswith(ZIP):
        raise ValueError("it is neither a NumPy array nor an archive of them" if start else "the file is empty")
    archive = stack.enter_context(zipfile.ZipFile(path))
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    key = next((key for key in ((signal,) if signal is not None else KEYS) if key in names), None)
    shown = ", ".join(map(visible, names)) or "none"
    if key is None and signal is not None:
        raise DataError(f"{path}: no array {signal!r}{suggestion(signal, names)}; it has {shown}")
    if key is None:
        raise DataError(f"{path}: needs an array named x (or input), has {shown}")
    return _array(lambda: stack.enter_context(archive.open(f"{key}.npy")), f"{path}, array {key}", size)


def _array(opened: Callable[[], IO[bytes]], where: str, size: int) -> tuple[Iterator[Samples], int]:
    """Yield chunks of an array in NumPy format; `opened` returns the stream at its start, as often as it is called."""
    stream = opened()
    shape, columns_apart, dtype = read_header(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are never loaded")
    if dtype.kind not in "fciu" or shape[1:] != (() if dtype.kind == "c" else (2,)) or not shape:
        as_pairs(np.broadcast_to(np.zeros((), dtype), shape), where)  # says what is wrong
    count = shape[0]
    if count == 0:
        raise DataError(f"{where}: no samples")
    streams, width = [stream], math.prod(shape[1:])
    if columns_apart and width == 2:  # all I, then all Q
        second = opened()
        read_header(second)
        second.seek(count * dtype.itemsize, os.SEEK_CUR)
        streams, width = [stream, second], 1

    def pieces() -> Iterator[Samples]:
        for at in range(0, count, size):
            n = min(size, count - at)
            columns = [_values(each, n * width, dtype, count - at).reshape(n, width) for each in streams]
            array = columns[0][:, 0] if dtype.kind == "c" else np.concatenate(columns, axis=1)
            yield _complex(as_pairs(array, where, first=at))
        for each in streams:
            each.read()  # the checksum of an archive is verified at the end of its stream

    return pieces(), count


def _values(stream: IO[bytes], count: int, dtype: np.dtype[Any], left: int) -> NDArray[Any]:
    data = stream.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise ValueError(f"the file ends in the middle: {left:,} samples or fewer before the end of its array")
    return np.frombuffer(data, dtype)
