"""The waveform files of `dpdrun apply`: their formats, and whether one may be written.

`waveform_reader` reads one and `waveform_writer` writes one, in chunks, so a record may be larger than memory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from dpdrun.data.checks import missing, special
from dpdrun.errors import DataError
from dpdrun.run.files import refuse_special, unwritable
from dpdrun.run.symlinks import is_special

# complex64 without a header: float32 I, Q, I, Q ..., little-endian. By these names GNU Radio's file sink (.cfile), UHD
# (fc32), SigMF (cf32) and inspectrum know it; .iq says nothing about the numbers in it, so the reader looks at them.
RAW = (".cf32", ".fc32", ".c64", ".cfile", ".iq")
INTEGERS = (".ci16", ".cs16", ".sc16")  # int16 I, Q, I, Q ..., little-endian
PREDICTIONS = (".csv", ".npy", ".npz", *RAW)
SUFFIXES = (*PREDICTIONS, *INTEGERS, ".mat", ".wv", ".sigmf-meta")  # that are written


def check_readable(path: Path, named: str = "the file") -> None:
    """Raise DataError for a folder, or where there is no such file; `named` names the argument in the error."""
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; name {named} in it")
    if is_special(path):
        raise special(path)
    if not path.is_file():
        raise missing(path)


def format_of(path: Path, named: str = "the file") -> str:
    """Return the suffix of a file with a prediction, one of PREDICTIONS; `named` names the argument in the error.

    Raises:
        DataError: a folder, no such file, or another format.
    """
    check_readable(path, named)
    suffix = path.suffix.lower()
    if suffix not in PREDICTIONS:
        raise DataError(
            f"{path}: {suffix or 'a file without a suffix'} is not supported; give one of {', '.join(PREDICTIONS)}"
        )
    return suffix


def check_writable(path: Path, *, force: bool, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raise DataError for an output file that cannot be written, before work begins.

    Raises:
        DataError: unknown suffix, no such folder, or the file is there and not `force`.
        UnwritableError: the folder cannot be written.
    """
    if path.suffix.lower() not in suffixes:
        raise DataError(f"{path}: cannot write {path.suffix or 'a file without a suffix'}; use {', '.join(suffixes)}")
    folder = path.parent
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{path}: {folder} is a file, not a folder")
    if not folder.is_dir():
        raise missing(folder)
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; name a file to write")
    refuse_special(path)
    if path.exists() and not force:
        raise DataError(f"{path}: exists; give --force to overwrite it")
    if not os.access(folder, os.W_OK):
        raise unwritable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
