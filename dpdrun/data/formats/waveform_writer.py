"""Writes input and output of a model, or of a capture, in chunks; the file appears complete or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dpdrun.data.formats.waveform import INTEGERS
from dpdrun.errors import DataError
from dpdrun.run.files import replacing

Samples = NDArray[np.complex128]

CSV_HEADER = "I,Q,I_out,Q_out"
SIGNAL_HEADER = "I,Q"
CAPTURE_HEADER = "I_in,Q_in,I_out,Q_out"
CSV_NUMBER = "%.9g"  # nine digits hold a float32
CSV_ROWS = 8192  # formatted at a time
INTEGER_PEAK = 32767  # the largest int16 of either sign, as UHD and R&S generators take it for 1.0
BLOCK = 1 << 16  # samples converted at a time
MAT_LIMIT = 2**31 - 1024  # bytes of a variable in a MAT file of version 7
MAT_HEADER = b"MATLAB 5.0 MAT-file, written by dpdrun"
SIGMF_VERSION = "1.2.0"
PAIRS = (".csv", ".npz", ".mat")  # hold input and output; the others hold one signal


@dataclass(frozen=True)
class Labels:
    """What a file states about its samples, where its format can.

    Attributes:
        sample_rate_hz, bandwidth_hz: [Hz].
        full_scale: level that becomes the largest integer; None = the largest I or Q of the record.
        header: of a CSV with both signals.
        alone: .csv, .npz and .mat hold the output alone, as I,Q or x.
    """

    sample_rate_hz: float | None = None
    bandwidth_hz: float | None = None
    full_scale: float | None = None
    header: str = CSV_HEADER
    alone: bool = False


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

    def remark(self) -> str:
        """Return a remark for the user about the finished file, or an empty text."""
        return ""


def check_labels(path: Path, sample_rate_hz: float | None) -> None:
    """Raise DataError where the format needs a sample rate and none is known."""
    if path.suffix.lower() == ".wv" and sample_rate_hz is None:
        raise DataError(f"{path}: a .wv file states its sample rate; give --sample-rate-hz")


@contextmanager
def writing(path: Path, labels: Labels | None = None) -> Iterator[Writer]:
    """Write a file: input and output as CSV, .npz or .mat (x, y); the output alone in any other format, or if `alone`.

    The file appears under its name when the block succeeds; otherwise an existing file is left unchanged. A .sigmf-meta
    gets its .sigmf-data next to it.

    Raises:
        RunError: the disk is full or the folder cannot be written.
        DataError: the format cannot hold the record.
    """
    stated, suffix = labels or Labels(), path.suffix.lower()
    with ExitStack() as stack:
        temporary = stack.enter_context(replacing(path))
        handle = stack.enter_context(temporary.open("wb"))

        def spool() -> IO[bytes]:
            # without a name: nothing is left of it however the program ends
            return stack.enter_context(tempfile.TemporaryFile(dir=path.parent))

        if suffix == ".csv":
            writer: Writer = _Csv(handle, stated)
        elif suffix in (".npz", ".mat"):
            spools = {name: spool() for name in ("x" if stated.alone else "xy")}
            writer = (_Archive if suffix == ".npz" else _Matlab)(handle, spools, stated)
        elif suffix == ".npy":
            writer = _Array(handle)
        elif suffix in (*INTEGERS, ".wv"):
            writer = (_RsWaveform if suffix == ".wv" else _Integers)(handle, spool(), stated)
        elif suffix == ".sigmf-meta":
            data = stack.enter_context(replacing(path.with_suffix(".sigmf-data")))
            writer = _SigMF(handle, stack.enter_context(data.open("wb")), stated)
        else:
            writer = _Raw(handle)
        yield writer
        writer.finish()


class _Csv(Writer):
    def __init__(self, handle: IO[bytes], labels: Labels) -> None:
        super().__init__(handle)
        self._alone = labels.alone
        self._handle.write(f"{SIGNAL_HEADER if labels.alone else labels.header}\n".encode())

    def append(self, x: Samples, y: Samples) -> None:
        signals = (y,) if self._alone else (x, y)
        table = np.column_stack([part for signal in signals for part in (signal.real, signal.imag)])
        row = ",".join([CSV_NUMBER] * table.shape[1]) + "\n"
        for start in range(0, len(table), CSV_ROWS):
            rows = table[start : start + CSV_ROWS]
            self._handle.write((row * len(rows) % tuple(rows.ravel().tolist())).encode())


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


class _Pair(Writer):
    """A file whose arrays are written one after the other, so the records wait in temporary files.

    `spools` are by name of the array: x and y, or x for the output alone.
    """

    def __init__(self, handle: IO[bytes], spools: Mapping[str, IO[bytes]], labels: Labels) -> None:
        super().__init__(handle)
        self._spools, self._labels, self._count = spools, labels, 0

    def append(self, x: Samples, y: Samples) -> None:
        self._count += len(y)
        signals = (y,) if self._labels.alone else (x, y)
        for spool, samples in zip(self._spools.values(), signals, strict=True):
            spool.write(samples.astype("<c16", copy=False).tobytes())

    def _settings(self) -> dict[str, float]:
        rates = {"sample_rate_hz": self._labels.sample_rate_hz, "bandwidth_hz": self._labels.bandwidth_hz}
        return {name: value for name, value in rates.items() if value is not None}


class _Archive(_Pair):
    """A .npz file."""

    def finish(self) -> None:
        with zipfile.ZipFile(self._handle, "w") as archive:
            for name, spool in self._spools.items():
                spool.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    _write_header(member, self._count)
                    shutil.copyfileobj(spool, member, 1 << 20)
            for name, value in self._settings().items():
                with archive.open(f"{name}.npy", "w") as member:
                    npy.write_array(member, np.array(value), allow_pickle=False)


class _Matlab(_Pair):
    """A MAT file of version 7: columns x and y, and the scalars that are known. It takes memory for both records."""

    def append(self, x: Samples, y: Samples) -> None:
        if 16 * (self._count + len(y)) > MAT_LIMIT:
            raise DataError("a .mat file of version 7 holds at most 2 GiB a variable; write .npz, or a shorter record")
        super().append(x, y)

    def finish(self) -> None:
        from scipy.io import savemat

        content: dict[str, object] = {}
        for name, spool in self._spools.items():
            spool.seek(0)
            content[name] = np.frombuffer(spool.read(), "<c16").reshape(-1, 1)
        savemat(cast("Any", self._handle), content | self._settings(), do_compression=True)
        self._handle.seek(0)
        self._handle.write(MAT_HEADER.ljust(116))  # scipy writes the time there; equal samples are to be equal files
        super().finish()


class _Integers(Writer):
    """int16 I, Q, scaled to full scale once the peak is known."""

    def __init__(self, handle: IO[bytes], spool: IO[bytes], labels: Labels) -> None:
        super().__init__(handle)
        self._spool, self._labels = spool, labels
        self._count, self._peak, self._loudest, self._energy, self._clipped = 0, 0.0, 0.0, 0.0, 0

    def append(self, x: Samples, y: Samples) -> None:  # noqa: ARG002
        self._count += len(y)
        self._peak = max(self._peak, float(np.abs(y.view(np.float64)).max(initial=0.0)))
        self._loudest = max(self._loudest, float(np.abs(y).max(initial=0.0)))
        self._energy += float(np.vdot(y, y).real)
        self._spool.write(np.ascontiguousarray(y, "<c16").tobytes())

    @property
    def _full_scale(self) -> float:
        return self._labels.full_scale or self._peak or 1.0

    def _blocks(self) -> Iterator[bytes]:
        """Yield the integers, and count the clipped samples; can be called again."""
        self._spool.seek(0)
        self._clipped = 0
        while data := self._spool.read(16 * BLOCK):
            numbers = np.round(np.frombuffer(data, "<f8") * (INTEGER_PEAK / self._full_scale))
            over = np.abs(numbers.reshape(-1, 2)).max(axis=1) > INTEGER_PEAK
            self._clipped += int(np.count_nonzero(over))
            yield np.clip(numbers, -INTEGER_PEAK, INTEGER_PEAK).astype("<i2").tobytes()

    def finish(self) -> None:
        for block in self._blocks():
            self._handle.write(block)
        super().finish()

    def remark(self) -> str:
        rms = math.sqrt(self._energy / max(self._count, 1))
        whose = "given" if self._labels.full_scale else "the largest I or Q"
        room = f"headroom {_db(self._full_scale / self._peak):.2f} dB" if self._peak else "silence"
        level = f", rms {_db(rms / self._full_scale):.2f} dB" if rms else ""
        return (
            f"int16: full scale {INTEGER_PEAK} = {self._full_scale:.6g} ({whose}), {room}{level}, "
            f"{self._clipped:,} samples clipped"
        )


class _RsWaveform(_Integers):
    """R&S .wv, by the operating manual of the SMBV100A (1407.6062.32-08), "Waveform and list format"."""

    def finish(self) -> None:
        from dpdrun.data.formats.rs_waveform import CHECKSUM_START

        check = CHECKSUM_START
        for block in self._blocks():
            check ^= int(np.bitwise_xor.reduce(np.frombuffer(block, "<u4"), initial=np.uint32(0)))
        assert self._labels.sample_rate_hz is not None, "see check_labels"
        rms = math.sqrt(self._energy / max(self._count, 1)) or self._full_scale
        levels = f"{_db(self._full_scale / rms):.6f},{_db(self._full_scale / (self._loudest or self._full_scale)):.6f}"
        tags = (
            f"{{TYPE: SMU-WV,{check}}}{{COMMENT: dpdrun}}{{CLOCK: {self._labels.sample_rate_hz:.12g}}}"
            f"{{LEVEL OFFS: {levels}}}{{SAMPLES: {self._count}}}{{WAVEFORM-{4 * self._count + 1}: #"
        )
        self._handle.write(tags.encode("ascii"))
        super().finish()
        self._handle.write(b"}")
        self._handle.flush()


class _SigMF(Writer):
    """A SigMF recording of cf32_le: the data as they come, the metadata at the end."""

    def __init__(self, handle: IO[bytes], data: IO[bytes], labels: Labels) -> None:
        super().__init__(handle)
        self._data, self._labels, self._digest = data, labels, hashlib.sha512()

    def append(self, x: Samples, y: Samples) -> None:  # noqa: ARG002
        block = y.astype("<c8").tobytes()
        self._digest.update(block)
        self._data.write(block)

    def finish(self) -> None:
        from dpdrun import __version__

        self._data.flush()
        stated = {
            "core:datatype": "cf32_le",
            "core:version": SIGMF_VERSION,
            "core:num_channels": 1,
            "core:sha512": self._digest.hexdigest(),
            "core:recorder": f"dpdrun {__version__}",
        }
        if self._labels.sample_rate_hz is not None:
            stated["core:sample_rate"] = self._labels.sample_rate_hz
        meta = {"global": stated, "captures": [{"core:sample_start": 0}], "annotations": []}
        self._handle.write((json.dumps(meta, indent=2) + "\n").encode())
        super().finish()


def _db(ratio: float) -> float:
    return 20 * math.log10(ratio) + 0.0


def _write_header(handle: IO[bytes], count: int) -> None:
    npy.write_array_header_1_0(handle, {"descr": "<c16", "fortran_order": False, "shape": (count,)})
