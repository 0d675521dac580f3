"""Files without a header: I,Q pairs of floats or integers, one record or several channels interleaved.

Integers are divided by full scale, 2^(bits - 1), as SigMF does; unsigned ones are centred first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats._reading import joined, require_memory
from dpdrun.data.signals import Contents, Signal, checked
from dpdrun.errors import DataError, reading

Samples = NDArray[np.complex128]

# By suffix, where a program stands for it: GNU Radio (.cfile, .c64), UHD (fc32, sc16), inspectrum, rtl_sdr (.cu8)
SUFFIX_TYPES = {
    ".cf32": "cf32", ".fc32": "cf32", ".c64": "cf32", ".cfile": "cf32", ".cf64": "cf64", ".c128": "cf64",
    ".ci16": "ci16", ".cs16": "ci16", ".sc16": "ci16", ".ci8": "ci8", ".cs8": "ci8", ".sc8": "ci8", ".cu8": "cu8",
    ".ci32": "ci32",
}  # fmt: skip
GUESSED = ("cf32", "cf64", "ci16", "ci16_be", "ci8", "cf32_be")  # what a file without a known suffix may be
PROBED = 1 << 16  # samples
SMOOTH = 0.5  # correlation of neighbours; an oversampled signal has 0.9, numbers of another type 0.0


@dataclass(frozen=True)
class RawLayout:
    """The numbers of a raw file.

    Attributes:
        dtype: of one number.
        full_scale: what is 1.0; floats are taken as they are.
        centre: of unsigned integers.
        per_sample: numbers of one sample: 2, or 1 of a real signal.
    """

    dtype: np.dtype[np.generic]
    full_scale: float = 1.0
    centre: float = 0.0
    per_sample: int = 2

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of one channel."""
        return self.per_sample * self.dtype.itemsize


def layout_of(name: str) -> RawLayout:
    """Return the layout of a type by its SigMF name, such as `ci16_le`; without a byte order, little-endian.

    Raises:
        KeyError, ValueError: no such type.
    """
    kind, _, order = name.partition("_")
    letter, bits = kind[1], int(kind[2:])
    if kind[0] not in "cr" or order not in ("", "le", "be") or (letter, bits) not in _KINDS:
        raise ValueError(f"{name} is no type of samples")
    dtype: np.dtype[np.generic] = np.dtype(f"{'>' if order == 'be' else '<'}{letter}{bits // 8}")
    scale = 1.0 if letter == "f" else 2.0 ** (bits - 1)
    # unsigned: the middle of 0 .. 2^bits - 1
    return RawLayout(dtype, scale, scale - 0.5 if letter == "u" else 0.0, 2 if kind[0] == "c" else 1)


_KINDS = {("f", 32), ("f", 64), ("i", 32), ("i", 16), ("i", 8), ("u", 32), ("u", 16), ("u", 8)}


def read_raw(path: Path, where: str, dtype: str | None, channels: int) -> Contents:
    """Return the channels of a raw file, `channel1`, ... (interleaved sample by sample).

    Args:
        path: the file.
        where: for messages.
        dtype: by SigMF's name; None = by the suffix.
        channels: how many are interleaved.

    Raises:
        DataError: the type is not known, or the length does not fit it.
    """
    name = dtype or SUFFIX_TYPES.get(path.suffix.lower())
    if name is None:
        raise DataError(unknown_type(path, where))
    layout = layout_of(name)
    size = path.stat().st_size
    step = layout.sample_bytes * channels
    if size % step or not size:
        shape = f"{channels} channels of {name}" if channels > 1 else name
        raise DataError(
            f"{where}: {size:,} bytes are not a whole number of samples of {step} bytes ({shape}); the file was cut, "
            "or holds another type: data.source: {input: FILE, output: FILE, dtype: TYPE}"
        )
    count = size // step
    signals = [
        Signal(
            f"channel{at + 1}" if channels > 1 else path.name,
            count,
            f"{count:,} {name}",
            partial(load_raw, path, where, layout, 0, count, channels, at),
        )
        for at in range(channels)
    ]
    return Contents(f"raw {name}", tuple(signals))


def load_raw(
    path: Path, where: str, layout: RawLayout, offset: int, count: int, channels: int = 1, channel: int = 0
) -> Samples:
    """Read one channel of `count` samples that begin `offset` bytes into a file, (N,), scaled to full scale.

    Raises:
        DataError: the file is shorter, or a sample is not finite.
    """
    require_memory(32 * count * channels, where)
    with reading(where, "raw samples"), path.open("rb") as file:
        file.seek(offset, os.SEEK_SET)
        numbers = np.fromfile(file, layout.dtype, count * channels * layout.per_sample)
    return to_samples(numbers, layout, where, count, channels, channel)


def to_samples(
    numbers: NDArray[np.generic], layout: RawLayout, where: str, count: int, channels: int = 1, channel: int = 0
) -> Samples:
    """Return numbers as they are stored as the complex samples of one channel, (count,)."""
    if len(numbers) < count * channels * layout.per_sample:
        raise DataError(
            f"{where}: {len(numbers) // (channels * layout.per_sample):,} of {count:,} samples: the file is incomplete"
        )
    table = numbers.reshape(count, channels, layout.per_sample)[:, channel]
    values = (table.astype(np.float64) - layout.centre) / layout.full_scale
    return checked(joined(values[:, 0], values[:, 1]) if layout.per_sample == 2 else values[:, 0], where)


def smoothness(path: Path, dtype: str) -> float:
    """Return the correlation of neighbouring samples if a file held this type: near 1 for an oversampled signal.

    Numbers of another type look like noise (about 0); one that gives absurd values or a lopsided I and Q gives 0.
    """
    layout = layout_of(dtype)
    if path.stat().st_size % layout.sample_bytes:
        return 0.0
    with np.errstate(all="ignore"):
        numbers = np.fromfile(path, layout.dtype, 2 * PROBED).astype(np.float64) - layout.centre
        pairs = numbers[: len(numbers) // 2 * 2].reshape(-1, 2)
        if len(pairs) < 3 or not np.isfinite(pairs).all() or np.abs(pairs).max() > 1e30:
            return 0.0
        spread = pairs.std(axis=0)
        if not 0.5 <= spread[0] / max(spread[1], 1e-300) <= 2.0:
            return 0.0
        z = pairs[:, 0] + 1j * pairs[:, 1]
        power = float(np.sum(np.abs(z) ** 2))
        return float(abs(np.sum(np.conj(z[:-1]) * z[1:]))) / power if 0 < power < np.inf else 0.0


def unknown_type(path: Path, where: str) -> str:
    """Return the message for a file without a header and a known suffix: what its samples look most like."""
    likely = max(GUESSED, key=lambda name: smoothness(path, name))
    value = smoothness(path, likely)
    looks = f"they look like {likely} (correlation of neighbours {value:.2f})" if value > SMOOTH else "not clear which"
    return (
        f"{where}: a file without a known header; if it holds raw samples ({looks}), say so: "
        "data.source: {input: FILE, output: FILE, "
        f"dtype: {likely if value > SMOOTH else 'TYPE'}}}; the types are {', '.join(GUESSED)}, ... (docs/data.md)"
    )
