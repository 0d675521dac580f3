"""What all readers share: optional libraries, memory checked before use, complex numbers of two real ones."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import DataError

EXPANSION = 1100  # zlib cannot compress further than 1032:1 (https://zlib.net/zlib_tech.html)


def library(module: str, package: str, where: str, format_: str) -> ModuleType:
    """Import an optional library. Raises DataError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            f"{where}: reading {format_} needs {package}: pip install 'dpdrun[formats]'   (or: pip install {package})"
        ) from None


def require_memory(nbytes: int, where: str) -> None:
    """Raise DataError if an array of `nbytes`, as complex128 and once more as a copy, does not fit into memory."""
    import psutil

    available = int(psutil.virtual_memory().available)
    if nbytes > available:
        raise DataError(
            f"{where}: declares {nbytes / 1e9:.3g} GB of samples, but {available / 1e9:.3g} GB of memory are free; "
            "cut the record, or the file is damaged"
        )


def require_declared(nbytes: int, stored: int, where: str) -> None:
    """Raise DataError if an array of `nbytes` is declared by a file that stores `stored` bytes for it, uncompressed."""
    if nbytes > stored:
        raise DataError(
            f"{where}: declares {nbytes:,} bytes of samples, but the file has {max(stored, 0):,}: it is incomplete; "
            "copy it again"
        )


def joined(i: NDArray[Any], q: NDArray[Any]) -> NDArray[np.complex128]:
    """Return I and Q of one shape as complex samples; what is not finite stays in the one in which it was.

    `i + 1j * q` makes I of an infinite Q NaN, with a warning. A negative zero becomes zero, as there.
    """
    samples = np.empty(i.shape, np.complex128)
    with np.errstate(all="ignore"):
        np.add(i, 0.0, out=samples.real, casting="same_kind")
        np.add(q, 0.0, out=samples.imag, casting="same_kind")
    return samples
