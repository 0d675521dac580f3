"""What all readers share: optional libraries, and memory checked before use."""

from __future__ import annotations

import importlib
from types import ModuleType

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
