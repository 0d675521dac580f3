"""Writes input and output of a model in chunks; the file appears complete or not at all."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dpdrun.run.files import replacing

Samples = NDArray[np.complex128]

CSV_HEADER = "I,Q,I_out,Q_out"
CSV_ROW = "%.9g,%.9g,%.9g,%.9g\n"  # nine digits hold a float32
CSV_ROWS = 8192  # formatted at a time


class Writer(ABC):
    """Takes chunks of equal length until the file is finished."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle

    @abstractmethod
    def append(self, x: Samples, y: Samples) -> None:
        """Add input and output of the same instants, (n,) each."""

    def finish(self) -> None:
        """Complete the file after the last chunk."""
        self._handle.flush()


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write a file: CSV columns I,Q,I_out,Q_out; .npz arrays x and y; .npy and raw (complex64) the output alone.

    The file appears under its name when the block ends well; what was there stays when it does not.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    suffix = path.suffix.lower()
    with replacing(path) as temporary, ExitStack() as stack:
        handle = stack.enter_context(temporary.open("wb"))
        if suffix == ".npz":
            # without a name: nothing is left of them however the program ends
            spools = [stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for _ in "xy"]
            writer: Writer = _Archive(handle, spools)
        else:
            writer = {".csv": _Csv, ".npy": _Array}.get(suffix, _Raw)(handle)
        yield writer
        writer.finish()


class _Csv(Writer):
    def __init__(self, handle: IO[bytes]) -> None:
        super().__init__(handle)
        self._handle.write(f"{CSV_HEADER}\n".encode())

    def append(self, x: Samples, y: Samples) -> None:
        table = np.column_stack([x.real, x.imag, y.real, y.imag])
        for start in range(0, len(table), CSV_ROWS):
            rows = table[start : start + CSV_ROWS]
            self._handle.write((CSV_ROW * len(rows) % tuple(rows.ravel().tolist())).encode())


class _Raw(Writer):
    def append(self, x: Samples, y: Samples) -> None:  # noqa: ARG002
        self._handle.write(y.astype("<c8").tobytes())


class _Array(Writer):
    """A .npy file: its header states the number of samples, so it is written twice, with equal length."""

    def __init__(self, handle: IO[bytes]) -> None:
        super().__init__(handle)
        self._count = 0
        _write_header(self._handle, 0)
        self._begin = self._handle.tell()

    def append(self, x: Samples, y: Samples) -> None:  # noqa: ARG002
        self._count += len(y)
        self._handle.write(y.astype("<c16", copy=False).tobytes())

    def finish(self) -> None:
        self._handle.seek(0)
        _write_header(self._handle, self._count)
        assert self._handle.tell() == self._begin, "NumPy leaves room for a longer count"


class _Archive(Writer):
    """A .npz file: members are written one after the other, so both records wait in temporary files."""

    def __init__(self, handle: IO[bytes], spools: Sequence[IO[bytes]]) -> None:
        super().__init__(handle)
        self._spools, self._count = spools, 0

    def append(self, x: Samples, y: Samples) -> None:
        self._count += len(y)
        for spool, samples in zip(self._spools, (x, y), strict=True):
            spool.write(samples.astype("<c16", copy=False).tobytes())

    def finish(self) -> None:
        with zipfile.ZipFile(self._handle, "w") as archive:
            for name, spool in zip("xy", self._spools, strict=True):
                spool.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    _write_header(member, self._count)
                    shutil.copyfileobj(spool, member, 1 << 20)


def _write_header(handle: IO[bytes], count: int) -> None:
    npy.write_array_header_1_0(handle, {"descr": "<c16", "fortran_order": False, "shape": (count,)})
